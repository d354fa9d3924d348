//! Salvage that is not as it was written: it comes out of the snapshot again, or nothing runs that would do without it.

use super::by_hand::upgrade_backup;
use super::*;
use std::fs;
use std::path::{Path, PathBuf};

const ALL: &str = "SELECT id, name, phone FROM person ORDER BY id;";

/// The files in a folder and below, in order.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let place = entry.expect("an entry").path();
        if place.is_dir() { files.extend(below(&place)) } else { files.push(place) }
    }
    files.sort();
    files
}

/// Turns the last bit of a file.
fn flip(place: &Path) {
    let mut bytes = fs::read(place).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(place, bytes).expect("written");
}

fn cut(place: &Path) {
    let bytes = fs::read(place).expect("read");
    fs::write(place, &bytes[..bytes.len() / 2]).expect("written");
}

/// What happens to files with this ending.
type Harm = (&'static str, fn(&Path));

const HARMS: [Harm; 6] = [
    (".csv.gz", flip),
    (".csv.gz", cut),
    (".csv.gz", |place| fs::remove_file(place).expect("removed")),
    (".json", flip),
    (".json", |place| fs::remove_file(place).expect("removed")),
    // All of them, as if there never had been any.
    ("", |place| fs::remove_file(place).expect("removed")),
];

/// Harms the salvage in a folder of the newest upgrade's backup; returns the name of that backup.
#[track_caller]
fn harmed(sandbox: &Sandbox, (ending, harm): Harm) -> String {
    let backup = sandbox.backups().into_iter().rfind(|place| name_of(place).contains("-upgrade-"));
    let backup = backup.expect("an upgrade");
    let mut files = below(&backup.join("exports"));
    files.retain(|place| place.to_string_lossy().ends_with(ending));
    assert!(!files.is_empty());
    files.iter().for_each(|place| harm(place));
    name_of(&backup)
}

/// Harms the largest file of a backup's snapshot.
fn harm_snapshot(sandbox: &Sandbox, backup: &str) {
    let files = below(&sandbox.path("backups").join(backup).join("snapshot"));
    flip(files.iter().max_by_key(|place| place.metadata().expect("facts").len()).expect("a file"));
}

both_engines! {
    fn a_downgrade_takes_damaged_salvage_out_of_the_snapshot_before_it_runs(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        for (round, harm) in (0..).zip(HARMS) {
            at(&sandbox, 4 * round + 1);
            let before = db.query(ALL);
            upgrade(&sandbox);
            db.execute(&format!("INSERT INTO person VALUES ({}, 'new'); UPDATE person SET name = 'eva' WHERE id = 3;", 10 + round));
            let backup = harmed(&sandbox, harm);
            at(&sandbox, 4 * round + 2);
            let run = accepting(&sandbox, &["downgrade"]);
            run.expect_code(0).stdout_has("person.phone: 4 put back").stdout_has(" 0 in conflict");
            run.stderr_has(&format!("salvage in backup {backup} is not as it was written"));
            run.stdout_has(&format!("salvage in backup {backup} was not as it was written"));
            let after = db.query(ALL).replace(&format!("\n{}|new|", 10 + round), "");
            assert_eq!(after, before.replace("eve", "eva"), "{run}");
            // What is merged by hand from now on is the salvage that counts.
            at(&sandbox, 4 * round + 3);
            let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
            run.expect_code(0).stdout_has("person.phone: 0 put back, 4 there already").stdout_lacks("as it was written");
        }
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_merge_by_hand_takes_damaged_salvage_out_of_the_snapshot(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        for (round, harm) in (0..).zip(&HARMS[..3]) {
            at(&sandbox, 5 * round + 1);
            upgrade(&sandbox);
            at(&sandbox, 5 * round + 2);
            accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
            let backup = harmed(&sandbox, *harm);
            let merge = ["backup", "merge-back", &backup];
            at(&sandbox, 5 * round + 3);
            let run = refuses(&sandbox, db, &[&merge[..], &["--dry-run"]].concat(), 3, "a dry run writes nothing");
            run.stderr_has(&format!("next: without --dry-run it is taken out of that snapshot first: ripcord {}\n", merge.join(" ")));
            let run = refuses(&sandbox, db, &[&merge[..], &["--proof", "none"]].concat(), 3, "nothing was to be rehearsed");
            run.stderr_has("with --proof full").stderr_has(&format!("ripcord restore {backup} --to URL"));
            let run = sandbox.ripcord(&merge);
            run.expect_code(0).stdout_has("person.phone: 4 put back").stdout_has("is out of the snapshot of that backup");
            assert_eq!(db.query(ALL), before);
        }
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_downgrade_is_refused_where_salvage_and_its_snapshot_are_damaged(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let backup = harmed(&sandbox, HARMS[0]);
        harm_snapshot(&sandbox, &backup);
        at(&sandbox, 1);
        let run = refuses(&sandbox, db, &["downgrade"], 3, "cannot be taken out of its snapshot again");
        run.stderr_has("does not match its SHA-256").stderr_has(&format!("next: ripcord backup verify {backup}\n"));
        assert_eq!(sandbox.backups().len(), 2, "it was known before anything was begun");
        sandbox.ripcord(&["backup", "verify", &backup]).expect_code(6).stdout_has("exports/").stdout_has("snapshot/");
        run.stderr_has("go back without it: run the same command with --no-merge");
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        let run = refuses(&sandbox, db, &["backup", "merge-back", &backup], 3, "cannot be taken out of its snapshot again");
        run.stderr_lacks("merge-back");
    }

    fn a_downgrade_that_rehearses_nothing_is_refused_and_what_it_names_works(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        upgrade(&sandbox);
        let backup = harmed(&sandbox, HARMS[1]);
        at(&sandbox, 1);
        let run = refuses(&sandbox, db, &["downgrade", "--no-rehearsal", "--accept", "opaque"], 3, "nothing was to be rehearsed");
        run.stderr_has("with a rehearsal and a full proof").stderr_has("--no-merge");
        run.stderr_has(&format!("ripcord restore {backup} --to URL"));
        let beside = crate::restore::url_beside(db);
        let run = sandbox.ripcord(&["restore", &backup, "--to", &beside]);
        run.expect_code(0).stderr_has("it is salvage, and the snapshot is restored without it");
        sandbox.ripcord(&["verify", &backup, "--database-url", &beside]).expect_code(0);
        at(&sandbox, 2);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_has("person.phone: 4 put back");
        assert_eq!(db.query(ALL), before);
    }

    fn damaged_salvage_after_the_fact_is_refused_and_its_tables_come_back_by_name(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        let backup = harmed(&sandbox, HARMS[0]);
        at(&sandbox, 1);
        let run = refuses(&sandbox, db, &["downgrade"], 3, "was salvaged after the fact, which no rehearsal does again");
        run.stderr_has("--no-merge").stderr_has(&format!("ripcord restore {backup} --to URL"));
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        let run = refuses(&sandbox, db, &["backup", "merge-back", &backup], 3, "was salvaged after the fact");
        let table = named(db, "person");
        run.stderr_has(&format!(": ripcord restore {backup} --table {table}\n"));
        sandbox.ripcord(&["restore", &backup, "--table", &table]).expect_code(0);
        assert_eq!(db.query(ALL), before);
    }

    fn a_backup_that_does_not_tell_what_its_upgrade_did_is_named_before_the_downgrade_runs(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        // Of the second one nothing is left but the journal that says what it was for.
        for file in ["plan.json", "manifest.json"] {
            cut(&sandbox.path("backups").join(&backup).join(file));
            let run = refuses(&sandbox, db, &["downgrade"], 3, "nobody can tell what that upgrade did");
            run.stderr_has(&format!("salvage in backup {backup} is not as it was written"));
            run.stderr_has(&format!("next: ripcord backup verify {backup}\n")).stderr_has("--no-merge");
        }
        let run = accepting(&sandbox, &["downgrade", "--no-merge"]);
        run.expect_code(0).stdout_has(&format!("nothing was merged out of backup {backup}"));
    }

    fn damaged_salvage_of_what_is_not_undone_is_in_nobodys_way(db: &TestDatabase) {
        let sandbox = two_tables(db, "INSERT INTO person VALUES (1, '030'); INSERT INTO pet VALUES (1, 'Rex');");
        harmed(&sandbox, ("pet.values.csv.gz", flip));
        at(&sandbox, 1);
        let run = accepting(&sandbox, &["downgrade", "-1"]);
        run.expect_code(0).stdout_has("person.phone: 1 put back").stderr_lacks("as it was written");
        at(&sandbox, 2);
        let run = accepting(&sandbox, &["downgrade", "-1"]);
        run.expect_code(0).stdout_has("pet.name: 1 put back").stdout_has("is out of the snapshot of that backup");
    }

    fn what_a_recovery_finds_damaged_is_named_and_comes_back_by_hand(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        upgrade(&sandbox);
        at(&sandbox, 1);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "after {\"event\":\"started\",\"step\":\"verify\"");
        let died = accepting(&sandbox, &["downgrade"]);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
        let backup = harmed(&sandbox, HARMS[2]);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("was not merged, because it is not as it was written");
        run.stdout_has(&format!(": ripcord backup merge-back {backup}\n"));
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("person.phone: 4 put back");
        assert_eq!(db.query(ALL), before);
    }
}
