//! A table that is gone while its rows are in a new one, where others came or went as well. Pure.
//!
//! As soon as one row more or less is there, digests say nothing of the others ([`super::pairs`]). So the rows of the one are
//! compared with those of the other by key. Only what is said in the ledger follows from that: what is kept of a table
//! that is gone stays all of it.

use super::fates::Look;
use super::pairs;
use super::{Answers, Question, RowChanges, Seen, Tree};
use crate::catalog::{TableKind, TableName};
use crate::fingerprint::{Inventory, TableFingerprint};
use std::collections::BTreeMap;

/// A new table that may be one that is gone, and how the rows of that one compare with its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub to: TableName,
    pub rows: RowChanges,
}

/// Returns what has to be asked about tables that are gone, each with the only new one that has all of its columns and its
/// key. Where several are gone that one of now may have been, nothing says which.
pub fn renames(before: &Inventory, after: &Inventory) -> Vec<Question> {
    let paired = pairs::tables(&before.fingerprint, &after.fingerprint);
    let is_gone = |name: &TableName| !after.fingerprint.tables.contains_key(name);
    let gone = before.fingerprint.tables.iter().filter(|(name, old)| {
        let is_own = !name.is_bookkeeping() && !paired.contains_key(*name);
        is_own && is_gone(name) && old.rows > 0 && !old.key.is_empty()
    });
    let is_fresh = |name: &TableName| {
        let is_taken = paired.values().any(|taken| taken == name);
        !before.fingerprint.tables.contains_key(name) && !name.is_bookkeeping() && !is_taken
    };
    let fresh: Vec<_> = after.fingerprint.tables.iter().filter(|(name, _)| is_fresh(name)).collect();
    let found: Vec<(&TableName, &TableFingerprint, &TableName)> = gone
        .filter_map(|(name, old)| {
            let mut like = fresh.iter().filter(|(place, _)| is_like((before, name), (after, place)));
            let (place, _) = like.next().filter(|_| like.next().is_none())?;
            Some((name, old, *place))
        })
        .collect();
    let only =
        found.iter().filter(|(_, _, place)| found.iter().filter(|(_, _, to)| to == place).count() == 1);
    only.map(|(name, old, place)| question(name, old, place)).collect()
}

/// Tells whether a table of now has the key and, each of its type, all columns of one of before. Rows of a tree are followed
/// through it.
fn is_like((before, name): (&Inventory, &TableName), (after, place): (&Inventory, &TableName)) -> bool {
    let (Some((was, old_key)), Some((is, new_key))) = (defined(before, name), defined(after, place)) else {
        return false;
    };
    old_key == new_key
        && was.iter().all(|(column, type_name)| is.get(column) == Some(type_name))
        && Tree::of((before, after), name, Some(place)).is_none()
}

/// Returns the types of a table's columns, and its key.
fn defined<'a>(
    inventory: &'a Inventory,
    name: &TableName,
) -> Option<(BTreeMap<&'a str, &'a str>, &'a [String])> {
    let table = inventory.catalog.tables.get(name).filter(|table| table.kind == TableKind::Ordinary)?;
    let columns = table.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str()));
    Some((columns.collect(), &inventory.fingerprint.tables.get(name)?.key))
}

fn question(name: &TableName, old: &TableFingerprint, place: &TableName) -> Question {
    let pair = |column: &String| (column.clone(), column.clone());
    Question {
        before: name.clone(),
        after: Some(place.clone()),
        key: old.key.iter().map(pair).collect(),
        is_open: false,
        is_nullable: false,
        is_remade: false,
        may_be_luck: false,
        is_beside_key: false,
        columns: old.columns.keys().map(pair).collect(),
        alike: Vec::new(),
        held: Vec::new(),
        uniform: Vec::new(),
        tree: None,
    }
}

/// Adds to the answers how the rows of tables that are gone compare with those of new ones.
pub fn compared(answers: &mut Answers, asked: Vec<Question>, mut found: Answers) {
    for Question { before, after, .. } in asked {
        if let (Some(to), Some(rows)) = (after, found.remove(&before)) {
            answers.entry(before).or_default().renamed = Some(Box::new(Renamed { to, rows }));
        }
    }
}

/// Returns the answers with those about the rows of the new table in the place of those about one that is gone, and the new
/// one by the name of the other, wherever these are one table under two names.
pub(super) fn settled(seen: &Seen<'_>) -> (Answers, BTreeMap<TableName, TableName>) {
    let (mut settled, mut places) = (seen.rows.clone(), BTreeMap::new());
    let look = Look::new(seen);
    for (name, rows) in seen.rows {
        let old = seen.before.fingerprint.tables.get(name);
        let (Some(renamed), Some(old)) = (&rows.renamed, old) else { continue };
        let found = &renamed.rows;
        if is_as_it_was(old, rows, found) && are_enough(old, found, || come_home(&look, (name, old), found)) {
            let (held, uniform) = (rows.held.clone(), rows.uniform.clone());
            settled.insert(name.clone(), RowChanges { held, uniform, ..found.clone() });
            places.insert(name.clone(), renamed.to.clone());
        }
    }
    (settled, places)
}

