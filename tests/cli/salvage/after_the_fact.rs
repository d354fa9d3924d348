//! Where nothing was rehearsed on the data, what is gone is taken out of the snapshot when the change has passed.

use super::*;

const LOSES: &str = "ALTER TABLE training_metric DROP COLUMN process_rank; DROP TABLE scrap; DELETE FROM training_config WHERE id = 3;
UPDATE training_config SET model_type = 'same'; ALTER TABLE loose DROP COLUMN c;";
const BACK: &str = "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;";

fn losing(db: &TestDatabase) -> Sandbox {
    let sandbox = with(db, LOSES, BACK);
    db.execute("DELETE FROM training_metric WHERE config_id = 3; UPDATE training_metric SET process_rank = 7 WHERE id = 4;
CREATE TABLE scrap (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO scrap VALUES (1, 'é');
CREATE TABLE loose (a INTEGER, c TEXT); INSERT INTO loose VALUES (1, 'x'), (1, 'x'), (2, NULL);");
    sandbox
}

both_engines! {
    fn what_an_unrehearsed_change_took_away_is_in_the_published_backup(db: &TestDatabase) {
        for policy in [&["--no-rehearsal"][..], &["--proof", "none"], &["--proof", "schema"]] {
            let sandbox = losing(db);
            let run = accepting(&sandbox, &[&["upgrade"], policy].concat());
            run.stdout_has("salvage    ok  5 files");
            assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "4,7"]);
            assert_eq!(rows(&sandbox, db, "scrap", "rows"), ["id,note", "1,\"é\""]);
            let models = ["id,model_type", "1,\"model-1\"", "2,\"model-2\"", "3,\"model-3\""];
            assert_eq!(rows(&sandbox, db, "training_config", "values"), models);
            let gone = rows(&sandbox, db, "training_config", "rows");
            assert!(gone.len() == 2 && gone[1].starts_with("3,\"model-3\""), "{gone:?}");
            let loose = rows(&sandbox, db, "loose", "values");
            assert_eq!(loose, ["a,c", "1,\"x\"", "1,\"x\"", "2,"]);
            // What the way back would leave is not known.
            assert_eq!(facts(&sandbox, db, "training_metric", "values")["salvage"].get("returned"), None);
            sums_are_right(&sandbox, &newest(&sandbox));
            sandbox.ripcord(&["backup", "verify"]).expect_code(0);
            sandbox.ripcord(&["backup", "show", "latest"]).expect_code(0).stdout_has("salvaged   1 row of ");
            leaves_nothing_behind(&sandbox, db);
            forget(db);
        }
    }

    fn what_a_crash_kept_from_being_salvaged_is_salvaged_by_recovery(db: &TestDatabase) {
        for step in ["verify", "salvage"] {
            let sandbox = losing(db);
            accepts(&sandbox, "opaque");
            sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", format!("after {{\"event\":\"started\",\"step\":\"{step}\""));
            let died = sandbox.ripcord(&["upgrade", "--no-rehearsal"]);
            sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
            assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
            sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("salvaged   ");
            assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "4,7"]);
            assert_eq!(files(&sandbox).len(), 10, "{:?}", files(&sandbox));
            sums_are_right(&sandbox, &newest(&sandbox));
            leaves_nothing_behind(&sandbox, db);
            forget(db);
        }
    }

    fn a_change_that_loses_nothing_does_not_open_the_snapshot_again(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config ADD COLUMN note TEXT; CREATE TABLE fresh (id INTEGER PRIMARY KEY);", "");
        accepting(&sandbox, &["upgrade", "--no-rehearsal"]).stdout_lacks("salvage");
        assert!(!newest(&sandbox).join("exports").exists());
    }

    fn what_other_sessions_changed_is_not_salvaged_as_a_loss(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;", BACK);
        db.execute("UPDATE training_metric SET process_rank = 7 WHERE id = 4;");
        let mut writer = db.session();
        writer.execute(if db.backend() == Backend::Sqlite { "BEGIN IMMEDIATE;" } else { "BEGIN;" });
        writer.execute("UPDATE training_config SET model_type = 'theirs' WHERE id = 1;");
        accepts(&sandbox, "opaque");
        let mut running = sandbox.spawn(&["upgrade", "--no-rehearsal"]);
        running.wait_for_line("publish ");
        writer.execute("COMMIT;");
        running.wait().expect_code(0);
        let name = export_of(db, "training_metric", "values");
        assert_eq!(files(&sandbox), [format!("{name}.csv.gz"), format!("{name}.json")]);
    }

    fn a_real_run_that_goes_further_than_its_rehearsal_is_salvaged_as_well(db: &TestDatabase) {
        // Each run deletes another row, as a rule.
        let draw = match db.backend() {
            Backend::Sqlite => "DELETE FROM training_metric WHERE id = abs(random() % 60) + 1;",
            Backend::Postgres => "DELETE FROM training_metric WHERE id = (SELECT 1 + floor(random() * 60)::integer);",
        };
        let sandbox = with(db, draw, "SELECT 1;");
        let before: Vec<String> = db.query("SELECT id FROM training_metric;").lines().map(str::to_owned).collect();
        accepts(&sandbox, "deletes-rows:training_metric");
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let after = db.query("SELECT id FROM training_metric;");
        let gone: Vec<&String> = before.iter().filter(|id| !after.lines().any(|left| left == *id)).collect();
        let text = |file: String| {
            let file = newest(&sandbox).join("exports").join(file);
            sandbox.run("gunzip", &["-c", file.to_str().unwrap()]).stdout.clone()
        };
        let kept: String = files(&sandbox).into_iter().filter(|file| file.ends_with(".csv.gz")).map(text).collect();
        for id in gone {
            assert!(kept.lines().any(|row| row.starts_with(&format!("{id},"))), "{id} in {kept}");
        }
    }
}
