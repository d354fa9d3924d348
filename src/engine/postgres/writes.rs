//! Whether anybody else wrote: by the numbers that the server gives to transactions that write.
//!
//! The numbers are of the whole cluster, so they can prove that nobody wrote, and cannot prove that somebody wrote to
//! this database: where a stranger's transaction was committed, the answer is that it cannot be told.
//!
//! A proof on the same server takes many numbers itself. So, just before the first script writes, this database is
//! looked at once more: where no row is newer than the mark, no row is missing, and neither the catalog nor a sequence
//! has changed, nobody wrote to it up to then, and the mark is moved to that moment.

use super::session::{Purpose, Session};
use super::{PostgresDatabase, catalog, fingerprint, names};
use crate::base::{self, one_or_more};
use crate::catalog::TableName;
use crate::engine::{Error, OtherWrites, WriteMark};
use crate::fingerprint::{Digest, Inventory};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// How many numbers are looked at one by one; after more than these somebody surely wrote somewhere.
pub(super) const LOOKED_AT: u64 = 20_000;
const DOING: &str = "looking at the server's transactions";

/// What a mark holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    /// A number that was given to us: every later transaction has a greater one.
    pub(super) number: u64,
    /// Transactions that had a number and had not ended.
    pub(super) running: Vec<u64>,
}

impl Mark {
    /// Returns the condition that a row may have been written after the mark.
    pub(super) fn newer(&self) -> String {
        // A transaction that was open at the mark has a smaller number, and so have the parts of it that savepoints
        // divide it into, which no snapshot lists: what is as young as the oldest of them may be newer than the mark.
        let oldest = self.running.iter().fold(self.number, |oldest, running| oldest.min(*running));
        let oldest = names::literal(&(oldest % (1 << 32)).to_string());
        format!("pg_catalog.age(xmin) <= pg_catalog.age({oldest}::pg_catalog.xid)")
    }
}

/// What is known between a mark and the question.
#[derive(Default)]
pub(super) struct Watch {
    mark: Option<Mark>,
    taken: Option<Arc<Seen>>,
    /// Up to this later mark nobody wrote; or why that cannot be told.
    moved: Option<Result<Mark, String>>,
    /// What the last snapshot saw, until a script of ours writes: what a restore is going to replace.
    pub(super) present: Option<Arc<Present>>,
    /// Up to where it is proven that nobody wrote, when what is going to be replaced was saved by nobody.
    guard: Option<Arc<Before>>,
}

/// The state that the last snapshot saved.
pub(super) struct Present {
    pub(super) seen: Arc<Seen>,
    /// Where the server stood just before, if it can be told (a standby gives no numbers).
    pub(super) before: Option<Before>,
}

/// Where the server stood at a moment.
pub(super) struct Before {
    pub(super) mark: Mark,
    /// The rows ever written to users' tables, as far as the server had counted.
    counted: u64,
}

/// What a snapshot saw, as far as a second look needs it.
pub(super) struct Seen {
    pub(super) rows: BTreeMap<TableName, u64>,
    pub(super) digests: BTreeMap<TableName, Digest>,
    sequences: BTreeMap<String, i64>,
    catalog: String,
}

