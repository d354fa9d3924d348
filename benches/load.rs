//! Compressed CSV into a table, beside the usual pipe out of gunzip.

use crate::Setup;
use crate::data;
use crate::race::{Contestant, race};
use crate::sqlite::runtime;
use ripcord::catalog::TableName;
use ripcord::report::Progress;
use std::process::Command;

/// `training_metric` of PostgreSQL, with its key, its index and its foreign key, from what ripcord exported of it.
pub fn postgres(setup: &Setup) {
    let runtime = runtime();
    let source = crate::postgres::filled(setup);
    let database = crate::postgres::connect(&runtime, &source, &setup.folder);
    let table = TableName::qualified("public", "training_metric");
    let file = crate::export::exported(&setup.folder.join("exports"), &database, "public.training_metric");
    let pipe = format!(
        "gunzip -c '{}' | '{}' -X -q -d '{}' -c '\\copy training_metric from stdin csv header'",
        file.display(),
        source.server().bin_dir().join("psql").display(),
        source.url()
    );
    let columns: usize = 8;
    let empty = || {
        source.server().psql("app", "TRUNCATE training_metric; CHECKPOINT");
    };
    race(
        &format!("CSV.gz to a PostgreSQL table, {} rows", data::rows(setup.megabytes)),
        setup.rounds,
        vec![
            Contestant::new("gunzip | psql \\copy", || {
                assert!(Command::new("sh").args(["-c", &pipe]).status().expect("sh runs").success());
            })
            .prepared(empty),
            Contestant::new("ripcord", || {
                let rows = ripcord::tabular::csv_gz(&file, columns);
                let loaded = runtime.block_on(database.load_only(&table, rows, &Progress::silent()));
                assert_eq!(loaded.expect("loaded"), data::rows(setup.megabytes));
            })
            .prepared(empty),
        ],
    );
}
