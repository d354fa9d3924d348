//! Backups by hand: taken, listed, shown, checked; a damaged one is found before anything relies on it.

use std::path::{Path, PathBuf};

use crate::promise::*;
use crate::support::*;

/// A filled sample with one backup taken by hand, and the path of that backup.
fn with_a_backup(db: &TestDatabase) -> (Sandbox, PathBuf) {
    let sandbox = filled_sample_of(db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let backup = sandbox.backups().pop().unwrap();
    at(&sandbox, 2);
    (sandbox, backup)
}

/// The largest file of the snapshot, relative to the backup: the one that holds rows.
fn artifact(sandbox: &Sandbox, backup: &Path) -> String {
    let find =
        format!("cd {} && find snapshot -type f -printf '%s %P\\n' | sort -n | tail -1", backup.display());
    let line = sandbox.run("bash", &["-c", &find]).stdout;
    format!("snapshot/{}", line.trim().split_once(' ').unwrap().1)
}

/// `backup verify` finds it with exit code 6, `restore` refuses with 3, and the live database is as it was.
#[track_caller]
fn is_found_and_never_restored(sandbox: &Sandbox, db: &TestDatabase, backup: &Path, fact: &str) {
    let (id, before) = (name_of(backup), db.dump());
    let files = sandbox.files("backups");
    let run = sandbox.ripcord(&["backup", "verify", &id]);
    run.expect_code(6).stdout_has("DAMAGED").stdout_has(fact);
    sandbox.ripcord(&["backup", "verify"]).expect_code(6).stdout_has(fact);
    let run = sandbox.ripcord(&["restore", &id]);
    run.expect_code(3);
    says_three_parts(&run, fact);
    run.stderr_has("state: nothing was changed").stderr_has("ripcord backup list");
    assert_same(&before, &db.dump(), &run);
    assert_eq!(sandbox.files("backups"), files, "nothing is written for a backup that cannot be used");
}

fn edit_manifest(backup: &Path, change: impl Fn(&mut serde_json::Value)) {
    let place = backup.join("manifest.json");
    let mut manifest = serde_json::from_str(&std::fs::read_to_string(&place).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(place, serde_json::to_string_pretty(&manifest).unwrap()).unwrap();
}

/// Writes the right checksums for whatever the files hold now, as somebody would who means to deceive.
fn reseal(sandbox: &Sandbox, backup: &Path) {
    let script = format!(
        "cd {} && for f in $(cut -c67- SHA256SUMS); do sha256sum $f; done > s && cat s > SHA256SUMS && rm s",
        backup.display()
    );
    sandbox.run("bash", &["-c", &script]).expect_code(0);
}

both_engines! {
    fn a_backup_by_hand_is_whole_proven_and_changes_nothing(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        let run = sandbox.ripcord(&["backup", "create"]);
        run.expect_code(0).stderr_is_empty().stdout_has("the database was only read").stdout_has("proven");
        assert_same(&before, &db.dump(), &run);
        let backup = sandbox.backups().pop().unwrap();
        sums_are_right(&sandbox, &backup);
        sandbox.ripcord(&["backup", "verify", "latest"]).expect_code(0).stdout_has(&name_of(&backup)).stdout_has("ok");
        leaves_nothing_behind(&sandbox, db);
    }

    fn backups_are_listed_oldest_first_and_shown_one_by_one(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        let run = sandbox.ripcord(&["backup", "list"]);
        run.expect_code(0).stderr_is_empty();
        let names: Vec<_> = sandbox.backups().iter().map(|each| name_of(each)).collect();
        let listed: Vec<_> = run.stdout.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
        assert_eq!(listed, names, "{run}");
        run.stdout_has("upgrade").stdout_has("backup").stdout_has("downgrade").stdout_has(ADD_PROCESS_RANK);

        let run = sandbox.ripcord(&["backup", "show", &name_of(&backup)]);
        run.expect_code(0).stdout_has("training_metric: 60 rows").stdout_has("training_config: 3 rows");
        run.stdout_has(ADD_PROCESS_RANK).stdout_has("proven").stdout_has("2026-11-23");
        assert_eq!(run.stdout, sandbox.ripcord(&["backup", "show", "20261123T1816"]).stdout);
    }

    fn a_backup_that_there_is_not_or_that_could_be_several_is_a_usage_error(db: &TestDatabase) {
        let (sandbox, _) = with_a_backup(db);
        for command in [["backup", "show"], ["backup", "verify"]] {
            let run = sandbox.ripcord(&[command[0], command[1], "nowhere"]);
            run.expect_code(2);
            says_three_parts(&run, "there is no backup nowhere");
        }
        refuses(&sandbox, db, &["restore", "nowhere"], 2, "there is no backup nowhere");
        let run = refuses(&sandbox, db, &["restore", "2026"], 2, "2026 could mean");
        run.stderr_has(&name_of(&sandbox.backups()[0])).stderr_has(&name_of(&sandbox.backups()[1]));
        // What means nothing else than a way out of the folder of backups is no name.
        refuses(&sandbox, db, &["restore", "../backups"], 2, "there is no backup");
    }

    fn without_backups_there_is_nothing_to_list_and_nothing_to_restore(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["backup", "list"]).expect_code(0).stdout_is("there are no backups\n");
        sandbox.ripcord(&["backup", "verify"]).expect_code(0).stdout_is("there are no backups\n");
        refuses(&sandbox, db, &["restore", "latest"], 2, "there is no backup");
        assert!(!sandbox.path("backups").exists());
    }

    fn a_truncated_artifact_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        let path = artifact(&sandbox, &backup);
        let bytes = std::fs::read(backup.join(&path)).unwrap();
        std::fs::write(backup.join(&path), &bytes[..bytes.len() / 2]).unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, &format!("{path} has"));
        sandbox.ripcord(&["backup", "list"]).expect_code(0).stdout_has("DAMAGED");
        sandbox.run("bash", &["-c", &format!("cd {} && sha256sum -c SHA256SUMS", backup.display())]).expect_code(1);
    }

    fn one_flipped_bit_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        let path = artifact(&sandbox, &backup);
        let mut bytes = std::fs::read(backup.join(&path)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(backup.join(&path), &bytes).unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, &format!("{path} does not match its SHA-256"));
    }

    fn a_missing_artifact_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        let path = artifact(&sandbox, &backup);
        std::fs::remove_file(backup.join(&path)).unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, &format!("{path} is missing"));
    }

    fn a_missing_manifest_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        std::fs::remove_file(backup.join("manifest.json")).unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, "it has no manifest.json");
    }

    fn a_file_that_nobody_wrote_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        std::fs::write(backup.join("snapshot/more"), "stray").unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, "snapshot/more is not in the manifest");
    }

    fn a_newer_format_is_refused_politely(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        edit_manifest(&backup, |manifest| manifest["format"] = 2.into());
        is_found_and_never_restored(&sandbox, db, &backup, "its format is 2, this ripcord reads up to 1");
    }

    fn a_path_that_leaves_the_folder_is_refused(db: &TestDatabase) {
        for path in ["../../database.db", "/etc/passwd", "snapshot/../../x"] {
            let (sandbox, backup) = with_a_backup(db);
            edit_manifest(&backup, |manifest| manifest["artifacts"][0]["path"] = path.into());
            is_found_and_never_restored(&sandbox, db, &backup, &format!("{path} leaves the backup's folder"));
            // The next round begins with an empty database again.
            db.execute("DROP TABLE training_metric; DROP TABLE training_config; DROP TABLE alembic_version; DROP TABLE ripcord_revision;");
        }
    }

    fn the_manifest_of_another_backup_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        std::fs::copy(sandbox.backups()[0].join("manifest.json"), backup.join("manifest.json")).unwrap();
        is_found_and_never_restored(&sandbox, db, &backup, "the manifest is of backup");
    }

    fn the_manifest_of_another_database_is_found(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        edit_manifest(&backup, |manifest| {
            manifest["database"]["name"] = "other".into();
            manifest["database"]["place"] = "/srv/other.db".into();
        });
        is_found_and_never_restored(&sandbox, db, &backup, "manifest.json does not match its SHA-256");
        // With checksums that agree it is a whole backup, of a database that is not this one.
        reseal(&sandbox, &backup);
        sandbox.ripcord(&["backup", "verify", &name_of(&backup)]).expect_code(0);
        refuses(&sandbox, db, &["restore", &name_of(&backup)], 3, "is of").stderr_has("--to URL");
    }

    fn a_damaged_backup_is_not_the_latest(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        std::fs::remove_file(backup.join(artifact(&sandbox, &backup))).unwrap();
        let shown = sandbox.ripcord(&["backup", "show", "latest"]);
        shown.expect_code(0).stdout_has(&name_of(&sandbox.backups()[0]));
    }

    fn the_chain_of_manifests_shows_a_backup_that_was_taken_away_or_rewritten(db: &TestDatabase) {
        let (sandbox, backup) = with_a_backup(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        sandbox.ripcord(&["backup", "verify", "--chain"]).expect_code(0);
        edit_manifest(&backup, |manifest| manifest["ripcord"] = "0.0.0".into());
        reseal(&sandbox, &backup);
        sandbox.ripcord(&["backup", "verify"]).expect_code(0);
        sandbox.ripcord(&["backup", "verify", "--chain"]).expect_code(6).stdout_has("is not the one that this one followed");
    }

    fn backups_go_where_the_configuration_says(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.write("ripcord.toml", "[backup]\ndirectory = \"kept/here\"\n");
        sandbox.ripcord(&["upgrade"]).expect_code(0).stdout_has("kept/here/2026");
        assert!(!sandbox.path("backups").exists());
        sandbox.ripcord(&["backup", "verify"]).expect_code(0).stdout_has("ok");
    }

    fn a_folder_for_backups_that_cannot_be_written_to_stops_everything_in_time(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("ripcord.toml", "[backup]\ndirectory = \"taken\"\n");
        sandbox.write("taken", "a file is in the way");
        let before = db.dump();
        let run = sandbox.ripcord(&["downgrade"]);
        assert!(run.code == 3 || run.code == 4, "{run}");
        says_three_parts(&run, "taken");
        assert_same(&before, &db.dump(), &run);
    }
}

