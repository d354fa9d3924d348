//! `current`, `heads`, `branches`, `history`, `show`: what they print, and that they write nothing.

use super::*;
use crate::promise::{report, says_three_parts};
use serde_json::json;

#[test]
fn heads_branches_and_history_need_no_database_and_make_none() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let files = sandbox.files("");
    assert_eq!(
        printed(&sandbox, &["heads"]),
        "27c6a30d7c24 (shoppingcart) (head)\n2a95102259be (networking) (head)\n55af2cb1c267 (effective head)\n"
    );
    assert_eq!(
        printed(&sandbox, &["heads", "--resolve-dependencies"]),
        "27c6a30d7c24 (shoppingcart) (head)\n2a95102259be (networking) (head)\n"
    );
    assert_eq!(
        printed(&sandbox, &["branches"]),
        "1975ea83b712 (branchpoint)
             -> 27c6a30d7c24 (shoppingcart) (head)
             -> ae1027a6acf0

"
    );
    assert_eq!(
        printed(&sandbox, &["history"]),
        "1975ea83b712 -> 27c6a30d7c24 (shoppingcart) (head), add shopping cart table
29f859a13ea0 (55af2cb1c267) -> 2a95102259be (networking) (head), add ip account table
<base> -> 29f859a13ea0 (networking), create ip table
ae1027a6acf0 -> 55af2cb1c267 (effective head), add another account column
1975ea83b712 -> ae1027a6acf0, add a column
<base> -> 1975ea83b712 (branchpoint), create account table
"
    );
    assert_eq!(sandbox.files(""), files);
}

#[test]
fn history_takes_every_form_of_a_range() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let ids = |range: &str| {
        let shown = printed(&sandbox, &["history", "-r", range]);
        let id = |line: &str| line.split(" -> ").nth(1).unwrap_or_default()[..4].to_owned();
        shown.lines().map(id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("1975:55af"), "55af ae10 1975");
    assert_eq!(ids("ae10:"), "55af ae10");
    assert_eq!(ids(":shoppingcart"), "27c6 1975");
    assert_eq!(ids("base:55af"), "55af ae10 1975");
    assert_eq!(ids("ae10:+1"), "55af ae10");
    assert_eq!(ids("-1:55af"), "55af ae10");
    assert_eq!(ids("1975:55af-1"), "ae10 1975");
    assert_eq!(ids(":networking@head"), "2a95 29f8 55af ae10 1975");
    assert_eq!(ids(":").split(' ').count(), 6);
    for (range, fact) in [
        ("1975", "History range requires [start]:[end], [start]:, or :[end]"),
        ("a:b:c", "History range requires"),
        ("27c6:55af", "Requested range 27c6:55af does not refer to ancestor/descendant revisions"),
        ("nowhere:", "Can't locate revision identified by 'nowhere'"),
    ] {
        let run = sandbox.ripcord(&["history", "-r", range]);
        run.expect_code(2);
        says_three_parts(&run, fact);
    }
}

#[test]
fn show_prints_a_revision_in_full() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let expected = "Rev: 2a95102259be (head)
Parent: 29f859a13ea0
Also depends on: 55af2cb1c267
Branch names: networking
Path: migrations/versions/2a95102259be_add_ip_account_table.sql

    add ip account table

    Create Date: 2026-11-23T18:15:00Z

";
    assert_eq!(printed(&sandbox, &["show", "networking"]), expected);
    assert_eq!(printed(&sandbox, &["show", "2a95"]), expected);
    // Down from the heads, as in Alembic; both heads are one step above these two.
    let below = printed(&sandbox, &["show", "-1"]);
    assert!(below.contains("Rev: 1975ea83b712") && below.contains("Rev: 29f859a13ea0"), "{below}");
    for (symbol, fact) in [
        ("head", "Multiple head revisions are present for given argument 'head'"),
        ("base", "No revision files indicated by symbol 'base'"),
        ("2", "Can't locate revision identified by '2': it could be '27c6a30d7c24' or "),
    ] {
        let run = sandbox.ripcord(&["show", symbol]);
        run.expect_code(2);
        says_three_parts(&run, fact);
    }
}

#[test]
fn facts_are_fields_in_json() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let heads = report(&sandbox.ripcord(&["heads", "--format", "json"]));
    let head = &heads["result"]["heads"][2];
    assert_eq!(
        (&head["id"], &head["head"], &head["effective_head"]),
        (&json!(ACCOUNT_B), &json!(false), &json!(true))
    );
    for (command, field, count) in
        [("branches", "branches", 1), ("history", "history", 6), ("show", "revisions", 2)]
    {
        let mut arguments = vec!["--format", "json", command];
        arguments.extend((command == "show").then_some("heads"));
        let run = sandbox.ripcord(&arguments);
        run.expect_code(0);
        let list = &report(&run)["result"][field];
        assert_eq!(list.as_array().map(Vec::len), Some(count), "{run}");
        assert!(list[0]["branch_point"].is_boolean() && list[0]["labels"].is_array(), "{run}");
    }
}