impl PostgresDatabase {
    pub(super) async fn mark_writes(&self) -> Result<WriteMark, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let mark = self.look(&mut session).await;
        session.give_back().await;
        let mark = mark?;
        *self.watch() = Watch { mark: Some(mark.clone()), ..Watch::default() };
        let text = serde_json::to_string(&mark);
        text.map(WriteMark)
            .map_err(|error| Error::Driver { doing: DOING.to_string(), detail: error.to_string() })
    }

    pub(super) async fn writes_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        let Ok(before) = serde_json::from_str::<Mark>(&mark.0) else {
            return Ok(OtherWrites::Unknown("the mark cannot be read".to_string()));
        };
        let moved = {
            let watch = self.watch();
            let same = watch.mark.as_ref().is_some_and(|mark| mark.number == before.number);
            if same { watch.moved.clone() } else { None }
        };
        let before = match moved {
            Some(Ok(later)) => later,
            Some(Err(reason)) => return Ok(OtherWrites::Unknown(reason)),
            None => before,
        };
        self.compare_beside(&before).await
    }

    /// Remembers what a snapshot saw, for the look before the first script.
    pub(super) fn remember_taken(&self, inventory: &Inventory, before: Option<Before>) {
        let fingerprint = &inventory.fingerprint;
        let seen = Arc::new(Seen {
            rows: fingerprint.tables.iter().map(|(name, table)| (name.clone(), table.rows)).collect(),
            digests: fingerprint.tables.iter().map(|(name, table)| (name.clone(), table.digest)).collect(),
            sequences: fingerprint.sequences.clone(),
            catalog: inventory.catalog.sha256(),
        });
        let mut watch = self.watch();
        watch.taken = Some(Arc::clone(&seen));
        watch.present = Some(Arc::new(Present { seen, before }));
    }

    /// Notes where the server stands before a snapshot.
    pub(super) async fn before_snapshot(&self) -> Result<Before, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let looked = async {
            let mark = self.look(&mut session).await?;
            Ok(Before { mark, counted: counted(&mut session).await? })
        };
        let looked = looked.await;
        session.give_back().await;
        looked
    }

    /// Notes where the server stands before the database is looked at, for what relies on that look; nothing where it gives no numbers.
    pub(super) async fn note_look(&self) {
        let looked = async {
            let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
            let mark = self.look(&mut session).await;
            session.give_back().await;
            mark
        };
        let mark = looked.await.ok();
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// Tells whether no row of a table may have been written after that, as its own session sees it.
    pub(super) async fn is_as_looked_at(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> Result<bool, Error> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mark) = looked else { return Ok(false) };
        let sql = format!("SELECT EXISTS (SELECT FROM ONLY {} WHERE {})", table.sql(), mark.newer());
        Ok(session.value(DOING, &sql).await?.as_deref() == Some("f"))
    }

    /// Returns what the last snapshot saved, unless a script of ours has written since.
    pub(super) fn present(&self) -> Option<Arc<Present>> {
        self.watch().present.clone()
    }

    /// Moves the mark to this moment, if nobody wrote up to it. Called before a script writes; looks once.
    pub(super) async fn move_mark(&self) -> Result<(), Error> {
        let (mark, taken) = {
            let mut watch = self.watch();
            watch.present = None;
            match (&watch.mark, &watch.moved) {
                (Some(mark), None) => (mark.clone(), watch.taken.take()),
                _ => return Ok(()),
            }
        };
        let mut session = self.reading_session().await?;
        let now = self.look(&mut session).await?;
        let moved = match self.compare(&mut session, &mark).await? {
            OtherWrites::Nobody => Ok(now),
            OtherWrites::Somebody => Err("others wrote".to_string()),
            OtherWrites::Unknown(reason) => match taken {
                None => Err(reason),
                Some(taken) => match untouched(&mut session, &mark, &taken).await {
                    Ok(changed) => changed.map_or(Ok(now), Err),
                    // Not being able to look is no reason not to migrate.
                    Err(error) => Err(error.to_string()),
                },
            },
        };
        session.give_back().await;
        self.watch().moved = Some(moved);
        Ok(())
    }

    /// Proves once more that nobody wrote since the mark, before the database of a snapshot is built that is going to
    /// replace what a migration made: nobody saved that. What is written from here on is looked for when clients are
    /// barred, or the tables locked. Fails with [`Error::WroteMeanwhile`] also where it cannot be told.
    pub(super) async fn guard_what_is_replaced(&self) -> Result<(), Error> {
        let mark = {
            let mut watch = self.watch();
            watch.guard = None;
            match (&watch.present, &watch.mark, &watch.moved) {
                (Some(_), _, _) | (None, None, _) => return Ok(()),
                (None, _, Some(Ok(later))) => later.clone(),
                (None, Some(mark), None) => mark.clone(),
                (None, _, Some(Err(reason))) => return Err(not_told(reason.clone())),
            }
        };
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        // Sessions tell what they wrote when they end; ours would otherwise be taken for a stranger's. One that was
        // given up while it waited for a lock does not notice that by itself.
        if self.lock_pid().await.is_some() {
            self.end_sessions(&mut session, names::operation(&self.application())).await?;
        }
        // Counted first: what is written between the two is seen by the second.
        let counted = counted(&mut session).await?;
        let answer = self.compare(&mut session, &mark).await?;
        session.give_back().await;
        match answer {
            OtherWrites::Nobody => self.watch().guard = Some(Arc::new(Before { mark, counted })),
            OtherWrites::Somebody => return Err(self.wrote_meanwhile()),
            OtherWrites::Unknown(reason) => return Err(not_told(reason)),
        }
        Ok(())
    }

    pub(super) fn guard(&self) -> Option<Arc<Before>> {
        self.watch().guard.clone()
    }

    pub(super) fn wrote_meanwhile(&self) -> Error {
        Error::WroteMeanwhile { place: self.id.to_string() }
    }

    pub(super) async fn look(&self, session: &mut Session) -> Result<Mark, Error> {
        let number = session.value(DOING, "SELECT pg_current_xact_id()").await?;
        let number = number.and_then(|text| text.parse().ok()).unwrap_or_default();
        // Looking takes a number, too.
        self.remember_own(number);
        // In a statement of its own: our number has ended by now, so that the snapshot lists every older one that has
        // not.
        let rows = session.rows(DOING, "SELECT pg_snapshot_xip(pg_current_snapshot())").await?;
        Ok(Mark { number, running: rows.iter().map(|row| row.number(0)).collect() })
    }

    /// Remembers a transaction as ours.
    pub(super) fn remember_own(&self, number: u64) {
        self.own_transactions.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    /// Returns the numbers of our own transactions that wrote.
    pub(super) fn own_transactions(&self) -> Vec<u64> {
        self.own_transactions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the mark up to which it is known that nobody wrote, or that was set before the snapshot.
    pub(super) fn marked(&self) -> Option<Mark> {
        let watch = self.watch();
        match (&watch.moved, &watch.mark) {
            (Some(Ok(later)), _) => Some(later.clone()),
            (_, mark) => mark.clone(),
        }
    }

    /// Compares from a session of its own.
    pub(super) async fn compare_beside(&self, before: &Mark) -> Result<OtherWrites, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let answer = self.compare(&mut session, before).await;
        session.give_back().await;
        answer
    }

    pub(super) async fn compare(&self, session: &mut Session, before: &Mark) -> Result<OtherWrites, Error> {
        let now = self.look(session).await?;
        let between = now.number.saturating_sub(before.number + 1);
        if between > LOOKED_AT {
            let text = format!("{between} transactions wrote in this cluster, perhaps in other databases");
            return Ok(OtherWrites::Unknown(text));
        }
        let own: Vec<String> = self.own_transactions().iter().map(u64::to_string).collect();
        let mut candidates = vec![format!(
            "SELECT g FROM generate_series({}::bigint, {}::bigint) AS g",
            before.number + 1,
            now.number.saturating_sub(1)
        )];
        candidates.extend(before.running.iter().map(|number| format!("SELECT {number}::bigint")));
        let sql = format!(
            "SELECT coalesce(pg_xact_status(c.g::text::xid8), 'forgotten'), count(*) FROM ({}) AS c(g) \
             WHERE c.g <> ALL ('{{{}}}'::bigint[]) GROUP BY 1",
            candidates.join(" UNION ALL "),
            own.join(",")
        );
        let rows = session.rows(DOING, &sql).await?;
        let count = |status: &str| -> u64 {
            rows.iter().find(|row| row.text(0) == status).map_or(0, |row| row.number(1))
        };
        // An aborted transaction left nothing behind.
        Ok(match (count("committed") + count("forgotten"), count("in progress")) {
            (0, 0) => OtherWrites::Nobody,
            (0, running) => OtherWrites::Unknown(format!(
                "{} in this cluster {} not ended",
                base::counted(running, "other transaction"),
                one_or_more(running, "has", "have")
            )),
            (ended, _) => OtherWrites::Unknown(format!(
                "{} wrote in this cluster, perhaps in other databases",
                base::counted(ended, "other transaction")
            )),
        })
    }
}

