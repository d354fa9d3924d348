//! Damaged backups: what the page says of each damage, and the way out.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Runbook, file_beside, id, in_use, new_database, said_in_tables};
use crate::console::blocks;
use crate::support::*;

both_engines! {
    fn a_damaged_backup_is_replaced_passed_over_or_read_as_far_as_it_goes(db: &TestDatabase) {
        let sandbox = in_use(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let at_other = text_of(&sandbox, db, "app");
        db.execute("UPDATE training_config SET epochs = 99;");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let at_backup = text_of(&sandbox, db, "app");
        let backups = sandbox.backups();
        let [.., other, backup] = backups.as_slice() else { panic!("{backups:?}") };
        let metrics = with_the_rows(&sandbox, db, backup);
        let whole = damage(&metrics);
        sandbox.ripcord(&["restore", &id(backup)]).expect_code(3).stderr_has("is damaged");
        assert_eq!(text_of(&sandbox, db, "app"), at_backup);

        let mut page = Runbook::open("damaged-backup", &sandbox);
        page.next("ripcord backup list").expect_code(0).stdout_has(&id(backup));
        page.next("ripcord backup verify").expect_code(6).stdout_has(&id(backup));
        page.write("BACKUP", id(backup));
        page.next("ripcord backup verify BACKUP").expect_code(6).stdout_has("does not match its SHA-256");
        page.next("ripcord backup create").expect_code(0);

        // Another copy was found.
        fs::write(&metrics, &whole).expect("the backup is writable");
        page.next("ripcord backup verify BACKUP").expect_code(0);

        // None was: an older one is looked at beside.
        damage(&metrics);
        let beside = match db.backend() {
            Backend::Sqlite => new_database(db, "beside"),
            Backend::Postgres => db.server().url("beside"),
        };
        page.write("OTHER", id(other));
        page.write("URL", beside);
        page.next("ripcord restore OTHER --to 'URL'").expect_code(0);
        assert_eq!(text_of(&sandbox, db, "beside"), at_other);

        // The damage is elsewhere.
        fs::write(&metrics, &whole).expect("the backup is writable");
        damage(&backup.join("before.json"));
        db.execute("DELETE FROM training_metric;");
        page.next_in(backup, "grep ' snapshot/' SHA256SUMS | sha256sum -c -").expect_code(0);
        by_hand_without_the_check(&sandbox, backup);
        let restored = if db.backend() == Backend::Sqlite { "app" } else { "app_restored" };
        assert_eq!(text_of(&sandbox, db, restored), at_backup);

        damage(&metrics);
        save_the_rest(&mut page, &sandbox, db, backup);
    }
}

#[test]
fn the_page_knows_every_damage_by_the_words_of_the_program() {
    type Harm = fn(&Sandbox, &Path);
    let harms: [(&str, Harm); 11] = [
        ("the manifest is of backup", |_, folder| {
            fs::rename(folder, folder.with_file_name("another")).expect("renamed");
        }),
        ("is not in the manifest", |_, folder| fs::write(folder.join("note.txt"), "x").expect("written")),
        ("its format is 2", |sandbox, folder| change(sandbox, folder, "\"format\": 1", "\"format\": 2")),
        ("is missing", |_, folder| fs::remove_file(folder.join("RESTORE.sh")).expect("removed")),
        ("bytes", |_, folder| fs::write(folder.join("RESTORE.sh"), "xx").expect("written")),
        ("does not match its SHA-256", |_, folder| drop(damage(&folder.join("RESTORE.sh")))),
        ("leaves the backup's folder", |sandbox, folder| {
            change(sandbox, folder, "\"RESTORE.sh\"", "\"../RESTORE.sh\"");
        }),
        ("it has no manifest.json", |_, folder| {
            fs::remove_file(folder.join("manifest.json")).expect("removed");
        }),
        ("its manifest cannot be read", |_, folder| {
            fs::write(folder.join("manifest.json"), "{").expect("written");
        }),
        ("is in the manifest twice", |sandbox, folder| {
            change(sandbox, folder, "\"before.json\"", "\"RESTORE.sh\"");
        }),
        ("disagree about", |sandbox, folder| {
            let sums = sandbox.read(folder.join("SHA256SUMS"));
            let (first, rest) = sums.split_at(1);
            let other = if first == "0" { "1" } else { "0" };
            sandbox.write(folder.join("SHA256SUMS"), format!("{other}{rest}"));
        }),
    ];
    let page = said_in_tables("damaged-backup");
    for (words, harm) in harms {
        assert!(page.contains(words), "the page does not speak of {words:?}");
        let sandbox = Sandbox::new();
        sandbox.sample().ripcord(&["upgrade"]).expect_code(0);
        harm(&sandbox, &sandbox.backup());
        let run = sandbox.ripcord(&["backup", "verify"]);
        run.expect_code(6);
        assert!(run.stdout.contains(words), "{words:?} is not what the program says\n{run}");
    }
}

/// Changes the text of the manifest.
fn change(sandbox: &Sandbox, folder: &Path, from: &str, to: &str) {
    let text = sandbox.read(folder.join("manifest.json"));
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    sandbox.write(folder.join("manifest.json"), text.replacen(from, to, 1));
}

/// Flips bits in the middle of a file; returns what it was.
fn damage(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).expect("the file is there");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(file, bytes).expect("the file is writable");
    whole
}

