//! What others wrote after the present state was saved is never overwritten, and what cannot be read is kept.

use super::super::session::open_frozen;
use super::super::swap::{copy_into, not_empty};
use super::super::{OpenOptions, SqliteDatabase};
use super::support::{SHOP, Scratch, book, script, silent, snapshot};
use crate::base::Cancel;
use crate::engine::{Database, Error, OtherWrites, Snapshot, Swapped};
use std::path::Path;
use std::time::Duration;

const MODES: [&str; 2] = ["delete", "wal"];
const LATE: &str = "INSERT INTO customer (name) VALUES ('late')";

fn shop(mode: &str) -> Scratch {
    Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"))
}

async fn restore(
    scratch: &Scratch,
    database: &SqliteDatabase,
    (folder, taken): (&Path, &Snapshot),
) -> Result<Swapped, Error> {
    let staged = database.stage(folder, &taken.inventory, "op", &silent()).await.expect("staged");
    database.swap(&staged, "op", &scratch.operation().script_log()).await
}

#[tokio::test]
async fn rows_that_came_after_the_present_state_was_saved_are_not_overwritten() {
    for mode in MODES {
        let scratch = shop(mode);
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        scratch.run("DELETE FROM purchase");
        let database = scratch.open();
        snapshot(&scratch, &database, "present").await;
        scratch.run(LATE);
        let error = restore(&scratch, &database, (&folder, &taken)).await.expect_err(mode);
        assert!(matches!(error, Error::WroteMeanwhile { .. }), "{mode}: {error}");
        let rows = "SELECT count(*) FROM customer; SELECT count(*) FROM purchase";
        assert_eq!(scratch.ask(rows).await, "4\n0", "{mode}");
        // Saved anew, the state can be replaced.
        snapshot(&scratch, &database, "again").await;
        restore(&scratch, &database, (&folder, &taken)).await.expect(mode);
        assert_eq!(scratch.ask(rows).await, "3\n3", "{mode}");
    }
}

#[tokio::test]
async fn nobody_writes_between_the_last_look_and_the_first_page() {
    for mode in MODES {
        let scratch = shop(mode);
        let database = scratch.open();
        let (folder, _) = snapshot(&scratch, &database, "one").await;
        let (site, operation) = (&database.site, scratch.operation());
        let restored = site.with_writer(|writer| {
            let guard = site.guard(writer, |_| Ok(false), ("op", &operation.script_log()))?;
            // The latest that anybody can write is just before the lock.
            scratch.run(LATE);
            let source = open_frozen(&folder.join("database.db"), &Cancel::new())?;
            copy_into(&source, &mut writer.session, || {
                let app = scratch.connect();
                app.busy_timeout(Duration::ZERO).expect("no patience");
                app.execute_batch("BEGIN IMMEDIATE").expect_err("writers are held off");
                guard.act(site)
            })
        });
        let error = restored.expect_err(mode);
        assert!(matches!(error, Error::WroteMeanwhile { .. }), "{mode}: {error}");
        assert_eq!(
            scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await,
            "4\nok",
            "{mode}"
        );
    }
}

#[tokio::test]
async fn what_is_put_back_after_a_migration_is_held_to_the_mark() {
    for (mode, others_write) in [("delete", false), ("delete", true), ("wal", false), ("wal", true)] {
        let scratch = shop(mode);
        let database = scratch.open();
        let mark = database.mark().await.expect("a mark");
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        let operation = scratch.operation();
        let change = script("aa", &["DELETE FROM purchase"]);
        database.apply(&change, &book(), &operation.script_log()).await.expect("applied");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody);
        if others_write {
            scratch.run(LATE);
        }
        let outcome = restore(&scratch, &database, (&folder, &taken)).await;
        let late = matches!(outcome, Err(Error::WroteMeanwhile { .. }));
        assert_eq!((late, outcome.is_ok()), (others_write, !others_write), "{mode}: {outcome:?}");
        let rows = if others_write { "4\n0" } else { "3\n3" };
        let found = scratch.ask("SELECT count(*) FROM customer; SELECT count(*) FROM purchase").await;
        assert_eq!(found, rows, "{mode}");
    }
}

