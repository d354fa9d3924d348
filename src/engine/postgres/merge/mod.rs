//! Merging salvage into the live database: each file is loaded into a temporary table of the live column types, and the
//! server does the rest, a statement for each file.
//!
//! Triggers of users are disabled one by one inside the transaction and set back to what each was. A statement that a
//! constraint refuses is undone and tried in halves, down to the rows that are refused; these are tried again at the end
//! and then written down as conflicts.

mod alike;
mod apart;
mod became;
mod circle;
mod claims;
mod fit;
mod given;
mod intact;
mod left;
pub(super) mod live;
mod load;
pub(super) mod locks;
mod moved;
mod new_keys;
mod parts;
mod recycled;
mod rekey;
mod renumbered;
mod rows;
pub(super) mod sequences;
mod side;
mod spread;
mod stays;
mod strangers;
mod target;
pub(super) mod triggers;
mod undeclared;
mod unique;
mod unkeyed;
mod values;

use super::PostgresDatabase;
use super::session::{Purpose, Session};
use super::wait_watch::WaitWatch;
use crate::base::checkpoint;
use crate::catalog::TableName;
use crate::engine::{
    Error, MergeMode, Merged, MergedBack, Piece, announce, in_all, in_order, is_kept, skip, twice,
};
use crate::journal::ScriptLog;
use crate::ledger::{Doubts, SalvageKind};
use crate::report::Progress;
use rekey::Rekeyed;
use side::{Conflicts, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strangers::Strangers;
use target::{Known, Target};

pub(super) const DOING: &str = "merging salvage";

/// One piece on its way into the database.
struct Job<'p> {
    target: Target<'p>,
    merged: Vec<Merged>,
    /// What was merged of it beforehand, in the order of its columns.
    beforehand: Vec<Merged>,
    /// The keys that were put back before anything else, which counts as there already, and what followed them.
    rekeyed: Option<Rekeyed>,
    /// Whether rows are left that a constraint refused.
    unfinished: bool,
    /// Whether one statement wrote every loaded row and saw what it wrote.
    whole: bool,
}

/// How much the transaction may keep in memory of what it joins, and of what it has loaded, in KiB each, where the server
/// gives less. What does not fit is joined in pieces, which come in no order, and then every page is written many times.
const ROOM: u32 = 64 << 10;

impl PostgresDatabase {
    pub(super) async fn merge_pieces(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        (operation, log): (&str, &ScriptLog),
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        self.move_mark().await?;
        let mut tries = self.retries();
        loop {
            match self.try_merge(pieces, mode, (operation, log), progress).await {
                Err(error) if error.is_locked() && self.try_again(&mut tries, &error).await? => {}
                other => return other,
            }
        }
    }

    async fn try_merge(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        (operation, log): (&str, &ScriptLog),
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        let place = match mode {
            MergeMode::Write => self.place_of_transactions().await?,
            MergeMode::Look => String::new(),
        };
        let mut session = self.server.connect(&self.id.name, Purpose::Reading, &self.application()).await?;
        self.limit_waiting(&mut session).await?;
        let schema = self.bookkeeping_schema().await?;
        let pid = session.pid().await?;
        let waits = WaitWatch::begin(self, &mut session).await?;
        let merged = {
            let work = self.in_transaction(&mut session, pieces, mode, (operation, &schema), progress);
            let mut work = std::pin::pin!(work);
            tokio::select! {
                done = &mut work => done,
                () = self.options.cancel.cancelled() => Err(Error::Interrupted),
            }
        };
        if matches!(merged, Err(Error::Interrupted)) {
            // A statement may be under way: only when its process has gone are its locks free.
            self.end_backend(pid).await?;
            return Err(Error::Interrupted);
        }
        let written_down = merged.and_then(|(own, merged)| {
            if mode == MergeMode::Write {
                became::write_down(log, &place, own)?;
                announce(log, &merged)?;
            }
            Ok((own, merged))
        });
        let (own, merged) = match written_down {
            Ok(merged) => merged,
            Err(error) => {
                let _ = session.execute("ROLLBACK").await;
                session.close().await;
                return Err(waits.named(self, error).await);
            }
        };
        checkpoint::reached("before the commit of a merge");
        // Nothing to keep is no reason to write.
        match mode {
            MergeMode::Write if is_kept(&merged) => {
                self.commit(&mut session, own).await?;
            }
            _ => session.run(DOING, "ROLLBACK").await?,
        }
        checkpoint::reached("after the commit of a merge");
        session.close().await;
        Ok(merged)
    }

