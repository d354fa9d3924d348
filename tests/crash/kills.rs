//! SIGKILL where no checkpoint is: while a tool hangs half-way, and in the middle of a statement.

use std::time::{Duration, Instant};

use crate::procedures::{by_single_statements, moved_on_at};
use crate::story::{Death, Ends, Story};
use crate::support::scene::{Scene, filled, filled_at};
use crate::support::*;

/// Longer than anything here takes to begin, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

mod sqlite {
    use super::*;

    #[test]
    fn a_kill_in_the_middle_of_a_statement_leaves_the_database_as_it_was() {
        let db = TestDatabase::sqlite();
        let scene = filled(&db);
        scene.sandbox.ripcord(&["upgrade"]).expect_code(0);
        let endless =
            "CREATE TABLE numbers AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
SELECT i, hex(randomblob(1000)) AS text FROM n LIMIT 100000000;";
        scene.sandbox.add(&revision("DELETE FROM training_metric;", endless));
        scene.keep();
        let before = scene.content();

        // A rehearsal would not come to an end either.
        let command = ["upgrade", "--no-rehearsal", "--accept", "opaque"];
        let running = scene.sandbox.spawn(&command);
        // More than SQLite keeps in memory: the file is half written, and its journal is what saves it.
        until(|| db.file().metadata().is_ok_and(|file| file.len() > 8 << 20));
        let story = Story { next: (vec!["backup", "create"], 0), ..Story::new(scene, &command) };
        story.is_held_to(killed(running), Ends::nothing_changed(before));
    }
}

mod postgres {
    use super::*;

    #[test]
    fn a_kill_while_pg_dump_hangs_half_way_leaves_nothing() {
        let db = with_passwords();
        let scene = filled_at(&db, &url(&db));
        scene.keep();
        let half = r#""$REAL" "$@" 2>/dev/null; for word in "$@"; do rm -f "$word/toc.dat"; done"#;
        killed_while_hanging(Story::new(scene, &["upgrade"]), "pg_dump", half);
    }

    #[test]
    fn a_kill_while_the_proof_hangs_half_way_leaves_nothing() {
        let db = with_passwords();
        let scene = filled_at(&db, &url(&db));
        scene.keep();
        killed_while_hanging(
            Story::new(scene, &["backup", "create"]),
            "pg_restore",
            r#""$REAL" "$@" 2>/dev/null"#,
        );
    }

    #[test]
    fn a_kill_while_a_restore_hangs_half_way_leaves_the_live_database_alone() {
        let db = with_passwords();
        let scene = moved_on_at(&db, &url(&db)).without_proof();
        scene.keep();
        killed_while_hanging(
            Story::new(scene, &["restore", "backup"]),
            "pg_restore",
            r#""$REAL" "$@" 2>/dev/null"#,
        );
    }

