//! `--sql`: the script does what a guarded run does when the engine's own tool runs it, and stops where the database is
//! elsewhere.

use super::*;
use crate::promise::says_three_parts;

/// What a database holds, whoever put it there: the time and the operation in ripcord's memory tell that, and the order
/// in which tables were created.
fn content(db: &TestDatabase) -> String {
    db.execute("UPDATE ripcord_revision SET applied_at = 'then', operation = 'that';");
    let dump = db.dump();
    let mut lines: Vec<_> = dump.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A second database of the same engine, and a sandbox with the same project for it.
fn another(db: &TestDatabase) -> (TestDatabase, Sandbox) {
    let other = TestDatabase::start(db.backend());
    let sandbox = Sandbox::with(&other);
    shop(&sandbox);
    (other, sandbox)
}

both_engines! {
    fn a_script_ends_where_a_guarded_run_ends(db: &TestDatabase) {
        let guarded = Sandbox::with(db);
        shop(&guarded);
        let (scripted, sandbox) = another(db);
        scripted.execute("CREATE TABLE before (a INTEGER);");
        db.execute("CREATE TABLE before (a INTEGER);");
        // Up in two strides, the second from one row to several; down from several, then to base.
        for arguments in [["upgrade", "ae10"], ["upgrade", "heads"], ["downgrade", ACCOUNT], ["downgrade", "base"]] {
            let [command, target] = arguments;
            guarded.ripcord(&[command, target, "--proof", "none"]).expect_code(0);
            let script = printed(&sandbox, &[command, target, "--sql"]);
            scripted.execute(&script);
            assert_eq!(scripted.version(), db.version(), "{script}");
            assert_eq!(content(&scripted), content(db), "{script}");
        }
        assert_eq!(scripted.version(), "");
        assert_eq!(sandbox.files("backups"), [""; 0]);
    }

    fn a_script_changes_nothing_in_a_database_that_is_elsewhere(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        db.execute("CREATE TABLE t (a INTEGER);");
        let from_base = printed(&sandbox, &["upgrade", "heads", "--sql"]);
        let from_elsewhere = printed(&sandbox, &["upgrade", "1975:heads", "--sql"]);
        let before = db.dump();
        let error = db.try_query(&from_elsewhere).unwrap_err();
        let nowhere = match db.backend() {
            Backend::Sqlite => "the version rows are not 1975ea83b712, so the script stops here",
            Backend::Postgres => "relation \"alembic_version\" does not exist",
        };
        assert!(error.contains(nowhere), "{error}");
        assert_eq!(db.dump(), before);

        db.execute(&from_base);
        let before = db.dump();
        for script in [from_base, from_elsewhere] {
            let error = db.try_query(&script).unwrap_err();
            assert!(error.contains("so the script stops here"), "{error}");
            assert_eq!(db.dump(), before);
        }
    }

    fn a_script_that_fails_leaves_the_revisions_before_and_can_be_written_again(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        let broken = Revision::new(ACCOUNT_A).revises(ACCOUNT).message("add a column");
        let broken = broken.upgrade("ALTER TABLE account ADD COLUMN a TEXT;\nINSERT INTO nowhere VALUES (1);");
        sandbox.add(&broken.downgrade("ALTER TABLE account DROP COLUMN a;"));
        db.execute("CREATE TABLE t (a INTEGER);");
        let script = printed(&sandbox, &["upgrade", "55af", "--sql"]);
        assert!(db.try_query(&script).unwrap_err().contains("nowhere"));
        assert_eq!(db.version(), ACCOUNT);
        assert!(!db.schema().contains("a TEXT"), "{}", db.schema());
        shop(&sandbox);
        db.execute(&printed(&sandbox, &["upgrade", "55af", "--sql"]));
        assert_eq!(db.version(), ACCOUNT_B);
    }

    fn statements_by_themselves_run_outside_of_a_transaction(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        let alone = Revision::new("dddd").revises(ACCOUNT_B).directive("transaction", "none");
        let index = "CREATE INDEX CONCURRENTLY account_name ON account (name);";
        let alone = alone.upgrade_on("postgresql", index).upgrade_on("sqlite", "VACUUM;");
        sandbox.add(&alone.downgrade("SELECT 1;"));
        db.execute("CREATE TABLE t (a INTEGER);");
        let script = printed(&sandbox, &["upgrade", "dddd", "--sql"]);
        db.execute(&script);
        assert_eq!(db.version(), "dddd");
        let before = db.dump();
        db.try_query(&script).unwrap_err();
        assert_eq!(db.dump(), before);
    }

    fn a_range_asks_no_database(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART, IP_ACCOUNT]);
        let online = printed(&sandbox, &["downgrade", "1975", "--sql"]);
        match db.backend() {
            Backend::Sqlite => sandbox.env("DATABASE_URL", "sqlite:////nowhere/app.db"),
            Backend::Postgres => sandbox.env("DATABASE_URL", "postgresql://app@/app?host=/nowhere"),
        };
        assert_eq!(printed(&sandbox, &["downgrade", "27c6,networking:1975", "--sql"]), online);
        assert_eq!(printed(&sandbox, &["downgrade", "heads:1975", "--sql"]), online);
        let one = printed(&sandbox, &["upgrade", "1975:shoppingcart@+1", "--sql"]);
        assert_eq!(printed(&sandbox, &["upgrade", "1975:27c6", "--sql"]), one);

        // Without a range an upgrade begins at base and says so; a downgrade cannot begin anywhere.
        let run = sandbox.ripcord(&["upgrade", "shoppingcart", "--sql"]);
        run.expect_code(0).stderr_has("the script begins at base; name a range START:END to begin elsewhere");
        assert_eq!(run.stdout, printed(&sandbox, &["upgrade", "base:shoppingcart", "--sql"]));
        for target in ["1975", ":1975", "27c6:"] {
            let run = sandbox.ripcord(&["downgrade", target, "--sql"]);
            run.expect_code(2).stdout_is_empty();
            says_three_parts(&run, "downgrade with --sql requires <fromrev>:<torev>");
        }
        let run = sandbox.ripcord(&["upgrade", "1975,ae10:heads", "--sql"]);
        run.expect_code(2).stdout_is_empty();
        says_three_parts(&run, "Requested revision ae1027a6acf0 overlaps");
    }

    fn a_script_with_nothing_to_do_is_a_comment(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART]);
        let script = printed(&sandbox, &["upgrade", "shoppingcart", "--sql"]);
        assert_eq!(script, "-- ripcord upgrade: nothing to do, the version rows are 27c6a30d7c24\n");
    }
}