    /// Begins again where a table whose rows were numbered anew would not come back as a whole: it stays as it is then.
    async fn in_transaction(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        mode: MergeMode,
        names: (&str, &str),
        progress: &Progress,
    ) -> Result<(u64, MergedBack), Error> {
        let mut left = BTreeSet::new();
        loop {
            match self.attempt(session, pieces, mode, names, (progress, &left)).await? {
                Ok(done) => return Ok(done),
                Err(torn) => left.extend(torn),
            }
            session.run(DOING, "ROLLBACK").await?;
        }
    }

    /// Merges all pieces, but for the tables that are left as they are; or says which more have to be.
    async fn attempt(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        mode: MergeMode,
        (operation, schema): (&str, &str),
        (progress, left): (&Progress, &BTreeSet<TableName>),
    ) -> Result<Result<(u64, MergedBack), BTreeSet<TableName>>, Error> {
        session.run(DOING, "BEGIN").await?;
        if left.is_empty() {
            session.run(DOING, &with_room()).await?;
        }
        let own = self.own_transaction(session).await?;
        undeclared::note(self, session, pieces).await?;
        let tables = pieces.iter().map(|piece| piece.salvage.table.clone());
        let mut tables: BTreeSet<TableName> = tables.filter(|table| !table.is_large_objects()).collect();
        tables.extend(rekey::referring(session, pieces).await?);
        let trees = spread::trees(session, pieces).await?;
        tables.extend(trees.values().flat_map(spread::Tree::tables).cloned());
        let altered = locks::altered(session, pieces, &tables).await?;
        locks::lock(session, DOING, &tables, &altered).await?;
        // A key that is checked at the commit would make all of it fail there.
        session.run(DOING, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        let pieces = spread::divide(session, pieces, &trees).await?;
        let pieces = &self.unless_written_since(session, pieces).await?;
        let silenced = triggers::silence(session, &tables).await?;
        let mut side = Side::new(session, operation, schema).await?;
        let given = given::look(session, pieces, &self.made()).await?;
        let (mut done, mut skipped, mut untold) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut strangers, mut turns, mut doubts) = (Vec::new(), 0, Doubts::default());
        for turn in in_order(pieces, &parents(session).await?) {
            let of_turn: Vec<&Piece> = turn.iter().map(|index| &pieces[*index]).collect();
            strangers.extend(strangers::given_again(self, session, &of_turn, turns, &mut doubts).await?);
            let moved = self.look_for_moved(session, pieces, (&turn, turns)).await?;
            strangers.extend(moved.strangers);
            doubts.merge(&moved.doubts);
            let known = Known { given: &given, strangers: &strangers };
            let told = (&moved.of_pieces, left);
            let mut intact = self.look_for_intact(session, pieces, (&turn, turns), known, told).await?;
            strangers.append(&mut intact.strangers);
            turns += 1;
            let mut jobs = Vec::new();
            for index in turn {
                let known = Known { given: &given, strangers: &strangers };
                let (target, left_out) =
                    Target::load(session, &pieces[index], index, known, progress).await?;
                skip(&mut skipped, &pieces[index], left_out);
                let Some(mut target) = target else { continue };
                let keys = jobs.iter().filter_map(|job: &Job<'_>| {
                    Some((&job.target.table, job.rekeyed.as_ref()?.moves.as_slice()))
                });
                rekey::follow(session, &mut target, &keys.collect::<Vec<_>>()).await?;
                let gone: Vec<&Target<'_>> = jobs.iter().map(|job: &Job<'_>| &job.target).collect();
                self.tell_apart(session, &mut target, pieces, &gone, moved.of_pieces.get(&index)).await?;
                intact.tell(&mut target);
                if let Some(keys) = moved.new_keys.get(&index) {
                    target.take_new_keys(session, keys).await?;
                }
                strangers.extend(strangers::of_rows(session, &target).await?);
                let mut job = Job::prepare(session, target, (&strangers, (self, pieces)), &mut side).await?;
                job.unfinished = job.run(session).await? > 0;
                if let Some(keys) = &job.rekeyed {
                    strangers.extend(strangers::of_keys(session, &job.target, &keys.groups).await?);
                }
                checkpoint::reached("a piece of salvage is merged");
                jobs.push(job);
                circle::close(session, &mut jobs).await?;
            }
            retry(session, &mut jobs).await?;
            let torn = intact.torn(session, &jobs).await?;
            if !torn.is_empty() {
                return Ok(Err(torn));
            }
            let tables: Vec<TableName> = jobs.iter().map(|job| job.target.table.clone()).collect();
            for job in &mut jobs {
                let alone = tables.iter().filter(|table| **table == job.target.table).count() == 1;
                job.finish(session, &mut side, alone).await?;
            }
            untold.extend(jobs.iter().filter(|job| job.is_untold()).map(|job| job.target.table.clone()));
            jobs.iter().for_each(|job| doubts.merge(&job.target.doubts));
            doubts.unread.retain(|table| !moved.read.contains(table));
            done.extend(jobs);
        }
        session.run(DOING, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        triggers::restore(session, &silenced).await?;
        if mode == MergeMode::Write {
            let merged = done.iter().filter(|job| job.merged.iter().any(|merged| merged.merged > 0));
            let written: BTreeSet<&TableName> = merged.map(|job| &job.target.table).collect();
            for table in written {
                let of_table = pieces.iter().filter(|piece| piece.salvage.table == *table);
                let then: Vec<_> = of_table.map(then).collect();
                sequences::follow(session, table, &then).await?;
            }
        }
        leave_out_twice(session, pieces, &mut done, &side).await?;
        let Conflicts { table: side_table, first: conflicts, retaken } = side.end(session).await?;
        let mut found_anew = BTreeMap::<TableName, u64>::new();
        for target in done.iter().map(|job| &job.target).filter(|target| target.found_anew > 0) {
            // Several pieces of a table are mostly of the same rows.
            let known = found_anew.entry(target.table.clone()).or_default();
            *known = target.found_anew.max(*known);
        }
        let rekeyed = done.iter_mut().filter_map(|job| job.rekeyed.take());
        let followed = rekeyed.flat_map(|rekeyed| rekeyed.followed).collect();
        let merged = in_all(done.into_iter().map(|job| (job.target.piece, job.merged)));
        let merged: Vec<Merged> = merged.into_iter().chain(skipped).collect();
        let silent = triggers::silent(&silenced, &merged);
        let done = MergedBack {
            merged,
            conflicts,
            side_table,
            silent,
            untold,
            retaken,
            found_anew,
            followed,
            doubts,
            ..MergedBack::default()
        };
        Ok(Ok((own, done)))
    }

    /// Ends one of our own sessions, and waits until it is gone.
    pub(super) async fn end_backend(&self, pid: i32) -> Result<(), Error> {
        let doing = "stopping a statement";
        let mut other = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        other.value(doing, &format!("SELECT pg_terminate_backend({pid})")).await?;
        let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        while other.value(doing, &gone).await?.as_deref() != Some("0") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        other.close().await;
        Ok(())
    }
}

