//! What nobody wrote to: rows that show nothing by themselves, and columns that a clock filled on the way back.

use super::*;

const NO_MAIL: &str = "ALTER TABLE blank DROP COLUMN mail; ALTER TABLE twin DROP COLUMN mail;";
const MAIL: &str = "ALTER TABLE blank ADD COLUMN mail TEXT; ALTER TABLE twin ADD COLUMN mail TEXT;";

/// Two tables of nine people. The last one has no name in the first, and that of another one in the second.
fn people(db: &TestDatabase) -> Sandbox {
    let table = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, name TEXT, mail TEXT);");
    let filled = |table: &str, last: &str| {
        let row = |at: u8| format!("({at}, 'name of {}', '{at}@x')", 90 - at);
        let rows = (1..=8).map(row).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {table} VALUES {rows}, (9, {last}, '9@x');")
    };
    let made = format!("{} {}", table("blank"), table("twin"));
    let filled = format!("{} {}", filled("blank", "NULL"), filled("twin", "'name of 89'"));
    let sandbox = project(db, &made, &filled, NO_MAIL, MAIL);
    upgrade(&sandbox);
    sandbox
}

/// The statement that fills a column with the time, the same in all rows.
fn clock(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Sqlite => "UPDATE cust SET made = strftime('%Y-%m-%d %H:%M:%f', 'now');",
        Backend::Postgres => "UPDATE cust SET made = now()::text;",
    }
}

const CUST: &str = "CREATE TABLE cust (id INTEGER PRIMARY KEY, name TEXT, made TEXT);";
const THREE: &str =
    "INSERT INTO cust VALUES (1, 'ann', '2001-01-01'), (2, 'bob', '2002-02-02'), (3, 'cid', '2003-03-03');";
const NO_MADE: &str = "ALTER TABLE cust DROP COLUMN made;";
const MADE: &str = "ALTER TABLE cust ADD COLUMN made TEXT;";

