//! What others write after the present state was saved is not overwritten.

use super::*;

/// A table that was emptied since its backup, and a program that has a transaction open, whose statements these are.
fn with_an_open_transaction(db: &TestDatabase, mode: &str, sql: &str) -> (Sandbox, Session) {
    let sandbox = backed_up(db, SHOP);
    if db.backend() == Backend::Sqlite {
        db.execute(&format!("PRAGMA journal_mode = {mode};"));
    }
    db.execute("DELETE FROM purchase WHERE id > 10;");
    // Patience enough for the program to end its transaction, and for it to wait for ripcord's looks.
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"60s\"\n");
    let mut app = db.session();
    if db.backend() == Backend::Sqlite {
        app.execute("PRAGMA busy_timeout = 60000;");
    }
    let begin = if db.backend() == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
    app.execute(&format!("{begin}; {sql}"));
    (sandbox, app)
}

/// Puts `purchase` back; the program commits when the present state is saved, without what it has written.
fn committed_meanwhile(sandbox: &Sandbox, mut app: Session) -> Run {
    let restore = ["--format", "json", "restore", &backup(sandbox), "--table", "purchase"];
    let mut restore = sandbox.spawn(&restore);
    restore.wait_for_line("publish");
    app.execute("COMMIT;");
    drop(app);
    restore.wait()
}

const PURCHASES: &str = "SELECT id FROM purchase ORDER BY id;";

#[track_caller]
fn is_refused(db: &TestDatabase, mode: &str) {
    let (sandbox, app) = with_an_open_transaction(db, mode, "INSERT INTO purchase VALUES (99, 3, 1);");
    let run = committed_meanwhile(&sandbox, app);
    run.expect_code(4).says_nowhere("panicked");
    let error = &report(&run)["error"].to_string();
    assert!(error.contains("other programs wrote to table ") && error.contains("purchase"), "{run}");
    assert!(error.contains("unchanged") && error.contains("run the same command again"), "{run}");
    assert_eq!(db.query(PURCHASES), "10\n99", "{mode}");
    leaves_nothing_behind(&sandbox, db);
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    // Run again it saves the new state first: nothing is lost either way.
    at(&sandbox, 3);
    let again = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "purchase"]);
    again.expect_code(0);
    assert_eq!(db.query(PURCHASES), "10\n11\n12", "{mode}");
    at(&sandbox, 4);
    follow(&sandbox, &undo_of(&again)).expect_code(0);
    assert_eq!(db.query(PURCHASES), "10\n99", "{mode}");
}

#[track_caller]
fn is_put_back(db: &TestDatabase, mode: &str) {
    let (sandbox, app) = with_an_open_transaction(db, mode, "INSERT INTO note VALUES ('meanwhile');");
    if db.backend() == Backend::Postgres {
        // Younger than a transaction that was open when the present state was saved, and saved nevertheless.
        db.execute("UPDATE purchase SET amount = 7;");
    }
    committed_meanwhile(&sandbox, app).expect_code(0);
    assert_eq!(db.query(PURCHASES), "10\n11\n12", "{mode}");
    assert_eq!(db.query("SELECT count(*) FROM note WHERE what = 'meanwhile';"), "1", "{mode}");
}

both_engines! {
    fn rows_committed_after_the_present_state_was_saved_are_not_overwritten(db: &TestDatabase) {
        is_refused(db, "delete");
    }

    fn what_others_write_to_another_table_is_in_nobodys_way(db: &TestDatabase) {
        is_put_back(db, "delete");
    }
}

#[test]
fn rows_committed_after_the_present_state_was_saved_are_not_overwritten_beside_a_wal() {
    is_refused(&TestDatabase::sqlite(), "wal");
}

#[test]
fn what_others_write_to_another_table_is_in_nobodys_way_beside_a_wal() {
    is_put_back(&TestDatabase::sqlite(), "wal");
}

#[test]
fn a_row_that_was_replaced_by_another_one_is_noticed() {
    let db = TestDatabase::postgres();
    let change = "UPDATE purchase SET amount = 8;";
    let (sandbox, app) = with_an_open_transaction(&db, "", change);
    committed_meanwhile(&sandbox, app).expect_code(4);
    assert_eq!(db.query("SELECT id, amount FROM purchase;"), "10|8");
}
