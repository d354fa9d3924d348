//! Tables whose rows the way there and back numbered anew, looked at before anything of a turn is put back: all of such a table
//! comes back, or none of it.
//!
//! It comes back where nobody wrote: each row holds what the way back left in it, no number of then was given to a new row, and
//! whatever refers to a number that is to mean another row gets its own back at the same time. Otherwise what others wrote since
//! would hang on other rows, and rows that nobody touched would give way to some that were deleted.

use super::super::PostgresDatabase;
use super::super::names::identifier;
use super::super::session::Session;
use super::moved::{parents, salvaged};
use super::strangers::Strangers;
use super::target::{Known, Target};
use super::{DOING, Job, stays, strangers};
use crate::catalog::TableName;
use crate::engine::{Base, Error, Piece};
use crate::ledger::SalvageKind;
use crate::report::Progress;
use std::collections::{BTreeMap, BTreeSet};

/// What was found.
pub(super) struct Intact {
    /// What refers to the numbers of tables that come back as a whole.
    whole: Vec<Numbers>,
    /// The tables that stay as they are.
    broken: BTreeSet<TableName>,
    /// The keys under which other rows stay.
    pub strangers: Vec<Strangers>,
}

/// The numbers of a table that are to mean other rows, in a temporary table: `v`.
struct Numbers {
    of: TableName,
    keys: String,
    /// The tables and columns that refer to them.
    refer: Vec<(TableName, String)>,
}

impl Intact {
    /// Tells a target what was found of it.
    pub(super) fn tell(&self, target: &mut Target<'_>) {
        if self.broken.contains(&target.table) && !target.piece.salvage.key.is_empty() {
            target.leave_all();
        }
    }

    /// Returns which tables would not come back as a whole after all, now that everything was tried.
    pub(super) async fn torn(
        &self,
        session: &mut Session,
        jobs: &[Job<'_>],
    ) -> Result<BTreeSet<TableName>, Error> {
        let mut torn = BTreeSet::new();
        for numbers in &self.whole {
            for job in jobs.iter().filter(|job| job.target.piece.is_found()) {
                let target = &job.target;
                let mut not: Vec<String> = Vec::new();
                if target.table == numbers.of && target.piece.is_by_key() {
                    not.extend(target.columns.iter().map(|column| format!("NOT {}", column.same)));
                }
                for (_, own) in numbers.refer.iter().filter(|(table, _)| *table == target.table) {
                    let column = target.columns.iter().find(|column| column.name == *own);
                    let is_meant = numbers.holds(&format!("t.{}", identifier(own)));
                    not.extend(column.map(|column| format!("(NOT {} AND {is_meant})", column.same)));
                }
                let which = format!("FROM {} WHERE {}", target.joined(), not.join(" OR "));
                // Without a key those that are alike go together.
                let is_left = !not.is_empty()
                    && !target.piece.is_by_key()
                    && job.merged.iter().chain(&job.beforehand).any(|one| one.conflicts > 0);
                if is_left || !not.is_empty() && is_any(session, &which).await? {
                    torn.insert(numbers.of.clone());
                }
            }
        }
        Ok(torn)
    }
}

impl Numbers {
    fn holds(&self, value: &str) -> String {
        format!("EXISTS (SELECT FROM pg_temp.{} AS m WHERE m.v = {value})", self.keys)
    }
}

async fn is_any(session: &mut Session, from: &str) -> Result<bool, Error> {
    let any = session.value(DOING, &format!("SELECT EXISTS (SELECT {from})")).await?;
    Ok(any.as_deref() == Some("t"))
}

/// The pieces of a turn that are looked at, loaded for that alone.
struct Look<'p> {
    gone: Vec<Target<'p>>,
    tables: Vec<Target<'p>>,
}