#[tokio::test]
async fn a_restore_that_saves_the_present_state_leaves_nothing_beside_it() {
    for mode in MODES {
        let scratch = shop(mode);
        let before = scratch.files();
        let database = scratch.open();
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        drop(database);
        let with_folder = [before.clone(), vec!["one".to_string()]].concat();
        assert_eq!(scratch.files(), with_folder, "{mode}: after the snapshot");
        let database = scratch.open();
        snapshot(&scratch, &database, "one/present").await;
        restore(&scratch, &database, (&folder, &taken)).await.expect(mode);
        drop(database);
        assert!(
            scratch.files().iter().all(|name| !name.contains("-wal") && !name.contains("kept")),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_kept_as_it_was() {
    for mode in MODES {
        let scratch = shop(mode);
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        let mut bytes = std::fs::read(scratch.path()).expect("the file");
        bytes[4096..8192].fill(0xAA);
        crate::base::fs::write_durable(&scratch.path(), &bytes).expect("damaged");
        let database = SqliteDatabase::open(&scratch.path(), OpenOptions::default()).expect("named");
        let error = database.snapshot(&scratch.snapshot_folder("present"), &silent()).await.expect_err(mode);
        let place = scratch.path().display().to_string();
        assert!(matches!(&error, Error::Malformed { place: of, .. } if *of == place), "{mode}: {error:?}");
        let swapped = restore(&scratch, &database, (&folder, &taken)).await.expect(mode);
        let kept = swapped.kept.expect("kept");
        assert!(kept.contains("pre-restore-op"), "{kept}");
        assert_eq!(std::fs::read(kept).expect("the old one"), bytes, "{mode}");
        assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
    }
}

/// Lets an application end without closing its connections: its WAL stays.
fn killed(app: rusqlite::Connection) {
    std::mem::forget(app);
}

#[tokio::test]
async fn a_database_that_appears_in_an_empty_place_is_not_replaced() {
    let scratch = shop("delete");
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    let new = Scratch::new();
    let database = new.open();
    let staged = database.stage(&folder, &taken.inventory, "op", &silent()).await.expect("staged");
    assert!(staged.way.contains("new file"), "{}", staged.way);
    new.run("PRAGMA journal_mode = wal; CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
    let app = new.connect();
    app.execute_batch("INSERT INTO theirs VALUES (2)").expect("written");
    let error = database.swap(&staged, "op", &new.operation().script_log()).await.expect_err("refused");
    assert!(matches!(error, Error::WroteMeanwhile { .. }), "{error}");
    // As late as can be: when the new file is built already.
    let source = Path::new(&staged.place);
    let error = database.site.create_from(source, &staged, "op").expect_err("refused");
    assert!(matches!(error, Error::WroteMeanwhile { .. }), "{error}");
    app.execute_batch("INSERT INTO theirs VALUES (3)").expect("goes on");
    database.tidy("op", &std::collections::BTreeMap::new()).await.expect("tidied");
    drop((app, database));
    assert_eq!(new.ask("SELECT count(*) FROM theirs; PRAGMA integrity_check").await, "3\nok");
    assert_eq!(new.files(), ["app.db", "backups"]);
}

#[tokio::test]
async fn another_file_in_the_place_of_the_saved_one_is_not_overwritten() {
    let scratch = shop("delete");
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    let fork = scratch.folder().join("fork.db");
    std::fs::copy(scratch.path(), &fork).expect("a fork");
    // The same number of changes to both, so that their headers are the same.
    let write = |name: &str| scratch.run(&format!("INSERT INTO customer (name) VALUES ('{name}')"));
    write("here");
    let database = scratch.open();
    snapshot(&scratch, &database, "present").await;
    let header = |path: &Path| std::fs::read(path).expect("the file")[..100].to_vec();
    let before = header(&scratch.path());
    std::fs::rename(&fork, scratch.path()).expect("in its place");
    write("there");
    assert_eq!(header(&scratch.path()), before);
    let error = restore(&scratch, &database, (&folder, &taken)).await.expect_err("refused");
    assert!(matches!(error, Error::WroteMeanwhile { .. }), "{error}");
    assert_eq!(scratch.ask("SELECT name FROM customer WHERE id = 4").await, "there");
}

#[tokio::test]
async fn a_database_is_not_emptied_when_others_write_as_late_as_before_the_lock() {
    for mode in MODES {
        let scratch = Scratch::new();
        let options = OpenOptions { create: true, ..OpenOptions::default() };
        let database = scratch.open_with(options);
        let (folder, _) = snapshot(&scratch, &database, "one").await;
        let operation = scratch.operation();
        let change = script("aa", &["CREATE TABLE customer (name)"]);
        database.apply(&change, &book(), &operation.script_log()).await.expect("applied");
        let site = &database.site;
        let source = open_frozen(&folder.join("database.db"), &Cancel::new()).expect("the snapshot");
        let source = not_empty(source, &Cancel::new()).expect("a page");
        let restored = site.with_writer(|writer| {
            let guard = site.guard(writer, |_| Ok(false), ("op", &operation.script_log()))?;
            scratch.run(LATE);
            copy_into(&source, &mut writer.session, || {
                let app = scratch.connect();
                app.busy_timeout(Duration::ZERO).expect("no patience");
                app.execute_batch("BEGIN IMMEDIATE").expect_err("writers are held off");
                guard.act(site)
            })
        });
        let error = restored.expect_err(mode);
        assert!(matches!(error, Error::WroteMeanwhile { .. }), "{mode}: {error}");
        assert_eq!(scratch.ask("SELECT count(*) FROM customer").await, "1", "{mode}");
    }
}

#[tokio::test]
async fn an_empty_state_is_put_back_where_nobody_else_wrote() {
    let scratch = Scratch::new();
    let database = scratch.open_with(OpenOptions { create: true, ..OpenOptions::default() });
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    let operation = scratch.operation();
    let change = script("aa", &["CREATE TABLE customer (name)"]);
    database.apply(&change, &book(), &operation.script_log()).await.expect("applied");
    restore(&scratch, &database, (&folder, &taken)).await.expect("put back");
    assert_eq!(scratch.ask("SELECT count(*) FROM sqlite_schema; PRAGMA integrity_check").await, "0\nok");
}

#[tokio::test]
async fn a_state_that_was_kept_once_is_not_replaced_by_a_second_attempt() {
    let scratch = shop("delete");
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    let whole = std::fs::read(scratch.path()).expect("the file");
    let mut kept = Vec::new();
    // A page that makes no sense, twice; a header, twice.
    for (range, byte) in [(4096..8192, 0xA1), (4096..8192, 0xA2), (0..100, 0xA3), (0..100, 0xA4)] {
        let mut bytes = whole.clone();
        bytes[range].fill(byte);
        crate::base::fs::write_durable(&scratch.path(), &bytes).expect("damaged");
        let database = scratch.open();
        database.snapshot(&scratch.snapshot_folder(&format!("{byte}")), &silent()).await.expect_err("broken");
        let swapped = restore(&scratch, &database, (&folder, &taken)).await.expect("restored");
        kept.push((swapped.kept.expect("kept"), bytes));
    }
    for (place, bytes) in kept {
        assert!(std::fs::read(&place).expect("kept") == bytes, "{place}");
    }
    assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_replaced_and_kept() {
    for mode in MODES {
        let scratch = shop(mode);
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        let whole = std::fs::read(scratch.path()).expect("the file");
        crate::base::fs::write_durable(&scratch.path(), &whole[..9000]).expect("cut off");
        let database = scratch.open();
        database.snapshot(&scratch.snapshot_folder("present"), &silent()).await.expect_err(mode);
        let swapped = restore(&scratch, &database, (&folder, &taken)).await.expect(mode);
        let kept = swapped.kept.expect("kept");
        assert!(std::fs::read(kept).expect("the old one") == whole[..9000], "{mode}");
        assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
    }
}

#[tokio::test]
async fn a_header_that_only_the_wal_has_right_does_not_stop_a_restore() {
    let scratch = shop("wal");
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    let app = scratch.connect();
    app.execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE extra (a); INSERT INTO extra VALUES (7)")
        .expect("changed");
    let mut bytes = std::fs::read(scratch.path()).expect("the file");
    bytes[..100].fill(0x5A);
    // Into the same file: the application has it open.
    write_over(&scratch.path(), &bytes);
    let database = scratch.open();
    let (present, saved) = snapshot(&scratch, &database, "present").await;
    assert!(saved.inventory.fingerprint.tables.len() > taken.inventory.fingerprint.tables.len());
    restore(&scratch, &database, (&folder, &taken)).await.expect("restored");
    assert_eq!(scratch.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").await, "0");
    let extra = super::support::ask(&present.join("database.db"), "SELECT a FROM extra").await;
    assert_eq!(extra, "7");
    killed(app);
}

fn write_over(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
    file.write_all(bytes).expect("written");
    // Closing it would drop the locks that SQLite has on it in this process.
    std::mem::forget(file);
}

#[tokio::test]
async fn a_refused_restore_leaves_the_journal_mode_as_it_was() {
    let scratch = Scratch::with(&format!("PRAGMA page_size = 1024; {SHOP}"));
    let (folder, _) = snapshot(&scratch, &scratch.open(), "one").await;
    scratch.run("PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = wal");
    let database = scratch.open();
    snapshot(&scratch, &database, "present").await;
    let (site, operation) = (&database.site, scratch.operation());
    let source = open_frozen(&folder.join("database.db"), &Cancel::new()).expect("the snapshot");
    let refused = site.with_writer(|writer| {
        site.replace_pages(&source, writer, ("op", &operation.script_log()), |_| Err(Error::Interrupted))
    });
    assert!(matches!(refused, Err(Error::Interrupted)), "{refused:?}");
    drop(database);
    assert_eq!(scratch.ask("PRAGMA journal_mode").await, "wal");
}

#[tokio::test]
async fn the_wal_of_a_database_that_cannot_be_read_is_kept_with_it() {
    let scratch = shop("wal");
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    let app = scratch.connect();
    app.execute_batch(&format!("PRAGMA wal_autocheckpoint = 0; {LATE}")).expect("written");
    let mut bytes = std::fs::read(scratch.path()).expect("the file");
    // The table that nobody has written to since: its page is not in the WAL.
    let page = app.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'purchase'", [], |row| {
        row.get::<_, i64>(0)
    });
    let page = usize::try_from(page.expect("the table")).expect("a page");
    bytes[(page - 1) * 4096..page * 4096].fill(0xAA);
    write_over(&scratch.path(), &bytes);
    let wal = std::fs::read(scratch.folder().join("app.db-wal")).expect("its WAL");
    let database = scratch.open();
    database.snapshot(&scratch.snapshot_folder("present"), &silent()).await.expect_err("broken");
    let swapped = restore(&scratch, &database, (&folder, &taken)).await.expect("restored");
    let kept = swapped.kept.expect("kept");
    assert!(std::fs::read(&kept).expect("the old one") == bytes);
    assert!(std::fs::read(format!("{kept}-wal")).expect("its WAL") == wal);
    let late =
        super::support::ask(Path::new(&kept), "SELECT count(*) FROM customer WHERE name = 'late'").await;
    assert_eq!(late, "1");
    assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
    killed(app);
}
