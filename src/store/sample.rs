//! A backup for tests: a few small files and their manifest.

use super::{Backup, BackupStore, Draft, Manifest, ProofFacts};
use crate::base::fs;
use crate::catalog::{DatabaseId, EngineKind};
use crate::fingerprint::Fingerprint;
use crate::report::Kind;
use crate::report::Progress;
use std::collections::BTreeMap;

/// The dump of the sample backup.
pub(crate) const DUMP: &str = "snapshot/database.db";

/// Returns a manifest without artifacts.
pub(crate) fn manifest(id: &str) -> Manifest {
    Manifest {
        format: super::FORMAT,
        id: id.to_string(),
        kind: Kind::Upgrade,
        created: "2026-11-23T18:15:00Z".parse().expect("a time"),
        ripcord: "0.1.0".to_string(),
        database: DatabaseId {
            engine: EngineKind::Sqlite,
            place: "/srv/app/database.db".to_string(),
            name: "database.db".to_string(),
            system: None,
        },
        engine_version: "3.51.3".to_string(),
        from: vec!["1975ea83b712".try_into().expect("a revision")],
        to: vec!["5f2c81d0a3be".try_into().expect("a revision")],
        method: "sqlite page copy".to_string(),
        tools: Vec::new(),
        facts: BTreeMap::new(),
        proof: ProofFacts {
            level: "full".to_string(),
            proven: true,
            method: "opened as a database, every row compared".to_string(),
            tables: 2,
            rows: 1000,
        },
        artifacts: Vec::new(),
        fingerprint: Fingerprint::new(),
        catalog_sha256: crate::base::hash::sha256_hex("catalog"),
        accepted: Vec::new(),
        previous: None,
    }
}

/// Writes the files of a backup into a draft.
pub(crate) fn fill(draft: &Draft) {
    for (path, bytes) in [
        (DUMP, b"all the rows".as_slice()),
        ("snapshot/blobs.dat", b"large objects"),
        ("before.json", b"{}"),
        ("RUNBOOK.md", b"# What to do"),
    ] {
        fs::write_durable(&draft.folder.join(path), bytes).expect("written");
    }
}

/// Publishes a whole backup.
pub(crate) async fn published(store: &dyn BackupStore, id: &str) -> Backup {
    let draft = store.draft(id).await.expect("a draft");
    fill(&draft);
    store.publish(draft, manifest(id), &Progress::silent()).await.expect("published")
}