impl PostgresDatabase {
    /// Looks which tables of a turn come back as a whole or not at all, and which rows that its pieces refer to keep what stands
    /// under their keys, because it is of others now.
    pub(super) async fn look_for_intact(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        (turn, number): (&[usize], usize),
        known: Known<'_>,
        (moved, left): (&BTreeMap<usize, String>, &BTreeSet<TableName>),
    ) -> Result<Intact, Error> {
        let mut referred: BTreeMap<usize, Vec<TableName>> = BTreeMap::new();
        for index in turn.iter().filter(|index| !pieces[**index].salvage.table.is_large_objects()) {
            referred.insert(*index, parents(session, &pieces[*index]).await?);
        }
        let is_referred =
            |piece: &Piece| referred.values().flatten().any(|table| *table == piece.salvage.table);
        let is_kept = |piece: &Piece| piece.remade && salvaged(piece).is_some() && is_referred(piece);
        let of_turn = || turn.iter().copied();
        let asked: Vec<usize> = of_turn()
            .filter(|index| pieces[*index].may_be_numbered_anew() || is_kept(&pieces[*index]))
            .collect();
        let is_gone = |index: &usize| {
            let salvage = &pieces[*index].salvage;
            let is_of_asked = || asked.iter().any(|other| pieces[*other].salvage.table == salvage.table);
            salvage.what == SalvageKind::Rows && !salvage.key.is_empty() && is_of_asked()
        };
        let mut look = Look { gone: Vec::new(), tables: Vec::new() };
        for index in of_turn().filter(is_gone) {
            let place = pieces.len() + index;
            let (target, _) =
                Target::load(session, &pieces[index], place, known, &Progress::silent()).await?;
            look.gone.extend(target);
        }
        self.load_all(session, (pieces, &asked), known, moved, &mut look).await?;
        let whole = look.tables.iter().filter(|target| target.whole);
        let whole: BTreeMap<TableName, String> = whole
            .filter_map(|target| Some((target.table.clone(), target.found_by.first()?.0.clone())))
            .collect();
        let refers = |index: &usize| {
            let parents = referred.get(index).into_iter().flatten();
            pieces[*index].is_found()
                && !asked.contains(index)
                && (parents.into_iter().any(|table| whole.contains_key(table))
                    || whole.contains_key(&pieces[*index].salvage.table))
        };
        let beside: Vec<usize> = of_turn().filter(refers).collect();
        self.load_all(session, (pieces, &beside), known, moved, &mut look).await?;
        let mut numbers = Vec::new();
        for (at, (table, key)) in whole.iter().enumerate() {
            numbers.push(look.numbers(session, table, key, &format!("ripcord_numbers_{number}_{at}")).await?);
        }
        let broken = look.broken(session, &numbers, left).await?;
        let mut strangers = Vec::new();
        for target in &mut look.tables {
            if broken.contains(&target.table) {
                target.leave_all();
            }
            strangers.extend(strangers::of_kept(session, target).await?);
        }
        for target in look.gone.iter().chain(&look.tables) {
            session.run(DOING, &format!("DROP TABLE pg_temp.{}", target.loaded)).await?;
        }
        numbers.retain(|one| !broken.contains(&one.of));
        Ok(Intact { whole: numbers, broken, strangers })
    }

    async fn load_all<'p>(
        &self,
        session: &mut Session,
        (pieces, which): (&'p [Piece], &[usize]),
        known: Known<'_>,
        moved: &BTreeMap<usize, String>,
        look: &mut Look<'p>,
    ) -> Result<(), Error> {
        for index in which {
            let (piece, place) = (&pieces[*index], pieces.len() + index);
            let (target, _) = Target::load(session, piece, place, known, &Progress::silent()).await?;
            let Some(mut target) = target else { continue };
            let gone: Vec<&Target<'_>> = look.gone.iter().collect();
            self.tell_apart(session, &mut target, pieces, &gone, moved.get(index)).await?;
            look.tables.push(target);
        }
        Ok(())
    }
}

