//! Tables in which nothing was written since a backup: their rows are those of then, whether each of them can be told or not. Pure.
//!
//! A row at the end of a table that holds what others hold too, or nothing, shows by itself not whether it is the one of then. As long
//! as the whole table holds what it held there is no reason to doubt it: whoever had taken its number had left other traces.

use crate::catalog::TableName;
use crate::engine::Piece;
use crate::fingerprint::{ALGORITHM, Fingerprint, Inventory, TableFingerprint};
use crate::ledger::{SalvageKind, keys_match, same};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tells each piece which tables hold `now`, before the merge, what they held when it was saved. What any salvage is about is
/// not looked at, and says nothing where it is all that a table has. Of a table that the way back made anew, or its key, nobody
/// knows that a number means the row that it meant.
pub(super) fn mark_untouched(pieces: &mut [Piece], now: &Inventory) {
    if now.fingerprint.algorithm != ALGORITHM {
        return;
    }
    let mut about: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
    for piece in pieces.iter().filter(|piece| piece.salvage.what == SalvageKind::Values) {
        let of_table = about.entry(piece.salvage.table.clone()).or_default();
        of_table.extend(piece.salvage.columns.iter().cloned());
    }
    let remade = pieces.iter().filter(|piece| piece.remade).map(|piece| piece.salvage.table.clone());
    let remade: BTreeSet<TableName> = remade.collect();
    let none = BTreeSet::new();
    for piece in pieces {
        if piece.fingerprint.algorithm != ALGORITHM {
            continue;
        }
        let is_untouched = |(name, now): &(&TableName, &TableFingerprint)| {
            let is_own = **name == piece.salvage.table;
            let then = piece.fingerprint.tables.get(if is_own { piece.table_then() } else { *name });
            let called = |column: &str| match is_own {
                true => piece.column_then(column).to_string(),
                false => column.to_string(),
            };
            let about = about.get(*name).unwrap_or(&none);
            !remade.contains(*name) && then.is_some_and(|then| is_as_then(then, now, about, &called))
        };
        let untouched = now.fingerprint.tables.iter().filter(is_untouched);
        piece.untouched = Arc::new(untouched.map(|(name, _)| name.clone()).collect());
    }
}

/// Tells whole rows without a key of one upgrade that nobody has written to the database since it `ended`: it was the same at the
/// beginning of the downgrade, `present`. Then rows that are like them are no sign that they are there, as long as they are just as many
/// as are missing in `now`: what else went is in another file, or came back. Not so of a table in a tree: a row that is missing in it
/// may have gone to another one.
///
/// Values are not merged otherwise for that: where a way back numbers rows anew, what it left in the real run is what tells that a
/// number means another row than on the copy.
pub(super) fn mark_alone<'p>(
    pieces: impl Iterator<Item = &'p mut Piece>,
    (ended, present, now): (&Inventory, &Inventory, &Inventory),
) {
    if !is_the_same(&ended.fingerprint, &present.fingerprint) {
        return;
    }
    let is_whole = |piece: &&mut Piece| piece.salvage.what == SalvageKind::Rows;
    let mut pieces: Vec<&mut Piece> = pieces.filter(is_whole).collect();
    let mut missing: BTreeMap<TableName, u64> = BTreeMap::new();
    for piece in &pieces {
        *missing.entry(piece.salvage.table.clone()).or_default() += piece.rows;
    }
    let in_tree = |table: &TableName| [ended, now].iter().any(|at| at.catalog.is_in_tree(table));
    let may_be = |piece: &&mut &mut Piece| piece.salvage.key.is_empty() && !in_tree(&piece.salvage.table);
    for piece in pieces.iter_mut().filter(may_be) {
        let rows = |fingerprint: &Fingerprint, table: &TableName| {
            fingerprint.tables.get(table).map(|found| found.rows)
        };
        let then = rows(&piece.fingerprint, piece.table_then());
        let left = rows(&now.fingerprint, &piece.salvage.table);
        let gone = missing.get(&piece.salvage.table).copied();
        piece.alone = then.is_some() && then == left.zip(gone).map(|(left, gone)| left + gone);
    }
}

/// Tells whether two fingerprints are of the same data, as far as it is not a migration tool's own.
fn is_the_same(one: &Fingerprint, other: &Fingerprint) -> bool {
    let own = |fingerprint: &Fingerprint| -> BTreeMap<TableName, TableFingerprint> {
        let tables = fingerprint.tables.iter().filter(|(name, _)| !name.is_bookkeeping());
        tables.map(|(name, table)| (name.clone(), table.clone())).collect()
    };
    [one, other].iter().all(|found| found.algorithm == ALGORITHM && found.not_compared.is_empty())
        && own(one) == own(other)
}

