//! What others write between the snapshot and the migration, into what the migration takes away, is kept.

use crate::promise::*;
use crate::support::*;

/// Waits longer than a snapshot and a rehearsal take for the others to end their transaction.
const PATIENCE: &str = "[database]\nlock_timeout = \"60s\"\n";

fn begin(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Sqlite => "PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE;",
        Backend::Postgres => "BEGIN;",
    }
}

/// Returns the table that a note says something was kept in.
fn side_table(run: &Run) -> String {
    let report = report(run).to_string();
    let at = report.find("ripcord_meanwhile_").unwrap_or_else(|| panic!("nothing was kept\n{run}"));
    report[at..].chars().take_while(|next| next.is_ascii_alphanumeric() || *next == '_').collect()
}

both_engines! {
    fn what_others_write_before_a_column_is_dropped_is_kept(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", PATIENCE);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let mut app = db.session();
        // Not committed yet: the snapshot and the rehearsal do not see it.
        app.execute(&format!(
            "{} UPDATE training_config SET warmup_steps = 777 WHERE id = 1; \
             INSERT INTO training_config (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, warmup_steps) \
             VALUES ('theirs', 'd', 1, 0.5, 1, 1, 888);",
            begin(db)
        ));
        let accept = ["--format", "json", "upgrade", "--accept", "drops-column:training_config.warmup_steps"];
        let mut upgrade = sandbox.spawn(&accept);
        upgrade.wait_for_line("publish");
        app.execute("COMMIT;");
        drop(app);
        let run = upgrade.wait();
        run.expect_code(0);
        let kept = format!("SELECT model_type, warmup_steps FROM {} ORDER BY warmup_steps;", side_table(&run));
        assert_eq!(db.query(&kept), "model-1|777\ntheirs|888", "{run}");
        assert!(db.try_query("SELECT warmup_steps FROM training_config;").is_err());

        at(&sandbox, 2);
        let down = sandbox.ripcord(&["downgrade"]);
        down.expect_code(0).stdout_has("ripcord_meanwhile_");
        assert_eq!(db.query("SELECT warmup_steps FROM training_config WHERE id = 2;"), "102");
    }

    fn what_others_write_before_a_downgrade_takes_it_away_is_told_once(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", PATIENCE);
        let adds = "ALTER TABLE training_config ADD COLUMN note TEXT;";
        let drops = "ALTER TABLE training_config DROP COLUMN note;";
        sandbox.revision("abcd00000001", &[ADD_PROCESS_RANK], adds, drops);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        db.execute("UPDATE training_config SET note = 'old';");
        at(&sandbox, 2);
        let mut app = db.session();
        app.execute(&format!("{} UPDATE training_config SET note = 'theirs' WHERE id = 1;", begin(db)));
        let accept = ["--format", "json", "downgrade", "--accept", "drops-column:training_config.note"];
        let mut downgrade = sandbox.spawn(&accept);
        downgrade.wait_for_line("publish");
        app.execute("COMMIT;");
        drop(app);
        let run = downgrade.wait();
        run.expect_code(0);
        let side = side_table(&run);
        assert_eq!(db.query(&format!("SELECT note FROM {side} WHERE id = 1;")), "theirs");
        let notes = report(&run)["result"]["notes"].as_array().expect("notes").clone();
        let of_side: Vec<String> = notes.iter().map(|note| note.to_string()).filter(|note| note.contains(&side)).collect();
        assert_eq!(of_side.len(), 1, "{run}");
        assert!(of_side[0].contains("training_config") && of_side[0].contains("put back what you need"), "{run}");
    }

    fn rows_that_others_delete_just_before_a_migration_deletes_them_are_told(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", PATIENCE);
        sandbox.revision("abcd00000001", &[ADD_PROCESS_RANK], "DELETE FROM training_metric WHERE id > 10;", "SELECT 1;");
        let then: u64 = db.query("SELECT count(*) FROM training_metric;").trim().parse().expect("a number");
        let mut app = db.session();
        app.execute(&format!("{} DELETE FROM training_metric WHERE id IN (11, 12, 3);", begin(db)));
        let accept = ["--format", "json", "upgrade", "--accept", "deletes-rows:training_metric"];
        let mut upgrade = sandbox.spawn(&accept);
        upgrade.wait_for_line("publish");
        app.execute("COMMIT;");
        drop(app);
        let run = upgrade.wait();
        run.expect_code(0);
        let notes = report(&run)["result"]["notes"].to_string();
        assert!(notes.contains("others deleted or changed 3 rows of "), "{run}");
        assert!(notes.contains("also rows that they deleted") && !notes.contains("ripcord_meanwhile_"), "{run}");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        // The migration had deleted none of the rows up to 10: the third stays deleted.
        let now: u64 = db.query("SELECT count(*) FROM training_metric;").trim().parse().expect("a number");
        assert_eq!(now, then - 1);
    }

    fn nothing_is_kept_where_nobody_wrote(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let run = sandbox.ripcord(&["upgrade", "--accept", "drops-column:training_config.warmup_steps"]);
        run.expect_code(0).says_nowhere("ripcord_meanwhile_");
        assert!(!db.dump().contains("ripcord_meanwhile_"));
    }

    fn a_schema_that_others_change_after_the_snapshot_is_noticed_before_anything_runs(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", PATIENCE);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let mut app = db.session();
        let late = "ALTER TABLE training_metric ADD COLUMN late TEXT;";
        app.execute(&format!("{} UPDATE training_config SET epochs = 9 WHERE id = 1;", begin(db)));
        let accept = ["upgrade", "--accept", "drops-column:training_config.warmup_steps"];
        let mut upgrade = sandbox.spawn(&accept);
        upgrade.wait_for_line("publish");
        match db.backend() {
            // It is the only one that may write.
            Backend::Sqlite => drop(app.execute(late)),
            Backend::Postgres => db.execute(late),
        }
        app.execute("COMMIT;");
        drop(app);
        let run = upgrade.wait();
        run.expect_code(3).stderr_has("the schema of the database is not the one").stderr_has("nothing was changed");
        assert_eq!(db.query("SELECT epochs, warmup_steps FROM training_config WHERE id = 1;"), "9|101");
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    }
}

/// On SQLite nobody can: a script and its version rows are one transaction, which keeps every other writer out.
#[test]
fn on_postgres_a_definition_that_others_change_while_the_migration_runs_is_laid_to_them() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let db = TestDatabase::postgres_server(options.start());
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);");
    // On the copy of the rehearsal nobody holds that lock.
    let waits = "ALTER TABLE training_config ADD COLUMN note TEXT;\nSELECT pg_advisory_lock(7);\nSELECT pg_advisory_unlock(7);";
    sandbox.revision(
        "abcd00000001",
        &[ADD_PROCESS_RANK],
        waits,
        "ALTER TABLE training_config DROP COLUMN note;",
    );
    let mut gate = db.session();
    gate.execute("SELECT pg_advisory_lock(7);");
    let upgrade = sandbox.spawn(&["upgrade"]);
    db.server().wait_for_log("still waiting for ExclusiveLock on advisory lock");
    db.execute("ALTER TABLE audit ADD COLUMN late TEXT; CREATE INDEX audit_what ON audit (what);");
    gate.execute("SELECT pg_advisory_unlock(7);");
    let run = upgrade.wait();
    run.expect_code(0).stdout_has("audit").stdout_has("other sessions did that");
    assert_eq!(db.version(), "abcd00000001");
    assert_eq!(db.query("SELECT count(late) FROM audit;"), "0", "it is theirs and stays");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
