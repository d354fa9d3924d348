//! `--format json`: one object a line, the report last, whatever happened.

use crate::promise::*;
use crate::support::*;
use serde_json::Value;

/// Every line is an object with an event; the last one, and no other, is the report with the exit code.
#[track_caller]
fn keeps_the_contract(run: &Run, command: &str) -> Value {
    let lines = run.json();
    for line in &lines {
        assert!(line["event"].is_string(), "{line} is no event\n{run}");
    }
    let reports = lines.iter().filter(|line| line["event"] == "report").count();
    let last = lines.last().cloned().unwrap_or_default();
    assert!(reports == 1 && last["event"] == "report", "the report is not the last line\n{run}");
    assert_eq!((&last["command"], &last["exit"]), (&command.into(), &run.code.into()), "{run}");
    assert_eq!(last["error"].is_object(), last["result"].is_null(), "either a result or an error\n{run}");
    run.stderr_is_empty();
    last
}

/// What differs from run to run, replaced; each event on its line.
fn steady(run: &Run, db: &TestDatabase) -> String {
    let mut text = String::new();
    for line in run.json().iter().filter(|line| line["event"] != "progress") {
        text.push_str(&format!("{line}\n"));
    }
    text.replace(&db.file().display().to_string(), "[DATABASE]")
}

/// What a golden text leaves out: random names, sums and sizes.
fn filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"(\d{8}T\d{6}Z-\w+-)[0-9a-f]{4}", "$1[ID]"),
        (r"(\d{8}t\d{6}z_\w+_)[0-9a-f]{4}", "$1[ID]"),
        (r#""[0-9a-f]{64}""#, "[SHA256]"),
        (r#""digest":"[0-9a-f]+""#, r#""digest":[DIGEST]"#),
        (r#""bytes":\d+"#, r#""bytes":[BYTES]"#),
        (r#""system":"\d+""#, r#""system":[SYSTEM]"#),
        (r#""text":"[^"]*(\\.[^"]*)*""#, r#""text":[SQL]"#),
    ]
}

both_engines! {
    fn every_command_ends_with_its_report(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let commands: &[(&[&str], &str, i32)] = &[
            (&["current"], "current", 0),
            (&["heads"], "heads", 0),
            (&["history"], "history", 0),
            (&["upgrade", "--dry-run"], "upgrade", 0),
            (&["upgrade"], "upgrade", 0),
            (&["downgrade"], "downgrade", 0),
            (&["backup", "create"], "backup", 0),
            (&["backup", "list"], "backup", 0),
            (&["backup", "show", "latest"], "backup", 0),
            (&["backup", "verify"], "backup", 0),
            (&["verify"], "verify", 0),
            (&["verify", "20261123T1816"], "verify", 6),
            (&["log"], "log", 0),
            (&["recover"], "recover", 0),
            (&["restore", "20261123T1816"], "restore", 0),
            (&["upgrade", "nonsense"], "upgrade", 2),
            (&["restore", "nonsense"], "restore", 2),
            (&["log", "nonsense"], "log", 2),
        ];
        for (minute, (arguments, command, code)) in (1..).zip(commands) {
            // Two operations in one minute are no problem, but the one to restore is meant by its minute.
            at(&sandbox, if *command == "downgrade" { 1 } else { minute + 1 });
            let run = sandbox.ripcord(&[arguments, &["--format", "json"][..]].concat());
            run.expect_code(*code);
            keeps_the_contract(&run, command);
        }
    }

    fn a_failure_tells_its_three_parts_as_data(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque", "--format", "json"]);
        run.expect_code(4);
        let error = &keeps_the_contract(&run, "upgrade")["error"];
        assert!(error["fact"].as_str().unwrap().contains("nowhere"), "{error}");
        assert_eq!((error["aftermath"].as_str(), error["step"].as_str()), (Some("unchanged"), Some("migrate")), "{error}");
        assert!(!error["next"].as_array().unwrap().is_empty(), "{error}");
        assert_eq!(error["backup"]["id"].as_str(), Some(name_of(&sandbox.backups()[1]).as_str()), "{error}");
        assert_eq!(error["backup"]["proven"], true, "{error}");
        let failed = run.json().into_iter().find(|line| line["event"] == "step-failed").unwrap();
        assert_eq!(failed["step"], "migrate");
    }

    fn a_failure_on_the_copy_is_told_as_data(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        run.expect_code(4);
        let error = &keeps_the_contract(&run, "upgrade")["error"];
        assert!(error["fact"].as_str().unwrap().contains("nowhere"), "{error}");
        assert_eq!((error["aftermath"].as_str(), error["step"].as_str()), (Some("unchanged"), Some("rehearse")), "{error}");
        assert!(!error["next"].as_array().unwrap().is_empty() && error["backup"].is_null(), "{error}");
    }

    fn a_report_names_the_undo_command_and_what_changed(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(1, 2);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        run.expect_code(0);
        let result = &keeps_the_contract(&run, "upgrade")["result"];
        assert_eq!(result["undo"], format!("ripcord downgrade {CREATE_TABLES}"));
        assert_eq!((&result["from"][0], &result["to"][0]), (&CREATE_TABLES.into(), &ADD_PROCESS_RANK.into()));
        assert_eq!(result["aftermath"], "changed");
        let changes = result["check"]["catalog"].as_array().unwrap();
        assert!(changes.iter().any(|change| change["kind"] == "added" && change["subject"].as_str().unwrap().ends_with("process_rank")), "{changes:?}");
        assert_eq!(result["check"]["wrong"], Value::Array(Vec::new()));
        assert!(report(&run)["result"]["backup"]["place"].as_str().unwrap().starts_with("backups/"));
    }

    fn steps_are_told_in_the_order_in_which_they_happen(db: &TestDatabase) {
        let sandbox = sample_of(db);
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        let told: Vec<String> = run.json().iter()
            .filter(|line| line["event"] != "progress" && line["event"] != "found")
            .map(|line| [line["event"].as_str(), line["step"].as_str(), line["revision"].as_str()].into_iter().flatten().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(told, [
            "target", "step-started preflight", "step-finished preflight", "planned", "begun",
            "step-started snapshot", "step-finished snapshot", "step-started prove", "step-finished prove",
            "step-started rehearse", "step-finished rehearse", "step-started rehearse-back", "step-finished rehearse-back",
            "step-started rehearse-again", "step-finished rehearse-again",
            "step-started publish", "step-finished publish", "step-started migrate",
            "applied 1975ea83b712", "applied 5f2c81d0a3be", "step-finished migrate",
            "step-started verify", "step-finished verify", "step-started finish", "step-finished finish", "report",
        ]);
    }
}

/// Compares with the golden text; `INSTA_UPDATE=always` writes it anew.
fn reads(run: &Run, db: &TestDatabase, golden: &str) {
    insta::with_settings!({
        filters => filters(),
        snapshot_path => "golden",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(golden, steady(run, db));
    });
}

#[test]
fn the_upgrade_of_the_sample_on_sqlite_reads_as_ever() {
    let db = TestDatabase::sqlite();
    let run = sample_of(&db).ripcord(&["upgrade", "--format", "json"]);
    run.expect_code(0);
    reads(&run, &db, "json_on_sqlite");
}
