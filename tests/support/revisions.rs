//! Revisions that follow on the sample project, one for each kind of change that can lose data, and rows to lose.

use super::{Backend, Revision, Sandbox, TestDatabase};

/// The sample project: creates `training_config` and `training_metric`.
pub const CREATE_TABLES: &str = "1975ea83b712";
/// The sample project's head: adds `training_metric.process_rank`.
pub const ADD_PROCESS_RANK: &str = "5f2c81d0a3be";

pub const DROP_WARMUP_STEPS: &str = "0d5a7c3e9b14";
pub const STEP_TO_TEXT: &str = "3b8e61f0c2d7";
pub const UPPER_CASE_MODEL_TYPE: &str = "7c14e9a05fd2";
pub const ADD_NOTE: &str = "a90b3d5c7e21";
pub const ADD_RUN_TABLE: &str = "b81f4e6d2c93";
pub const MERGE_NOTE_AND_RUN: &str = "c4d7f02a8b65";

/// Drops `training_config.warmup_steps`; the downgrade brings the column back with a default, not the values.
pub fn drops_a_column(parent: &str) -> Revision {
    Revision::new(DROP_WARMUP_STEPS)
        .revises(parent)
        .message("Drop warmup_steps from training_config")
        .upgrade("ALTER TABLE training_config DROP COLUMN warmup_steps;")
        .downgrade("ALTER TABLE training_config ADD COLUMN warmup_steps INTEGER NOT NULL DEFAULT 0;")
}

/// Turns `training_metric.step` from a number into text, and back. SQLite has no statement for that, so its sections
/// go through a second column, since a rebuild of the table would also move columns around.
pub fn changes_a_type(parent: &str) -> Revision {
    let through_a_column = |kind: &str, default: &str| {
        format!(
            "ALTER TABLE training_metric ADD COLUMN step_new {kind} NOT NULL DEFAULT {default};
UPDATE training_metric SET step_new = CAST(step AS {kind});
ALTER TABLE training_metric DROP COLUMN step;
ALTER TABLE training_metric RENAME COLUMN step_new TO step;"
        )
    };
    Revision::new(STEP_TO_TEXT)
        .revises(parent)
        .message("Keep step as text")
        .upgrade_on("postgresql", "ALTER TABLE training_metric ALTER COLUMN step TYPE TEXT USING step::text;")
        .upgrade_on("sqlite", &through_a_column("TEXT", "''"))
        .downgrade_on(
            "postgresql",
            "ALTER TABLE training_metric ALTER COLUMN step TYPE INTEGER USING step::integer;",
        )
        .downgrade_on("sqlite", &through_a_column("INTEGER", "0"))
}

/// Writes `model_type` in upper case by way of a temporary column, and in lower case again.
pub fn changes_data(parent: &str) -> Revision {
    let rewrite = |function: &str| {
        format!(
            "ALTER TABLE training_config ADD COLUMN model_type_new VARCHAR(50);
UPDATE training_config SET model_type_new = {function}(model_type);
UPDATE training_config SET model_type = model_type_new;
ALTER TABLE training_config DROP COLUMN model_type_new;"
        )
    };
    Revision::new(UPPER_CASE_MODEL_TYPE)
        .revises(parent)
        .message("Write model_type in upper case")
        .upgrade(&rewrite("upper"))
        .downgrade(&rewrite("lower"))
}

/// Two branches that leave the parent, and the revision that merges them.
pub fn branches_and_merge(parent: &str) -> [Revision; 3] {
    let note = Revision::new(ADD_NOTE)
        .revises(parent)
        .message("Add note to training_config")
        .upgrade("ALTER TABLE training_config ADD COLUMN note VARCHAR(200);")
        .downgrade("ALTER TABLE training_config DROP COLUMN note;");
    let run = Revision::new(ADD_RUN_TABLE)
        .revises(parent)
        .message("Create training_run")
        .upgrade(
            "CREATE TABLE training_run (
    id INTEGER NOT NULL PRIMARY KEY,
    config_id INTEGER NOT NULL REFERENCES training_config (id)
);",
        )
        .downgrade("DROP TABLE training_run;");
    let merge = Revision::new(MERGE_NOTE_AND_RUN)
        .revises(ADD_NOTE)
        .revises(ADD_RUN_TABLE)
        .message("Merge note and run")
        .upgrade("")
        .downgrade("");
    [note, run, merge]
}

/// The statements of one direction in the text of a revision file; a section for the engine wins over the plain one.
pub fn statements(text: &str, direction: &str, backend: Backend) -> String {
    let engine = match backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgresql",
    };
    let section = |heading: &str| {
        let (_, rest) = text.split_once(&format!("\n-- ripcord:{heading}\n"))?;
        Some(rest.split("\n-- ripcord:").next().unwrap_or_default().to_owned())
    };
    section(&format!("{direction} {engine}")).or_else(|| section(direction)).unwrap_or_default()
}

impl TestDatabase {
    /// Creates the sample's tables at its head with the statements of its files and the engine's own tool: a database
    /// that nobody has migrated, without a version table.
    pub fn create_sample(&self) {
        let sandbox = Sandbox::new();
        let files = sandbox.sample().files("migrations/versions");
        for id in [CREATE_TABLES, ADD_PROCESS_RANK] {
            let file =
                files.iter().find(|file| file.starts_with(id)).expect("the sample has its two revisions");
            let text = sandbox.read(format!("migrations/versions/{file}"));
            self.execute(&statements(&text, "upgrade", self.backend()));
        }
    }

    /// Fills the sample's tables with rows whose values can be told from their numbers: `configs` configurations with
    /// `metrics` measurements each. `process_rank` is left alone, so it works before and after it was added.
    pub fn fill_sample(&self, configs: u32, metrics: u32) {
        self.execute(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {configs})
INSERT INTO training_config
    (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, warmup_steps, created_at)
SELECT 'model-' || i, 'dataset ''' || i || '''', 8 * i, 0.5 / i, i % 7, 512, 100 + i, '2026-11-23 18:15:00'
FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {metrics})
INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss, timestamp)
SELECT c.id, n.i / 100, n.i, 1.0 / n.i, 2.0 / n.i, '2026-11-23 18:15:00'
FROM training_config c CROSS JOIN n ORDER BY c.id, n.i;"
        ));
    }
}