/// Each command that asks a database.
const ASKING: &[&[&str]] = &[
    &["current"],
    &["current", "-v"],
    &["current", "--check-heads"],
    &["history", "-i"],
    &["history", "-r", "current:"],
    &["history", "-r", ":current"],
    &["show", "current"],
    &["show", "networking@+1"],
    &["upgrade", "heads", "--sql"],
    &["upgrade", "heads", "--dry-run"],
];

#[test]
fn asking_for_a_sqlite_file_that_is_not_there_creates_none() {
    let db = TestDatabase::sqlite();
    let sandbox = Sandbox::with(&db);
    shop(&sandbox);
    for arguments in ASKING {
        sandbox.ripcord(arguments);
        assert!(!db.file().exists(), "{arguments:?} created the file");
        let beside = std::fs::read_dir(db.file().parent().unwrap()).unwrap().count();
        assert_eq!(beside, 0, "{arguments:?} left something beside it");
    }
    let run = sandbox.ripcord(&["current"]);
    run.expect_code(2);
    says_three_parts(&run, "there is no database at ");
    assert_eq!(sandbox.files("backups"), [""; 0]);
}

both_engines! {
    fn asking_writes_nothing(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        db.execute("CREATE TABLE t (a INTEGER);");
        let before = db.dump();
        for arguments in ASKING {
            sandbox.ripcord(arguments).says_nowhere("panicked");
            assert_eq!(db.dump(), before, "{arguments:?}");
        }
        assert_eq!(db.tables(), "t");
        assert_eq!(sandbox.files("backups"), [""; 0]);
    }

    fn current_lists_the_rows_and_the_heads_that_they_imply(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        db.execute("CREATE TABLE t (a INTEGER);");
        assert_eq!(printed(&sandbox, &["current"]), "");
        set_rows(db, &[IP_ACCOUNT, CART]);
        assert_eq!(
            printed(&sandbox, &["current"]),
            "27c6a30d7c24 (head)\n2a95102259be (head)\n55af2cb1c267 (effective head)\n"
        );
        let full = printed(&sandbox, &["current", "-v"]);
        assert!(full.starts_with("Current revision(s) for ") && full.contains("\nRev: 55af2cb1c267 (head)\n"), "{full}");
        let json = report(&sandbox.ripcord(&["current", "--format", "json"]));
        assert_eq!(json["result"]["rows"], json!([CART, IP_ACCOUNT]));
        let marked = json["result"]["current"].as_array().unwrap().iter().map(|tip| tip["current"].clone());
        assert_eq!(marked.collect::<Vec<_>>(), [json!(true), json!(true), json!(false)]);
        let history = printed(&sandbox, &["history", "-i"]);
        assert!(history.contains("-> 27c6a30d7c24 (shoppingcart) (head) (current), add"), "{history}");
        assert!(history.contains("-> 55af2cb1c267 (effective head), add"), "{history}");
        assert!(printed(&sandbox, &["show", "current"]).contains("Rev: 2a95102259be (head)\n"));
    }

    fn check_heads_means_the_rows_of_a_database_where_all_is_applied(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[IP_ACCOUNT]);
        let run = sandbox.ripcord(&["current", "--check-heads"]);
        run.expect_code(6).stdout_is_empty();
        says_three_parts(&run, "Database is not on all head revisions: it is at 2a95102259be, the heads are 27c6");
        run.stderr_has("next: ripcord upgrade heads\n");
        // 55af is a head too, but 2a95 depends on it: no row of its own, and no alarm.
        set_rows(db, &[IP_ACCOUNT, CART]);
        sandbox.ripcord(&["current", "--check-heads"]).expect_code(0);
    }

    fn ranges_and_offsets_count_from_where_the_database_is(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[ACCOUNT_A]);
        let ids = |range: &str| printed(&sandbox, &["history", "-r", range]).lines().count();
        assert_eq!((ids(":current"), ids("current:55af"), ids("-1:current")), (2, 2, 2));
        assert!(printed(&sandbox, &["show", "+1"]).starts_with("Rev: 55af2cb1c267"));
        set_rows(db, &[]);
        let run = sandbox.ripcord(&["show", "current"]);
        run.expect_code(2);
        says_three_parts(&run, "No current revisions");
    }

    fn a_row_without_a_file_is_named(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &["55af2cb1c268"]);
        for arguments in [&["current"][..], &["history", "-i"], &["show", "current"]] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(2);
            says_three_parts(&run, "Can't locate revision identified by '55af2cb1c268': the database is at it");
            run.stderr_has("'55af2cb1c267'").stderr_has("ripcord stamp --purge");
        }
    }
}