/// Takes out conflicts that the later one of two files repeats.
async fn leave_out_twice(
    session: &mut Session,
    pieces: &[Piece],
    jobs: &mut [Job<'_>],
    side: &Side,
) -> Result<(), Error> {
    for job in jobs {
        for twice in twice(pieces.iter(), job.target.piece) {
            for merged in &mut job.merged {
                let Some(column) = merged.column.as_ref().filter(|name| twice.columns.contains(name)) else {
                    continue;
                };
                merged.conflicts -= side.leave_out_twice(session, &job.target.table, &twice, column).await?;
            }
        }
    }
    Ok(())
}

/// Returns how far the sequences were behind what a piece brings back.
fn then(piece: &Piece) -> sequences::Then<'_> {
    let columns = match piece.salvage.what {
        SalvageKind::Rows => None,
        SalvageKind::Values => Some(piece.salvage.columns.as_slice()),
    };
    let table = piece.catalog.as_deref().and_then(|catalog| catalog.tables.get(piece.table_then()));
    let behind = table.into_iter().flat_map(|table| &table.columns).filter_map(|column| {
        let now = piece.columns.iter().find(|now| piece.column_then(&now.name) == column.name)?;
        Some((now.name.clone(), sequences::behind_then(piece.table_then(), column)?))
    });
    sequences::Then { sequences: &piece.fingerprint.sequences, columns, behind: behind.collect() }
}

/// Returns the statement that gives the transaction room; no temporary table may have been used before in the session.
fn with_room() -> String {
    format!(
        "SELECT set_config(name, {ROOM} || 'kB', true) FROM pg_settings WHERE name IN ('work_mem', 'temp_buffers') \
         AND setting::bigint * CASE unit WHEN '8kB' THEN 8 ELSE 1 END < {ROOM}"
    )
}

