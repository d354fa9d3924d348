//! A story for tests: one upgrade, line by line, as its journal tells it.

use super::{Entry, Line};
use crate::catalog::{DatabaseId, EngineKind};
use crate::history::{Direction, RevisionId};
use crate::report::{Aftermath, Kind, Step};

pub(super) const OPERATION: &str = "20261123T181500Z-upgrade-5f2c";

pub(super) fn revision() -> RevisionId {
    "5f2c81d0a3be".try_into().expect("a revision")
}

pub(super) fn database(name: &str) -> DatabaseId {
    DatabaseId {
        engine: EngineKind::Sqlite,
        place: format!("/srv/app/{name}"),
        name: name.to_string(),
        system: None,
    }
}

pub(super) fn begun(operation: &str, database: DatabaseId) -> Entry {
    Entry::Begun {
        operation: operation.to_string(),
        kind: Kind::Upgrade,
        database,
        direction: Some(Direction::Up),
        target: Some("head".to_string()),
        from: vec!["1975ea83b712".try_into().expect("a revision")],
        to: vec![revision()],
        who: "zoë@wörkshop".to_string(),
        process: 4242,
        version: "0.1.0".to_string(),
    }
}

/// Returns every line of the story.
pub(super) fn story() -> Vec<Entry> {
    let sha256 = crate::base::hash::sha256_hex("CREATE INDEX CONCURRENTLY …");
    vec![
        begun(OPERATION, database("database.db")),
        Entry::Started { step: Step::Snapshot },
        Entry::Finished { step: Step::Snapshot, facts: "2 tables, 1000 rows".to_string() },
        Entry::Started { step: Step::Publish },
        Entry::Published { backup: OPERATION.to_string() },
        Entry::Finished { step: Step::Publish, facts: String::new() },
        Entry::Started { step: Step::Migrate },
        Entry::Fact { name: "mark".to_string(), value: "17".to_string() },
        Entry::ScriptStarted { revision: revision(), direction: Direction::Up },
        Entry::StatementStarted { revision: revision(), index: 0, sha256 },
        Entry::StatementFinished { revision: revision(), index: 0 },
        Entry::ScriptFinished { revision: revision(), rows: vec![revision()] },
        Entry::Failed { step: Step::Migrate, error: "table café is gone".to_string() },
        Entry::Ended { aftermath: Aftermath::PutBack, error: "table café is gone".to_string() },
    ]
}

/// Returns the lines of entries that came one second after another.
pub(super) fn lines(entries: Vec<Entry>) -> Vec<Line> {
    let first: chrono::DateTime<chrono::Utc> = "2026-11-23T18:15:00Z".parse().expect("a time");
    let line = |(second, entry)| Line { at: first + chrono::TimeDelta::seconds(second), entry };
    (0..).zip(entries).map(line).collect()
}
