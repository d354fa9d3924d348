//! Snapshots of WAL databases while others write, checkpoint and begin the WAL anew.

use super::super::session::{Session, open_frozen};
use super::super::view::View;
use super::super::wal::{Frames, Overlay};
use super::super::{OpenOptions, SqliteDatabase};
use super::support::{SHOP, Scratch, ask, silent, snapshot};
use crate::base::{Cancel, Tool};
use crate::engine::Database;
use proptest::prelude::*;
use rusqlite::Connection;
use std::fmt::Write;
use std::path::Path;

/// Every transaction keeps the sum at 0 and the number of rows even, and grows the file.
const LEDGER: &str =
    "PRAGMA journal_mode = wal; CREATE TABLE ledger (id INTEGER PRIMARY KEY, amount INT, note TEXT);
    CREATE INDEX ledger_amount ON ledger (amount); INSERT INTO ledger (amount) VALUES (5), (-5);";

/// Many transactions for another process, with checkpoints in between.
fn transactions(count: u32) -> String {
    let mut sql = String::from("PRAGMA wal_autocheckpoint = 7;\n");
    for number in 1..=count {
        let _ = writeln!(
            sql,
            "BEGIN IMMEDIATE; INSERT INTO ledger (amount, note) VALUES ({number}, hex(randomblob(700))), (-{number}, '');
            UPDATE ledger SET amount = amount + 1 WHERE id = 1; UPDATE ledger SET amount = amount - 1 WHERE id = 2; COMMIT;"
        );
        if number % 50 == 0 {
            sql.push_str("PRAGMA wal_checkpoint(RESTART);\n");
        }
    }
    sql
}

async fn is_one_instant(copy: &Path) -> bool {
    let seen = ask(copy, "SELECT sum(amount), count(*) % 2 FROM ledger; PRAGMA integrity_check").await;
    seen == "0|0\nok"
}

#[tokio::test]
async fn snapshots_beside_a_process_that_writes_are_each_of_one_instant_and_proven() {
    let scratch = Scratch::with(LEDGER);
    let database = scratch.open_with(OpenOptions { workers: 3, ..OpenOptions::default() });
    let writer = Tool::new("sqlite3").arg("-bail").arg(scratch.path()).arg("-cmd").arg(".timeout 20000");
    let writer = writer.stdin(transactions(1500));
    let cancel = Cancel::new();
    let writing = writer.run(&cancel);
    let snapshots = async {
        let mut seen = Vec::new();
        for number in 0..12 {
            let (folder, taken) = snapshot(&scratch, &database, &format!("snapshot {number}")).await;
            let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
            assert_eq!(proof.differences, [""; 0], "snapshot {number}, {}", taken.method);
            assert!(is_one_instant(&folder.join("database.db")).await, "snapshot {number}");
            seen.push(taken.inventory.fingerprint.rows());
        }
        seen
    };
    let (written, seen) = tokio::join!(writing, snapshots);
    written.expect("the writer ends well");
    assert!(seen.is_sorted(), "time goes forward: {seen:?}");
    let (_, taken) = snapshot(&scratch, &database, "the last").await;
    assert_eq!(taken.method, "sqlite page copy with WAL");
    assert_eq!(scratch.ask("SELECT count(*) FROM ledger").await, "3002", "nobody lost a write");
}

/// What SQLite's own backup makes of the same view, where the pages could not be told.
#[tokio::test]
async fn the_backup_api_ends_although_another_process_writes_all_the_time() {
    let scratch = Scratch::with(LEDGER);
    let database = scratch.open();
    let writer = Tool::new("sqlite3").arg("-bail").arg(scratch.path()).arg("-cmd").arg(".timeout 20000");
    let writer = writer.stdin(transactions(600));
    let cancel = Cancel::new();
    let writing = writer.run(&cancel);
    let copying = async {
        for number in 0..6 {
            let target = scratch.folder().join(format!("copy {number}"));
            let made = target.clone();
            let method = database.blocking(move |site| {
                let view = View::of_live(site, 1)?;
                site.copy_wal(view.first(), None, &made, &silent())
            });
            assert_eq!(method.await.expect("a copy").method, "sqlite backup api");
            assert!(is_one_instant(&target).await, "copy {number}");
        }
    };
    let (written, ()) = tokio::join!(writing, copying);
    written.expect("the writer ends well");
}

/// A view of the database, and the sum of what it sees.
fn view_of(database: &SqliteDatabase) -> View {
    View::of_live(&database.site, 1).expect("a view")
}

