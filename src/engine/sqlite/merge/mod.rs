//! Merging salvage into the live database, row by row: SQLite runs in this process, so a row that is looked up, decided and
//! written costs less than loading it into a table first.
//!
//! Triggers are silenced for this connection by a switch of SQLite's own (`SQLITE_DBCONFIG_ENABLE_TRIGGER`), so that none
//! has to be dropped and made again. Foreign keys stay on: a row whose parent is not there is refused, kept aside and
//! tried again at the end, like one that a UNIQUE column refuses.

mod alike;
mod became;
mod chain;
mod feed;
mod intact;
mod left;
mod moved;
mod new_keys;
mod proof;
mod recycled;
mod references;
mod rekey;
mod renumbered;
mod rows;
mod side;
mod stays;
mod strangers;
mod target;
mod together;
mod told;
mod undeclared;
mod unkeyed;
mod values;

use super::Site;
use super::rehearse::one_value;
use super::session::Session;
use super::table::count_from;
use super::{catalog, failure, raw, text_index};
use crate::base::checkpoint;
use crate::catalog::{Catalog, TableName};
use crate::engine::{
    Error, MergeMode, Merged, MergedBack, Piece, announce, in_all, in_order, is_kept, skip, twice,
};
use crate::journal::ScriptLog;
use crate::ledger::{Doubts, Followed, SalvageKind};
use crate::report::{Amount, Progress};
use feed::Feed;
use rusqlite::ErrorCode;
use rusqlite::config::DbConfig;
use side::Side;
use std::collections::{BTreeMap, BTreeSet};
use strangers::Strangers;
use target::Target;

const DOING: &str = "merging salvage";

/// So many refused rows are not tried one by one again and again while fewer than half of them get in each time: of rows of
/// which each waits for the next one, each time would free a single one.
const MANY: u64 = 64;

/// Why a value is not put where the engine would make another one of it.
const TURNED: &str = "the column has another type now, and would hold another value";

/// What became of a row that was written.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    Done,
    /// A constraint refused it, and which.
    Refused(String),
}

/// One piece on its way into the database.
struct Job<'p> {
    target: Target<'p>,
    /// Where its rows come from.
    feed: Feed<'p>,
    merged: Vec<Merged>,
    /// What of it was put beforehand, in the order of its columns: it is there already when the rows come.
    beforehand: Vec<Merged>,
    /// What followed keys that were put beforehand.
    followed: Vec<Followed>,
    /// How many rows wait in the table of the refused ones.
    refused: u64,
}

impl Site {
    /// Merges all pieces, or nothing.
    pub(super) fn merge_back(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        (operation, log): (&str, &ScriptLog),
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        if self.options.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.forget_present();
        self.with_writer(|writer| {
            let session = &writer.session;
            silence_triggers(session, true)?;
            let given = (pieces, writer.looked());
            let outcome =
                in_one_transaction(session, given, mode, (operation, log), progress, &BTreeSet::new());
            session.end();
            let restored = silence_triggers(session, false);
            let merged = outcome?;
            restored.map(|()| merged)
        })
    }
}

/// Silences the triggers of users for this connection; what foreign keys do is no trigger.
pub(super) fn silence_triggers(session: &Session, silent: bool) -> Result<(), Error> {
    let set = session.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, !silent);
    set.map(|_| ()).map_err(|error| session.failed("silencing triggers", error))
}

/// Says of columns that a clock or dice filled just now what they hold, where that is one value in all rows. Where another
/// connection has committed since the look that said so, nothing is known of what the way back left.
fn with_what_was_given(
    session: &Session,
    pieces: &[Piece],
    looked: Option<i64>,
) -> Result<Vec<Piece>, Error> {
    let mut known = pieces.to_vec();
    if known.iter().any(Piece::relies_on_a_look) && looked != Some(session.one(DOING, "PRAGMA data_version")?)
    {
        known.iter_mut().for_each(Piece::written_since);
    }
    for piece in &mut known {
        for column in &piece.momentary {
            let one = one_value(session, &piece.salvage.table, column)?;
            piece.salvage.returned.extend(one.map(|one| (column.clone(), one)));
        }
    }
    Ok(known)
}

