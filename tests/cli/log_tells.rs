//! `log` tells every operation: who, when, from, to, how it ended, also when the database does not answer.

use crate::promise::*;
use crate::support::*;

both_engines! {
    fn every_operation_is_told_with_its_end(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.env("USER", "carol");
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        at(&sandbox, 3);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        at(&sandbox, 4);
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        sandbox.ripcord(&["upgrade"]).expect_code(4);
        at(&sandbox, 5);
        sandbox.ripcord(&["restore", "20261123T1817"]).expect_code(0);
        at(&sandbox, 6);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "6");
        sandbox.ripcord(&["upgrade", ADD_PROCESS_RANK]).expect_code(-6);

        let run = sandbox.ripcord(&["log"]);
        run.expect_code(0).stderr_is_empty();
        let lines: Vec<Vec<&str>> = run.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let told: Vec<String> = lines.iter().map(|words| format!("{} {}", &words[0][9..words[0].len() - 5], words[2..].join(" "))).collect();
        assert_eq!(told, [
            format!("181500Z-upgrade base {ADD_PROCESS_RANK} changed"),
            format!("181600Z-downgrade {ADD_PROCESS_RANK} {CREATE_TABLES} changed"),
            format!("181700Z-backup {CREATE_TABLES} {CREATE_TABLES} unchanged"),
            format!("181800Z-upgrade {CREATE_TABLES} {ADD_PROCESS_RANK} changed"),
            format!("181900Z-upgrade {ADD_PROCESS_RANK} ffff00000001 unchanged"),
            format!("182000Z-restore {ADD_PROCESS_RANK} {CREATE_TABLES} put back"),
            format!("182100Z-upgrade {CREATE_TABLES} {ADD_PROCESS_RANK} UNFINISHED in snapshot"),
        ], "{run}");
        assert!(lines[0][1].starts_with("unknown@") && lines[1][1].starts_with("carol@"), "{run}");
    }

    fn one_operation_is_told_step_by_step(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(4);
        let run = sandbox.ripcord(&["log", "20261123T1816"]);
        run.expect_code(0).stderr_is_empty();
        run.stdout_has("snapshot, prove, consent, publish, migrate").stdout_has("unchanged").stdout_has("nowhere");
        run.stdout_has(&name_of(&sandbox.backups()[1]));
        let unknown = sandbox.ripcord(&["log", "nonsense"]);
        unknown.expect_code(2);
        says_three_parts(&unknown, "there is no operation nonsense");
    }

    fn without_operations_there_is_nothing_to_tell(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["log"]).expect_code(0).stdout_is("there are no operations\n");
        assert!(!sandbox.path("backups").exists());
    }

    fn a_refusal_before_anything_was_begun_is_no_operation(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["upgrade", "nonsense"]).expect_code(2);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let run = sandbox.ripcord(&["log"]);
        assert_eq!(run.stdout.lines().count(), 2, "{run}");
    }
}

#[test]
fn the_log_can_be_read_when_the_database_is_gone() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    std::fs::remove_file(db.file()).unwrap();
    sandbox.ripcord(&["log"]).expect_code(0).stdout_has("upgrade");
    sandbox.ripcord(&["backup", "list"]).expect_code(0).stdout_has("upgrade");
    sandbox.ripcord(&["backup", "verify"]).expect_code(0).stdout_has("ok");
}