/// Tells whether a table has the keys that it had, and under each of them what it held in every other column that is there then and
/// now; `called` is what a column of now was called then.
fn is_as_then(
    then: &TableFingerprint,
    now: &TableFingerprint,
    about: &BTreeSet<String>,
    called: &dyn Fn(&str) -> String,
) -> bool {
    let is_kept = |column: &&String| {
        !now.key.contains(column) && !about.contains(*column) && then.columns.contains_key(&called(column))
    };
    let mut kept = now.columns.keys().filter(is_kept).peekable();
    !then.key.is_empty()
        && keys_match(then, now)
        && kept.peek().is_some()
        && kept.all(|column| same(then, &called(column), now, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, EngineKind};
    use crate::fingerprint::Digest;
    use crate::procedure::merge::sample;

    /// A table with a digest a column, told apart by a number.
    fn table(columns: &[(&str, u128)]) -> TableFingerprint {
        let digest = |(name, digest): &(&str, u128)| (name.to_string(), Digest(*digest));
        TableFingerprint {
            rows: 9,
            digest: Digest(0),
            key: vec!["id".to_string()],
            columns: columns.iter().map(digest).collect(),
        }
    }

    fn fingerprint(tables: &[(&str, TableFingerprint)]) -> Fingerprint {
        let tables = tables.iter().map(|(name, table)| (TableName::plain(*name), table.clone()));
        Fingerprint { tables: tables.collect(), ..Fingerprint::new() }
    }

    fn inventory() -> Inventory {
        Inventory {
            engine: EngineKind::Sqlite,
            version: String::new(),
            catalog: Catalog::default(),
            fingerprint: Fingerprint::new(),
            findings: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    /// Salvage of `mail` of the table `people`, saved when there was `then`.
    fn piece(then: &[(&str, TableFingerprint)]) -> Piece {
        let piece = sample::piece("people", SalvageKind::Values, &["id"], &["mail"]);
        Piece { fingerprint: Arc::new(fingerprint(then)), ..piece }
    }

    fn untouched(piece: Piece, now: &[(&str, TableFingerprint)]) -> Vec<String> {
        let mut pieces = [piece];
        let inventory = Inventory { fingerprint: fingerprint(now), ..inventory() };
        mark_untouched(&mut pieces, &inventory);
        pieces[0].untouched.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_holds_what_it_held_beside_the_salvage_is_untouched() {
        let then = [("people", table(&[("id", 1), ("name", 2), ("mail", 3)]))];
        assert_eq!(
            untouched(piece(&then), &[("people", table(&[("id", 1), ("name", 2), ("mail", 9)]))]),
            ["people"]
        );
        assert_eq!(
            untouched(piece(&then), &[("people", table(&[("id", 1), ("name", 2), ("town", 4)]))]),
            ["people"]
        );
        for now in [
            table(&[("id", 8), ("name", 2), ("mail", 3)]),
            table(&[("id", 1), ("name", 8), ("mail", 3)]),
            table(&[("id", 1), ("mail", 3)]),
            TableFingerprint { rows: 10, ..table(&[("id", 1), ("name", 2), ("mail", 3)]) },
        ] {
            assert!(untouched(piece(&then), &[("people", now.clone())]).is_empty(), "{now:?}");
        }
    }

    #[test]
    fn a_table_of_which_nothing_was_kept_but_its_key_is_not_known_to_be_untouched() {
        let then = [("people", table(&[("id", 1), ("mail", 3)]))];
        assert!(untouched(piece(&then), &[("people", table(&[("id", 1), ("mail", 9)]))]).is_empty());
    }

    #[test]
    fn a_table_that_the_way_back_made_anew_is_not_known_to_be_untouched() {
        let then = [("people", table(&[("id", 1), ("name", 2), ("mail", 3)]))];
        let piece = Piece { remade: true, ..piece(&then) };
        assert!(untouched(piece, &then).is_empty());
    }

    #[test]
    fn rows_without_a_key_are_alone_only_where_as_many_are_missing() {
        let then = [("people", TableFingerprint { rows: 11, ..table(&[("name", 2)]) })];
        let now = [("people", table(&[("name", 1)]))];
        let of = |tables: &[(&str, TableFingerprint)]| Inventory {
            fingerprint: fingerprint(tables),
            ..inventory()
        };
        for (rows, wanted) in [(2, true), (1, false), (3, false)] {
            let gone = sample::piece("people", SalvageKind::Rows, &[], &["name"]);
            let mut gone = Piece { rows, fingerprint: Arc::new(fingerprint(&then)), ..gone };
            mark_alone(std::iter::once(&mut gone), (&of(&now), &of(&now), &of(&now)));
            assert_eq!(gone.alone, wanted, "{rows}");
            let mut gone = Piece { alone: false, ..gone };
            mark_alone(std::iter::once(&mut gone), (&of(&then), &of(&now), &of(&now)));
            assert!(!gone.alone, "somebody has written");
        }
    }

    #[test]
    fn other_tables_are_known_too() {
        let towns = ("towns", table(&[("id", 1), ("name", 5)]));
        let people = ("people", table(&[("id", 1), ("name", 2), ("mail", 3)]));
        let changed = ("people", table(&[("id", 1), ("name", 7), ("mail", 3)]));
        assert_eq!(untouched(piece(&[people, towns.clone()]), &[changed, towns]), ["towns"]);
    }
}
