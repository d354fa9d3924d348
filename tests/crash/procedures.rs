//! Every procedure, on both engines.

use crate::story::{Death, Story};
use crate::support::scene::{Scene, filled, filled_at, lossy, lossy_revision};
use crate::support::*;

both_engines! {
    fn an_upgrade_that_dies_anywhere_ends_before_or_after_all_its_revisions(db: &TestDatabase) {
        let scene = filled(db);
        // One value does not come back, so something is salvaged.
        db.execute("UPDATE training_config SET model_type = 'Mixed' WHERE id = 2;");
        let accepted = "overwrites-values:training_config.model_type \"it is salvaged\"";
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK).directive("accept", accepted));
        scene.keep();
        Story::new(scene, &["upgrade"]).dies_everywhere();
    }

    fn an_upgrade_by_single_statements_that_dies_anywhere_can_be_undone(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.add(&by_single_statements());
        scene.keep();
        Story::new(scene, &["upgrade", "--accept", "opaque"]).dies_everywhere();
    }

    fn a_downgrade_that_dies_anywhere_ends_before_or_after(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.ripcord(&["upgrade", "--accept", "opaque"]).expect_code(0);
        db.execute("UPDATE training_metric SET process_rank = id;");
        scene.keep();
        let dropped = "drops-column:training_metric.process_rank";
        let command = ["downgrade", CREATE_TABLES, "--accept", "opaque", "--accept", dropped];
        Story::new(scene, &command).dies_everywhere();
    }

    fn a_downgrade_that_merges_and_dies_anywhere_ends_before_or_after(db: &TestDatabase) {
        let scene = lossy(db).without_proof();
        scene.keep();
        let next = (vec!["backup", "create"], 0);
        Story { next, ..Story::new(scene, &["downgrade"]) }.dies_everywhere();
    }

    fn a_downgrade_whose_way_back_was_edited_dies_anywhere_and_ends_before_or_after(db: &TestDatabase) {
        let scene = lossy(db);
        scene.sandbox.add(&lossy_revision("UPDATE training_metric SET eval_loss = 1 WHERE id = 2;"));
        scene.keep();
        let next = (vec!["backup", "create"], 0);
        // Only what comes between the backup and the migration is new.
        Story { next, stride: 3, ..Story::new(scene, &["downgrade"]) }.dies_everywhere();
    }

    fn a_merge_that_dies_anywhere_is_whole_or_did_not_take_place(db: &TestDatabase) {
        let scene = lossy(db).without_proof();
        scene.keep();
        let next = (vec!["backup", "create"], 0);
        Story { next, ..Story::new(scene, &["backup", "merge-back", "upgrade"]) }.dies_everywhere();
    }

    fn a_restore_of_tables_that_dies_anywhere_puts_back_all_or_none(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric WHERE step > 3; UPDATE training_config SET epochs = 99;");
        scene.keep();
        let command = ["restore", "backup", "--table", "training_config", "--table", "training_metric"];
        Story::new(scene, &command).dies_everywhere();
    }

    fn a_backup_that_dies_anywhere_is_whole_or_not_there(db: &TestDatabase) {
        let scene = filled(db);
        scene.keep();
        Story::new(scene, &["backup", "create"]).dies_everywhere();
    }

    fn a_rehearsal_that_dies_anywhere_leaves_the_database_alone(db: &TestDatabase) {
        let scene = filled(db);
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        Story::new(scene, &["rehearse"]).dies_everywhere();
    }

    fn a_restore_in_place_that_dies_anywhere_leaves_the_old_or_the_restored_database(db: &TestDatabase) {
        let scene = moved_on(db).without_proof();
        scene.keep();
        Story::new(scene, &["restore", "backup"]).dies_everywhere();
    }

    fn a_restore_to_a_new_database_that_dies_anywhere_leaves_none_or_a_whole_one(db: &TestDatabase) {
        let scene = gone(db);
        scene.keep();
        Story::new(scene, &["restore", "backup", "--to", "URL"]).dies_everywhere();
    }

    fn a_putting_back_that_dies_anywhere_can_be_finished(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.ripcord(&["upgrade", "--accept", "opaque"]).expect_code(0);
        db.execute(&a_trigger_that_no_migration_names(db.backend()));
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        // With `stop` the failed change stands, which is the state in the middle.
        let command = ["upgrade", "--no-rehearsal", "--accept", "opaque"];
        scene.sandbox.ripcord(&[&command[..], &["--on-failure", "stop"]].concat()).expect_code(5);
        let stands = scene.content();
        let story = Story::new(scene, &command);
        let next = (vec!["backup", "create"], 0);
        Story { code: 4, may_stand: Some(stands), next, ..story }.dies_everywhere();
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn an_upgrade_of_a_wal_database_that_dies_anywhere_ends_before_or_after() {
        let db = TestDatabase::sqlite();
        let scene = in_wal_mode(filled(&db));
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        Story { stride: 3, ..Story::new(scene, &["upgrade"]) }.dies_everywhere();
    }

    #[test]
    fn a_restore_of_a_wal_database_that_dies_anywhere_leaves_the_old_or_the_restored_one() {
        let db = TestDatabase::sqlite();
        let scene = in_wal_mode(filled(&db));
        move_on(&scene);
        scene.keep();
        Story { stride: 3, ..Story::new(scene, &["restore", "backup"]) }.dies_everywhere();
    }

    #[test]
    fn a_restore_over_a_broken_file_that_dies_anywhere_leaves_the_file_or_the_restored_database() {
        let db = TestDatabase::sqlite();
        let scene = moved_on(&db);
        std::fs::write(db.file(), "this was a database").expect("the file is writable");
        scene.keep();
        Story { stride: 3, ..Story::new(scene, &["restore", "backup"]) }.dies_everywhere();
    }

    #[test]
    fn an_upgrade_that_creates_the_database_and_dies_anywhere_leaves_none_or_a_whole_one() {
        let db = TestDatabase::sqlite();
        let scene = Scene::new(&db);
        scene.sandbox.sample();
        scene.keep();
        Story { stride: 3, ..Story::new(scene, &["upgrade"]) }.dies_everywhere();
    }

    #[test]
    fn a_last_line_of_the_journal_that_was_torn_does_not_count() {
        let db = TestDatabase::sqlite();
        let scene = filled(&db);
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        let story = Story::new(scene, &["upgrade"]);
        Story { stride: 3, afterwards: tear_the_last_line, ..story }.dies_everywhere();
    }
}