/// Merges all pieces, but for the tables that are left as they are. Where another one whose rows were numbered anew would not come
/// back as a whole, everything begins again without it.
fn in_one_transaction(
    session: &Session,
    (pieces, looked): (&[Piece], Option<i64>),
    mode: MergeMode,
    (operation, log): (&str, &ScriptLog),
    progress: &Progress,
    left: &BTreeSet<TableName>,
) -> Result<MergedBack, Error> {
    session.run(DOING, "BEGIN IMMEDIATE")?;
    let catalog = catalog::read(session)?;
    undeclared::note(session, &catalog, pieces)?;
    let pieces = &with_what_was_given(session, pieces, looked)?;
    let mut side = Side::new(session, operation)?;
    let mut skipped = Vec::new();
    let (mut strangers, mut turns, mut doubts) = (Vec::new(), 0, Doubts::default());
    let (mut merged, mut followed, mut untold) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut found_anew = BTreeMap::<TableName, u64>::new();
    for turn in in_order(pieces, &parents(session, &catalog)?) {
        let of_turn: Vec<&Piece> = turn.iter().map(|index| &pieces[*index]).collect();
        strangers.extend(strangers::given_again(session, &catalog, &of_turn, turns, &mut doubts)?);
        turns += 1;
        let placed: Vec<(usize, &Piece)> = turn.iter().map(|index| (*index, &pieces[*index])).collect();
        let mut moved = moved::Moved::look(session, &catalog, (turns, &placed))?;
        strangers.append(&mut moved.strangers);
        doubts.merge(&moved.doubts);
        let mut intact = intact::look(session, &catalog, pieces, (&turn, &moved), (&strangers, left))?;
        strangers.append(&mut intact.strangers);
        let (before, mut jobs) = (strangers.len(), Vec::new());
        for index in turn {
            let (target, left_out) = Target::of(session, &catalog, pieces, index)?;
            skip(&mut skipped, &pieces[index], left_out);
            let Some(mut target) = target else { continue };
            target.moved = moved.guard(index);
            target.new_keys = moved.new_keys.remove(&index);
            let keys = jobs.iter().map(|job: &Job<'_>| (&job.target.table, &job.target.moves));
            target.follow(session, &keys.collect::<Vec<_>>())?;
            intact.tell(&mut target);
            strangers.extend(strangers::of_rows(session, &catalog, &target)?);
            target.guards = strangers::guards(session, &target, &strangers)?;
            let mut job = Job::prepare(session, target, pieces, &mut side)?;
            job.run(session, &mut side, progress)?;
            // An older backup may have put back the keys that a newer one could not.
            strangers::renew(session, &job.target.table, &strangers[..before])?;
            strangers.extend(job.strangers(session, &catalog)?);
            checkpoint::reached("a piece of salvage is merged");
            jobs.push(job);
        }
        retry(session, &mut jobs, &mut side)?;
        let torn = intact.torn(session, &catalog, &jobs)?;
        if !torn.is_empty() {
            session.run(DOING, "ROLLBACK")?;
            let left = left.union(&torn).cloned().collect();
            return in_one_transaction(session, (pieces, looked), mode, (operation, log), progress, &left);
        }
        for job in &mut jobs {
            job.give_up(session, &mut side)?;
            proof::prove(session, job)?;
            // What waited for its key has got it now, or never will.
            strangers::renew(session, &job.target.table, &strangers)?;
        }
        for job in jobs.iter().filter(|job| job.put_rows()) {
            let (table, piece) = (&job.target.table, job.target.piece);
            let before = &piece.table_then().name;
            let named =
                piece.fingerprint.sequences.iter().filter(|(name, _)| name.eq_ignore_ascii_case(before));
            named.map(|(_, then)| count_from(session, table, *then)).collect::<Result<Vec<_>, _>>()?;
        }
        untold.extend(jobs.iter().filter(|job| job.is_untold()).map(|job| job.target.table.clone()));
        jobs.iter().for_each(|job| doubts.take(&job.target.table, &job.target.recycled));
        for (table, rows) in jobs.iter().filter_map(Job::found_anew) {
            // Several pieces of a table are mostly of the same rows.
            let known = found_anew.entry(table.clone()).or_default();
            *known = rows.max(*known);
        }
        leave_out_twice(pieces, &mut jobs, &mut side)?;
        followed.extend(jobs.iter_mut().flat_map(|job| std::mem::take(&mut job.followed)));
        merged.extend(in_all(jobs.into_iter().map(|job| (job.target.piece, job.merged))));
    }
    let (side_table, conflicts, retaken) = side.end();
    merged.extend(skipped);
    let mut done = MergedBack {
        merged,
        conflicts,
        side_table,
        followed,
        untold,
        retaken,
        found_anew,
        doubts,
        ..MergedBack::default()
    };
    let written = done.written();
    done.silent = silent(&catalog, &done.merged);
    done.stale = text_index::rebuild(session, &catalog, &written)?;
    // Nothing to keep is no reason to write.
    let is_kept = mode == MergeMode::Write && is_kept(&done);
    if is_kept {
        became::leave(session, operation)?;
    }
    if mode == MergeMode::Write {
        announce(log, &done)?;
    }
    let end = if is_kept { "COMMIT" } else { "ROLLBACK" };
    checkpoint::reached("before the commit of a merge");
    session.run("committing the merge", end)?;
    checkpoint::reached("after the commit of a merge");
    Ok(done)
}

/// Takes out conflicts that the later one of two files repeats.
fn leave_out_twice(pieces: &[Piece], jobs: &mut [Job<'_>], side: &mut Side<'_>) -> Result<(), Error> {
    for job in jobs {
        for twice in twice(pieces.iter(), job.target.piece) {
            for merged in &mut job.merged {
                let Some(column) = merged.column.as_ref().filter(|name| twice.columns.contains(name)) else {
                    continue;
                };
                merged.conflicts -= side.leave_out_twice(&job.target.table, &twice, column)?;
            }
        }
    }
    Ok(())
}

/// Tries what was refused again, as long as something gets in: a row may have waited for its parent, or for another row to
/// give up a value that must be unique, or a row and its parent for each other.
fn retry(session: &Session, jobs: &mut [Job<'_>], side: &mut Side<'_>) -> Result<(), Error> {
    loop {
        let refused = |jobs: &[Job<'_>]| jobs.iter().map(|job| job.refused).sum::<u64>();
        let before = refused(jobs);
        for job in jobs.iter_mut().filter(|job| job.refused > 0) {
            job.run_refused(session, side)?;
        }
        let left = refused(jobs);
        let progressed = left < before;
        let is_slow = left > MANY && left > before / 2;
        let got_in = (is_slow || !progressed) && together::put(session, jobs, side)?;
        if !progressed && !got_in {
            return Ok(());
        }
    }
}

/// Returns the triggers that would have fired.
fn silent(catalog: &Catalog, merged: &[Merged]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for one in merged.iter().filter(|one| one.merged > 0) {
        let event = if one.what == SalvageKind::Rows { "INSERT" } else { "UPDATE" };
        let triggers = catalog.tables.get(&one.table).map(|table| &table.triggers);
        for (name, text) in triggers.into_iter().flatten() {
            // The event stands before the table; behind it there may be every other one.
            let head = text.to_ascii_uppercase();
            if head.split(" ON ").next().is_some_and(|head| head.contains(event)) {
                found.insert(format!("{name} on {}", one.table));
            }
        }
    }
    found.into_iter().collect()
}

/// Returns which tables each table refers to.
fn parents(session: &Session, catalog: &Catalog) -> Result<BTreeMap<TableName, Vec<TableName>>, Error> {
    let failed = |error| session.failed("reading the catalog", error);
    let mut statement =
        session.prepare("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?1)").map_err(failed)?;
    let mut parents = BTreeMap::new();
    for table in catalog.tables.keys() {
        let rows = statement.query_map([&table.name], |row| row.get::<_, String>(0)).map_err(failed)?;
        let named: Vec<String> = rows.collect::<Result<_, _>>().map_err(failed)?;
        // Text may name the table in another case than the table itself.
        let found = named.iter().filter_map(|name| {
            catalog.tables.keys().find(|other| other.name.eq_ignore_ascii_case(name)).cloned()
        });
        parents.insert(table.clone(), found.collect());
    }
    Ok(parents)
}

impl<'p> Job<'p> {
    fn prepare(
        session: &Session,
        target: Target<'p>,
        pieces: &[Piece],
        side: &mut Side<'_>,
    ) -> Result<Self, Error> {
        let piece = target.piece;
        let mut merged: Vec<Merged> = match piece.salvage.what {
            SalvageKind::Rows => vec![Merged::new(&piece.salvage, None)],
            SalvageKind::Values => {
                target.columns.iter().map(|column| Merged::new(&piece.salvage, Some(&column.name))).collect()
            }
        };
        let (mut beforehand, mut followed) = (Vec::new(), Vec::new());
        let (target, feed) = match (piece.salvage.key.is_empty(), piece.salvage.what) {
            (false, _) => {
                let feed = Feed::of(session, &target)?;
                (target, feed)
            }
            (true, SalvageKind::Values) => {
                let found = unkeyed::values(session, target, pieces, side, &mut merged)?;
                (beforehand, followed) = (found.beforehand, found.followed);
                (found.target, found.feed)
            }
            (true, SalvageKind::Rows) => unkeyed::rows(session, target, side, &mut merged)?,
        };
        Ok(Self { target, feed, merged, beforehand, followed, refused: 0 })
    }

    /// Returns the keys of then that are not of their rows now.
    fn strangers(&self, session: &Session, catalog: &Catalog) -> Result<Vec<Strangers>, Error> {
        let salvage = &self.target.piece.salvage;
        if !salvage.key.is_empty() || salvage.what != SalvageKind::Values {
            return Ok(Vec::new());
        }
        let waiting = (self.refused > 0).then(|| feed::Aside::name(&self.target, self.target.round));
        strangers::of_keys(session, catalog, &self.target, waiting.as_deref())
    }

    /// Tells whether values came to rows of which nobody can tell whether they are those of then.
    fn is_untold(&self) -> bool {
        self.target.recycled.untold && self.merged.iter().any(|one| one.merged > 0)
    }

    /// Returns the table, and how many of its rows were found by another key than that of then.
    fn found_anew(&self) -> Option<(&TableName, u64)> {
        let count = self.target.new_keys.as_ref()?.count();
        (count > 0).then_some((&self.target.table, count))
    }

    /// Tells whether numbers came back, of rows or as values.
    fn put_rows(&self) -> bool {
        let mut merged = self.merged.iter();
        let is_rows = self.target.piece.salvage.what == SalvageKind::Rows;
        (is_rows && merged.any(|merged| merged.merged > 0)) || !self.followed.is_empty()
    }

    fn run(&mut self, session: &Session, side: &mut Side<'_>, progress: &Progress) -> Result<(), Error> {
        let aside = feed::Aside::create(session, &self.target, 0)?;
        let what = self.target.table.to_string();
        let total = Amount { rows: self.target.piece.rows, bytes: 0 };
        let mut done = 0;
        let feed = self.feed.clone();
        let (target, merged) = (&self.target, &mut self.merged);
        let mut hand = target.hand(session)?;
        let mut refused = 0;
        feed.each(session, &mut |values| {
            done += 1;
            if done % 8192 == 0 {
                progress.at(&what, Amount { rows: done, bytes: 0 }, Some(total));
            }
            if let Written::Refused(why) = hand.row(values, merged, side)? {
                refused += 1;
                aside.keep(values, &why)?;
            }
            Ok(())
        })?;
        drop(hand);
        for (merged, put) in self.merged.iter_mut().zip(self.beforehand.drain(..)) {
            merged.already = merged.already.saturating_sub(put.merged);
            merged.merged += put.merged;
        }
        self.refused = refused;
        Ok(())
    }

    fn run_refused(&mut self, session: &Session, side: &mut Side<'_>) -> Result<(), Error> {
        let round = self.target.round + 1;
        let from = Feed::Table(feed::Aside::name(&self.target, self.target.round));
        let aside = feed::Aside::create(session, &self.target, round)?;
        let (target, merged) = (&self.target, &mut self.merged);
        let mut hand = target.hand(session)?;
        let mut refused = 0;
        from.each(session, &mut |values| {
            let values = &values[..values.len() - 1];
            if let Written::Refused(why) = hand.row(values, merged, side)? {
                refused += 1;
                aside.keep(values, &why)?;
            }
            Ok(())
        })?;
        drop(hand);
        self.refused = refused;
        self.target.round = round;
        Ok(())
    }

    /// Counts what is still refused as conflicts.
    fn give_up(&mut self, session: &Session, side: &mut Side<'_>) -> Result<(), Error> {
        if self.refused == 0 {
            return Ok(());
        }
        let from = Feed::Table(feed::Aside::name(&self.target, self.target.round));
        let (target, merged) = (&self.target, &mut self.merged);
        let mut hand = target.hand(session)?;
        from.each(session, &mut |values| {
            let Some((why, values)) = values.split_last() else { return Ok(()) };
            hand.give_up(values, &side::text(*why).unwrap_or_default(), merged, side)
        })
    }
}

/// Says whether a statement that writes was refused by a constraint: only that row is not written then.
fn written(session: &Session, outcome: rusqlite::Result<usize>) -> Result<Written, Error> {
    match outcome {
        Ok(_) => Ok(Written::Done),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(Written::Refused(failure::detail(&error)))
        }
        Err(error) => Err(session.failed(DOING, error)),
    }
}

/// Writes one row so that it is undone when it is refused after the statement: by a key that is checked only at the
/// commit, which would then fail as a whole.
fn guarded(
    session: &Session,
    target: &Target<'_>,
    work: impl FnOnce() -> Result<Written, Error>,
) -> Result<Written, Error> {
    if !target.needs_savepoint() {
        return work();
    }
    session.run(DOING, "SAVEPOINT ripcord_row")?;
    let mut outcome = work()?;
    if outcome == Written::Done
        && raw::has_deferred_keys_open(session).map_err(|error| session.failed(DOING, error))?
    {
        outcome = Written::Refused("FOREIGN KEY constraint failed".to_string());
    }
    if outcome != Written::Done {
        session.run(DOING, "ROLLBACK TO ripcord_row")?;
    }
    session.run(DOING, "RELEASE ripcord_row")?;
    Ok(outcome)
}
