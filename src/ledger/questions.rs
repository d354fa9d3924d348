//! What fingerprints leave open, and what an engine answers by comparing rows.
//!
//! A digest says whether all values are the same. It does not say how many differ, which rows are gone, or, as soon as
//! one row more or less is there, anything about the others.

use super::pairs::{self, alike_pairs, key_pairs, keys_match, open_key, same};
use super::{Renamed, Tree};
use crate::catalog::{Column, Table, TableName};
use crate::fingerprint::{Inventory, TableFingerprint};
use std::collections::{BTreeMap, BTreeSet};

/// A column that is gone is compared with so many new ones at most: each is one more comparison of every row.
const CANDIDATES: usize = 16;
/// So many pairs of a column that stays and a new one that may be its copy are compared at most.
const COPIES: usize = 5;

/// What has to be found out about one table by comparing its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub before: TableName,
    /// The table with its rows now; none when it is gone.
    pub after: Option<TableName>,
    /// The columns that identify a row on both sides; empty when there are none: rows are then compared whole.
    pub key: Vec<(String, String)>,
    /// Whether the key is one on one side only, or one that can be NULL: then it has to be seen first that it tells all rows
    /// apart on both, and where it does not, rows are compared whole ([`Question::whole`]).
    pub is_open: bool,
    /// Whether the key is a primary key that can be NULL: it must be so in no row of either side.
    pub is_nullable: bool,
    /// Whether the key was gone in between, or of another type: what is in it now may have been made anew, and that it is what
    /// another row had is chance then.
    pub is_remade: bool,
    /// Whether nothing held the key in between: then it may be made anew also where every row has the same one on the copy.
    pub may_be_luck: bool,
    /// Whether this is asked of everything beside a key, of rows that have one.
    pub is_beside_key: bool,
    /// The columns to compare, by their names before and after.
    pub columns: Vec<(String, String)>,
    /// Without a key: the columns that hold the same values, of which it is open whether they hold them in the same rows.
    pub alike: Vec<(String, String)>,
    /// The columns whose values that are not NULL are to be counted in the table before.
    pub held: Vec<String>,
    /// The columns of which it is to be said whether the whole table before held one value in them.
    pub uniform: Vec<String>,
    /// Where rows that are gone may be as well; none for a table that is no part of a tree.
    pub tree: Option<Tree>,
}

/// What comparing the rows of a table gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowChanges {
    pub inserted: u64,
    pub deleted: u64,
    pub changed: u64,
    /// How many of its rows are in others of its tree now ([`Tree`]); these are compared there, and not deleted.
    pub moved: u64,
    /// How many values differ in the rows of both sides, by the names before and after. Where rows were compared whole:
    /// none in those columns that hold the same in the same rows, and nothing of the others.
    pub columns: BTreeMap<(String, String), u64>,
    /// How many values are not NULL, of the columns that were asked for.
    pub held: BTreeMap<String, u64>,
    /// Of rows that were compared whole and of which some are others now: the columns by which every row now is one of
    /// before all the same. Empty when there are none, or nothing is new.
    pub told_by: Vec<String>,
    /// Whether those that were alike in these columns before were alike altogether.
    pub tells: bool,
    /// Of rows that were compared whole and of which some are others now, where nothing tells which: the columns in which one
    /// that is new holds what one that is gone held. In each of these it may be that row.
    pub may_be_in: Vec<String>,
    /// Those of the columns that were asked for in which the whole table held one value; of those that are
    /// like a column of another name also such as hold one in all rows that are on both sides.
    pub uniform: BTreeSet<String>,
    /// The columns by which rows were found where these are the key of one side only, can be NULL, or are none at all, and told
    /// all rows apart on both. Empty where rows were found by a key of both, or by none.
    pub found_by: Vec<String>,
    /// Whether rows are there under other keys, and were found by [`RowChanges::told_by`], in groups that are alike in these:
    /// the columns of the key are values as any others then.
    pub is_rekeyed: bool,
    /// Where rows are gone by their key and others are new: columns in which each of these may be one of those. Nothing says
    /// which, or whether.
    pub perhaps_by: Vec<String>,
    /// Of a key that nothing held in between: whether it counted the rows, one number after the other. That is what whoever gives
    /// out numbers anew makes as well.
    pub is_count: bool,
    /// How many values that read the same are others in the type that the column had, where that was asked.
    pub turned: BTreeMap<String, u64>,
    /// Of a table that is gone: the new one that it may be, where that was asked.
    pub renamed: Option<Box<Renamed>>,
}

