//! What others wrote after the present state was saved is never overwritten, and what cannot be read is kept.

use super::super::session::open_frozen;
use super::super::swap::copy_into;
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