impl Look<'_> {
    /// Returns the tables that stay as they are. One that does takes along those whose rows refer to it.
    async fn broken(
        &self,
        session: &mut Session,
        whole: &[Numbers],
        left: &BTreeSet<TableName>,
    ) -> Result<BTreeSet<TableName>, Error> {
        let mut broken = BTreeSet::new();
        for Numbers { of, .. } in whole {
            if left.contains(of) || self.is_touched(session, of).await? {
                broken.insert(of.clone());
            }
        }
        loop {
            let mut more = Vec::new();
            for numbers in whole.iter().filter(|numbers| !broken.contains(&numbers.of)) {
                if self.refers_to(&numbers.of, &broken)
                    || self.is_meant_otherwise(session, numbers, &broken).await?
                {
                    more.push(numbers.of.clone());
                }
            }
            if more.is_empty() {
                return Ok(broken);
            }
            broken.extend(more);
        }
    }

    fn of(&self, table: &TableName) -> impl Iterator<Item = &Target<'_>> {
        self.tables.iter().filter(move |target| target.table == *table)
    }

    /// Tells whether a row is gone or holds neither what was salvaged nor what the way back left, or a new one has the number of
    /// one that is to come back as a whole.
    async fn is_touched(&self, session: &mut Session, table: &TableName) -> Result<bool, Error> {
        for target in self.of(table) {
            let each = target.columns.iter().map(|column| {
                let stranger = column.stranger.as_ref().map(|met| format!(" AND NOT ({met})"));
                match column.would_take_along {
                    true => column.same.clone(),
                    false => {
                        format!("({} OR ({}{}))", column.same, column.is_base, stranger.unwrap_or_default())
                    }
                }
            });
            let touched = format!(
                "FROM pg_temp.{} AS s WHERE NOT EXISTS (SELECT FROM ONLY {} AS t WHERE {} AND {})",
                target.loaded,
                target.table.sql(),
                target.matches,
                each.collect::<Vec<_>>().join(" AND ")
            );
            if is_any(session, &touched).await? {
                return Ok(true);
            }
        }
        for target in self.gone.iter().filter(|target| target.table == *table) {
            let same: Vec<&str> = target.columns.iter().map(|column| column.same.as_str()).collect();
            let taken = format!("FROM {} WHERE NOT ({})", target.joined(), same.join(" AND "));
            if is_any(session, &taken).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether its rows refer to a table that stays as it is, by columns that are put back.
    fn refers_to(&self, table: &TableName, broken: &BTreeSet<TableName>) -> bool {
        self.of(table).any(|target| {
            let puts = |name: &String| target.columns.iter().any(|column| column.name == *name);
            let to_broken = target.keys.iter().filter(|key| key.parents().any(|one| broken.contains(one)));
            to_broken.flat_map(|key| &key.columns).any(puts)
        })
    }

    /// Tells whether a row refers to a number that is to mean another row, and does not get its own back.
    async fn is_meant_otherwise(
        &self,
        session: &mut Session,
        numbers: &Numbers,
        broken: &BTreeSet<TableName>,
    ) -> Result<bool, Error> {
        for (child, own) in &numbers.refer {
            let mut put = Vec::new();
            for target in self.of(child).filter(|_| !broken.contains(child)) {
                let column = target.columns.iter().find(|column| column.name == *own);
                let Some(column) = column.filter(|column| !column.would_take_along) else { continue };
                let stranger = column.stranger.as_ref().map(|met| format!(" AND NOT ({met})"));
                put.push(format!(
                    " AND NOT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {} AND {}{})",
                    target.loaded,
                    target.matches,
                    column.is_base,
                    stranger.unwrap_or_default()
                ));
            }
            let meant = numbers.holds(&format!("t.{}", identifier(own)));
            let others = format!("FROM ONLY {} AS t WHERE {meant}{}", child.sql(), put.concat());
            if is_any(session, &others).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps the numbers of a table that are to mean other rows.
    async fn numbers(
        &self,
        session: &mut Session,
        table: &TableName,
        key: &str,
        keys: &str,
    ) -> Result<Numbers, Error> {
        let all = self.of(table).filter_map(|target| {
            let differ = target.columns.iter().filter_map(|column| match target.piece.base(&column.name) {
                Base::Constant(_) => None,
                Base::Column(left) => {
                    Some(format!("s.v{left}::text IS DISTINCT FROM s.v{}::text", column.place))
                }
                Base::Unknown => Some("true".to_string()),
            });
            let differ: Vec<String> = differ.collect();
            let (_, place) = target.found_by.first().filter(|_| !differ.is_empty())?;
            Some(format!(
                "SELECT s.v{place} AS v FROM pg_temp.{} AS s WHERE {}",
                target.loaded,
                differ.join(" OR ")
            ))
        });
        let all: Vec<String> = all.collect();
        let make = format!(
            "CREATE TEMPORARY TABLE {keys} ON COMMIT DROP AS {}; CREATE INDEX ON pg_temp.{keys} (v); ANALYZE pg_temp.{keys}",
            all.join(" UNION ALL ")
        );
        session.run(DOING, &make).await?;
        let refer = stays::referring(session, table, key).await?;
        Ok(Numbers { of: table.clone(), keys: keys.to_string(), refer })
    }
}
