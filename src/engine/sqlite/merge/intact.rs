//! Tables whose rows the way there and back numbered anew, looked at before anything of a turn is put back: all of such a table
//! comes back, or none of it.
//!
//! It comes back where nobody wrote: each row holds what the way back left in it, no number of then was given to a new row, and
//! whatever refers to a number that is to mean another row gets its own back at the same time. Otherwise what others wrote since
//! would hang on other rows, and rows that nobody touched would give way to some that were deleted.

use super::super::session::Session;
use super::feed::{Bound, Feed, fill};
use super::moved::Moved as Elsewhere;
use super::references::references;
use super::renumbered::{self, Moved};
use super::rows::RowHand;
use super::strangers::{self, Strangers};
use super::target::{Known, Target};
use super::together::keys;
use super::values::ValueHand;
use super::{DOING, Job};
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::{Error, Mark, Piece, Value};
use crate::ledger::SalvageKind;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What was found.
pub(super) struct Intact {
    /// By the places of pieces: in which columns rows got what others had.
    renumbered: BTreeMap<usize, Vec<Moved>>,
    /// The tables that come back as a whole.
    whole: BTreeSet<TableName>,
    /// The tables that stay as they are.
    broken: BTreeSet<TableName>,
    /// The keys under which other rows stay.
    pub strangers: Vec<Strangers>,
}

impl Intact {
    /// Tells a target what was found of it.
    pub(super) fn tell(&mut self, target: &mut Target<'_>) {
        target.renumbered = self.renumbered.remove(&target.index).unwrap_or_default();
        target.broken = !target.piece.salvage.key.is_empty() && self.broken.contains(&target.table);
    }

    /// Returns which tables would not come back as a whole after all, now that everything was tried.
    pub(super) fn torn(
        &self,
        session: &Session,
        catalog: &Catalog,
        jobs: &[Job<'_>],
    ) -> Result<BTreeSet<TableName>, Error> {
        let mut torn = BTreeSet::new();
        for table in &self.whole {
            let refer = references(session, catalog, table)?;
            let is_refused = |job: &Job<'_>| {
                // Without a key those that are alike go together.
                let is_left = job.refused > 0
                    || !job.target.piece.is_by_key()
                        && job.merged.iter().any(|one| one.conflicts > 0 || one.skipped.is_some());
                is_left
                    && job.target.piece.is_found()
                    && refer.iter().any(|one| one.table == job.target.table)
            };
            let mut is_back = !jobs.iter().any(is_refused);
            for job in jobs.iter().filter(|job| job.target.table == *table && job.target.piece.is_by_key()) {
                let mut hand = ValueHand::new(session, &job.target)?;
                job.feed.each(session, &mut |values| {
                    is_back = is_back && hand.is_back(values)?;
                    Ok(())
                })?;
            }
            if !is_back {
                torn.insert(table.clone());
            }
        }
        Ok(torn)
    }
}

/// Looks at the pieces of a turn.
pub(super) fn look(
    session: &Session,
    catalog: &Catalog,
    pieces: &[Piece],
    (turn, elsewhere): (&[usize], &Elsewhere),
    (known, left): (&[Strangers], &BTreeSet<TableName>),
) -> Result<Intact, Error> {
    let (mut tables, mut whole) = (Vec::new(), BTreeMap::new());
    for index in turn.iter().filter(|index| pieces[**index].may_be_numbered_anew()) {
        let (Some(mut target), _) = Target::of(session, catalog, pieces, *index)? else { continue };
        target.moved = elsewhere.guard(*index);
        target.guards = strangers::guards(session, &target, known)?;
        let found = renumbered::look(session, &target, pieces)?;
        target.renumbered = found.moved;
        if found.whole {
            whole.insert(target.table.clone(), target.piece.salvage.key[0].clone());
        }
        tables.push(target);
    }
    let mut look = Look { session, catalog, pieces, turn, tables, beside: Vec::new() };
    let broken = look.broken(&whole, (elsewhere, known), left)?;
    let mut strangers = Vec::new();
    for target in &mut look.tables {
        target.broken = broken.contains(&target.table);
        strangers.extend(strangers::of_kept(session, target)?);
    }
    let tables = look.tables.into_iter();
    let renumbered = tables.map(|target| (target.index, target.renumbered)).collect();
    let whole = whole.into_keys().filter(|table| !broken.contains(table)).collect();
    Ok(Intact { renumbered, whole, broken, strangers })
}

struct Look<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    pieces: &'a [Piece],
    turn: &'a [usize],
    tables: Vec<Target<'a>>,
    /// Those of which nothing is asked but what their rows refer to.
    beside: Vec<Target<'a>>,
}

