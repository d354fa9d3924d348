//! Servers and programs of different versions: what fits, what is refused, and what a newer program does to an older
//! server. `scripts/test` brings the versions.

use crate::bench::{Bench, OPERATION};
use crate::rich;
use crate::support::{Installation, Postgres, block_on};
use ripcord::engine::postgres::Options;
use ripcord::engine::{Database, Error};
use ripcord::report::Progress;

/// The oldest and the newest version on this machine.
fn versions() -> (Installation, Installation) {
    let mut all = Installation::all();
    assert!(all.len() > 1, "only one PostgreSQL is installed: run scripts/test");
    let newest = all.pop().expect("two versions");
    (all.swap_remove(0), newest)
}

fn on(installation: Installation) -> Bench {
    Bench::on(Postgres::options().installation(installation).start())
}

#[test]
fn newer_programs_prove_and_restore_a_database_of_an_older_server() {
    let (old, new) = versions();
    let bench = on(old);
    bench.server.psql("app", rich::AROUND);
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    block_on(async {
        let options = Options { tools_path: vec![new.bin_dir], ..bench.options() };
        let database =
            bench.connect(&bench.server.url_as("postgres", "app"), options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let operation = bench.operation(OPERATION);
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
    });
}

#[test]
fn programs_older_than_the_server_are_refused_before_anything_begins() {
    let (old, new) = versions();
    let bench = on(new);
    block_on(async {
        let options = Options { tools_path: vec![old.bin_dir], ..bench.options() };
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let folder = bench.snapshot_folder("snapshot");
        let error = database.snapshot(&folder, &Progress::silent()).await.expect_err("refused");
        assert!(matches!(error, Error::ToolTooOld { .. }), "{error}");
    });
}

#[test]
fn a_snapshot_of_an_older_server_comes_back_on_a_newer_one() {
    let (old, new) = versions();
    let (bench, newer) = (on(old), on(new));
    bench.server.psql_as("app", "app", rich::OBJECTS.replace("reader", "app").as_str());
    bench.server.psql_as("app", "app", rich::ROWS);
    bench.server.psql_as("app", "app", "UPDATE customer SET doc = NULL;"); // the newer one is built without XML
    let fill = "CREATE TABLE t (id serial PRIMARY KEY, v numeric, at timestamptz, f float8);
        INSERT INTO t (v, at, f) SELECT g / 7.0, now(), g / 7.0 FROM generate_series(1, 1000) g;";
    bench.server.psql_as("app", "app", fill);
    block_on(async {
        let taken = bench.snapshot(&bench.database().await, "snapshot").await;
        let other = newer.connect(&newer.server.url("fresh"), newer.options()).await.expect("connected");
        let staged = bench.stage(&other, &taken, "snapshot").await;
        assert_eq!(staged.differences, Vec::<String>::new());
    });
}