/// Makes the first page of `training_metric` unreadable.
fn spoil_the_table(sandbox: &Sandbox, file: &Path) {
    const PAGE: usize = 4096;
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'training_metric';";
    let found = sandbox.run("sqlite3", &[&file.display().to_string(), sql]).expect_code(0).stdout.clone();
    let page: usize = found.trim().parse().expect("the number of a page");
    let mut bytes = fs::read(file).expect("the file is there");
    bytes[(page - 1) * PAGE..page * PAGE].fill(0xff);
    fs::write(file, bytes).expect("the file is writable");
}

/// The file of the snapshot that holds the rows of `training_metric`.
fn with_the_rows(sandbox: &Sandbox, db: &TestDatabase, backup: &Path) -> PathBuf {
    if db.backend() == Backend::Sqlite {
        return backup.join("snapshot/database.db");
    }
    let dump = backup.join("snapshot/dump");
    let line = line_of_the_rows(&sandbox.run("pg_restore", &["--list", &dump.display().to_string()]).stdout);
    let number = line.split(';').next().expect("a number").to_owned();
    let mut files = sandbox.files(&dump);
    files.retain(|file| file.starts_with(&format!("{number}.")));
    assert_eq!(files.len(), 1, "the number of a table is not the name of its file: {files:?}");
    dump.join(&files[0])
}

fn line_of_the_rows(contents: &str) -> String {
    let found = contents.lines().find(|line| line.contains("TABLE DATA public training_metric"));
    found.unwrap_or_else(|| panic!("no rows in\n{contents}")).to_owned()
}

/// Everything in a database of this name, as text.
fn text_of(sandbox: &Sandbox, db: &TestDatabase, name: &str) -> String {
    match db.backend() {
        Backend::Sqlite => {
            let file = file_beside(db, name).display().to_string();
            sandbox.run("sqlite3", &[&file, ".dump"]).expect_code(0).stdout.clone()
        }
        Backend::Postgres => db.server().dump(name),
    }
}

/// The last block of section 4 of the backup's own page, without its first command.
fn by_hand_without_the_check(sandbox: &Sandbox, backup: &Path) {
    let page = sandbox.read(backup.join("RUNBOOK.md"));
    let section = page.split("\n## 4. ").nth(1).and_then(|rest| rest.split("\n## ").next());
    let by_hand = blocks(section.expect("a fourth section")).pop().expect("a last block");
    assert!(by_hand[0].command.starts_with("sha256sum -c"), "{}", by_hand[0].command);
    let commands: Vec<_> = by_hand[1..].iter().map(|typed| typed.command.as_str()).collect();
    let script = format!("cd '{}'\n{}", backup.display(), commands.join("\n"));
    sandbox.run("sh", &["-euc", &script]).expect_code(0);
}

/// What can be read of a damaged snapshot comes into a new database.
fn save_the_rest(page: &mut Runbook, sandbox: &Sandbox, db: &TestDatabase, backup: &Path) {
    const SQLITE: [&str; 2] = [
        "sqlite3 snapshot/database.db .dump | sed 's/^ROLLBACK;.*/COMMIT;/' >rest.sql",
        "sqlite3 rest.db <rest.sql",
    ];
    const POSTGRES: [&str; 3] = [
        "pg_restore --list snapshot/dump >contents",
        "createdb NEW_DATABASE",
        "pg_restore --use-list contents --no-owner --dbname NEW_DATABASE snapshot/dump",
    ];
    let configs = "SELECT count(*) FROM training_config;";
    if db.backend() == Backend::Sqlite {
        spoil_the_table(sandbox, &backup.join("snapshot/database.db"));
        for command in SQLITE {
            page.next_in(backup, command).expect_code(0);
        }
        assert!(sandbox.read(backup.join("rest.sql")).contains("CORRUPTION"), "nothing was damaged");
        page.not_here(&POSTGRES);
        sandbox.run("sqlite3", &[&backup.join("rest.db").display().to_string(), configs]).stdout_is("3\n");
        return;
    }
    page.not_here(&SQLITE);
    page.write("NEW_DATABASE", "rest");
    page.next_in(backup, POSTGRES[0]).expect_code(0);
    let contents = sandbox.read(backup.join("contents"));
    let damaged = line_of_the_rows(&contents);
    sandbox.write(backup.join("contents"), contents.replace(&damaged, &format!(";{damaged}")));
    page.next_in(backup, POSTGRES[1]).expect_code(0);
    page.next_in(backup, POSTGRES[2]).expect_code(0);
    assert_eq!(db.server().psql("rest", configs), "3\n");
}