/// Returns which tables each table refers to. The rows of a partitioned one are those of its partitions.
async fn parents(session: &mut Session) -> Result<BTreeMap<TableName, Vec<TableName>>, Error> {
    let sql = "SELECT DISTINCT n.nspname, c.relname, pn.nspname, p.relname FROM pg_constraint k \
         JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace, \
         LATERAL (SELECT k.confrelid UNION SELECT part.relid FROM pg_partition_tree(k.confrelid) AS part) AS x(number) \
         JOIN pg_class p ON p.oid = x.number JOIN pg_namespace pn ON pn.oid = p.relnamespace \
         WHERE k.contype = 'f' ORDER BY 1, 2, 3, 4";
    let mut parents: BTreeMap<TableName, Vec<TableName>> = BTreeMap::new();
    for row in session.rows(DOING, sql).await? {
        let child = TableName::qualified(row.text(0), row.text(1));
        parents.entry(child).or_default().push(TableName::qualified(row.text(2), row.text(3)));
    }
    Ok(parents)
}

/// Tries what was refused again, as long as something gets in: a row may have waited for its parent, or for another row to
/// give up a value that must be unique.
async fn retry(session: &mut Session, jobs: &mut [Job<'_>]) -> Result<(), Error> {
    loop {
        let mut progressed = false;
        for job in jobs.iter_mut().filter(|job| job.unfinished) {
            let before: u64 = job.merged.iter().map(|merged| merged.merged).sum();
            job.unfinished = job.run(session).await? > 0;
            progressed |= job.merged.iter().map(|merged| merged.merged).sum::<u64>() > before;
        }
        if !progressed {
            return Ok(());
        }
    }
}

impl<'p> Job<'p> {
    async fn prepare(
        session: &mut Session,
        mut target: Target<'p>,
        (strangers, known): (&[Strangers], (&PostgresDatabase, &[Piece])),
        side: &mut Side,
    ) -> Result<Self, Error> {
        let piece = target.piece;
        let mut merged: Vec<Merged> = match piece.salvage.what {
            SalvageKind::Rows => vec![Merged::new(&piece.salvage, None)],
            SalvageKind::Values => {
                target.columns.iter().map(|column| Merged::new(&piece.salvage, Some(&column.name))).collect()
            }
        };
        let (mut beforehand, mut rekeyed) = (Vec::new(), None);
        match (piece.salvage.key.is_empty(), piece.salvage.what) {
            (false, SalvageKind::Values) => {
                unkeyed::take_out_unfindable(session, &target, side, &mut merged).await?;
                unkeyed::take_out_ambiguous(session, &target, side, &mut merged).await?;
            }
            (false, SalvageKind::Rows) => {
                strangers::take_out(session, &target, strangers, side, &mut merged[0]).await?;
            }
            (true, SalvageKind::Values) => {
                let (put, keys) =
                    unkeyed::values(session, &mut target, (strangers, known), side, &mut merged).await?;
                (beforehand, rekeyed) = (put, Some(keys));
            }
            (true, SalvageKind::Rows) => {
                unkeyed::rows(session, &mut target, side, &mut merged).await?;
                strangers::take_out(session, &target, strangers, side, &mut merged[0]).await?;
            }
        }
        Ok(Self { target, merged, beforehand, rekeyed, unfinished: false, whole: false })
    }

    /// Tells whether values came to rows of which nobody can tell whether they are those of then.
    fn is_untold(&self) -> bool {
        self.target.untold && self.merged.iter().any(|one| one.merged > 0)
    }

    /// Writes what can be written; returns how many rows are left that could not.
    async fn run(&mut self, session: &mut Session) -> Result<u64, Error> {
        match self.target.piece.salvage.what {
            SalvageKind::Values => {
                let ran = values::run(session, &self.target, &mut self.merged).await?;
                self.whole = ran.whole;
                Ok(ran.left)
            }
            SalvageKind::Rows => rows::run(session, &self.target, &mut self.merged).await,
        }
    }

    /// Counts, writes down conflicts, and proves that what was merged is there. `alone` says that no other piece of the
    /// same turn is about the table.
    async fn finish(&mut self, session: &mut Session, side: &mut Side, alone: bool) -> Result<(), Error> {
        match self.target.piece.salvage.what {
            // There is nothing left to count: every salvaged row was seen in a live one, and nobody else writes there.
            SalvageKind::Values if self.whole && alone && !self.target.follows() => {}
            SalvageKind::Values => {
                values::finish(session, &self.target, &mut self.merged, self.unfinished, side).await?;
            }
            SalvageKind::Rows => rows::finish(session, &self.target, &mut self.merged, side).await?,
        }
        for (merged, more) in self.merged.iter_mut().zip(self.beforehand.drain(..)) {
            merged.merged += more.merged;
            merged.already += more.already;
            merged.conflicts += more.conflicts;
        }
        let put = self.rekeyed.iter().flat_map(|rekeyed| &rekeyed.put);
        for (merged, put) in self.merged.iter_mut().zip(put) {
            merged.merged += put;
            merged.already = merged.already.saturating_sub(*put);
        }
        Ok(())
    }
}
