//! A connection that breaks at the worst moment: while the server commits, or while clients are barred.

use crate::applying::{apply, insert, script};
use crate::bench::{Bench, OPERATION};
use crate::support::{Postgres, block_on};
use ripcord::engine::postgres::Options;
use ripcord::engine::{Database, Error};
use ripcord::report::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Stands between a client and the server, and can break what is connected.
struct Line {
    port: u16,
    cut: Arc<Notify>,
    /// Whether it takes no more connections.
    closed: Arc<AtomicBool>,
}

impl Line {
    async fn to(server: u16) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (cut, closed) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (broken, refused) = (Arc::clone(&cut), Arc::clone(&closed));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if refused.load(Ordering::SeqCst) {
                    continue;
                }
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server listens");
                let broken = Arc::clone(&broken);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        () = broken.notified() => {
                            // The server hears nothing of it, as when a cable is pulled.
                            std::mem::forget(server);
                        }
                    }
                });
            }
        });
        Line { port, cut, closed }
    }
}

/// A table whose transactions hang at their commit.
const SLOW_COMMIT: &str = "CREATE TABLE t (id integer);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION wait();";

const COMMITTING: &str = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active';";

/// Breaks the connection in the middle of a commit; returns what the engine says.
async fn broken_in_its_commit(bench: &Bench, closed: bool) -> Error {
    let line = Line::to(bench.server.tcp_port().expect("a port")).await;
    let url = format!("postgresql://app:app@127.0.0.1:{}/app", line.port);
    let database = bench.connect(&url, bench.options()).await.expect("connected");
    let insert = script("aaaa", insert("aaaa"), &["INSERT INTO t VALUES (1)"]);
    let mut applied = std::pin::pin!(apply(bench, &database, &insert));
    let committing = async {
        loop {
            // Not blocking: the engine's own answers are waited for meanwhile.
            let mut ask = tokio::process::Command::from(bench.server.client("psql", "postgres"));
            ask.args(["-X", "-q", "-A", "-t", "-d", "postgres", "-c", COMMITTING]);
            if ask.output().await.expect("psql runs").stdout == b"1\n" {
                break;
            }
        }
    };
    tokio::select! {
        ended = &mut applied => panic!("it ended before its commit: {ended:?}"),
        () = committing => {}
    }
    line.closed.store(closed, Ordering::SeqCst);
    line.cut.notify_waiters();
    applied.await.expect_err("the connection broke")
}

fn bench() -> Bench {
    let bench = Bench::on(Postgres::options().tcp().passwords().start());
    bench.server.psql_as("app", "app", SLOW_COMMIT);
    bench
}

#[test]
fn a_commit_that_is_reported_as_failed_never_comes_later() {
    let bench = bench();
    block_on(async {
        let error = broken_in_its_commit(&bench, false).await;
        assert!(!matches!(error, Error::Undecided { .. }), "{error}");
        assert_eq!(bench.server.psql("postgres", COMMITTING).trim(), "0");
        assert_eq!(bench.server.psql("app", "SELECT count(*) FROM t;").trim(), "0");
    });
}

#[test]
fn a_commit_that_nobody_can_be_asked_about_is_not_reported_as_failed() {
    let bench = bench();
    block_on(async {
        let error = broken_in_its_commit(&bench, true).await;
        assert!(matches!(error, Error::Undecided { .. }), "{error}");
    });
}

#[test]
fn clients_are_let_in_again_when_the_connection_breaks_while_they_are_barred() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let bench = Bench::on(options.tcp().passwords().start());
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer); INSERT INTO t VALUES (1);");
    block_on(async {
        let line = Line::to(bench.server.tcp_port().expect("a port")).await;
        let url = format!("postgresql://app:app@127.0.0.1:{}/app", line.port);
        let options = Options { lock_timeout: Duration::from_secs(120), ..bench.options() };
        let database = bench.connect(&url, options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let staged = database.stage(&folder, &taken.inventory, OPERATION, &Progress::silent()).await;
        let staged = staged.expect("staged");
        // The renaming waits for this, with the door shut.
        let mut other = bench.server.session("postgres");
        other.execute("BEGIN; COMMENT ON DATABASE app IS 'not committed yet';");
        let operation = bench.operation(OPERATION);
        let swapping = tokio::spawn(async move {
            let log = operation.script_log();
            database.swap(&staged, OPERATION, &log).await
        });
        bench.server.wait_for_log("still waiting for AccessExclusiveLock");
        line.cut.notify_waiters();
        let error = swapping.await.expect("no panic").expect_err("the connection broke");
        assert!(matches!(&error, Error::NotBegun { .. }), "{error}");
        // Nobody goes on with the renaming as soon as he can.
        other.execute("COMMIT;");
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ripcord:%' AND xact_start IS NOT NULL;";
        assert_eq!(bench.server.ends_with(left, "0"), "0");
        assert_eq!(bench.server.psql_as("app", "app", "SELECT id FROM t;").trim(), "1");
    });
}
