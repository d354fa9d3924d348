//! What people read, word for word: the golden texts lie in `golden/`, and `INSTA_UPDATE=always` writes them anew.

use crate::promise::*;
use crate::support::*;

/// Commands and what they print, one after the other, as in a terminal.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
    db: &'a TestDatabase,
    text: String,
}

impl Terminal<'_> {
    fn run(&mut self, arguments: &[&str]) {
        let run = self.sandbox.ripcord(arguments);
        let place = match self.db.backend() {
            Backend::Sqlite => self.db.file().display().to_string(),
            Backend::Postgres => self.db.server().socket_folder().display().to_string(),
        };
        let said =
            format!("$ ripcord {}\n{}{}[exit {}]\n\n", arguments.join(" "), run.stdout, run.stderr, run.code);
        self.text.push_str(&said.replace(&place, "[PLACE]"));
    }

    /// Compares with the golden text; what differs from run to run is replaced.
    fn reads(&self, golden: &str) {
        let steady = [
            (r"(\d{8}T\d{6}Z-\w+-)[0-9a-f]{4}", "$1[ID]"),
            (r"(\d{8}t\d{6}z_\w+_)[0-9a-f]{4}", "$1[ID]"),
            (r"\d+(\.\d)? (B|KiB|MiB)\b", "[SIZE]"),
            (r"waited \d+ ms", "waited [TIME]"),
            (r"(\w+)@[\w.-]+ +", "$1@[HOST]  "),
            (r"(\w+)@[\w.-]+, process \d+", "$1@[HOST], process [PID]"),
            (r"\b\d+\.\d+\.\d+\b", "[VERSION]"),
        ];
        insta::with_settings!({
            filters => steady,
            snapshot_path => "golden",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(golden, self.text);
        });
    }
}

#[test]
fn the_life_of_the_sample_on_sqlite_reads_as_ever() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    let mut terminal = Terminal { sandbox: &sandbox, db: &db, text: String::new() };
    terminal.run(&["upgrade", "--dry-run"]);
    terminal.run(&["upgrade"]);
    terminal.run(&["upgrade"]);
    terminal.run(&["current"]);
    at(&sandbox, 1);
    terminal.run(&["downgrade"]);
    at(&sandbox, 2);
    terminal.run(&["upgrade", "--quiet"]);
    at(&sandbox, 3);
    terminal.run(&["backup", "create"]);
    terminal.run(&["backup", "list"]);
    terminal.run(&["backup", "show", "latest"]);
    terminal.run(&["backup", "verify"]);
    at(&sandbox, 4);
    terminal.run(&["verify"]);
    db.fill_sample(1, 3);
    terminal.run(&["verify"]);
    terminal.run(&["restore", "latest"]);
    terminal.run(&["verify"]);
    terminal.run(&["recover"]);
    terminal.run(&["log"]);
    terminal.run(&["log", "20261123T1816"]);
    terminal.reads("life_on_sqlite");
}

#[test]
fn failures_on_sqlite_read_as_ever() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    let mut terminal = Terminal { sandbox: &sandbox, db: &db, text: String::new() };
    terminal.run(&["current"]);
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
    at(&sandbox, 1);
    terminal.run(&["upgrade"]);
    terminal.run(&["upgrade", "--no-rehearsal"]);
    terminal.run(&["upgrade", "5f2c81d0a3bf"]);
    terminal.run(&["restore", "nowhere"]);
    terminal.run(&["--database-url", "mysql://localhost/app", "upgrade"]);
    db.execute(
        "CREATE TABLE audit (id INTEGER); INSERT INTO audit VALUES (1);
CREATE TRIGGER sly AFTER UPDATE ON training_config BEGIN DELETE FROM audit; END;",
    );
    db.fill_sample(1, 1);
    sandbox.revision("ffff00000002", &[ADD_PROCESS_RANK], "UPDATE training_config SET epochs = 9;", "");
    at(&sandbox, 2);
    terminal.run(&["upgrade", "ffff00000002"]);
    let accept = ["--no-rehearsal", "--accept", "opaque"];
    terminal.run(&[&["upgrade", "ffff00000002"], &accept[..]].concat());
    terminal.run(&[&["upgrade", "ffff00000002", "--on-failure", "stop"], &accept[..]].concat());
    terminal.reads("failures_on_sqlite");
}

mod postgres {
    use super::*;

    #[test]
    fn the_life_of_the_sample_reads_as_ever() {
        let db = TestDatabase::postgres();
        let sandbox = sample_of(&db);
        let mut terminal = Terminal { sandbox: &sandbox, db: &db, text: String::new() };
        terminal.run(&["upgrade"]);
        at(&sandbox, 1);
        terminal.run(&["downgrade"]);
        at(&sandbox, 2);
        terminal.run(&["restore", "latest"]);
        terminal.run(&["verify"]);
        at(&sandbox, 3);
        sandbox.failing_tool("pg_dump", "pg_dump: error: no");
        terminal.run(&["downgrade"]);
        terminal.run(&["log"]);
        terminal.reads("life_on_postgres");
    }
}
