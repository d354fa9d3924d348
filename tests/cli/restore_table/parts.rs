//! What belongs to a table comes with it when it is made again.

use super::*;

#[test]
fn comments_and_grants_of_names_that_need_quotes_come_back() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(
        &db,
        "CREATE TABLE \"Odd \"\"T\" (\"Id\" INTEGER PRIMARY KEY, \"user\" TEXT CONSTRAINT \"Short C\" CHECK (length(\"user\") < 9));
INSERT INTO \"Odd \"\"T\" VALUES (1, 'a'); CREATE INDEX \"By User\" ON \"Odd \"\"T\" (\"user\");
COMMENT ON TABLE \"Odd \"\"T\" IS 'one'; COMMENT ON COLUMN \"Odd \"\"T\".\"user\" IS 'two'; COMMENT ON INDEX \"By User\" IS 'three';
COMMENT ON CONSTRAINT \"Short C\" ON \"Odd \"\"T\" IS 'four'; GRANT SELECT ON \"Odd \"\"T\" TO PUBLIC; GRANT UPDATE (\"Id\") ON \"Odd \"\"T\" TO PUBLIC;",
    );
    let schema = db.schema();
    db.execute("DROP TABLE \"Odd \"\"T\";");
    sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "Odd \"T"]).expect_code(0);
    assert_eq!(db.schema(), schema);
    sandbox.ripcord(&["verify", &backup(&sandbox)]).expect_code(0);
}

#[test]
fn rules_and_statistics_of_a_table_come_back() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER); INSERT INTO t VALUES (1, 1, 1);
CREATE STATISTICS st ON a, b FROM t; COMMENT ON STATISTICS st IS 's';
CREATE RULE \"Stays\" AS ON DELETE TO t WHERE OLD.id = 1 DO INSTEAD NOTHING; COMMENT ON RULE \"Stays\" ON t IS 'r';",
    );
    let schema = db.schema();
    db.execute("DROP TABLE t;");
    sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "t"]).expect_code(0);
    assert_eq!(db.schema(), schema);
    sandbox.ripcord(&["verify", &backup(&sandbox)]).expect_code(0);
}

const PARTITIONED: &str =
    "CREATE TABLE m (id INTEGER, d DATE NOT NULL, v TEXT, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE INDEX m_v ON m (v);
CREATE TABLE m24 PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE m25 PARTITION OF m FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (id);
CREATE TABLE m25_1 PARTITION OF m25 FOR VALUES IN (1, 2);
INSERT INTO m VALUES (1, '2024-02-02', 'x'), (2, '2025-02-02', 'y');";

#[test]
fn a_partition_that_was_dropped_is_a_partition_again() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(&db, PARTITIONED);
    let schema = db.schema();
    db.execute("DROP TABLE m24;");
    sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "m24"]).expect_code(0);
    assert_eq!(db.schema(), schema);
    assert_eq!(db.query("SELECT * FROM m ORDER BY id;"), "1|2024-02-02|x\n2|2025-02-02|y");
    sandbox.ripcord(&["verify", &backup(&sandbox)]).expect_code(0);
    db.execute("DROP TABLE m;");
    at(&sandbox, 2);
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "m24"]);
    run.expect_code(3);
    says_three_parts(&run, "it was a partition of public.m");
    assert_eq!(db.tables(), "");
}

#[test]
fn a_partitioned_table_is_put_back_by_its_partitions() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(&db, PARTITIONED);
    db.execute("UPDATE m SET v = 'z'; DELETE FROM m WHERE id = 2;");
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "m"]);
    run.expect_code(0).stdout_has("m24").stdout_has("m25_1");
    assert_eq!(db.query("SELECT * FROM m ORDER BY id;"), "1|2024-02-02|x\n2|2025-02-02|y");
}

#[test]
fn tables_that_refer_to_each_other_are_put_back_together() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(
        &db,
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, main_address INTEGER);
CREATE TABLE address (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id));
ALTER TABLE customer ADD CONSTRAINT main FOREIGN KEY (main_address) REFERENCES address (id);
INSERT INTO customer VALUES (1, NULL), (2, NULL); INSERT INTO address VALUES (10, 1), (20, 2); UPDATE customer SET main_address = id * 10;",
    );
    let all = "SELECT * FROM customer ORDER BY id; SELECT * FROM address ORDER BY id;";
    let before = db.query(all);
    // A row that stays refers to one that goes, and what is gone refers to what is gone.
    db.execute("INSERT INTO address VALUES (11, 1); UPDATE customer SET main_address = 11 WHERE id = 1; UPDATE customer SET main_address = NULL WHERE id = 2;
DELETE FROM address WHERE id = 20; DELETE FROM customer WHERE id = 2;");
    sandbox
        .ripcord(&["restore", &backup(&sandbox), "--table", "customer", "--table", "address"])
        .expect_code(0);
    assert_eq!(db.query(all), before);
}