#[test]
fn a_stamp_on_postgresql_while_the_dump_runs_is_not_in_the_manifest() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    let psql = db.server().bin_dir().join("psql");
    // The instant of the snapshot is over when pg_dump has done its work, and nothing is published yet.
    let stamp = format!(
        "{} --no-psqlrc --quiet '{}' -c \"UPDATE alembic_version SET version_num = '{CREATE_TABLES}'\"",
        psql.display(),
        db.url()
    );
    sandbox.fake_tool(
        "pg_dump",
        &format!("case \" $* \" in *\" --version \"*|*\" -V \"*) exec \"$REAL\" \"$@\";; esac\n\"$REAL\" \"$@\" && {stamp}"),
    );
    let run = sandbox.ripcord(&["--format", "json", "backup", "create"]);
    run.expect_code(0);
    assert_eq!(
        db.query("SELECT version_num FROM alembic_version;"),
        CREATE_TABLES,
        "it was not stamped\n{run}"
    );
    let backup = sandbox.backups().pop().unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(backup.join("manifest.json")).unwrap()).unwrap();
    let head = serde_json::json!([ADD_PROCESS_RANK]);
    assert_eq!(
        (&manifest["from"], &manifest["to"], &report(&run)["result"]["from"]),
        (&head, &head, &head),
        "{run}"
    );
}

