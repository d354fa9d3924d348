//! How far a snapshot is proven is the caller's choice, and what was not proven is marked for ever.

use crate::promise::*;
use crate::support::*;

both_engines! {
    fn what_is_not_proven_says_so_wherever_it_is_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        // A copy of a SQLite file has no schema without its rows: asked for the one, both are proven.
        let levels: &[&str] = if db.backend() == Backend::Sqlite { &["none"] } else { &["schema", "none"] };
        for (minute, level) in (2..).zip(levels) {
            at(&sandbox, minute);
            let run = sandbox.ripcord(&["backup", "create", "--proof", level]);
            run.expect_code(0).stdout_has("NOT PROVEN");
            let mark = format!("NOT PROVEN ({level})");
            sandbox.ripcord(&["backup", "list"]).expect_code(0).stdout_has(&mark);
            sandbox.ripcord(&["backup", "show", "latest"]).expect_code(0).stdout_has(&mark);
            let run = sandbox.ripcord(&["backup", "show", "latest", "--format", "json"]);
            assert_eq!(report(&run)["result"]["backup"]["manifest"]["proof"]["proven"], false, "{run}");
            // It may be whole all the same.
            sandbox.ripcord(&["backup", "verify"]).expect_code(0);
        }
    }

    fn the_configuration_says_how_far_and_a_flag_says_it_louder(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
        let run = sandbox.ripcord(&["downgrade", "--accept", "opaque"]);
        run.expect_code(0).stdout_has("NOT PROVEN").stdout_lacks("prove  ");
        at(&sandbox, 2);
        sandbox.ripcord(&["upgrade", "--proof", "full"]).expect_code(0).stdout_lacks("NOT PROVEN").stdout_has("prove  ");
    }

    fn a_database_above_the_limit_is_proven_only_when_asked_for_by_name(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", "[proof]\nmax_size = \"1B\"\n");
        for arguments in [&["downgrade"][..], &["backup", "create"]] {
            let run = refuses(&sandbox, db, arguments, 3, "larger than proof.max_size");
            run.stderr_has("--proof full");
        }
        assert_eq!(sandbox.backups().len(), 1);
        sandbox.ripcord(&["downgrade", "--proof", "full"]).expect_code(0).stdout_lacks("NOT PROVEN");
    }
}