pub(super) fn not_told(reason: String) -> Error {
    Error::Unsupported {
        what: "replacing what nobody saved".to_string(),
        why: format!("it cannot be told whether others wrote meanwhile: {reason}"),
    }
}

/// Returns what shows, or lets it be possible, that somebody wrote to this database since the mark; nothing when it
/// holds exactly the rows that the snapshot saw: none is newer than the mark, and as many as then are there. (A row
/// that was changed is a new row to the server; one that was deleted is missing.)
async fn untouched(session: &mut Session, mark: &Mark, taken: &Seen) -> Result<Option<String>, Error> {
    if taken.rows.keys().any(|name| name.schema.as_deref() == Some("pg_catalog")) {
        return Ok(Some("large objects cannot be looked at in this way".to_string()));
    }
    session.run(DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let changed = changed(session, mark, taken).await?;
    session.run(DOING, "ROLLBACK").await?;
    Ok(changed)
}

/// The same, in the transaction that the session is in.
async fn changed(session: &mut Session, mark: &Mark, taken: &Seen) -> Result<Option<String>, Error> {
    if catalog::read(session).await?.sha256() != taken.catalog {
        return Ok(Some("the catalog changed since the snapshot".to_string()));
    }
    if fingerprint::sequences(session).await? != taken.sequences {
        return Ok(Some("a sequence moved since the snapshot".to_string()));
    }
    let newer = mark.newer();
    let tables: Vec<(&TableName, &u64)> = taken.rows.iter().collect();
    for part in tables.chunks(50) {
        let counts = part.iter().enumerate().map(|(index, (name, _))| {
            format!("SELECT {index}, count(*), count(*) FILTER (WHERE {newer}) FROM ONLY {}", name.sql())
        });
        let sql = counts.collect::<Vec<_>>().join(" UNION ALL ");
        for row in session.rows(DOING, &sql).await? {
            let Some((name, rows)) = part.get(row.number::<usize>(0)) else { continue };
            if row.number::<u64>(1) != **rows || row.number::<u64>(2) != 0 {
                return Ok(Some(format!("table {name} was written since the snapshot")));
            }
        }
    }
    Ok(None)
}

/// Returns how many rows were ever written to users' tables, as far as the server has counted.
async fn counted(session: &mut Session) -> Result<u64, Error> {
    let sql = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables";
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}

impl Before {
    /// Returns how many rows were written since, once no other session is left: each tells what it wrote when it ends.
    pub(super) async fn written_since(&self, session: &mut Session) -> Result<u64, Error> {
        let counts = session.value(DOING, "SELECT current_setting('track_counts')").await?;
        if counts.as_deref() != Some("on") {
            return Err(not_told("the server does not count (track_counts)".to_string()));
        }
        if session.major() < 15 {
            // There a process of its own takes the numbers down, twice a second.
            session.rows(DOING, "SELECT pg_catalog.pg_sleep(1)").await?;
        }
        Ok(counted(session).await?.saturating_sub(self.counted))
    }
}

impl Present {
    /// Returns about how many rows were written since; sessions report what they wrote late, so those of shortly before
    /// the snapshot may be among them.
    pub(super) async fn written_since(&self, session: &mut Session) -> Result<u64, Error> {
        let Some(before) = &self.before else { return Ok(0) };
        before.written_since(session).await
    }

    /// Tells whether a catalog is the one that was saved.
    pub(super) fn has_catalog(&self, sha256: &str) -> bool {
        self.seen.catalog == sha256
    }
}