/// Tells whether rows that are in the new table under their keys are what they were, and a column beside the key tells more of
/// them than that they are there.
fn is_as_it_was(old: &TableFingerprint, gone: &RowChanges, found: &RowChanges) -> bool {
    let by_key = found.found_by.is_empty() && !found.is_rekeyed;
    let are_same = found.changed == 0 && found.columns.values().all(|count| *count == 0);
    let mut beside = old.columns.keys().filter(|column| !old.key.contains(column));
    by_key && are_same && beside.any(|column| !gone.uniform.contains(column))
}

/// Tells whether these are so many that it is no chance: most of the old ones, or several that are in their old table again
/// after the way back. Two tables may begin with the same row.
fn are_enough(old: &TableFingerprint, found: &RowChanges, come_home: impl FnOnce() -> bool) -> bool {
    let stayed = old.rows.saturating_sub(found.deleted);
    stayed > found.deleted || (stayed > 1 && come_home())
}

fn come_home(look: &Look<'_>, (name, old): (&TableName, &TableFingerprint), found: &RowChanges) -> bool {
    look.missing_after_back(name).is_some_and(|missing| missing <= found.deleted)
        && old.columns.keys().all(|column| look.differing_after_back(name, column) == Some(0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Values, inventory, seen, table};
    use super::super::{Fate, Keep, Ledger, LossKind, draw_up, keeps, questions};
    use super::*;
    use crate::catalog::{Column, Table};

    /// An inventory of tables with these columns, whose definitions are in its catalog.
    fn inventory_of(tables: &[(&str, [&str; 2], &Values)]) -> Inventory {
        let prints: Vec<(&str, TableFingerprint)> =
            tables.iter().map(|(name, columns, rows)| (*name, table(*columns, rows))).collect();
        let mut made = inventory(&prints);
        for (name, columns, _) in tables {
            let column = |name: &&str| Column { name: name.to_string(), ..Column::default() };
            let columns = ["id"].iter().chain(columns).map(column).collect();
            made.catalog.tables.insert(TableName::plain(*name), Table { columns, ..Table::default() });
        }
        made
    }

    fn old() -> Values {
        vec![(1, 5, 7), (2, 6, 8), (3, 7, 9), (4, 8, 9)]
    }

    /// Compares as an engine would.
    fn answered(question: &Question, old: &Values, new: &Values) -> RowChanges {
        let there = |rows: &Values, id: u64| rows.iter().find(|row| row.0 == id).copied();
        let both: Vec<_> = old.iter().filter_map(|row| Some((*row, there(new, row.0)?))).collect();
        let differ = |at: &str| {
            let differs = |((_, a, b), (_, c, d)): &&((u64, u8, u8), (u64, u8, u8))| match at {
                "a" => a != c,
                "b" => b != d,
                _ => false,
            };
            both.iter().filter(differs).count() as u64
        };
        RowChanges {
            deleted: (old.len() - both.len()) as u64,
            inserted: (new.len() - both.len()) as u64,
            changed: both.iter().filter(|(one, other)| one != other).count() as u64,
            columns: question.columns.iter().map(|pair| (pair.clone(), differ(&pair.0))).collect(),
            ..RowChanges::default()
        }
    }

    /// The ledger of an upgrade that leaves `u` in the place of `t`, with a way back that leaves `t` with these rows, and what
    /// is kept of `t` without one.
    fn became(old: &Values, new: &Values, home_rows: Option<&Values>) -> (Ledger, Vec<Keep>) {
        let (before, there) =
            (inventory_of(&[("t", ["a", "b"], old)]), inventory_of(&[("u", ["a", "b"], new)]));
        let asked = renames(&before, &there);
        assert_eq!(asked.len(), 1);
        let mut answers = Answers::from([(TableName::plain("t"), RowChanges::default())]);
        let found = answered(&asked[0], old, new);
        compared(&mut answers, asked, Answers::from([(TableName::plain("t"), found)]));
        let kept = keeps(&before, (&there, &answers), None);
        let home = home_rows.map(|rows| inventory_of(&[("t", ["a", "b"], rows)]));
        let back = home.as_ref().map(|home| {
            let asked = questions(&before, home);
            let rows = home_rows.expect("rows");
            let each = asked.iter().map(|asked| (asked.before.clone(), answered(asked, old, rows)));
            (home, each.collect::<Answers>())
        });
        let back = back.as_ref().map(|(home, answers)| (*home, answers));
        (draw_up(Seen { back, ..seen(&before, &there, &answers) }), kept)
    }

    #[test]
    fn a_table_most_of_whose_rows_are_in_a_new_one_as_they_were_is_moved_and_kept_whole_all_the_same() {
        let (found, keeps) =
            became(&old(), &vec![(1, 5, 7), (3, 7, 9), (4, 8, 9), (8, 1, 1), (9, 1, 1)], None);
        let [entry] = found.tables.as_slice() else { panic!("{found:#?}") };
        assert_eq!(entry.fate, Fate::Moved { to: "u".to_string() });
        assert_eq!((entry.inserted, entry.deleted, entry.changed), (2, 1, 0));
        assert!(entry.columns.values().all(|fate| *fate == Fate::Kept), "{entry:?}");
        let [loss] = found.lost.as_slice() else { panic!("{found:#?}") };
        assert_eq!((loss.what, loss.count), (LossKind::Rows, Some(1)));
        let [keep] = keeps.as_slice() else { panic!("{keeps:#?}") };
        assert_eq!((keep.now.as_ref(), keep.columns.len()), (None, 3));
    }

    #[test]
    fn a_table_is_lost_unless_most_of_its_rows_are_in_the_new_one_or_several_come_home_and_each_as_it_was() {
        let is_lost = |new: &Values, home: Option<&Values>| {
            let (found, _) = became(&old(), new, home);
            found.lost.first().is_some_and(|loss| loss.what == LossKind::Table)
        };
        assert!(!is_lost(&vec![(1, 5, 7), (2, 6, 8), (3, 7, 9)], None));
        // None of them, or most of them and one that is another one.
        assert!(is_lost(&vec![(5, 5, 7), (6, 6, 8), (7, 7, 9)], None));
        assert!(is_lost(&vec![(1, 5, 7), (2, 6, 8), (3, 7, 0)], None));
        let (two, one): (Values, Values) =
            (vec![(1, 5, 7), (2, 6, 8), (7, 7, 9)], vec![(1, 5, 7), (7, 7, 9)]);
        assert!(is_lost(&two, None));
        assert!(!is_lost(&two, Some(&vec![(1, 5, 7), (2, 6, 8)])));
        assert!(is_lost(&two, Some(&vec![(1, 5, 7), (2, 6, 0)])));
        assert!(is_lost(&two, Some(&vec![(1, 5, 7)])));
        assert!(is_lost(&one, Some(&vec![(1, 5, 7)])));
    }

    #[test]
    fn keys_and_columns_of_one_value_are_no_evidence() {
        let old = table(["a", "b"], &vec![(1, 0, 0), (2, 0, 0), (3, 0, 0)]);
        let found = RowChanges { deleted: 1, ..RowChanges::default() };
        let uniform = |columns: &[&str]| RowChanges {
            uniform: columns.iter().map(|name| name.to_string()).collect(),
            ..RowChanges::default()
        };
        assert!(is_as_it_was(&old, &uniform(&["a"]), &found));
        assert!(!is_as_it_was(&old, &uniform(&["a", "b"]), &found));
        // Rows that were found by something else than their key say something else.
        let rekeyed = RowChanges { is_rekeyed: true, ..found };
        assert!(!is_as_it_was(&old, &uniform(&["a"]), &rekeyed));
    }

    #[test]
    fn only_about_the_one_new_table_of_the_same_columns_is_anything_asked() {
        let (old, new): (Values, Values) = (old(), vec![(1, 5, 7)]);
        let same = ["a", "b"];
        let t = ("t", same, &old);
        let asked = |before: &[(&str, [&str; 2], &Values)], there: &[(&str, [&str; 2], &Values)]| {
            let asked = renames(&inventory_of(before), &inventory_of(there)).into_iter();
            asked.filter_map(|question| question.after.map(|to| to.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(asked(&[t], &[("u", same, &new)]), ["u"]);
        assert_eq!(asked(&[t], &[("u", same, &new), ("w", ["a", "c"], &new)]), ["u"]);
        // Two may be it, two may have been it, it is still there, or was there before.
        assert_eq!(asked(&[t], &[("u", same, &new), ("w", same, &new)]), [""; 0]);
        assert_eq!(asked(&[t, ("s", same, &old)], &[("u", same, &new)]), [""; 0]);
        assert_eq!(asked(&[t], &[t, ("u", same, &new)]), [""; 0]);
        assert_eq!(asked(&[t, ("u", same, &new)], &[("u", same, &new)]), [""; 0]);
        // All rows are there: digests say so.
        assert_eq!(asked(&[t], &[("u", same, &old)]), [""; 0]);
        let (before, mut there) = (inventory_of(&[t]), inventory_of(&[("u", same, &new)]));
        let table = there.catalog.tables.get_mut(&TableName::plain("u")).expect("a table");
        table.columns[2].type_name = "text".to_string();
        assert!(renames(&before, &there).is_empty(), "another type is another column");
    }
}