impl Question {
    /// Returns the same question where the key turned out to tell rows apart on one side only.
    pub fn whole(&self) -> Self {
        let columns = self.columns.iter().filter(|(one, other)| one == other).cloned().collect();
        Self { key: Vec::new(), is_open: false, is_nullable: false, columns, ..self.clone() }
    }

    /// Returns the columns by which rows are found, as far as it has to be seen whether they are.
    pub fn found_by(&self) -> Vec<String> {
        let open = self.key.iter().filter(|_| self.is_open);
        open.map(|(name, _)| name.clone()).collect()
    }
}

/// The answers by the table's name before.
pub type Answers = BTreeMap<TableName, RowChanges>;

impl RowChanges {
    /// Returns the columns that are like one of another name in all rows of both sides. Of these it is to be said as well whether they
    /// hold one value there: any other column of that value would be like them.
    pub fn like_others(&self) -> Vec<String> {
        let like = self.columns.iter().filter(|((one, other), differing)| one != other && **differing == 0);
        like.map(|((one, _), _)| one.clone()).collect()
    }

    /// Returns the columns by which rows of a table without a key were told apart; empty where nothing tells them.
    pub fn told_apart_by(&self) -> &[String] {
        match self.found_by.is_empty() {
            true if self.tells && !self.is_rekeyed => &self.told_by,
            _ => &self.found_by,
        }
    }

    /// Puts rows that were compared whole into words: without a key nobody can tell a changed row from one that is gone
    /// and another one that is new.
    pub fn of_whole_rows(gone: u64, new: u64) -> Self {
        let changed = gone.min(new);
        Self { inserted: new - changed, deleted: gone - changed, changed, ..Self::default() }
    }
}

/// Returns what has to be asked about the tables between two inventories.
pub fn questions(before: &Inventory, after: &Inventory) -> Vec<Question> {
    questions_and(before, after, &|_| false)
}

/// Returns the same, and a question about each table that is the same and is asked about all the same.
pub(super) fn questions_and(
    before: &Inventory,
    after: &Inventory,
    is_asked: &dyn Fn(&TableName) -> bool,
) -> Vec<Question> {
    let in_tree = |question: Question| {
        let tree = Tree::of((before, after), &question.before, question.after.as_ref());
        Question { tree, ..question }
    };
    of_tables(before, after, is_asked).into_iter().map(in_tree).collect()
}

fn of_tables(before: &Inventory, after: &Inventory, is_asked: &dyn Fn(&TableName) -> bool) -> Vec<Question> {
    let paired = pairs::tables(&before.fingerprint, &after.fingerprint);
    let own = before.fingerprint.tables.iter();
    let own = own.filter(|(name, table)| !name.is_bookkeeping() && table.rows > 0);
    own.filter_map(|(name, old)| match paired.get(name) {
        Some(now) => {
            let new = (now, after.fingerprint.tables.get(now)?);
            of_pair((before, after), (name, old), new, is_asked(name))
        }
        None => {
            let held: Vec<String> = old.columns.keys().cloned().collect();
            Some(Question {
                before: name.clone(),
                after: None,
                key: Vec::new(),
                is_open: false,
                is_nullable: false,
                is_remade: false,
                may_be_luck: false,
                is_beside_key: false,
                columns: Vec::new(),
                alike: Vec::new(),
                uniform: held.clone(),
                held,
                tree: None,
            })
        }
    })
    .collect()
}

