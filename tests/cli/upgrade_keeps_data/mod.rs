//! An upgrade or a downgrade changes what it says and nothing else, and there is a way back.

mod by_statements;
mod kinds_of_change;
mod proof;
mod scripts;
mod unnamed_tables;

use crate::promise::*;
use crate::support::*;

/// The rows of the sample that every revision keeps, as text.
pub(super) fn rows(db: &TestDatabase) -> String {
    db.query(
        "SELECT id, model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, created_at
FROM training_config ORDER BY id;
SELECT id, config_id, epoch, step, train_loss, eval_loss, timestamp FROM training_metric ORDER BY id;",
    )
}

both_engines! {
    fn the_sample_goes_from_empty_to_head_and_says_how_to_undo_it(db: &TestDatabase) {
        let sandbox = sample_of(db);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stderr_is_empty();
        assert_eq!(db.version(), ADD_PROCESS_RANK, "{run}");
        assert_eq!(db.tables(), "alembic_version\nripcord_revision\ntraining_config\ntraining_metric");
        assert_eq!(undo_of(&run), ["downgrade", "base"]);
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.version(), "");
        assert_eq!(db.tables(), "alembic_version\nripcord_revision");
        leaves_nothing_behind(&sandbox, db);
    }

    fn the_sample_has_exactly_its_columns(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let columns = match db.backend() {
            Backend::Sqlite => db.query(
                "SELECT name, lower(type), \"notnull\" FROM pragma_table_info('training_config');
SELECT name, lower(type), \"notnull\" FROM pragma_table_info('training_metric');",
            ),
            Backend::Postgres => db.query(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull::int FROM pg_attribute
WHERE attrelid IN ('training_config'::regclass, 'training_metric'::regclass) AND attnum > 0 AND NOT attisdropped
ORDER BY attrelid::regclass::text, attnum;",
            ).replace("character varying", "varchar").replace("double precision", "float")
                .replace("timestamp without time zone", "timestamp"),
        };
        let id = if db.backend() == Backend::Sqlite { "id|integer|0" } else { "id|integer|1" };
        assert_eq!(columns, format!("{id}
model_type|varchar(50)|1
dataset_name|varchar(100)|1
batch_size|integer|1
learning_rate|float|1
epochs|integer|1
max_seq_length|integer|1
warmup_steps|integer|1
created_at|timestamp|0
{id}
config_id|integer|1
epoch|integer|1
step|integer|1
train_loss|float|1
eval_loss|float|1
timestamp|timestamp|0
process_rank|integer|0"));
        // The keys, the numbers and the times come by themselves, in UTC whatever the session thinks.
        db.execute("INSERT INTO training_config (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, warmup_steps)
VALUES ('a', 'b', 1, 0.5, 1, 1, 1);
INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (1, 1, 1, 0.5, 0.5);");
        assert_eq!(db.query("SELECT id FROM training_config WHERE created_at IS NOT NULL;"), "1");
        assert_eq!(db.query("SELECT id FROM training_metric WHERE timestamp IS NOT NULL AND process_rank IS NULL;"), "1");
        let orphan = "PRAGMA foreign_keys = ON; INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (9, 1, 1, 0.5, 0.5);";
        let orphan = if db.backend() == Backend::Sqlite { orphan } else { orphan.split_once("; ").unwrap().1 };
        assert!(db.try_query(orphan).unwrap_err().to_lowercase().contains("foreign key"));
    }

    fn every_row_is_there_after_the_next_revision(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 50);
        let before = rows(db);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stderr_is_empty();
        assert_eq!(rows(db), before);
        assert_eq!(db.query("SELECT count(*) FROM training_metric WHERE process_rank IS NULL;"), "150");
        assert_eq!(undo_of(&run), ["downgrade", CREATE_TABLES]);
        run.stdout_has("new").stdout_has("process_rank");
    }

    fn a_downgrade_and_an_upgrade_again_end_where_they_began(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = rows(db);
        let run = sandbox.ripcord(&["downgrade"]);
        run.expect_code(0).stderr_is_empty().stdout_has("gone").stdout_has("process_rank");
        assert_eq!((db.version().as_str(), rows(db)), (CREATE_TABLES, before.clone()));
        at(&sandbox, 2);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), (ADD_PROCESS_RANK, before));
        leaves_nothing_behind(&sandbox, db);
    }

    fn the_undo_of_a_downgrade_brings_back_what_it_dropped(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("UPDATE training_metric SET process_rank = id % 5;");
        let before = db.dump();
        let run = sandbox.ripcord(&["downgrade", "--accept", "drops-column:training_metric.process_rank"]);
        run.expect_code(0);
        assert_ne!(db.dump(), before);
        at(&sandbox, 2);
        let undone = follow(&sandbox, &undo_of(&run));
        undone.expect_code(0);
        assert_same(&before, &db.dump(), &undone);
    }

    fn the_backup_of_an_upgrade_verifies_with_stock_tools_and_is_private(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        let first = sandbox.backup();
        sums_are_right(&sandbox, &first);
        db.fill_sample(2, 10);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0);
        let second = sandbox.backups().pop().unwrap();
        assert_ne!(first, second);
        sums_are_right(&sandbox, &second);
        run.stdout_has(&name_of(&second)).stdout_has("proven").stdout_lacks("NOT PROVEN");
        let modes = sandbox.run("find", &["backups", "-type", "d", "!", "-perm", "700", "-o", "-type", "f", "-perm", "/077"]);
        // The folder of all backups may have been there, with its README; what is in it is nobody else's business.
        let open: Vec<_> = modes.stdout.lines().filter(|path| *path != "backups" && !path.ends_with("README.md") && !path.ends_with(".gitignore")).collect();
        assert_eq!(open, [""; 0]);
        let files = sandbox.files(&second);
        for file in ["manifest.json", "journal.jsonl", "SHA256SUMS", "before.json", "after.json", "RUNBOOK.md", "RESTORE.sh"] {
            assert!(files.iter().any(|each| each == file), "{file} is missing: {files:?}");
        }
        let copies: Vec<_> = files.iter().filter(|file| file.starts_with("migrations/")).collect();
        assert_eq!(copies.len(), 2, "{files:?}");
    }

    fn at_the_head_there_is_nothing_to_do_and_nothing_is_done(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let (before, files) = (db.dump(), sandbox.files("."));
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_has("nothing to do");
        assert_same(&before, &db.dump(), &run);
        assert_eq!(sandbox.files("."), files);
    }

    fn a_database_that_alembic_brought_here_goes_on_and_can_go_back_to_it(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(2, 10);
        // What Alembic would have left: its own table, and none of ours.
        db.execute(&format!(
            "DROP TABLE ripcord_revision; DROP TABLE alembic_version;
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('{CREATE_TABLES}');"
        ));
        let before = rows(db);
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), (ADD_PROCESS_RANK, before));
        assert_eq!(db.query("SELECT version_num FROM alembic_version;"), ADD_PROCESS_RANK);
    }

    fn a_dry_run_changes_no_byte(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(2, 10);
        at(&sandbox, 1);
        let state = || (db.dump(), sandbox.files("."), bytes_of(db));
        let before = state();
        for arguments in [["upgrade", "--dry-run"], ["downgrade", "--dry-run"]] {
            let run = sandbox.ripcord(&arguments);
            run.expect_code(0).stdout_has("nothing was run").stdout_has("plan");
            assert!(state() == before, "{run}");
        }
        sandbox.ripcord(&["upgrade", "--dry-run"]).stdout_has("ADD COLUMN process_rank");
    }

    fn a_dry_run_on_an_empty_database_creates_nothing(db: &TestDatabase) {
        let sandbox = sample_of(db);
        let (before, files) = (db.dump(), sandbox.files("."));
        sandbox.ripcord(&["upgrade", "--dry-run"]).expect_code(0).stdout_has("base -> 5f2c81d0a3be");
        assert_eq!((db.dump(), sandbox.files(".")), (before, files));
        if db.backend() == Backend::Sqlite {
            assert_eq!(beside(db), [""; 0]);
        }
    }

    fn odd_names_and_odd_values_come_through(db: &TestDatabase) {
        let sandbox = sample_of(db);
        let blob = if db.backend() == Backend::Sqlite { "x'00ff0a'" } else { "'\\x00ff0a'::bytea" };
        db.execute(&format!(
            r#"CREATE TABLE "we""ird täble; --" ("the ""key""" INTEGER PRIMARY KEY, "größe" TEXT, "select" NUMERIC);
INSERT INTO "we""ird täble; --" VALUES (1, NULL, NULL), (2, '', 0), (3, E'x', 12345678901234567890.123), (4, '{{"a": "\"}}', -1);
CREATE TABLE raw AS SELECT {blob} AS b, '☃ '' \ ' || 'y' AS t;"#
        ).replace("E'x'", "'line 1\nline 2'"));
        let odd = || db.query(r#"SELECT * FROM "we""ird täble; --" ORDER BY 1; SELECT * FROM raw;"#);
        let before = odd();
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0);
        assert_eq!(odd(), before);
        at(&sandbox, 1);
        let id = name_of(&sandbox.backup());
        db.execute(r#"DELETE FROM raw; DROP TABLE "we""ird täble; --";"#);
        sandbox.ripcord(&["restore", &id]).expect_code(0);
        assert_eq!(odd(), before);
    }
}

/// The bytes of a SQLite file; nothing for a server's database.
fn bytes_of(db: &TestDatabase) -> Vec<u8> {
    match db.backend() {
        Backend::Sqlite => std::fs::read(db.file()).unwrap(),
        Backend::Postgres => Vec::new(),
    }
}

/// What lies in the folder of a SQLite database.
pub fn beside(db: &TestDatabase) -> Vec<String> {
    let folder = std::fs::read_dir(db.file().parent().unwrap()).unwrap();
    folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
