//! What many promises ask in the same words: the three parts of an error, a database that is as it was, the report.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::*;

/// A sandbox with the sample project for this database.
pub fn sample_of(db: &TestDatabase) -> Sandbox {
    let sandbox = Sandbox::with(db);
    sandbox.sample();
    sandbox
}

/// The same with the database at the head and filled.
pub fn filled_sample_of(db: &TestDatabase) -> Sandbox {
    let sandbox = sample_of(db);
    first_upgrade(&sandbox);
    db.fill_sample(3, 20);
    at(&sandbox, 1);
    sandbox
}

/// Lets the sandbox's clock say that so many minutes have passed since `CLOCK`: names of backups sort by time.
pub fn at(sandbox: &Sandbox, minutes: u32) {
    assert!(minutes < 45, "the hour of the clock stays the same");
    sandbox.env("RIPCORD_CLOCK", CLOCK.replace(":15:", &format!(":{:02}:", 15 + minutes)));
}

/// The error says the fact, then the state of the data, then what to do next; a bug of ours would show as a panic.
#[track_caller]
pub fn says_three_parts(run: &Run, fact: &str) {
    let (fact_at, state_at, next_at) =
        (run.stderr.find("error: "), run.stderr.find("state: "), run.stderr.find("next: "));
    assert!(
        fact_at.is_some() && fact_at < state_at && state_at < next_at,
        "no fact, state and next command in this order\n{run}"
    );
    run.stderr_has(fact).says_nowhere("panicked");
}

/// Runs ripcord, which refuses with this code and this fact, in three parts, and changes nothing in the database.
#[track_caller]
pub fn refuses(sandbox: &Sandbox, db: &TestDatabase, arguments: &[&str], code: i32, fact: &str) -> Run {
    let before = db.dump();
    let run = sandbox.ripcord(arguments);
    run.expect_code(code);
    says_three_parts(&run, fact);
    run.stderr_has("state: nothing was changed");
    assert_same(&before, &db.dump(), &run);
    run
}

/// The two dumps are equal; shows the first line that differs.
#[track_caller]
pub fn assert_same(before: &str, after: &str, run: &Run) {
    if before == after {
        return;
    }
    let differing = before.lines().zip(after.lines()).find(|(one, other)| one != other);
    panic!(
        "the database is not as it was before; first difference: {differing:?}\n{before}\nAFTER\n{after}\n{run}"
    );
}

/// The last line of a run with `--format json`.
#[track_caller]
pub fn report(run: &Run) -> Value {
    run.json().pop().unwrap_or_else(|| panic!("nothing was printed\n{run}"))
}

/// The command that a report names as the way to undo it, as arguments.
#[track_caller]
pub fn undo_of(run: &Run) -> Vec<String> {
    let line = run.stdout.lines().find_map(|line| line.strip_prefix("undo "));
    let line = line.unwrap_or_else(|| panic!("no undo command\n{run}")).trim();
    let words = line.strip_prefix("ripcord ").unwrap_or_else(|| panic!("{line} is not ours"));
    words.split(' ').map(str::to_owned).collect()
}

/// The first command that an error names as the next one, as arguments.
#[track_caller]
pub fn next_of(run: &Run) -> Vec<String> {
    let line = run.stderr.lines().find_map(|line| line.strip_prefix("next: ripcord "));
    line.unwrap_or_else(|| panic!("no next command\n{run}")).split(' ').map(str::to_owned).collect()
}

/// Runs all revisions on an empty database.
#[track_caller]
pub fn first_upgrade(sandbox: &Sandbox) {
    sandbox.ripcord(&[&["upgrade"], scene::OF_EMPTY].concat()).expect_code(0);
}

/// Runs ripcord with every hazard accepted that the tables of now can have. What a change destroys is not what these tests
/// ask, and a run that is refused first costs them as much as the run itself.
#[track_caller]
pub fn accepting(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    if !["upgrade", "downgrade"].contains(&arguments[0]) {
        return accepting_as_told(sandbox, arguments);
    }
    let columns = columns_of_now(sandbox);
    let tables: BTreeSet<&str> = columns.lines().filter_map(|line| line.split('|').next()).collect();
    let of_tables =
        tables.iter().flat_map(|table| ["drops-table", "deletes-rows"].map(|kind| format!("{kind}:{table}")));
    let of_columns = columns.lines().flat_map(|line| {
        let name = line.replace('|', ".");
        ["drops-column", "narrows-type", "overwrites-values"].map(|kind| format!("{kind}:{name}"))
    });
    let hazards: Vec<String> = of_tables.chain(of_columns).collect();
    let accepts = hazards.iter().flat_map(|hazard| ["--accept", hazard.as_str()]);
    let run = sandbox.ripcord(&arguments.iter().copied().chain(accepts).collect::<Vec<_>>());
    // What there is no table or no plain name for is accepted as the refusal says.
    if run.code == 3 { accepting_as_told(sandbox, arguments) } else { without_unneeded(run) }
}

