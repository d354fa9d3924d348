//! Runbooks are followed in the situation that they are for: every command of them, in order, on both engines.

mod damage;
mod reader;

use std::path::{Path, PathBuf};

use crate::read;
use crate::support::*;
use reader::Runbook;

/// The runbooks that a test follows.
const FOLLOWED: [&str; 5] = [
    "damaged-backup.md",
    "emergency-rollback.md",
    "interrupted-operation.md",
    "not-up-to-date.md",
    "table-already-exists.md",
];

#[test]
fn every_runbook_is_followed_by_a_test() {
    let mut pages = crate::documents();
    pages.retain(|page| page.starts_with("runbooks"));
    assert_eq!(pages, FOLLOWED.map(|name| Path::new("runbooks").join(name)));
}

both_engines! {
    fn an_interrupted_operation_is_recovered_and_another_one_undone(db: &TestDatabase) {
        let sandbox = in_use(db);
        sandbox.add(&changes_data(ADD_PROCESS_RANK));
        dies(&sandbox, "before {\"event\":\"script-started\",\"revision\":\"7c14e9a05fd2\"");
        sandbox.ripcord(&["upgrade"]).expect_code(8);

        let mut page = Runbook::open("interrupted-operation", &sandbox);
        page.next("ripcord log").expect_code(0).stdout_has("UNFINISHED in migrate");
        page.next("ripcord recover").expect_code(0).stdout_has("done");
        assert_eq!(db.version(), UPPER_CASE_MODEL_TYPE);

        let half_done = "UPDATE training_config SET epochs = epochs + 1;\nDELETE FROM training_metric;";
        let by_itself = Revision::new("e5a1c07d3f82")
            .revises(UPPER_CASE_MODEL_TYPE)
            .directive("accept", "deletes-rows:training_metric \"they are measured anew\"")
            .directive("accept", "overwrites-values:training_config.epochs \"the count was wrong\"");
        sandbox.add(&by_itself.directive("transaction", "none").upgrade(half_done).downgrade("SELECT 1;"));
        let before = db.dump();
        dies(&sandbox, "after {\"event\":\"statement-finished\",\"revision\":\"e5a1c07d3f82\",\"index\":0");
        assert_ne!(db.dump(), before);
        page.next("ripcord recover --undo").expect_code(0);
        assert_eq!(db.dump(), before);

        page.next("ripcord log").expect_code(0).stdout_lacks("UNFINISHED");
        page.next("ripcord current").expect_code(0).stdout_has(UPPER_CASE_MODEL_TYPE);

        dies(&sandbox, "after {\"event\":\"statement-finished\",\"revision\":\"e5a1c07d3f82\",\"index\":0");
        std::fs::remove_dir_all(sandbox.backups().pop().expect("a backup")).expect("lost");
        sandbox.ripcord(&["recover"]).expect_code(5);
        page.next("ripcord recover --accept-as-is").expect_code(0);
    }

    fn an_upgrade_that_went_wrong_is_taken_back_both_ways(db: &TestDatabase) {
        let sandbox = in_use(db);
        let rows = |what: &str| db.query(&format!("SELECT count(*) FROM {what};"));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let backup = sandbox.backups().pop().expect("a backup was taken");
        let new_metric = "INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (1, 9, 9, 1, 1);";
        db.execute(new_metric);

        let mut page = Runbook::open("emergency-rollback", &sandbox);
        page.next("ripcord log").expect_code(0).stdout_lacks("UNFINISHED");
        page.next("ripcord current").expect_code(0).stdout_has(ADD_PROCESS_RANK);
        page.next("ripcord backup list").expect_code(0).stdout_has(&id(&backup));
        // The part that the page speaks of.
        page.write("BACKUP", id(&backup).split_once('-').expect("a time and a rest").1);
        page.next("ripcord backup verify BACKUP").expect_code(0);
        page.next("ripcord backup create").expect_code(0);

        page.next("ripcord downgrade --dry-run").expect_code(0).stdout_has("Add process_rank");
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        page.next("ripcord downgrade").expect_code(0);
        assert_eq!((db.version().as_str(), rows("training_metric").as_str()), (CREATE_TABLES, "61"));

        sandbox.ripcord(&["upgrade"]).expect_code(0);
        page.next("ripcord restore BACKUP").expect_code(0);
        assert_eq!(rows("training_metric"), "60");
        page.next("ripcord current").expect_code(0).stdout_has(CREATE_TABLES);
        page.next("ripcord verify BACKUP").expect_code(0);
    }

    fn a_database_that_is_not_up_to_date_is_upgraded(db: &TestDatabase) {
        let sandbox = in_use(db);
        sandbox
            .ripcord(&["current", "--check-heads"])
            .expect_code(6)
            .stderr_has("Database is not on all head revisions");

        let mut page = Runbook::open("not-up-to-date", &sandbox);
        page.next("ripcord current").expect_code(0).stdout_has(CREATE_TABLES);
        page.next("ripcord heads").expect_code(0).stdout_has(ADD_PROCESS_RANK);
        page.next("ripcord history --indicate-current").expect_code(0).stdout_has("(current)");
        page.next("ripcord upgrade --dry-run").expect_code(0).stdout_has("Add process_rank");
        assert_eq!(db.version(), CREATE_TABLES);
        page.next("ripcord upgrade").expect_code(0).stdout_has("undo");
        page.next("ripcord current --check-heads").expect_code(0);
        assert_eq!(db.version(), ADD_PROCESS_RANK);
    }

    fn tables_that_were_made_without_migrations_are_taken_over(db: &TestDatabase) {
        let sandbox = in_use(db);
        db.execute("DROP TABLE alembic_version; DROP TABLE ripcord_revision;");
        let before = db.dump();
        sandbox.ripcord(&["upgrade"]).expect_code(4).stderr_has("already exists");
        assert_eq!(db.dump(), before);

        let mut page = Runbook::open("table-already-exists", &sandbox);
        page.next("ripcord current").expect_code(0).stdout_is("");
        page.next("ripcord history --indicate-current").expect_code(0).stdout_lacks("(current)");
        page.next("ripcord log").expect_code(0).stdout_has("unchanged");
        page.write("REVISION", CREATE_TABLES);
        page.write("URL", new_database(db, "reference"));
        page.next("ripcord upgrade REVISION --database-url 'URL'").expect_code(0);
        compare_with_the_reference(&mut page, db);
        page.next("ripcord stamp REVISION").expect_code(0);
        assert_eq!(db.version(), CREATE_TABLES);
        page.next("ripcord upgrade").expect_code(0);
        page.next("ripcord current --check-heads").expect_code(0);
        assert_eq!(db.query("SELECT count(process_rank) FROM training_metric;"), "0");
    }
}

