//! `stamp` sets version rows and nothing else, all or nothing.

use super::*;
use crate::promise::{follow, leaves_nothing_behind, refuses, report, says_three_parts, undo_of};
use serde_json::json;

both_engines! {
    fn a_stamp_writes_what_was_asked_for_and_says_how_to_undo_it(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        db.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);");
        let run = sandbox.ripcord(&["stamp", "55af", "ip"]);
        run.expect_code(2).stderr_has("'ip'");
        assert_eq!(db.tables(), "t");
        sandbox.ripcord(&["stamp", ACCOUNT_B, "29f8"]).expect_code(0).stderr_is_empty();
        assert_eq!(db.version(), "29f859a13ea0 55af2cb1c267");
        let run = sandbox.ripcord(&["stamp", "heads"]);
        run.expect_code(0).stdout_has("done       the database is at 27c6a30d7c24, 2a95102259be\n");
        assert_eq!(db.version(), "27c6a30d7c24 2a95102259be");
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.version(), "29f859a13ea0 55af2cb1c267");
        let run = sandbox.ripcord(&["stamp", "networking@base"]);
        run.expect_code(0);
        // The other tree is needed by that branch, so it is in its lineage.
        assert_eq!(db.version(), "");
        assert_eq!(db.query("SELECT a FROM t;"), "1");
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_stamp_where_the_database_is_already_writes_nothing(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART]);
        let before = db.dump();
        sandbox.ripcord(&["stamp", "shoppingcart"]).expect_code(0).stdout_has("nothing was done");
        sandbox.ripcord(&["stamp", "--purge", CART]).expect_code(0).stdout_has("nothing was done");
        assert_eq!(db.dump(), before);
        assert_eq!(sandbox.files("backups"), [""; 0]);
    }

    fn a_wrong_target_leaves_the_rows_even_with_purge(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART]);
        refuses(&sandbox, db, &["stamp", "--purge", IP, "nowhere"], 2, "Can't locate revision identified by 'nowhere'");
        refuses(&sandbox, db, &["stamp", "head"], 2, "Multiple heads are present; please specify a single target revision");
        refuses(&sandbox, db, &["stamp", "27c6-1"], 2, "an offset is not accepted here");
        refuses(&sandbox, db, &["stamp", ACCOUNT, CART], 2, "overlaps with other requested revisions");
        assert_eq!(sandbox.files("backups"), [""; 0]);
    }

    fn a_purge_gets_past_a_row_that_no_file_has_and_the_journal_keeps_it(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &["deadbeef0000", IP]);
        let run = refuses(&sandbox, db, &["stamp", CART], 2, "the database is at it, but it is not in the history");
        run.stderr_has("ripcord stamp --purge");
        let run = sandbox.ripcord(&["stamp", "--purge", CART, "--format", "json"]);
        run.expect_code(0);
        assert_eq!(db.version(), CART);
        let json = report(&run)["result"].clone();
        assert_eq!(json["from"], json!([IP, "deadbeef0000"]));
        assert_eq!((json["kind"].clone(), json.get("undo")), (json!("stamp"), None));
        let log = printed(&sandbox, &["log", json["operation"].as_str().unwrap()]);
        assert!(log.contains("from       29f859a13ea0, deadbeef0000\n"), "{log}");
    }

    fn a_file_is_held_against_the_project_only_while_it_stays_applied(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        sandbox.ripcord(&["upgrade", "55af", "--proof", "none"]).expect_code(0);
        let known = || db.query("SELECT revision FROM ripcord_revision ORDER BY revision;").replace('\n', " ");
        assert_eq!(known(), "1975ea83b712 55af2cb1c267 ae1027a6acf0");
        sandbox.ripcord(&["stamp", ACCOUNT]).expect_code(0);
        assert_eq!(known(), ACCOUNT);
        // Edited while it was not applied, and then declared to be applied as it is now.
        let edited = Revision::new(ACCOUNT_A).revises(ACCOUNT).message("add a column").upgrade("SELECT 1;");
        sandbox.add(&edited.downgrade("SELECT 1;"));
        sandbox.ripcord(&["stamp", ACCOUNT_B]).expect_code(0);
        sandbox.ripcord(&["upgrade", "55af", "--dry-run"]).expect_code(0);
        assert_eq!(known(), ACCOUNT);
    }

    fn an_unfinished_operation_must_be_recovered_first(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[ACCOUNT]);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "2");
        assert!(sandbox.ripcord(&["stamp", CART]).code < 0);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        let run = refuses(&sandbox, db, &["stamp", CART], 8, "did not finish");
        run.stderr_has("next: ripcord recover");
        sandbox.ripcord(&["recover"]).expect_code(0);
        sandbox.ripcord(&["stamp", CART]).expect_code(0);
    }

    fn a_stamp_that_dies_anywhere_is_done_or_not_done(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        let mut ends = Vec::new();
        for checkpoint in 1.. {
            set_rows(db, &[ACCOUNT, "deadbeef0000"]);
            sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
            let died = sandbox.ripcord(&["stamp", "--purge", CART, IP]);
            sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
            if died.code >= 0 {
                died.expect_code(0);
                break;
            }
            let rows = db.version();
            let run = sandbox.ripcord(&["recover"]);
            run.expect_code(0);
            assert_eq!(db.version(), rows, "recover only looks\n{run}");
            let expected = match rows.as_str() {
                "1975ea83b712 deadbeef0000" => "as it was before, at 1975ea83b712, deadbeef0000",
                "27c6a30d7c24 29f859a13ea0" => "the database is at 27c6a30d7c24, 29f859a13ea0",
                other => panic!("the rows are {other}\n{died}"),
            };
            // A journal of which not even the first line is whole is no operation: what is left is the file of the dead
            // one's lock, which the next operation takes over.
            if !run.stdout.contains("nothing to recover") {
                run.stdout_has(expected);
                leaves_nothing_behind(&sandbox, db);
            }
            ends.push(rows.starts_with("1975"));
        }
        assert!(ends.contains(&true) && ends.contains(&false) && ends.len() > 5, "{ends:?}");
    }

    fn a_lock_that_another_holds_is_not_waited_for_without_end(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[ACCOUNT]);
        let mut session = db.session();
        let lock = match db.backend() {
            Backend::Sqlite => "BEGIN IMMEDIATE;",
            Backend::Postgres => "BEGIN; LOCK TABLE alembic_version IN SHARE MODE;",
        };
        session.execute(lock);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"100ms\"\nretries = 0\n");
        let run = sandbox.ripcord(&["stamp", CART]);
        run.expect_code(4);
        says_three_parts(&run, "lock");
        session.execute("ROLLBACK;");
        assert_eq!(db.version(), ACCOUNT);
        sandbox.ripcord(&["stamp", CART]).expect_code(0);
    }
}

#[test]
fn keys_that_were_broken_before_do_not_stop_a_stamp() {
    let db = TestDatabase::sqlite();
    let sandbox = Sandbox::with(&db);
    shop(&sandbox);
    db.execute("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p_id INTEGER REFERENCES p (id)); INSERT INTO c VALUES (7);");
    sandbox.ripcord(&["stamp", CART]).expect_code(0);
    assert_eq!(db.version(), CART);
}

#[test]
fn a_database_that_is_not_there_is_not_made_by_a_stamp() {
    let db = TestDatabase::sqlite();
    let sandbox = Sandbox::with(&db);
    shop(&sandbox);
    let run = sandbox.ripcord(&["stamp", CART]);
    run.expect_code(2);
    says_three_parts(&run, "there is no database at ");
    assert!(!db.file().exists());
}