fn overlay_of(view: &View) -> Overlay<'_> {
    let frames = Frames::find(view.first(), view.wal().expect("a state")).expect("read").expect("ordinary");
    Overlay::of(view.first(), frames).expect("opens")
}

fn count(session: &Connection) -> i64 {
    session.query_row("SELECT count(*) FROM customer", [], |row| row.get(0)).expect("a count")
}

fn written_out(overlay: &Overlay<'_>, target: &Path) -> Session {
    let mut bytes = vec![0; usize::try_from(overlay.size()).expect("small")];
    overlay.read(&mut bytes, 0).expect("read");
    crate::base::fs::write_durable(target, &bytes).expect("written");
    open_frozen(target, &Cancel::new()).expect("opens")
}

#[test]
fn frames_that_a_view_needs_stay_while_others_write_and_checkpoint() {
    let scratch = Scratch::with(&format!("PRAGMA journal_mode = wal; {SHOP}"));
    let app = scratch.connect();
    app.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO customer (name) VALUES ('in the WAL')")
        .expect("written");
    let database = scratch.open();
    let view = view_of(&database);
    let overlay = overlay_of(&view);
    app.execute_batch("INSERT INTO customer (name) VALUES ('later'); PRAGMA wal_checkpoint(PASSIVE);")
        .expect("written");
    app.execute_batch("INSERT INTO customer (name) VALUES ('later still')").expect("written");
    assert!(overlay.held());
    let copy = written_out(&overlay, &scratch.folder().join("copy"));
    assert_eq!((count(&copy), count(view.first()), count(&app)), (4, 4, 6));
}

#[test]
fn a_wal_that_is_begun_anew_under_a_view_is_noticed_and_the_file_alone_is_right() {
    let scratch = Scratch::with(&format!("PRAGMA journal_mode = wal; {SHOP}"));
    let app = scratch.connect();
    app.execute_batch("INSERT INTO customer (name) VALUES ('x'); PRAGMA wal_checkpoint(FULL)")
        .expect("in the file");
    let database = scratch.open();
    let view = view_of(&database);
    let overlay = overlay_of(&view);
    assert!(overlay.held());
    app.execute_batch("INSERT INTO customer (name) VALUES ('over the first frames')")
        .expect("the WAL begins anew");
    app.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("asked for");
    assert!(!overlay.held());
    let copy = written_out(&overlay.without_frames(), &scratch.folder().join("copy"));
    assert_eq!((count(&copy), count(view.first()), count(&app)), (4, 4, 5));
}

/// What an application may do between two snapshots.
const MOVES: [&str; 7] = [
    "INSERT INTO ledger (amount, note) VALUES (1, hex(randomblob(3000))), (-1, 'x')",
    "UPDATE ledger SET note = hex(randomblob(900)) WHERE id % 3 = 0",
    "DELETE FROM ledger WHERE id > 20",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "VACUUM",
    "CREATE TABLE IF NOT EXISTS more (a); INSERT INTO more SELECT zeroblob(6000) FROM ledger LIMIT 5",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_copy_is_what_the_view_sees_whatever_happened_before_and_meanwhile(
        before in proptest::collection::vec(0..MOVES.len(), 0..8),
        meanwhile in proptest::collection::vec(0..4usize, 0..5),
        page_size in prop_oneof![Just(512), Just(4096), Just(65536)],
    ) {
        let scratch = Scratch::with(&format!("PRAGMA page_size = {page_size}; {LEDGER}"));
        let app = scratch.connect();
        app.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("no checkpoints");
        before.iter().for_each(|step| app.execute_batch(MOVES[*step]).expect("a move"));
        let database = scratch.open();
        let view = view_of(&database);
        let everything = "SELECT group_concat(id || ':' || amount || ':' || coalesce(note, '-'), ',') FROM ledger";
        let see = |session: &Connection| -> Option<String> { session.query_row(everything, [], |row| row.get(0)).expect("seen") };
        let seen = see(view.first());
        let overlay = overlay_of(&view);
        meanwhile.iter().for_each(|step| app.execute_batch(MOVES[*step]).expect("a move"));
        let overlay = if overlay.held() { overlay } else { overlay.without_frames() };
        let copy = written_out(&overlay, &scratch.folder().join("copy"));
        prop_assert_eq!(see(&copy), seen);
        let verdict: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        prop_assert_eq!(verdict, "ok");
    }
}
