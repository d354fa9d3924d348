//! A backup on disk is what `docs/format.md` says, and the commands of its `RUNBOOK.md` restore it without ripcord.

use crate::support::*;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/format.md");

/// The table of the page's worked example; `double precision` is a type of both engines.
const READING: &str = "CREATE TABLE reading (id INTEGER PRIMARY KEY, place TEXT, value DOUBLE PRECISION); \
     INSERT INTO reading VALUES (1, 'Oslo', 1.5), (2, NULL, -0.25), (3, '', 0.0);";

/// Returns the only backup's manifest.
fn manifest(sandbox: &Sandbox) -> serde_json::Value {
    serde_json::from_str(&sandbox.read(sandbox.backup().join("manifest.json"))).expect("JSON")
}

/// Runs the commands of a console block in the backup's folder, as a person would who has the page in front of him.
fn type_commands(sandbox: &Sandbox, folder: &Path, block: &str) {
    let commands: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(!commands.is_empty(), "no commands in {block}");
    let script = format!("cd '{}'\n{}", folder.display(), commands.join("\n"));
    sandbox.run("sh", &["-euc", &script]).expect_code(0);
}

/// Returns the two console blocks of the page's fourth section: with `RESTORE.sh`, and by hand.
fn without_ripcord(page: &str) -> (String, String) {
    let section =
        page.split("\n## 4. ").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let mut blocks =
        section.split("```console\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let mut next = || blocks.next().expect("two blocks").to_string();
    (next(), next())
}

/// Sets what libpq reads, as the page asks for.
fn point_clients_at(sandbox: &Sandbox, db: &TestDatabase) {
    if db.backend() == Backend::Postgres {
        sandbox.env("PGHOST", db.server().socket_folder());
        sandbox.env("PGPORT", db.server().port().to_string());
        sandbox.env("PGUSER", "app");
    }
}

both_engines! {
    fn the_figures_of_the_format_page_are_those_of_a_real_backup(db: &TestDatabase) {
        db.execute(READING);
        let sandbox = Sandbox::with(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let manifest = manifest(&sandbox);
        let (table, column) = match db.backend() {
            Backend::Sqlite => ("reading", 2),
            Backend::Postgres => ("public.reading", 3),
        };
        let table = &manifest["fingerprint"]["tables"][table];
        let example = PAGE.split("### A worked example").nth(1).expect("an example");
        for name in ["rows", "id", "place", "value"] {
            let cell = if name == "rows" { "| rows |".to_string() } else { format!("| `{name}` |") };
            let line = example.lines().find(|line| line.starts_with(&cell)).expect("a line");
            let expected = line.split('|').nth(column).expect("a figure").trim().trim_matches('`');
            let found = if name == "rows" { &table["digest"] } else { &table["columns"][name] };
            assert_eq!(found, expected, "{name}");
        }
    }

    fn stock_tools_vouch_for_a_finished_backup(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        sandbox.sample().ripcord(&["upgrade"]).expect_code(0);
        let folder = sandbox.backup();
        type_commands(&sandbox, &folder, "$ sha256sum --strict -c SHA256SUMS");
        let sums = sandbox.read(folder.join("SHA256SUMS"));
        for file in sandbox.files(&folder) {
            assert!(file == "SHA256SUMS" || sums.contains(&format!("  {file}\n")), "{file} is not in\n{sums}");
        }
    }

    fn the_runbook_puts_a_backup_back_with_restore_sh(db: &TestDatabase) {
        db.create_sample();
        db.fill_sample(3, 20);
        let before = db.dump();
        let sandbox = Sandbox::with(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric; ALTER TABLE training_metric ADD COLUMN later INTEGER;");
        assert_ne!(db.dump(), before);
        let folder = sandbox.backup();
        point_clients_at(&sandbox, db);
        let (with_script, _) = without_ripcord(&sandbox.read(folder.join("RUNBOOK.md")));
        type_commands(&sandbox, &folder, &with_script);
        assert_eq!(db.dump(), before);
        // What was there is kept under another name.
        match db.backend() {
            Backend::Sqlite => {
                let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
                assert!(folder.with_file_name(format!("{name}-replaced.db")).is_file());
            }
            Backend::Postgres => assert!(db.server().databases().contains(&"app_replaced".to_string())),
        }
        sandbox.ripcord(&["backup", "verify"]).expect_code(0);
    }

    fn the_runbook_puts_a_backup_back_by_hand(db: &TestDatabase) {
        db.create_sample();
        db.fill_sample(3, 20);
        let before = db.dump();
        let sandbox = Sandbox::with(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let folder = sandbox.backup();
        point_clients_at(&sandbox, db);
        let (_, by_hand) = without_ripcord(&sandbox.read(folder.join("RUNBOOK.md")));
        type_commands(&sandbox, &folder, &by_hand);
        match db.backend() {
            Backend::Sqlite => assert_eq!(db.dump(), before),
            Backend::Postgres => assert_eq!(db.server().dump("app_restored"), before),
        }
    }
}
