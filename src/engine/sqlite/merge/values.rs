//! Values of rows that are found by their key.

use super::super::session::Session;
use super::feed::{Bound, value};
use super::renumbered::Had;
use super::side::{self, Side};
use super::target::{Hand, Known, Target, TargetColumn};
use super::together::apart;
use super::{DOING, TURNED, Written, guarded, written};
use crate::catalog::quote;
use crate::engine::{
    AMBIGUOUS, BOTH_CHANGED, Conflict, Decision, Error, HALF, Merged, RETAKEN, STRANGER, Scalar, TAKES_ALONG,
    UNDECIDED, Value, decide,
};
use rusqlite::Statement;
use std::collections::BTreeMap;

/// Writes values of one piece.
pub(super) struct ValueHand<'s> {
    session: &'s Session,
    target: &'s Target<'s>,
    select: Statement<'s>,
    /// By which of the columns are set.
    updates: BTreeMap<Vec<bool>, Statement<'s>>,
    set: Vec<bool>,
    /// Looks up whether another row had a value, for each column in which that is asked.
    then: Vec<Had<'s>>,
    /// Of the row that was looked at last: whether it may hold what another one had.
    moved: bool,
    /// Whether it was written to as well, or all of its table stays as it is, so that nothing is put into it.
    torn: bool,
}

/// The live values of a row.
enum Live {
    Absent,
    One(Vec<Decision>),
    Several,
}

