//! What accepts a hazard, and what does not.

use super::*;

/// The JSON of a file of the newest backup.
fn file_of_backup(sandbox: &Sandbox, name: &str) -> Value {
    let backup = sandbox.backups().pop().expect("a backup");
    serde_json::from_str(&std::fs::read_to_string(backup.join(name)).expect("the file")).expect("JSON")
}

both_engines! {
    fn a_revision_accepts_what_it_loses_with_a_reason_that_is_kept(db: &TestDatabase) {
        let sandbox = with(db, "SELECT 1;", "");
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("DROP TABLE scrap;").downgrade("SELECT 1;");
        let accepting = revision.clone().directive("accept", "drops-table:scrap \"nobody has read it since May\"");
        sandbox.add(&accepting);
        sandbox.ripcord(&["upgrade", "--dry-run"]).expect_code(0).stdout_has("accepts drops-table:scrap: nobody has read it since May");
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        run.expect_code(0);
        let accepted = report(&run)["result"]["accepted"].clone();
        let found = &accepted[0];
        assert_eq!((&found["hazard"], &found["by"]), (&"drops-table:scrap".into(), &"file".into()), "{accepted:#}");
        assert_eq!((&found["revision"], &found["why"]), (&NEXT.into(), &"nobody has read it since May".into()));
        assert_eq!(found["count"], 2);
        // The same is in the backup, and its journal says so as well.
        assert_eq!(file_of_backup(&sandbox, "manifest.json")["accepted"], accepted);
        assert_eq!(file_of_backup(&sandbox, "plan.json")["accepted"], accepted);
        let journal = std::fs::read_to_string(sandbox.backups().pop().unwrap().join("journal.jsonl")).unwrap();
        assert!(journal.contains("drops-table:scrap accepted by revision abcd00000001: nobody has read it since May"), "{journal}");
        sums_are_right(&sandbox, &sandbox.backups().pop().unwrap());
    }

    fn a_name_that_means_another_table_accepts_nothing(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap;", "SELECT 1;");
        for other in ["drops-table:scraps", "drops-table:Scrap", "deletes-rows:scrap", "drops-table:other.scrap", "drops-column:scrap.word", "opaque"] {
            let run = refuses_to_lose(&sandbox, db, &["upgrade", "--accept", other], "drops-table:scrap");
            assert_eq!(next_of(&run), ["upgrade", "head", "--accept", "drops-table:scrap"], "{other}");
        }
        let default = if db.backend() == Backend::Sqlite { "main" } else { "public" };
        sandbox.ripcord(&["upgrade", "--accept", &format!("drops-table:{default}.scrap")]).expect_code(0);
    }

    fn there_is_no_flag_that_accepts_everything(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap;", "SELECT 1;");
        refuses_to_lose(&sandbox, db, &["upgrade", "--yes"], "drops-table:scrap");
        let before = db.dump();
        for arguments in [&["--accept", "all"][..], &["--accept", "*"], &["--accept", ""], &["--accept", "drops-table:*"],
            &["--accept", "drops-table"], &["--force"], &["--accept-all"], &["--accept"]]
        {
            sandbox.ripcord(&[&["upgrade"], arguments].concat()).expect_code(2);
        }
        let run = sandbox.ripcord(&["upgrade", "--accept", "drop-table:scrap"]);
        run.expect_code(2).stderr_has("did you mean drops-table?");
        assert_same(&before, &db.dump(), &run);
    }

    fn a_flag_that_is_not_needed_is_a_note(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE scrap ADD COLUMN more TEXT;", "ALTER TABLE scrap DROP COLUMN more;");
        let run = sandbox.ripcord(&["upgrade", "--accept", "drops-table:scrap"]);
        run.expect_code(0).stdout_has("note       --accept drops-table:scrap was not needed: this change does not do that\n");
    }

    fn a_hazard_in_a_file_that_nobody_can_mean_is_an_error_with_its_line(db: &TestDatabase) {
        let sandbox = with(db, "SELECT 1;", "");
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("DROP TABLE scrap;");
        for (accept, fact) in [
            ("drop-table:scrap \"why\"", "is no kind of hazard (did you mean drops-table?)"),
            ("drops-column:scrap \"why\"", "drops-column needs a column: TABLE.COLUMN"),
            ("drops-table:scrap", "ripcord:accept needs a reason in double quotes"),
        ] {
            sandbox.add(&revision.clone().directive("accept", accept));
            let run = refuses(&sandbox, db, &["upgrade"], 2, fact);
            assert!(run.stderr.contains(".sql:"), "no line of the file\n{run}");
        }
    }

    fn a_loss_is_to_be_accepted_in_the_file_that_names_it(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap;", "CREATE TABLE scrap (word TEXT);");
        sandbox.revision("abcd00000002", &[NEXT], "UPDATE training_config SET epochs = epochs;", "SELECT 1;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "drops-table:scrap");
        let line = run.stderr.lines().find(|line| line.contains("accept it where it is reviewed")).expect("a line");
        assert!(line.contains(NEXT) && !line.contains("abcd00000002"), "{line}");
    }

    fn a_revision_without_a_way_back_is_a_hazard_where_nothing_is_rehearsed_too(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("CREATE TABLE z (id INTEGER PRIMARY KEY);"));
        let hazard = format!("irreversible:{NEXT}");
        refuses(&sandbox, db, &["upgrade", "--no-rehearsal"], 3, &hazard);
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", &hazard]);
        run.expect_code(0).stdout_has("undo       ripcord restore ");
    }

    fn a_file_that_accepts_not_being_rehearsed_speaks_for_itself_alone(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let reviewed = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("accept", "opaque \"seen by hand\"");
        sandbox.add(&reviewed.upgrade("CREATE TABLE z (id INTEGER PRIMARY KEY);").downgrade("DROP TABLE z;"));
        sandbox.add(&Revision::new("abcd00000002").revises(NEXT).upgrade("DROP TABLE training_metric;").downgrade("SELECT 1;"));
        let before = db.dump();
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal"]);
        run.expect_code(3).stderr_has("--accept opaque");
        assert_same(&before, &db.dump(), &run);
        let lines: Vec<_> = run.stderr.lines().filter(|line| line.contains("accept it where it is reviewed")).collect();
        assert!(lines.len() == 1 && !lines[0].contains(NEXT) && lines[0].contains("abcd00000002"), "{run}");
        // Every file that has to say so is named; when all of them do, nothing more is asked.
        let other = Revision::new("abcd00000002").revises(NEXT).upgrade("DROP TABLE training_metric;").downgrade("SELECT 1;");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE z (id INTEGER PRIMARY KEY);", "DROP TABLE z;");
        let run = refuses(&sandbox, db, &["upgrade", "--no-rehearsal"], 3, "opaque");
        let line = run.stderr.lines().find(|line| line.contains("accept it where it is reviewed")).expect("a line");
        assert!(line.contains("which every file with statements must do for itself"), "{line}");
        assert!(line.contains(NEXT) && line.contains("abcd00000002") && line.ends_with(": -- ripcord:accept opaque \"why\""), "{line}");
        let first = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("accept", "opaque \"seen by hand\"");
        sandbox.add(&first.upgrade("CREATE TABLE z (id INTEGER PRIMARY KEY);").downgrade("DROP TABLE z;"));
        sandbox.add(&other.directive("accept", "opaque \"seen by hand\""));
        sandbox.ripcord(&["upgrade", "--no-rehearsal"]).expect_code(0);
    }

    fn odd_names_are_printed_so_that_a_shell_takes_them_back(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("CREATE TABLE \"it's \"\"Odd\"\" $HOME\" (id INTEGER PRIMARY KEY, \"a.b c\" TEXT);
INSERT INTO \"it's \"\"Odd\"\" $HOME\" VALUES (1, 'x\u{7}y');");
        let table = "\"it's \"\"Odd\"\" $HOME\"";
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &format!("ALTER TABLE {table} DROP COLUMN \"a.b c\";"), "SELECT 1;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], &format!("drops-column:{table}.\"a.b c\""));
        // What rows hold must not ring a bell, nor steer a terminal.
        run.stderr_has("id=1: x\\u{7}y");
        let line = run.stderr.lines().find_map(|line| line.strip_prefix("next: ripcord ")).expect("a command");
        let command = format!("exec '{}' {line}", ripcord_binary().display());
        sandbox.run("sh", &["-c", &command]).expect_code(0);
    }
}

/// `pg_dump` is asked for its version after the plan was made and before the snapshot is taken.
#[test]
fn a_plan_is_refused_when_the_schema_changes_before_the_snapshot() {
    let db = TestDatabase::postgres();
    let sandbox = sample_of(&db);
    sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
    at(&sandbox, 1);
    let psql = find("psql").expect("a client").display().to_string();
    let change = format!(
        "if [ \"$1\" = --version ]; then '{psql}' -X -q -d '{}' -c 'CREATE TABLE IF NOT EXISTS meanwhile (id int)' >&2; fi\nexec \"$REAL\" \"$@\"",
        db.url()
    );
    sandbox.fake_tool("pg_dump", &change);
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(3)
        .stderr_has("error: the schema of the database is not the one that this was planned for");
    says_three_parts(&run, "schema");
    assert_eq!(db.query("SELECT version_num FROM alembic_version;"), CREATE_TABLES);
    leaves_nothing_behind(&sandbox, &db);
    // Planned anew, it is the plan of what is there.
    at(&sandbox, 2);
    sandbox.ripcord(&["upgrade"]).expect_code(0);
}
