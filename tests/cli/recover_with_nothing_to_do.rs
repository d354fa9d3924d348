//! `recover` when nothing was interrupted: it says so and touches nothing.

use crate::promise::*;
use crate::support::*;

both_engines! {
    fn after_operations_that_came_to_an_end_there_is_nothing_to_recover(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        sandbox.ripcord(&["upgrade"]).expect_code(4);
        let state = || (db.dump(), sandbox.files("."));
        let before = state();
        for arguments in [&["recover"][..], &["recover", "--undo"], &["recover"]] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(0).stderr_is_empty().stdout_has("there is nothing to recover");
            assert!(state() == before, "{run}");
        }
        leaves_nothing_behind(&sandbox, db);
    }

    fn what_was_recovered_once_is_not_recovered_again(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "6");
        sandbox.ripcord(&["downgrade"]).expect_code(-6);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("nothing was changed");
        assert_same(&before, &db.dump(), &run);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        leaves_nothing_behind(&sandbox, db);
    }

    fn an_interrupted_restore_into_a_new_database_is_found_and_named_from_the_old_one(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = name_of(&sandbox.backups()[0]);
        let beside = crate::restore::url_beside(db);
        // Begun, and not yet swapped.
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "4");
        sandbox.ripcord(&["restore", &backup, "--to", &beside]).expect_code(-6);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("nothing to recover in this database");
        // The file is known; who connects to a server is not.
        let named = if db.backend() == Backend::Sqlite { format!("--database-url {beside}\n") } else { "--database-url URL".to_owned() };
        run.stdout_has(&named);
        sandbox.ripcord(&["recover", "--database-url", &beside]).expect_code(0).stdout_has("nothing was changed");
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("there is nothing to recover");
        assert!(!run.stdout.contains("in this database"), "{run}");
    }
}