mod postgres {
    use super::*;

    /// psql goes on after errors unless it is told not to; the guards hold all the same.
    #[test]
    fn a_script_changes_nothing_elsewhere_even_where_psql_goes_on() {
        let db = TestDatabase::postgres();
        let sandbox = Sandbox::with(&db);
        shop(&sandbox);
        set_rows(&db, &[IP]);
        let file = sandbox.write("up.sql", printed(&sandbox, &["upgrade", "base:55af", "--sql"]));
        let before = db.dump();
        let run = sandbox.run("psql", &["-X", "-q", "-d", &db.url(), "-f", file.to_str().unwrap()]);
        run.expect_code(0)
            .stderr_has("the version rows are 29f859a13ea0, not base, so the script stops here");
        assert_eq!(db.dump(), before);
    }

    #[test]
    fn a_script_that_moves_the_search_path_writes_its_rows_where_they_were() {
        let db = TestDatabase::postgres();
        let sandbox = Sandbox::with(&db);
        let moves = "CREATE SCHEMA other; SET search_path = other; CREATE TABLE t (a INTEGER);";
        sandbox.revision("aaaa", &[], moves, "DROP SCHEMA other CASCADE;");
        sandbox.revision("bbbb", &["aaaa"], "CREATE TABLE t (a INTEGER);", "DROP TABLE t;");
        db.execute(&printed(&sandbox, &["upgrade", "--sql"]));
        assert_eq!(db.version(), "bbbb");
        let where_to = "SELECT schemaname FROM pg_tables WHERE tablename = 't' ORDER BY 1;";
        assert_eq!(db.query(where_to), "other\npublic");
    }
}

#[test]
fn a_rebuilt_table_in_a_script_keeps_the_rows_of_its_children_and_broken_keys_stop_it() {
    let db = TestDatabase::sqlite();
    let sandbox = Sandbox::with(&db);
    let create = "CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT);
CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INTEGER REFERENCES p (id) ON DELETE CASCADE);
INSERT INTO p VALUES (1, 'x'); INSERT INTO c VALUES (10, 1);";
    let rebuild = "CREATE TABLE p_new (id INTEGER PRIMARY KEY); INSERT INTO p_new SELECT id FROM p;
DROP TABLE p; ALTER TABLE p_new RENAME TO p;";
    sandbox.revision("aaaa", &[], create, "DROP TABLE c; DROP TABLE p;");
    sandbox.revision("bbbb", &["aaaa"], rebuild, "SELECT 1;");
    sandbox.revision("cccc", &["bbbb"], "DELETE FROM p;", "SELECT 1;");
    db.execute("CREATE TABLE t (a INTEGER);");
    let script = printed(&sandbox, &["upgrade", "--sql"]);
    // As an application would: keys are on before the script begins.
    let error = db.try_query(&format!("PRAGMA foreign_keys = ON;\n{script}")).unwrap_err();
    assert!(error.contains("foreign keys would point nowhere, so the script stops here"), "{error}");
    assert_eq!(
        (db.version(), db.query("SELECT * FROM c; SELECT * FROM p;")),
        ("bbbb".into(), "10|1\n1".into())
    );
}
