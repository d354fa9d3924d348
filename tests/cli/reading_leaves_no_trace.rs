//! Commands that look create no file, no folder and no table, and change no byte.

use crate::promise::*;
use crate::support::*;
use crate::upgrade_keeps_data::beside;

const LOOKS: &[&[&str]] = &[
    &["current"],
    &["heads"],
    &["history"],
    &["log"],
    &["backup", "list"],
    &["backup", "show", "latest"],
    &["backup", "verify"],
    &["verify"],
    &["verify", "latest"],
    &["upgrade", "--dry-run"],
    &["downgrade", "--dry-run"],
];

/// Every file below a folder with its bytes and the moment of its last change.
fn everything(sandbox: &Sandbox, folder: &std::path::Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let describe = |name: String| {
        let path = folder.join(&name);
        let modified = path.metadata().unwrap().modified().unwrap();
        (name, std::fs::read(path).unwrap(), modified)
    };
    sandbox.files(folder).into_iter().map(describe).collect()
}

both_engines! {
    fn looking_at_an_upgraded_database_changes_no_byte(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let folder = match db.backend() {
            Backend::Sqlite => db.file().parent().unwrap().to_path_buf(),
            Backend::Postgres => sandbox.project(),
        };
        let state = || (everything(&sandbox, &sandbox.project()), everything(&sandbox, &folder), db.dump());
        let before = state();
        for look in LOOKS {
            let run = sandbox.ripcord(look);
            run.expect_code(0).stderr_is_empty();
            assert!(state() == before, "{run}");
        }
        leaves_nothing_behind(&sandbox, db);
    }

    fn looking_at_an_empty_database_creates_no_table(db: &TestDatabase) {
        let sandbox = sample_of(db);
        db.execute("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1);");
        let before = (db.dump(), sandbox.files("."));
        for look in LOOKS {
            let run = sandbox.ripcord(look);
            assert!([0, 2].contains(&run.code), "{run}");
            assert!((db.dump(), sandbox.files(".")) == before, "{run}");
        }
        sandbox.ripcord(&["current"]).expect_code(0).stdout_is("");
        assert_eq!(db.tables(), "t");
    }
}

#[test]
fn looking_for_a_sqlite_file_that_is_not_there_creates_nothing() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    let files = sandbox.files(".");
    for look in LOOKS {
        let run = sandbox.ripcord(look);
        assert!([0, 2].contains(&run.code), "{run}");
        assert_eq!(beside(&db), [""; 0], "{run}");
        assert_eq!(sandbox.files("."), files, "{run}");
    }
    sandbox.ripcord(&["current"]).expect_code(2);
}

#[test]
fn looking_at_a_wal_database_leaves_its_files_as_they_were() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    db.execute("PRAGMA journal_mode = wal;");
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    // Somebody has it open, so that there is a log, with rows that are in it alone.
    let mut session = db.session();
    session.execute("INSERT INTO training_config VALUES (1, 'a', 'b', 1, 1, 1, 1, 1, NULL);");
    let state = || {
        let read = |suffix: &str| std::fs::read(format!("{}{suffix}", db.file().display())).unwrap();
        let mut names = beside(&db);
        names.sort();
        (names, read(""), read("-wal"))
    };
    let before = state();
    for look in LOOKS {
        let run = sandbox.ripcord(look);
        assert!([0, 6].contains(&run.code), "{run}");
        assert!(state() == before, "{run}");
    }
    sandbox.ripcord(&["verify"]).expect_code(6).stdout_has("training_config");
    assert_eq!(session.execute("SELECT count(*) FROM training_config;"), "1");
    drop(session);
    // Closed by everybody: a look makes none of the files that a writer needs.
    let names = beside(&db);
    sandbox.ripcord(&["current"]).expect_code(0);
    sandbox.ripcord(&["verify"]).expect_code(6);
    assert_eq!(beside(&db), names);
}