/// Tells whether theirs is what the way back left.
fn is_left(
    session: &Session,
    column: &TargetColumn,
    theirs: Value<'_>,
    values: &[Value<'_>],
) -> Result<bool, Error> {
    Ok(match followed(session, column, values)? {
        Some(left) => left.as_value().is_same(theirs),
        None => column.base.matches(theirs, values),
    })
}

/// Returns what the way back left, where that has followed a key that moved. What it left as it was is a number of then, which has not.
fn followed(session: &Session, column: &TargetColumn, values: &[Value<'_>]) -> Result<Option<Scalar>, Error> {
    let left = column.base.value(values);
    let moved = column.followed.as_ref().filter(|_| !left.is_same(values[column.place]));
    let (Some(moved), Known::Column(_) | Known::Constant(_)) = (moved, &column.base) else { return Ok(None) };
    let failed = |error| session.failed(DOING, error);
    let sql = format!("SELECT old FROM temp.{moved} WHERE now = ?1");
    let mut look = session.prepare_cached(&sql).map_err(failed)?;
    let mut rows = look.query([Bound(left)]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    Ok(Some(value(row.get_ref(0).map_err(failed)?).to_scalar()))
}

impl<'s> ValueHand<'s> {
    pub(super) fn new(session: &'s Session, target: &'s Target<'s>) -> Result<Self, Error> {
        let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {}",
            columns.join(", "),
            target.table.sql(),
            target.condition
        );
        let select = session.prepare(&sql).map_err(|error| session.failed(DOING, error))?;
        let set = vec![false; target.columns.len()];
        let then = target.renumbered.iter().map(|moved| moved.look(session)).collect::<Result<_, _>>()?;
        let updates = BTreeMap::new();
        Ok(Self { session, target, select, updates, set, then, moved: false, torn: false })
    }

    /// Looks at the live row and decides for each column; counts what needs no writing.
    fn look(&mut self, values: &[Value<'_>]) -> Result<Live, Error> {
        let failed = |error| self.session.failed(DOING, error);
        self.moved = false;
        let mut rows = self
            .select
            .query(rusqlite::params_from_iter(self.target.found(values).map(Bound)))
            .map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(Live::Absent) };
        let retaken = self.target.is_retaken(self.session, values)?;
        let strangers = strangers(self.session, self.target, values)?;
        let mut decisions = Vec::with_capacity(self.target.columns.len());
        for (index, column) in self.target.columns.iter().enumerate() {
            let theirs = value(row.get_ref(index).map_err(failed)?);
            let is_base = !retaken && is_left(self.session, column, theirs, values)?;
            let ours = values[column.place];
            let left = column.base.left(theirs, values);
            for (moved, then) in self.target.renumbered.iter().zip(&mut self.then) {
                self.moved |= moved.index == index && !left.is_same(ours) && then.has(left)?;
            }
            let is_away = column.would_take_along
                || strangers.contains(&column.name)
                || self.target.is_undecided(self.session, index, values)?;
            // SQLite takes nothing else as a rowid.
            let is_odd = self.target.own_rowid == Some(index) && !matches!(ours, Value::Integer(_));
            let may_be_put = is_base && !is_away && !is_odd && !self.target.is_half(ours);
            decisions.push(decide(may_be_put, ours, theirs));
        }
        self.torn = self.target.broken || (self.moved && decisions.contains(&Decision::Conflict));
        for decision in decisions.iter_mut().filter(|decision| self.torn && **decision == Decision::Put) {
            *decision = Decision::Conflict;
        }
        for (decision, column) in decisions.iter_mut().zip(&self.target.columns) {
            if *decision == Decision::Conflict && keeps(self.session, self.target, column, values)? {
                *decision = Decision::Already;
            }
        }
        match rows.next().map_err(failed)? {
            None => Ok(Live::One(decisions)),
            Some(_) => Ok(Live::Several),
        }
    }

    /// Tells whether a row is there in which each column holds what was salvaged or gets it.
    pub(super) fn is_untouched(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        if self.target.is_found_by_half(values) {
            return Ok(false);
        }
        let live = self.look(values)?;
        Ok(matches!(live, Live::One(decisions) if !decisions.contains(&Decision::Conflict)))
    }

    /// Tells whether a row holds all that was salvaged of it.
    pub(super) fn is_back(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        let live = self.look(values)?;
        let is_back = |decisions: &[Decision]| decisions.iter().all(|one| *one == Decision::Already);
        Ok(matches!(live, Live::One(decisions) if is_back(&decisions)))
    }

    /// Tells whether a row holds in a column what the way back left, and gets what was salvaged.
    pub(super) fn is_put(&mut self, values: &[Value<'_>], index: usize) -> Result<bool, Error> {
        if self.target.is_found_by_half(values) {
            return Ok(false);
        }
        let Live::One(decisions) = self.look(values)? else { return Ok(false) };
        let column = &self.target.columns[index];
        let is_kept = column.base.keeps(values[column.place], values);
        Ok(decisions[index] == Decision::Put || (is_kept && decisions[index] == Decision::Already))
    }

    /// Tells whether a row that is there keeps what stands in it because that is another one's, and not what was salvaged.
    pub(super) fn is_left_alone(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        if self.target.is_found_by_half(values) {
            return Ok(false);
        }
        let Live::One(decisions) = self.look(values)? else { return Ok(false) };
        let is_another = self.torn || self.target.is_retaken(self.session, values)?;
        Ok(is_another && decisions.iter().any(|decision| *decision != Decision::Already))
    }

    /// Sets the columns that are marked to what was salvaged.
    fn put(&mut self, values: &[Value<'_>]) -> Result<Written, Error> {
        let written = self.set(values, None)?;
        let mut set = self.target.columns.iter().zip(&self.set);
        let retyped = set.any(|(column, set)| *set && column.retyped);
        if retyped && written == Written::Done { self.hold_to_it(values) } else { Ok(written) }
    }

    /// Sets the columns that are marked: to what was salvaged, or to values out of everybody's way.
    fn set(&mut self, values: &[Value<'_>], out_of_the_way: Option<u64>) -> Result<Written, Error> {
        let (session, target) = (self.session, self.target);
        if !self.set.contains(&true) {
            return Ok(Written::Done);
        }
        if !self.updates.contains_key(&self.set) {
            let first = target.found_by.len() + 1;
            let chosen = target.columns.iter().zip(&self.set).filter(|(_, set)| **set);
            let set: Vec<String> = (first..)
                .zip(chosen)
                .map(|(at, (column, _))| format!("{} = ?{at}", quote(&column.name)))
                .collect();
            let sql = format!(
                "UPDATE OR ABORT main.{} SET {} WHERE {}",
                target.table.sql(),
                set.join(", "),
                target.condition
            );
            let statement = session.prepare(&sql).map_err(|error| session.failed(DOING, error))?;
            self.updates.insert(self.set.clone(), statement);
        }
        let Some(update) = self.updates.get_mut(&self.set) else { return Ok(Written::Done) };
        let chosen = target.columns.iter().zip(&self.set).filter(|(_, set)| **set);
        let ours = chosen.map(|(column, _)| values[column.place]);
        let vacated: Vec<Scalar> = match out_of_the_way {
            Some(place) => ours.clone().map(|ours| apart(place, ours)).collect(),
            None => Vec::new(),
        };
        let new = ours.enumerate().map(|(at, ours)| vacated.get(at).map_or(ours, Scalar::as_value));
        let all = target.found(values).chain(new).map(Bound);
        written(session, update.execute(rusqlite::params_from_iter(all)))
    }

    /// Notes that a row whose rowid was put back is found by that one now, and returns its values with it; nothing where it is
    /// found as before.
    fn follow<'v>(&mut self, values: &[Value<'v>]) -> Result<Option<Vec<Value<'v>>>, Error> {
        let failed = |error| self.session.failed(DOING, error);
        let own = self.target.own_rowid.filter(|own| self.set[*own]);
        let (Some(own), [live]) = (own, self.target.found_by.as_slice()) else { return Ok(None) };
        // A column may look like the rowid and be none (`INTEGER PRIMARY KEY DESC`).
        let by = rusqlite::params_from_iter(self.target.found(values).map(Bound));
        if self.select.exists(by).map_err(failed)? {
            return Ok(None);
        }
        let ours = values[self.target.columns[own].place];
        let sql = format!("UPDATE temp.ripcord_due_{} SET live = ?1 WHERE live = ?2", self.target.index);
        let mut update = self.session.prepare_cached(&sql).map_err(failed)?;
        update.execute(rusqlite::params_from_iter([ours, values[*live]].map(Bound))).map_err(failed)?;
        let mut now = values.to_vec();
        now[*live] = ours;
        Ok(Some(now))
    }

    /// Returns the values of the row now; none when there is no one row.
    fn now(&mut self, values: &[Value<'_>]) -> Result<Option<Vec<Scalar>>, Error> {
        let failed = |error| self.session.failed(DOING, error);
        let found = rusqlite::params_from_iter(self.target.found(values).map(Bound));
        let mut rows = self.select.query(found).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        let all =
            (0..self.target.columns.len()).map(|index| row.get_ref(index).map(|one| value(one).to_scalar()));
        let now = all.collect::<Result<_, _>>().map_err(failed)?;
        Ok(rows.next().map_err(failed)?.is_none().then_some(now))
    }

    /// Makes sure that the columns, which have another type than they had, hold what was salvaged; otherwise undoes it.
    fn hold_to_it(&mut self, values: &[Value<'_>]) -> Result<Written, Error> {
        let Live::One(now) = self.look(values)? else { return Ok(Written::Done) };
        let turned = now.iter().zip(&self.set).any(|(decision, set)| *set && *decision != Decision::Already);
        if turned {
            return Ok(Written::Refused(TURNED.to_string()));
        }
        Ok(Written::Done)
    }

    /// Returns why a value of a column that is there is left as it is.
    fn why(&self, values: &[Value<'_>], index: usize) -> Result<&'static str, Error> {
        let column = &self.target.columns[index];
        if strangers(self.session, self.target, values)?.contains(&column.name) {
            return Ok(STRANGER);
        }
        let mut known = [values[column.place], column.base.value(values)].into_iter();
        Ok(match known.any(|value| self.target.is_half(value)) {
            true => HALF,
            false if self.torn || self.target.is_retaken(self.session, values)? => RETAKEN,
            false if column.would_take_along => TAKES_ALONG,
            false if self.target.is_undecided(self.session, index, values)? => UNDECIDED,
            false => column.changed,
        })
    }

    fn conflict(
        &mut self,
        values: &[Value<'_>],
        index: usize,
        reason: &str,
        side: &mut Side<'_>,
    ) -> Result<(), Error> {
        let column = &self.target.columns[index];
        let theirs = match self.target.is_found_by_half(values) {
            true => Scalar::Null,
            false => self.theirs(values, index)?,
        };
        side.add(Conflict {
            table: self.target.table.clone(),
            key: side::key(self.target.piece, values),
            column: Some(column.name.clone()),
            base: side::text(column.base.value(values)),
            ours: side::text(values[column.place]),
            theirs: side::text(theirs.as_value()),
            reason: reason.to_string(),
        })
    }

    /// Leaves every column as it is.
    fn all_conflict(
        &mut self,
        values: &[Value<'_>],
        reason: &str,
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<Written, Error> {
        for (index, merged) in merged.iter_mut().enumerate() {
            merged.conflicts += 1;
            self.conflict(values, index, reason, side)?;
        }
        Ok(Written::Done)
    }

    /// Returns what is there: of several rows only what all of them hold, because nobody can tell which is meant.
    fn theirs(&mut self, values: &[Value<'_>], index: usize) -> Result<Scalar, Error> {
        let failed = |error| self.session.failed(DOING, error);
        let found = rusqlite::params_from_iter(self.target.found(values).map(Bound));
        let mut rows = self.select.query(found).map_err(failed)?;
        let mut theirs: Option<Scalar> = None;
        while let Some(row) = rows.next().map_err(failed)? {
            let one = value(row.get_ref(index).map_err(failed)?);
            if theirs.get_or_insert_with(|| one.to_scalar()).as_value().is_same(one) {
                continue;
            }
            return Ok(Scalar::Null);
        }
        Ok(theirs.unwrap_or(Scalar::Null))
    }
}

/// Tells whether nothing of ours is lost in a column, so that theirs stays without a word. Rows that were numbered anew are
/// another matter: what stands there is not theirs alone.
pub(super) fn keeps(
    session: &Session,
    target: &Target<'_>,
    column: &TargetColumn,
    values: &[Value<'_>],
) -> Result<bool, Error> {
    let ours = values[column.place];
    let is_kept = match followed(session, column, values)? {
        Some(left) => left.as_value().is_same(ours),
        None => column.base.keeps(ours, values),
    };
    // A key made anew may be the same on the copy by accident, and another row's in the real run.
    let is_kept = is_kept && !target.piece.puts_key(&column.name);
    Ok(target.renumbered.is_empty() && !target.broken && is_kept && !target.is_half(ours))
}

/// Returns the columns of which the salvaged values would refer to a row that is another one now.
fn strangers(session: &Session, target: &Target<'_>, values: &[Value<'_>]) -> Result<Vec<String>, Error> {
    let mut met = Vec::new();
    for guard in &target.guards {
        if guard.is_met(session, values)? {
            met.extend(guard.columns.iter().cloned());
        }
    }
    Ok(met)
}

impl Hand for ValueHand<'_> {
    fn row(
        &mut self,
        values: &[Value<'_>],
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<Written, Error> {
        if self.target.is_found_by_half(values) {
            return self.all_conflict(values, HALF, merged, side);
        }
        let decisions = match self.look(values)? {
            Live::One(decisions) => decisions,
            Live::Absent => {
                merged.iter_mut().for_each(|merged| merged.deleted += 1);
                return Ok(Written::Done);
            }
            Live::Several => return self.all_conflict(values, AMBIGUOUS, merged, side),
        };
        for (set, decision) in self.set.iter_mut().zip(&decisions) {
            *set = *decision == Decision::Put;
        }
        if self.set.contains(&true) {
            let put = guarded(self.session, self.target, || self.put(values))?;
            if put != Written::Done {
                return Ok(put);
            }
        }
        let moved = self.follow(values)?;
        let values = moved.as_deref().unwrap_or(values);
        for (index, decision) in decisions.iter().enumerate() {
            match decision {
                Decision::Put => merged[index].merged += 1,
                Decision::Already => merged[index].already += 1,
                Decision::Conflict => {
                    merged[index].conflicts += 1;
                    self.conflict(values, index, self.why(values, index)?, side)?;
                }
            }
        }
        Ok(Written::Done)
    }

    fn vacate(&mut self, values: &[Value<'_>], place: u64) -> Result<Written, Error> {
        let alone = || Ok(Written::Refused(BOTH_CHANGED.to_string()));
        let Live::One(decisions) = self.look(values)? else { return alone() };
        for (set, decision) in self.set.iter_mut().zip(&decisions) {
            *set = *decision == Decision::Put;
        }
        let is_rowid = self.target.own_rowid.is_some_and(|own| self.set[own]);
        if is_rowid || !self.set.contains(&true) {
            return alone();
        }
        let written = self.set(values, Some(place))?;
        let Some(now) = self.now(values)? else { return alone() };
        // A column that has another type makes another value of what stands there for a moment, which nobody would find again.
        let mut set = now.iter().enumerate().filter(|(index, _)| self.set[*index]);
        let is_apart = |(index, now): (usize, &Scalar)| {
            let ours = values[self.target.columns[index].place];
            apart(place, ours).as_value().is_same(now.as_value())
        };
        if written == Written::Done && set.all(is_apart) { Ok(written) } else { alone() }
    }

    fn place(&mut self, values: &[Value<'_>], place: u64, merged: &mut [Merged]) -> Result<Written, Error> {
        let Some(now) = self.now(values)? else { return Ok(Written::Refused(AMBIGUOUS.to_string())) };
        let ours = |index: usize| values[self.target.columns[index].place];
        for (index, theirs) in now.iter().enumerate() {
            let vacated = apart(place, ours(index)).as_value().is_same(theirs.as_value());
            self.set[index] = vacated;
            match () {
                () if vacated => merged[index].merged += 1,
                () if ours(index).is_same(theirs.as_value()) => merged[index].already += 1,
                () if keeps(self.session, self.target, &self.target.columns[index], values)? => {
                    merged[index].already += 1
                }
                () => merged[index].conflicts += 1,
            }
        }
        self.put(values)
    }

    fn differing(&mut self, values: &[Value<'_>], side: &mut Side<'_>) -> Result<(), Error> {
        let Some(now) = self.now(values)? else { return Ok(()) };
        for (index, theirs) in now.iter().enumerate() {
            let column = &self.target.columns[index];
            if !values[column.place].is_same(theirs.as_value())
                && !keeps(self.session, self.target, column, values)?
            {
                self.conflict(values, index, self.why(values, index)?, side)?;
            }
        }
        Ok(())
    }

    fn give_up(
        &mut self,
        values: &[Value<'_>],
        why: &str,
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<(), Error> {
        let decisions = match self.look(values)? {
            Live::One(decisions) => decisions,
            // Its row was there when it was refused, and nothing here deletes rows.
            Live::Absent | Live::Several => return Ok(()),
        };
        // The rowid at last, as everything else is found by it.
        let mut order: Vec<(usize, &Decision)> = decisions.iter().enumerate().collect();
        order.sort_by_key(|(index, _)| Some(*index) == self.target.own_rowid);
        for (index, decision) in order {
            let reason = match decision {
                Decision::Already => {
                    merged[index].already += 1;
                    continue;
                }
                Decision::Conflict => self.why(values, index)?.to_string(),
                Decision::Put if self.moved => why.to_string(),
                // Each by itself, so that one column does not keep the others from getting what is theirs.
                Decision::Put => {
                    self.set.iter_mut().enumerate().for_each(|(at, set)| *set = at == index);
                    match guarded(self.session, self.target, || self.put(values))? {
                        Written::Done => {
                            self.follow(values)?;
                            merged[index].merged += 1;
                            continue;
                        }
                        Written::Refused(reason) => reason,
                    }
                }
            };
            merged[index].conflicts += 1;
            self.conflict(values, index, &reason, side)?;
        }
        Ok(())
    }
}