/// Takes away what was said of flags that were not needed: a test that looks for a name would find it there.
fn without_unneeded(run: Run) -> Run {
    const TOLD: &str = " was not needed: this change does not do that";
    let line = |line: &str| match line.contains(TOLD) {
        false => Some(line.to_owned()),
        true => {
            let mut told: Value = serde_json::from_str(line).ok()?;
            let notes = told["result"]["notes"].as_array_mut()?;
            notes.retain(|note| !note.as_str().is_some_and(|note| note.contains(TOLD)));
            Some(format!("{told}\n"))
        }
    };
    let lines = |text: &str| text.split_inclusive('\n').filter_map(line).collect();
    Run { stdout: lines(&run.stdout), stderr: lines(&run.stderr), ..run }
}

/// The columns of the tables that have plain names, as `table|column`.
fn columns_of_now(sandbox: &Sandbox) -> String {
    let plain = "[^a-z0-9_.|]";
    let script = format!(
        r#"case "$DATABASE_URL" in
sqlite:///*) sqlite3 "${{DATABASE_URL#sqlite:///}}" "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE m.type = 'table';" ;;
*) psql -XAtq "$DATABASE_URL" -c "SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';" ;;
esac | grep -v '{plain}'"#
    );
    sandbox.run("sh", &["-c", &script]).stdout
}

/// Runs ripcord, and where hazards are not accepted the command that the refusal prints, as a shell takes it.
#[track_caller]
pub fn accepting_as_told(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    let refused = sandbox.ripcord(arguments);
    if refused.code != 3 {
        return refused;
    }
    let next = match arguments.contains(&"json") {
        true => {
            format!("{} --format json", report(&refused)["error"]["next"][0].as_str().unwrap_or_default())
        }
        false => {
            let lines = refused.stderr.lines();
            lines.filter_map(|line| line.strip_prefix("next: ")).next().unwrap_or_default().to_owned()
        }
    };
    let flags = next.strip_prefix("ripcord ").filter(|next| next.contains(" --accept "));
    let flags = flags.unwrap_or_else(|| panic!("no command that accepts\n{refused}"));
    sandbox.run("sh", &["-c", &format!("exec '{}' {flags}", ripcord_binary().display())])
}

/// Puts the database back to where a project begins.
pub fn forget(db: &TestDatabase) {
    match db.backend() {
        Backend::Sqlite => std::fs::remove_file(db.file()).expect("removed"),
        Backend::Postgres => {
            db.execute("DROP OWNED BY CURRENT_USER CASCADE; CREATE SCHEMA IF NOT EXISTS public;")
        }
    }
}

/// Runs a command that was printed as advice.
#[track_caller]
pub fn follow(sandbox: &Sandbox, words: &[String]) -> Run {
    sandbox.ripcord(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every file of the backup is what its checksum says, and there is no file without one, as stock tools see it.
#[track_caller]
pub fn sums_are_right(sandbox: &Sandbox, backup: &Path) {
    let script = r#"cd "$1" && sha256sum --strict --quiet -c SHA256SUMS &&
        diff <(cut -c67- SHA256SUMS | sort) \
             <(find . -type f ! -name SHA256SUMS -printf '%P\n' | sort)"#;
    sandbox.run("bash", &["-c", script, "bash", backup.to_str().unwrap()]).expect_code(0);
}

/// The name of a backup: that of its folder.
pub fn name_of(backup: &Path) -> String {
    backup.file_name().unwrap().to_string_lossy().into_owned()
}

/// Nothing is left of an operation: no temporary file, no draft, no side database, no lock that is still held.
#[track_caller]
pub fn leaves_nothing_behind(sandbox: &Sandbox, db: &TestDatabase) {
    assert_eq!(sandbox.temporary_files(), [""; 0]);
    let drafts: Vec<_> =
        sandbox.files("backups").into_iter().filter(|file| file.starts_with(".partial")).collect();
    assert_eq!(drafts, [""; 0]);
    if db.backend() == Backend::Sqlite {
        let lock = db.file().with_file_name(".app.db.ripcord-lock");
        assert!(!lock.exists(), "{} is left", lock.display());
    }
    if db.backend() == Backend::Postgres {
        let all = db.server().databases();
        let side: Vec<_> = all.iter().filter(|name| name.contains("ripcord")).collect();
        assert!(side.is_empty(), "side databases are left: {side:?}");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';";
        assert_eq!(db.server().psql("app", locks), "0\n");
    }
}

/// Tells whether the server could have an extension.
pub fn has_extension(db: &TestDatabase, name: &str) -> bool {
    let sql = format!("SELECT count(*) FROM pg_available_extensions WHERE name = '{name}';");
    db.server().psql("app", &sql).trim() == "1"
}
