//! Snapshots are of one instant, come back the same, and hold nothing afterwards.

use crate::bench::{Bench, OPERATION};
use crate::rich;
use crate::support::block_on;
use ripcord::catalog::TableName;
use ripcord::engine::{Database, ProofLevel};
use ripcord::report::Progress;

fn rich() -> Bench {
    let bench = Bench::start();
    bench.server.psql("app", rich::AROUND);
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    bench
}

#[test]
fn a_database_with_one_of_everything_is_proven_to_come_back() {
    let bench = rich();
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let customer = &taken.inventory.fingerprint.tables[&TableName::qualified("public", "customer")];
        assert_eq!((customer.rows, customer.key.as_slice()), (503, ["id".to_string()].as_slice()));
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        assert_eq!((proof.level, proof.rows > 1000), (ProofLevel::Full, true));
        assert_eq!(bench.server.databases(), ["app", "postgres"], "no scratch database stays");
    });
}
