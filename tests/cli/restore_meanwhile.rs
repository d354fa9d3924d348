//! A restore does not overwrite what an application writes while it runs.

use crate::promise::*;
use crate::support::*;

#[test]
fn rows_written_while_a_restore_runs_are_not_lost() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    db.execute("PRAGMA journal_mode = wal;");
    // Patience enough for the application to end its transaction.
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"60s\"\n");
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    at(&sandbox, 2);
    let mut app = db.session();
    app.execute("BEGIN IMMEDIATE; DELETE FROM training_metric WHERE id > 1;");
    let mut restore = sandbox.spawn(&["--format", "json", "restore", "latest"]);
    // The present state is saved, without what is not committed yet.
    restore.wait_for_line("publish");
    app.execute("COMMIT;");
    drop(app);
    let run = restore.wait();
    run.expect_code(4).says_nowhere("panicked");
    let error = &report(&run)["error"];
    assert!(error.to_string().contains("other programs wrote to"), "{run}");
    assert!(error.to_string().contains("unchanged"), "{run}");
    assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "1");

    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    at(&sandbox, 3);
    let first = name_of(&sandbox.backups()[1]);
    sandbox.ripcord(&["restore", &first]).expect_code(0);
    assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
}