/// The sample project at its first revision, with rows; its second one is still to come.
fn in_use(db: &TestDatabase) -> Sandbox {
    let sandbox = Sandbox::with(db);
    sandbox.sample().ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
    db.fill_sample(3, 20);
    point_clients_at(&sandbox, db);
    sandbox
}

/// Sets what libpq reads, as a person has it who works with this server.
fn point_clients_at(sandbox: &Sandbox, db: &TestDatabase) {
    if db.backend() == Backend::Postgres {
        sandbox.env("PGHOST", db.server().socket_folder());
        sandbox.env("PGPORT", db.server().port().to_string());
        sandbox.env("PGUSER", "app");
    }
}

/// An upgrade that dies at a checkpoint.
fn dies(sandbox: &Sandbox, checkpoint: &str) {
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint);
    let run = sandbox.ripcord(&["upgrade"]);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
    run.stderr_has("ripcord died at checkpoint");
}

fn id(backup: &Path) -> String {
    backup.file_name().expect("a backup has a name").to_string_lossy().into_owned()
}

/// Where a SQLite database of this name lies: beside the other one.
fn file_beside(db: &TestDatabase, name: &str) -> PathBuf {
    db.file().with_file_name(format!("{name}.db"))
}

/// The address of an empty database: a file that is not there yet, or a new one on the server.
fn new_database(db: &TestDatabase, name: &str) -> String {
    match db.backend() {
        Backend::Sqlite => format!("sqlite:///{}", file_beside(db, name).display()),
        Backend::Postgres => {
            db.server().create_database(name);
            db.server().url(name)
        }
    }
}

/// The two databases are described in the same words.
fn compare_with_the_reference(page: &mut Runbook, db: &TestDatabase) {
    const SQLITE: [&str; 2] = ["sqlite3 FILE .schema", "sqlite3 NEW_FILE .schema"];
    const POSTGRES: [&str; 2] = ["pg_dump --schema-only DATABASE", "pg_dump --schema-only NEW_DATABASE"];
    let described = match db.backend() {
        Backend::Sqlite => {
            page.write("FILE", db.file().display().to_string());
            page.write("NEW_FILE", file_beside(db, "reference").display().to_string());
            let described = SQLITE.map(|command| page.next(command));
            page.not_here(&POSTGRES);
            described
        }
        Backend::Postgres => {
            page.write("DATABASE", "app");
            page.write("NEW_DATABASE", "reference");
            page.not_here(&SQLITE);
            POSTGRES.map(|command| page.next(command))
        }
    };
    let [old, new] = described.map(|run| {
        let lines = run.expect_code(0).stdout.lines().filter(|line| !line.starts_with('\\'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    });
    let strange: Vec<_> = old.iter().filter(|line| !new.contains(line)).collect();
    assert!(strange.is_empty() && old.len() < new.len(), "{strange:?} is only in the old one");
}

/// The first cells of the tables of a page: what the program says.
fn said_in_tables(page: &str) -> String {
    let text = read(format!("runbooks/{page}.md"));
    let cells = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    cells.collect::<Vec<_>>().join("\n")
}