fn of_pair(
    (before, after): (&Inventory, &Inventory),
    (name, old): (&TableName, &TableFingerprint),
    (now, new): (&TableName, &TableFingerprint),
    is_asked: bool,
) -> Option<Question> {
    let common: Vec<&String> =
        old.columns.keys().filter(|column| new.columns.contains_key(*column)).collect();
    let gone: Vec<String> =
        old.columns.keys().filter(|column| !new.columns.contains_key(*column)).cloned().collect();
    let settled = keys_match(old, new) && common.iter().all(|column| same(old, column, new, column));
    if settled && gone.is_empty() && !is_asked {
        return None;
    }
    let known = key_pairs(old, new);
    let is_without = old.key.is_empty() && new.key.is_empty();
    let open = match is_without {
        true => nullable_key(before.catalog.tables.get(name), after.catalog.tables.get(now), &common),
        false => open_key(old, new),
    };
    let is_open = known.is_empty() && !open.is_empty();
    let is_nullable = is_open && is_without;
    let may_be_copies = !known.is_empty() && !keys_match(old, new);
    let key = if is_open { open } else { known };
    let mut columns: Vec<(String, String)> =
        common.iter().map(|column| ((*column).clone(), (*column).clone())).collect();
    if !key.is_empty() {
        let fresh = new.columns.keys().filter(|column| !old.columns.contains_key(*column));
        let candidates = fresh.flat_map(|column| gone.iter().map(move |old| (old.clone(), column.clone())));
        columns.extend(candidates.take(CANDIDATES));
    }
    if may_be_copies {
        columns.extend(copies((before, name), (after, now)).take(COPIES));
    }
    // A column that is said to be held elsewhere must have had more than one value: a constant proves nothing.
    let changed = common.iter().filter(|column| !same(old, column, new, column));
    let is_held =
        |column: &&&String| pairs::elsewhere(&before.fingerprint, &after.fingerprint, old, column).is_some();
    let uniform = gone.iter().chain(changed.filter(is_held).copied()).cloned().collect();
    let alike = if key.is_empty() || is_without { alike_pairs(old, new) } else { Vec::new() };
    let after = Some(now.clone());
    let (before, held) = (name.clone(), gone);
    let (is_remade, may_be_luck, is_beside_key) = (false, false, false);
    Some(Question {
        before,
        after,
        key,
        is_open,
        is_nullable,
        is_remade,
        may_be_luck,
        is_beside_key,
        columns,
        alike,
        held,
        uniform,
        tree: None,
    })
}

/// Returns the columns that stay, each with a new one of its type that may be a copy of it. As soon as a row comes or goes, digests
/// say nothing of that.
fn copies<'a>(
    (before, name): (&'a Inventory, &TableName),
    (after, now): (&'a Inventory, &TableName),
) -> impl Iterator<Item = (String, String)> {
    let columns = |inventory: &'a Inventory, name: &TableName| {
        let print = inventory.fingerprint.tables.get(name).map(|print| &print.columns);
        let columns = inventory.catalog.tables.get(name).map(|table| table.columns.iter());
        let read = move |column: &&Column| print.is_some_and(|print| print.contains_key(&column.name));
        columns.into_iter().flatten().filter(read).collect::<Vec<_>>()
    };
    let (was, is) = (columns(before, name), columns(after, now));
    let is_in = |all: &[&Column], column: &Column| all.iter().any(|other| other.name == column.name);
    let stay: Vec<&Column> = was.iter().filter(|column| is_in(&is, column)).copied().collect();
    let fresh: Vec<&Column> = is.iter().filter(|column| !is_in(&was, column)).copied().collect();
    fresh.into_iter().flat_map(move |column| {
        let like = stay.clone().into_iter().filter(|other| other.type_name == column.type_name);
        like.map(|other| (other.name.clone(), column.name.clone()))
    })
}

/// Returns the primary key that can be NULL, where both sides have the same one.
fn nullable_key(old: Option<&Table>, new: Option<&Table>, common: &[&String]) -> Vec<(String, String)> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    if old.nullable_key != new.nullable_key || !old.nullable_key.iter().all(|part| common.contains(&part)) {
        return Vec::new();
    }
    old.nullable_key.iter().map(|part| (part.clone(), part.clone())).collect()
}