    #[test]
    fn a_kill_while_a_restore_in_place_hangs_half_way_leaves_the_live_database_as_it_was() {
        let db = with_passwords();
        let scene = moved_on_at(&db, &url(&db)).without_proof();
        scene.server("ALTER ROLE app NOCREATEDB;");
        scene.keep();
        // Everything is dropped and nothing is there instead; the transaction stays open although its client is killed.
        let half = r#"case "$*" in *drop.sql*) ;; *) exec "$REAL" "$@";; esac
for word in "$@"; do case "$word" in *drop.sql) drops=$word;; esac; done
"$REAL" -X -q -w -1 -o /dev/null -f "$drops" -c "SELECT pg_sleep(3600)" >/dev/null 2>&1 &"#;
        let story = Story { readable: false, ..Story::new(scene, &["restore", "backup"]) };
        let ends = story.ends();
        story.scene.reset();
        let mut tool = story.scene.sandbox.tool_that_hangs_after("psql", half);
        let running = story.scene.spawn(&story.command);
        tool.wait_until_it_hangs();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(3600)';";
        until(|| story.scene.server(sleeps) == "1\n");
        let death = killed(running);
        story.scene.sandbox.real_tool_again("psql");
        story.is_held_to(death, ends);
    }

    /// Kills an upgrade that waits for a lock in its second statement; nothing may be changed then.
    fn dies_waiting_in_an_upgrade(db: &TestDatabase, scene: Scene) {
        scene.keep();
        let before = scene.content();
        let mut other = db.session();
        other.execute("BEGIN; LOCK TABLE training_config IN SHARE MODE;");
        let running = scene.sandbox.spawn(&["upgrade"]);
        until(|| !waiting(&scene).is_empty());
        let death = killed(running);
        let story = Story { next: (vec!["backup", "create"], 0), ..Story::new(scene, &["upgrade"]) };
        story.is_held_to(death, Ends::nothing_changed(before));
    }

    #[test]
    fn a_kill_in_the_middle_of_a_statement_leaves_the_database_as_it_was() {
        let db = TestDatabase::postgres();
        let scene = waiting_for_locks(&db);
        scene
            .sandbox
            .add(&revision("DELETE FROM training_metric;", "UPDATE training_config SET epochs = 0;"));
        dies_waiting_in_an_upgrade(&db, scene);
    }

    /// The server goes on with a statement whose client was killed, and commits it when it stands by itself.
    #[test]
    fn a_statement_by_itself_that_outlived_a_kill_is_stopped_before_anything_is_decided() {
        let db = TestDatabase::postgres();
        let scene = waiting_for_locks(&db);
        scene.sandbox.add(&by_single_statements());
        dies_waiting_in_an_upgrade(&db, scene);
    }

    #[test]
    fn a_recovery_that_is_killed_in_a_statement_leaves_no_session_to_the_next_one() {
        let db = TestDatabase::postgres();
        let scene = filled(&db);
        scene.sandbox.write("ripcord.toml", PATIENT);
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        let mut other = db.session();
        other.execute("BEGIN; LOCK TABLE training_config IN SHARE MODE;");
        let mut last = String::new();
        for command in [["upgrade"], ["recover"], ["recover"]] {
            let running = scene.sandbox.spawn(&command);
            // Its own statement and no other waits for the lock: the one from before is gone.
            until(|| ![String::new(), last.clone()].contains(&waiting(&scene)));
            last = waiting(&scene);
            assert_eq!(last.lines().count(), 1, "{last}");
            drop(killed(running));
        }
        drop(other);
        scene.sandbox.ripcord(&["recover"]).expect_code(0);
        assert_eq!(db.version(), UPPER_CASE_MODEL_TYPE);
        crate::support::leftovers::nothing_is_left(&scene);
    }
}

/// Waits for a lock as long as it takes.
const PATIENT: &str = "[database]\nlock_timeout = \"60min\"\n";

fn waiting_for_locks(db: &TestDatabase) -> Scene<'_> {
    let scene = filled(db);
    scene.sandbox.ripcord(&["upgrade"]).expect_code(0);
    scene.sandbox.write("ripcord.toml", PATIENT);
    scene
}

/// The sessions of ripcord that wait for a lock.
fn waiting(scene: &Scene) -> String {
    scene.server(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'ripcord%' ORDER BY 1;",
    )
}

/// One more revision, of two statements.
fn revision(first: &str, second: &str) -> Revision {
    let statements = format!("{first}\n{second}");
    Revision::new("d0e1f2a3b4c5")
        .revises(ADD_PROCESS_RANK)
        .directive("accept", "deletes-rows:training_metric \"they are measured anew\"")
        .directive("accept", "overwrites-values:training_config.epochs \"the count was wrong\"")
        .directive("accept", "opaque \"it is tried elsewhere\"")
        .upgrade(&statements)
        .downgrade("SELECT 1;")
}

fn with_passwords() -> TestDatabase {
    TestDatabase::postgres_server(Postgres::options().passwords().start())
}

fn url(db: &TestDatabase) -> String {
    db.server().url_with_password("app", "app", "app")
}

/// Kills the procedure while a tool of it hangs, and holds what is left to the promises.
fn killed_while_hanging(story: Story, tool: &str, half: &str) {
    let ends = story.ends();
    story.scene.reset();
    let mut hanging = story.scene.sandbox.tool_that_hangs_after(tool, half);
    let running = story.scene.spawn(&story.command);
    hanging.wait_until_it_hangs();
    let death = killed(running);
    // It would go on writing.
    until(|| !hanging.is_running());
    story.scene.sandbox.real_tool_again(tool);
    story.is_held_to(death, ends);
}

fn killed(running: Running) -> Death {
    running.signal(Signal::KILL);
    let run = running.wait();
    run.expect_code(-9);
    Death { number: 1, run }
}

/// Looks until it is so.
fn until(mut it_is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !it_is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came to that");
        std::thread::yield_now();
    }
}