impl<'a> Look<'a> {
    /// Returns the tables that stay as they are. One that does takes along those whose rows refer to it.
    fn broken(
        &mut self,
        whole: &BTreeMap<TableName, String>,
        (elsewhere, known): (&Elsewhere, &[Strangers]),
        left: &BTreeSet<TableName>,
    ) -> Result<BTreeSet<TableName>, Error> {
        let mut broken = BTreeSet::new();
        if whole.is_empty() {
            return Ok(broken);
        }
        let (session, catalog, pieces) = (self.session, self.catalog, self.pieces);
        for index in self.turn.iter().filter(|index| pieces[**index].is_found()) {
            if self.tables.iter().any(|target| target.index == *index) {
                continue;
            }
            let (Some(mut target), _) = Target::of(session, catalog, pieces, *index)? else { continue };
            target.moved = elsewhere.guard(*index);
            target.guards = strangers::guards(session, &target, known)?;
            self.beside.push(target);
        }
        for table in whole.keys() {
            if left.contains(table) || !self.is_untouched(table)? || self.is_taken(table)? {
                broken.insert(table.clone());
            }
        }
        loop {
            let mut more = Vec::new();
            for (table, key) in whole.iter().filter(|(table, _)| !broken.contains(*table)) {
                if self.refers_to(table, &broken)? || self.is_meant_otherwise(table, key, &broken)? {
                    more.push(table.clone());
                }
            }
            if more.is_empty() {
                return Ok(broken);
            }
            broken.extend(more);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Target<'a>> {
        self.tables.iter().chain(&self.beside)
    }

    fn of<'l>(&'l self, table: &'l TableName) -> impl Iterator<Item = &'l Target<'a>> {
        self.all().filter(move |target| target.table == *table)
    }

    /// Tells whether each row is there and holds what was salvaged, or what the way back left.
    fn is_untouched(&self, table: &TableName) -> Result<bool, Error> {
        let mut untouched = true;
        for target in self.of(table) {
            let mut hand = ValueHand::new(self.session, target)?;
            Feed::File(target.piece.source.as_ref()).each(self.session, &mut |values| {
                untouched = untouched && hand.is_untouched(values)?;
                Ok(())
            })?;
        }
        Ok(untouched)
    }

    /// Tells whether a new row has the number of one that is to come back as a whole.
    fn is_taken(&self, table: &TableName) -> Result<bool, Error> {
        let mut taken = false;
        for index in self.turn {
            let salvage = &self.pieces[*index].salvage;
            let is_of_table = salvage.table == *table && salvage.what == SalvageKind::Rows;
            if !is_of_table || salvage.key.is_empty() {
                continue;
            }
            let (Some(target), _) = Target::of(self.session, self.catalog, self.pieces, *index)? else {
                continue;
            };
            let mut hand = RowHand::new(self.session, &target)?;
            Feed::File(target.piece.source.as_ref()).each(self.session, &mut |values| {
                taken = taken || hand.is_taken(values)?;
                Ok(())
            })?;
        }
        Ok(taken)
    }

    /// Tells whether its rows refer to a table that stays as it is, by columns that are put back.
    fn refers_to(&self, table: &TableName, broken: &BTreeSet<TableName>) -> Result<bool, Error> {
        for (parent, pairs) in keys(self.session, table)? {
            let puts = |own: &String| {
                let mut columns = self.of(table).flat_map(|target| &target.columns);
                columns.any(|column| column.name.eq_ignore_ascii_case(own))
            };
            let is_broken = broken.iter().any(|broken| broken.name.eq_ignore_ascii_case(&parent));
            if is_broken && pairs.iter().any(|(own, _)| puts(own)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether a row refers to a number that is to mean another row, and does not get its own back.
    fn is_meant_otherwise(
        &self,
        table: &TableName,
        key: &str,
        broken: &BTreeSet<TableName>,
    ) -> Result<bool, Error> {
        let session = self.session;
        let numbers = self.numbers(table)?;
        let held = format!("SELECT 1 FROM temp.{numbers} WHERE v0 = ?1");
        for one in references(session, self.catalog, table)? {
            let Some(own) = one.to(key) else { continue };
            let count = format!(
                "SELECT count(*) FROM main.{} AS r WHERE r.{} IN (SELECT v0 FROM temp.{numbers})",
                one.table.sql(),
                quote(own)
            );
            let count: i64 = session.one(DOING, &count)?;
            let mut follow: HashSet<Vec<Option<Mark>>> = HashSet::new();
            for target in self.of(&one.table).filter(|_| !broken.contains(&one.table)) {
                let mut columns = target.columns.iter();
                let Some(index) = columns.position(|column| column.name.eq_ignore_ascii_case(own)) else {
                    continue;
                };
                let mut hand = ValueHand::new(session, target)?;
                Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
                    let mut look =
                        session.prepare_cached(&held).map_err(|error| session.failed(DOING, error))?;
                    let left = Bound(target.columns[index].base.value(values));
                    if look.exists([left]).map_err(|error| session.failed(DOING, error))?
                        && hand.is_put(values, index)?
                    {
                        follow.insert(target.found(values).map(Mark::of).collect());
                    }
                    Ok(())
                })?;
            }
            if follow.len() as u64 != count.unsigned_abs() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps the numbers of a table that are to mean other rows, in a temporary table, and returns its name.
    fn numbers(&self, table: &TableName) -> Result<String, Error> {
        let name = "ripcord_numbers".to_string();
        let mut insert = fill(self.session, &name, 1)?;
        for target in self.of(table) {
            Feed::File(target.piece.source.as_ref()).each(self.session, &mut |values| {
                let mut columns = target.columns.iter();
                let is_another = columns.any(|column| match column.base {
                    Known::Constant(_) => false,
                    Known::Column(_) => !column.base.value(values).is_same(values[column.place]),
                    Known::Unknown(_) => true,
                });
                if is_another {
                    let key = target.found(values).next().unwrap_or(Value::Null);
                    insert.execute([Bound(key)]).map_err(|error| self.session.failed(DOING, error))?;
                }
                Ok(())
            })?;
        }
        drop(insert);
        self.session.run(DOING, &format!("CREATE INDEX temp.{name}_values ON {name} (v0)"))?;
        Ok(name)
    }
}