both_engines! {
    fn a_table_that_nobody_wrote_to_gets_all_back_whatever_its_last_row_holds(db: &TestDatabase) {
        let sandbox = people(db);
        let result = downgrade(&sandbox);
        for table in ["blank", "twin"] {
            assert_eq!(counts(&result, db, table, Some("mail")), [9, 0, 0, 0], "{result:#}");
            assert_eq!(db.query(&format!("SELECT count(*) FROM {table} WHERE mail = id || '@x';")), "9");
        }
    }

    fn a_table_that_nobody_wrote_to_gets_all_back_by_hand_as_well(db: &TestDatabase) {
        let sandbox = people(db);
        sandbox.ripcord(&["downgrade", "--no-merge"]).expect_code(0);
        let backup = by_hand::upgrade_backup(&sandbox);
        let told = |run: &Run| counts(&report(run)["result"], db, "blank", Some("mail"));
        let look = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run", "--format", "json"]);
        assert_eq!(told(&look), [9, 0, 0, 0], "{look}");
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--format", "json"]);
        assert_eq!(told(&run), [9, 0, 0, 0], "{run}");
    }

    fn a_last_row_that_says_nothing_is_left_where_somebody_wrote_to_its_table(db: &TestDatabase) {
        let sandbox = people(db);
        db.execute("DELETE FROM blank WHERE id = 9; INSERT INTO blank VALUES (9, NULL), (10, 'zoe');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "blank", Some("mail")), [8, 0, 0, 1], "{result:#}");
        assert_eq!(counts(&result, db, "twin", Some("mail")), [9, 0, 0, 0], "{result:#}");
        assert_eq!(db.query("SELECT count(*) FROM blank WHERE mail IS NULL;"), "2");
    }

    fn what_a_clock_gave_all_rows_on_the_way_back_gives_way_to_what_was_salvaged(db: &TestDatabase) {
        let sandbox = project(db, CUST, THREE, NO_MADE, &format!("{MADE} {}", clock(db)));
        upgrade(&sandbox);
        db.execute("INSERT INTO cust VALUES (4, 'dan'); UPDATE cust SET name = 'anna' WHERE id = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "cust", Some("made")), [3, 0, 0, 0], "{result:#}");
        assert_eq!(db.query("SELECT made FROM cust WHERE id < 4 ORDER BY id;"), "2001-01-01\n2002-02-02\n2003-03-03");
        assert_eq!(db.query("SELECT count(*) FROM cust WHERE id = 4 AND made > '2020';"), "1");
    }

    fn what_dice_gave_each_row_is_a_conflict(db: &TestDatabase) {
        let dice = match db.backend() {
            Backend::Sqlite => "UPDATE cust SET made = hex(randomblob(8));",
            Backend::Postgres => "UPDATE cust SET made = gen_random_uuid()::text;",
        };
        let sandbox = project(db, CUST, THREE, NO_MADE, &format!("{MADE} {dice}"));
        upgrade(&sandbox);
        db.execute("UPDATE cust SET name = 'anna' WHERE id = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "cust", Some("made")), [0, 0, 0, 3], "{result:#}");
    }

    fn duplicates_that_were_deleted_come_back_beside_those_that_stayed_where_nobody_has_written_since(db: &TestDatabase) {
        let keep = match db.backend() {
            Backend::Sqlite => "rowid NOT IN (SELECT min(rowid) FROM nk GROUP BY x, y)",
            Backend::Postgres => "ctid NOT IN (SELECT min(ctid) FROM nk GROUP BY x, y)",
        };
        let made = "CREATE TABLE nk (x TEXT, y INTEGER);";
        let filled = "INSERT INTO nk VALUES ('d', 1), ('d', 1), ('d', 1), (NULL, 2), (NULL, 2), ('e', 3);";
        let sandbox = project(db, made, filled, &format!("DELETE FROM nk WHERE {keep}; DELETE FROM nk WHERE x IS NULL;"), "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "nk", None), [4, 0, 0, 0], "{result:#}");
        assert_eq!(db.query("SELECT x, y, count(*) FROM nk GROUP BY x, y ORDER BY y;"), "d|1|3\n|2|2\ne|3|1");
        // Whether they are these nobody can tell, as soon as anybody may have written.
        upgrade(&sandbox);
        db.execute("INSERT INTO nk VALUES ('f', 4);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "nk", None), [2, 0, 0, 2], "{result:#}");
    }

    fn what_the_way_back_computes_from_what_users_wrote_is_no_clock_though_all_rows_get_the_same(db: &TestDatabase) {
        let made = format!("{CUST} CREATE TABLE state (word TEXT PRIMARY KEY);");
        let filled = format!("{THREE} INSERT INTO state VALUES ('open');");
        let sandbox = project(db, &made, &filled, NO_MADE, &format!("{MADE} UPDATE cust SET made = (SELECT word FROM state);"));
        upgrade(&sandbox);
        db.execute("UPDATE state SET word = 'closed';");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "cust", Some("made")), [0, 0, 0, 3], "{result:#}");
        assert_eq!(db.query("SELECT DISTINCT made FROM cust;"), "closed");
    }
}

/// The upgrade waits in its own transaction, behind a lock of somebody else, who writes before he lets it go on.
#[test]
fn what_others_wrote_between_the_snapshot_and_the_end_of_an_upgrade_is_not_written_over() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let db = TestDatabase::postgres_server(options.start());
    let made =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC); CREATE TABLE a_gate (id INTEGER PRIMARY KEY);";
    let filled = "INSERT INTO t VALUES (1, 1.25), (2, 2.25); INSERT INTO a_gate VALUES (1);";
    let up = "ALTER TABLE a_gate ADD COLUMN more INTEGER; ALTER TABLE t ALTER COLUMN n TYPE INTEGER;";
    let down = "ALTER TABLE t ALTER COLUMN n TYPE NUMERIC; ALTER TABLE a_gate DROP COLUMN more;";
    let sandbox = project(&db, made, filled, up, down);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"60s\"\n");
    let mut gate = db.session();
    gate.execute("BEGIN; LOCK TABLE a_gate IN ACCESS SHARE MODE;");
    let waiting = sandbox.spawn(&["upgrade", "--accept", "narrows-type:t.n"]);
    db.server().wait_for_log("still waiting for AccessExclusiveLock");
    db.execute("UPDATE t SET n = 7.75 WHERE id = 1;");
    gate.execute("COMMIT;");
    waiting.wait();
    downgrade(&sandbox);
    // Eight is what the type made of what they wrote; the value of the snapshot was over by then.
    assert_eq!(db.query("SELECT n FROM t ORDER BY id;"), "8\n2.25");
}