/// What `ALTER TABLE` and its like say of a table, and two publications with some of it.
const TOLD: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL UNIQUE, b TEXT) WITH (fillfactor = 70);
INSERT INTO t VALUES (1, 'a', 'b'); CREATE TABLE other (id INTEGER PRIMARY KEY);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON t USING (id > 0); COMMENT ON POLICY mine ON t IS 'p';
ALTER TABLE t ALTER COLUMN a SET STATISTICS 500, ALTER COLUMN a SET (n_distinct = 5), ALTER COLUMN b SET STORAGE EXTERNAL;
COMMENT ON COLUMN t.b IS 'c'; GRANT SELECT (a), UPDATE (b) ON t TO PUBLIC;
CREATE PUBLICATION \"Some of it\" FOR TABLE t, other; CREATE PUBLICATION gone FOR TABLE t;
CREATE PUBLICATION everything FOR ALL TABLES;";

const PUBLISHED: &str = "SELECT pubname, tablename FROM pg_publication_tables ORDER BY 1, 2;";

/// A database with these tables; publications of all tables are a superuser's.
fn published() -> (TestDatabase, Sandbox) {
    let db = TestDatabase::postgres();
    db.server().psql("app", "ALTER ROLE app SUPERUSER;");
    let sandbox = backed_up(&db, TOLD);
    (db, sandbox)
}

#[test]
fn what_was_set_for_a_table_and_its_columns_comes_back_and_publications_have_it_again() {
    let (db, sandbox) = published();
    let (schema, lists) = (db.schema(), db.query(PUBLISHED));
    db.execute("DROP TABLE t;");
    assert_ne!(db.query(PUBLISHED), lists);
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "t"]);
    run.expect_code(0).stdout_lacks("has it no more").stdout_lacks("is another");
    assert_eq!((db.schema(), db.query(PUBLISHED)), (schema, lists));
    sandbox.ripcord(&["verify", &backup(&sandbox)]).expect_code(0);
}

#[test]
fn a_publication_that_cannot_have_a_table_again_is_named() {
    let (db, sandbox) = published();
    db.execute(
        "DROP TABLE t; DROP PUBLICATION gone; DROP PUBLICATION \"Some of it\"; CREATE PUBLICATION \"Some of it\" FOR ALL TABLES;",
    );
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "t"]);
    run.expect_code(0).stdout_has("was left: publication gone has it no more\n").stdout_lacks("Some of it");
    let has = db.query("SELECT pubname FROM pg_publication_tables WHERE tablename = 't' ORDER BY pubname;");
    assert_eq!(has, "Some of it\neverything");
}

#[test]
fn what_used_a_table_and_went_with_it_is_named() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(&db, &format!("{SHOP} CREATE VIEW names AS SELECT name FROM customer;"));
    db.execute("DROP TABLE customer CASCADE;");
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "customer"]);
    run.expect_code(0);
    run.stdout_has("public.customer was made again, but not what used it in the backup and is gone: ");
    run.stdout_has("constraint public.purchase.purchase_customer_id_fkey").stdout_has("view public.names");
}

#[test]
fn rows_come_back_under_views_policies_triggers_and_keys_that_stay_as_they_are() {
    let db = TestDatabase::postgres();
    db.server().psql("app", "ALTER ROLE app BYPASSRLS;");
    let sandbox = backed_up(
        &db,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
CREATE TABLE t (id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent_id INTEGER REFERENCES parent, n TEXT);
INSERT INTO t (parent_id, n) VALUES (1, 'a'), (2, 'b'), (1, 'c');
CREATE TABLE child (id INTEGER PRIMARY KEY, t_id INTEGER REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1, 1), (2, 2);
CREATE TABLE heard (what TEXT); CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.heard VALUES (TG_OP); RETURN NEW; END $$;
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE VIEW seen AS SELECT * FROM t; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM t; GRANT SELECT ON t, seen TO PUBLIC;
ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY mine ON t USING (id > 0);",
    );
    let (schema, rows, children) =
        (db.schema(), db.query("SELECT * FROM t ORDER BY id;"), db.query("SELECT * FROM child;"));
    db.execute("DELETE FROM t WHERE id = 3; UPDATE t SET n = 'z' WHERE id = 1; INSERT INTO t (parent_id, n) VALUES (2, 'new');
REFRESH MATERIALIZED VIEW counted; DELETE FROM heard;");
    let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "t"]);
    run.expect_code(0).stdout_has("putting rows back refreshes no materialized view");
    run.stdout_has("REFRESH MATERIALIZED VIEW public.counted");
    assert_eq!(
        (db.schema(), db.query("SELECT * FROM t ORDER BY id;"), db.query("SELECT * FROM child;")),
        (schema, rows, children)
    );
    assert_eq!(db.query("SELECT count(*) FROM heard;"), "0");
    assert_eq!(db.query("INSERT INTO t (n) VALUES ('next') RETURNING id;").lines().next(), Some("5"));
}

#[test]
fn a_table_that_needs_what_is_gone_is_refused_and_the_backup_beside_is_named() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(
        &db,
        "CREATE SEQUENCE shared; CREATE TABLE t (id BIGINT DEFAULT nextval('shared')); INSERT INTO t DEFAULT VALUES;",
    );
    db.execute("DROP TABLE t; DROP SEQUENCE shared;");
    let run = refuses(&sandbox, &db, &["restore", &backup(&sandbox), "--table", "t"], 1, "public.shared");
    run.stderr_has(&format!(": ripcord restore {} --to URL\n", backup(&sandbox)));
}