mod postgres {
    use super::*;

    #[test]
    fn a_restore_in_place_without_createdb_that_dies_anywhere_leaves_the_old_or_the_restored_database() {
        let db = TestDatabase::postgres_server(Postgres::options().passwords().start());
        let url = db.server().url_with_password("app", "app", "app");
        let scene = moved_on_at(&db, &url).without_proof();
        scene.server("ALTER ROLE app NOCREATEDB;");
        scene.keep();
        Story { stride: 7, ..Story::new(scene, &["restore", "backup"]) }.dies_everywhere();
    }
}

/// The same, with a backup by hand, after which much has changed.
pub fn moved_on(db: &TestDatabase) -> Scene<'_> {
    moved_on_at(db, &db.url())
}

pub fn moved_on_at<'a>(db: &'a TestDatabase, url: &str) -> Scene<'a> {
    let scene = filled_at(db, url);
    move_on(&scene);
    scene
}

fn move_on(scene: &Scene) {
    scene.sandbox.ripcord(&["backup", "create"]).expect_code(0);
    scene.sandbox.ripcord(&["upgrade"]).expect_code(0);
    scene.db.execute("DELETE FROM training_metric WHERE step > 3; UPDATE training_config SET epochs = 99;");
}

/// A backup whose database is no longer there.
fn gone(db: &TestDatabase) -> Scene<'_> {
    let scene = filled(db);
    scene.sandbox.ripcord(&["backup", "create"]).expect_code(0);
    match db.backend() {
        Backend::Sqlite => std::fs::remove_file(db.file()).expect("it was there"),
        Backend::Postgres => drop(scene.server("DROP DATABASE app;")),
    }
    scene
}

fn in_wal_mode(scene: Scene<'_>) -> Scene<'_> {
    assert_eq!(scene.db.query("PRAGMA journal_mode = WAL;"), "wal");
    scene
}

/// Cuts the line that was just written in the middle, as a power cut while it is on its way to the disk does.
fn tear_the_last_line(scene: &Scene, death: &Death) {
    if !death.to_string().contains("after {") {
        return;
    }
    let folder = scene.sandbox.path("backups/.operations");
    let Some(newest) = scene.sandbox.files(&folder).pop() else { return };
    let text = scene.sandbox.read(folder.join(&newest));
    let last = text.trim_end().rfind('\n').map_or(0, |end| end + 1);
    scene.sandbox.write(folder.join(newest), &text[..(last + text.len()) / 2]);
}

/// A revision that runs statement by statement, and after one of them cannot be told to be half done by its version row.
pub fn by_single_statements() -> Revision {
    let after = "UPDATE training_config SET epochs = epochs + 1;
CREATE INDEX training_metric_epoch ON training_metric (epoch);";
    Revision::new("e5a1c07d3f82")
        .revises(ADD_PROCESS_RANK)
        .message("Index training_metric")
        .directive("transaction", "none")
        .directive("accept", "overwrites-values:training_config.epochs \"the count was wrong\"")
        .directive("accept", "opaque \"it is tried elsewhere\"")
        .upgrade_on(
            "postgresql",
            &format!("CREATE INDEX CONCURRENTLY training_metric_step ON training_metric (step);\n{after}"),
        )
        .upgrade_on(
            "sqlite",
            &format!("CREATE INDEX training_metric_step ON training_metric (step);\n{after}\nVACUUM;"),
        )
        .downgrade("DROP INDEX training_metric_step;\nDROP INDEX training_metric_epoch;")
}

/// Deletes metrics when a configuration is written: no migration speaks of it.
fn a_trigger_that_no_migration_names(backend: Backend) -> String {
    let body = "DELETE FROM training_metric WHERE config_id = NEW.id AND step > 10;";
    match backend {
        Backend::Sqlite => {
            format!("CREATE TRIGGER forget AFTER UPDATE ON training_config BEGIN {body} END;")
        }
        Backend::Postgres => format!(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} RETURN NEW; END$$;
CREATE TRIGGER forget AFTER UPDATE ON training_config FOR EACH ROW EXECUTE FUNCTION forget();"
        ),
    }
}
