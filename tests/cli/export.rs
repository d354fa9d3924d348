//! `backup export`: files that load anywhere, all of them or none.

use crate::promise::*;
use crate::support::*;
use std::os::unix::fs::PermissionsExt;

fn mode(sandbox: &Sandbox, path: &str) -> u32 {
    sandbox.path(path).metadata().expect("it is there").permissions().mode() & 0o777
}

fn csv(sandbox: &Sandbox, file: &str) -> String {
    sandbox.run("gunzip", &["-c", file]).expect_code(0).stdout.clone()
}

/// A query that never ends, and gives rows all the time.
fn endless(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Sqlite => {
            "n=WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        }
        Backend::Postgres => "n=SELECT generate_series(1, 9223372036854775807)",
    }
}

both_engines! {
    fn an_export_is_private_whole_and_describes_itself(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        let query = "few=SELECT id, model_type FROM training_config WHERE id = 1";
        let run = sandbox.ripcord(&["backup", "export", "training_config", "--query", query]);
        run.expect_code(0).stderr_is_empty();
        run.stdout_has("export     ok  2 files, 4 rows").stdout_has("exports/training_config.csv.gz");
        assert_eq!(db.dump(), before);
        assert_eq!(mode(&sandbox, "exports"), 0o700);
        let files = sandbox.files("exports");
        assert_eq!(files, ["few.csv.gz", "few.json", "training_config.csv.gz", "training_config.json"]);
        for file in &files {
            assert_eq!(mode(&sandbox, &format!("exports/{file}")), 0o600, "{file}");
        }
        let rows = csv(&sandbox, "exports/training_config.csv.gz");
        assert_eq!(rows.lines().count(), 4, "{rows}");
        assert!(rows.starts_with("id,model_type,"), "{rows}");
        let few = csv(&sandbox, "exports/few.csv.gz");
        let model = db.query("SELECT model_type FROM training_config WHERE id = 1;");
        assert_eq!(few, format!("id,model_type\n1,\"{model}\"\n"));

        let facts: serde_json::Value = serde_json::from_str(&sandbox.read("exports/training_config.json")).unwrap();
        assert_eq!(facts["format"], 1);
        assert_eq!(facts["rows"], 3);
        assert_eq!(facts["key"], serde_json::json!(["id"]));
        assert_eq!(facts["columns"][0]["name"], "id");
        assert_eq!(facts["exported"], CLOCK.replace(":15:", ":16:"));
        let sum = sandbox.run("sha256sum", &["exports/training_config.csv.gz"]);
        assert!(sum.stdout.starts_with(facts["sha256"].as_str().unwrap()), "{sum}");
    }

    fn an_export_never_replaces_a_file(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("there/training_config.json", "mine");
        let run = sandbox.ripcord(&["backup", "export", "training_config", "--out", "there"]);
        run.expect_code(2).stderr_has("there/training_config.json exists already");
        assert_eq!(sandbox.read("there/training_config.json"), "mine");
        assert_eq!(sandbox.files("there"), ["training_config.json"]);
        let twice = sandbox.ripcord(&["backup", "export", "training_config", "training_config"]);
        twice.expect_code(2).stderr_has("two exports would be called training_config");
        assert_eq!(sandbox.files("exports"), [""; 0]);
    }

    fn a_name_that_is_wrong_is_a_mistake_of_usage(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let run = sandbox.ripcord(&["backup", "export", "training_config", "nowhere"]);
        run.expect_code(2).stderr_has("table nowhere cannot be exported: there is no table or view of that name");
        run.stderr_has("state: nothing was changed");
        assert!(!sandbox.path("exports").exists());
        for arguments in [&["backup", "export"][..], &["backup", "export", "--query", "SELECT 1"]] {
            sandbox.ripcord(arguments).expect_code(2);
        }
    }

    fn an_interrupted_export_leaves_nothing(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        for signal in [Signal::INT, Signal::TERM] {
            let running = sandbox.spawn(&["backup", "export", "training_config", "--query", endless(db)]);
            // Both files are open: the first is finished, the second one grows.
            while sandbox.files("exports").len() < 2 {
                std::thread::yield_now();
            }
            running.signal(signal);
            running.wait().expect_code(130).stderr_has("state: nothing was changed");
            assert!(!sandbox.path("exports").exists());
            assert_eq!(sandbox.temporary_files(), [""; 0]);
        }
    }
}

#[test]
fn the_report_of_an_export_is_json() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let run = sandbox.ripcord(&["backup", "export", "training_config", "--format", "json"]);
    let last = run.expect_code(0).stdout.lines().last().unwrap_or_default().to_owned();
    let report: serde_json::Value = serde_json::from_str(&last).unwrap();
    let export = &report["result"]["exports"][0];
    assert_eq!(export["place"], "exports/training_config.csv.gz");
    assert_eq!(
        (&export["rows"], &export["name"]),
        (&serde_json::json!(3), &serde_json::json!("training_config"))
    );
}