#[test]
fn reading_a_backup_again_tells_how_far_it_is() {
    let db = TestDatabase::sqlite();
    let (sandbox, backup) = with_a_backup(&db);
    let manifest = sandbox.read(backup.join("manifest.json"));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let sizes =
        manifest["artifacts"].as_array().unwrap().iter().map(|artifact| artifact["size"].as_u64().unwrap());
    let all = sizes.sum::<u64>();
    let is_told = |run: &Run, step: &str, what: &str, bytes: Option<u64>| {
        let of_step = |line: &serde_json::Value| {
            line["event"] == "progress" && line["step"] == step && line["what"] == what
        };
        let last = run
            .json()
            .into_iter()
            .rfind(of_step)
            .unwrap_or_else(|| panic!("nothing is told of {step}\n{run}"));
        assert_eq!(last["done"], last["total"], "{run}");
        assert!(bytes.is_none_or(|bytes| last["total"]["bytes"] == bytes), "{last}, not {bytes:?}\n{run}");
    };
    let run = sandbox.ripcord(&["--format", "json", "backup", "verify", "latest"]);
    is_told(run.expect_code(0), "verify", "checksums", Some(all));
    let run = sandbox.ripcord(&["--format", "json", "restore", "latest"]);
    is_told(run.expect_code(0), "verify", "checksums", Some(all));
    is_told(&run, "prove", "checksum", None);
    is_told(&run, "publish", "checksums", None);
}

#[test]
fn what_is_in_the_snapshot_and_compared_with_nothing_is_said_in_one_line() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM training_metric;");
    let run = sandbox.ripcord(&["backup", "create"]);
    run.expect_code(0).stderr_has("note: not compared: ").stderr_has("counted");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
}

/// `LIKE` gives the sequence of an identity column a type that `pg_dump` does not hold.
#[test]
fn a_sequence_whose_type_a_dump_does_not_hold_is_named_and_hinders_nothing() {
    let db = TestDatabase::postgres();
    let sandbox = sample_of(&db);
    let made = "CREATE TABLE a (id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY); CREATE TABLE b (LIKE a INCLUDING ALL);";
    db.execute(&format!("{made} INSERT INTO b DEFAULT VALUES;"));
    let run = sandbox.ripcord(&["upgrade"]);
    let note =
        "not compared: the type of sequence public.b_id_seq (it is bigint and that of its column integer";
    run.expect_code(0).stderr_has(note);
    sandbox.ripcord(&["verify"]).expect_code(0);
    at(&sandbox, 1);
    sandbox.ripcord(&["restore", "latest"]).expect_code(0);
    assert_eq!(db.query("INSERT INTO b DEFAULT VALUES RETURNING id;"), "2");
}

/// A partitioned table is its partitions: it is no table more.
#[test]
fn the_proof_counts_the_tables_that_the_snapshot_has() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TABLE parted (id INTEGER) PARTITION BY RANGE (id); CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (9);");
    let run = sandbox.ripcord(&["backup", "create"]);
    let count = |step: &str| {
        let line = run.stdout.lines().find(|line| line.starts_with(step)).expect(step);
        line.rsplit(": ").next().expect("a count").to_owned()
    };
    assert_eq!(count("snapshot"), count("prove"), "{run}");
}
