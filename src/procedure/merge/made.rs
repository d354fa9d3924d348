//! Columns of salvage that the downgrade has just made with a value of its own for each row, so that the rehearsal's copy
//! cannot say what the way back left in them. Pure.

use crate::catalog::TableName;
use crate::engine::{MadeColumn, Piece};
use crate::fingerprint::Inventory;
use crate::ledger::{Ledger, LossKind, SalvageKind, keys_match};
use crate::plan::Plan;
use std::collections::BTreeSet;

/// Names the columns of a piece that the ways back of its own upgrade have made, after all others: what another revision
/// calls the same is another column.
pub(super) fn by_its_way_back(piece: Piece, plan: &Plan, made: &[MadeColumn]) -> Piece {
    let is_its = |name: &&String| {
        let made = made.iter().rfind(|one| one.table == piece.salvage.table && one.column == **name);
        made.is_some_and(|made| plan.scripts.iter().any(|script| script.revision == made.revision))
    };
    let made: BTreeSet<String> = match piece.salvage.what {
        SalvageKind::Values => piece.salvage.columns.iter().filter(is_its).cloned().collect(),
        SalvageKind::Rows => BTreeSet::new(),
    };
    Piece { made, ..piece }
}

/// Leaves of these columns those that were not there before the downgrade and make their own values after it. What two
/// pieces salvaged counts for none of them: what the first one puts there is no default any more.
pub(super) fn leave_own_values(pieces: &mut [Piece], before: &Inventory, after: &Inventory) {
    let all: Vec<(TableName, String)> = pieces
        .iter()
        .filter(|piece| piece.salvage.what == SalvageKind::Values && piece.beyond.is_none())
        .flat_map(|piece| {
            piece.salvage.columns.iter().map(|name| (piece.salvage.table.clone(), name.clone()))
        })
        .collect();
    for piece in pieces {
        let table = &piece.salvage.table;
        let is_once =
            |name: &String| all.iter().filter(|(of, other)| of == table && other == name).count() == 1;
        piece.made.retain(|name| is_once(name) && is_new(table, name, before, after));
    }
}

/// Marks the columns that were not there before the downgrade, and in which its way back left something else in the database
/// than on the copy, `copied`. Both had the same rows to compute it from, so that it says nothing of these; nobody else may have
/// written meanwhile.
pub(super) fn mark_momentary(
    pieces: &mut [Piece],
    copied: &Inventory,
    before: &Inventory,
    after: &Inventory,
) {
    for piece in pieces.iter_mut().filter(|piece| piece.salvage.what == SalvageKind::Values) {
        let table = &piece.salvage.table;
        let was_there = before.catalog.tables.get(table);
        let ends = (copied.fingerprint.tables.get(table), after.fingerprint.tables.get(table));
        let (Some(was_there), (Some(on_copy), Some(now))) = (was_there, ends) else { continue };
        let is_momentary = |name: &&String| {
            let columns = (on_copy.columns.get(*name), now.columns.get(*name));
            was_there.columns.iter().all(|column| column.name != **name)
                && keys_match(on_copy, now)
                && matches!(columns, (Some(one), Some(other)) if one != other)
        };
        piece.momentary = piece.salvage.columns.iter().filter(is_momentary).cloned().collect();
    }
}

/// Marks what the rehearsal of the downgrade has seen to get other keys: the upgrade may have ended with the key of then, and the
/// way back number its rows anew all the same.
pub(super) fn mark_renumbered(pieces: &mut [Piece], ledger: &Ledger) {
    let overwritten = ledger.lost.iter().filter(|loss| loss.what == LossKind::Values);
    let overwritten: BTreeSet<(&TableName, &String)> =
        overwritten.filter_map(|loss| Some((&loss.table, loss.column.as_ref()?))).collect();
    for piece in pieces {
        let table = &piece.salvage.table;
        piece.remade |= piece.salvage.key.iter().any(|part| overwritten.contains(&(table, part)));
    }
}

fn is_new(table: &TableName, name: &str, before: &Inventory, after: &Inventory) -> bool {
    let (Some(then), Some(now)) = (before.catalog.tables.get(table), after.catalog.tables.get(table)) else {
        return false;
    };
    let found = now.columns.iter().find(|column| column.name == name);
    found.is_some_and(|column| column.makes_its_own(now, after.engine))
        && then.columns.iter().all(|column| column.name != name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Column, EngineKind, Table};
    use crate::fingerprint::Fingerprint;
    use crate::history::{Direction, RevisionId};
    use crate::plan::{Script, TransactionMode};
    use crate::procedure::merge::sample;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const OWN: &str = "aaaa00000001";
    const OTHER: &str = "aaaa00000002";

    fn revision(name: &str) -> RevisionId {
        RevisionId::new(name).expect("an id")
    }

    /// An upgrade of one revision.
    fn plan() -> Plan {
        let script = Script {
            revision: revision(OWN),
            direction: Direction::Up,
            message: String::new(),
            place: String::new(),
            sha256: String::new(),
            transaction: TransactionMode::One,
            statements: Vec::new(),
            accepts: Vec::new(),
            rows: Vec::new(),
            rows_after: Vec::new(),
        };
        Plan {
            direction: Direction::Up,
            target: String::new(),
            from: Vec::new(),
            to: Vec::new(),
            schema: None,
            scripts: vec![script],
            accepted: Vec::new(),
        }
    }

    fn made_by(by: &str, table: &str, column: &str) -> MadeColumn {
        MadeColumn { revision: revision(by), table: TableName::plain(table), column: column.to_string() }
    }

    fn piece(what: SalvageKind) -> Piece {
        sample::piece("t", what, &["id"], &["a", "b"])
    }

    fn its(made: &[MadeColumn]) -> Vec<String> {
        by_its_way_back(piece(SalvageKind::Values), &plan(), made).made.into_iter().collect()
    }

    #[test]
    fn a_column_is_named_where_a_way_back_of_its_own_upgrade_has_made_it() {
        assert_eq!(its(&[made_by(OWN, "t", "a")]), ["a"]);
        assert!(its(&[made_by(OTHER, "t", "a"), made_by(OWN, "u", "a"), made_by(OWN, "t", "id")]).is_empty());
        let whole_rows = by_its_way_back(piece(SalvageKind::Rows), &plan(), &[made_by(OWN, "t", "a")]);
        assert!(whole_rows.made.is_empty());
    }

    #[test]
    fn what_another_revision_made_afterwards_under_the_same_name_is_another_column() {
        assert!(its(&[made_by(OWN, "t", "a"), made_by(OTHER, "t", "a")]).is_empty());
        assert_eq!(its(&[made_by(OTHER, "t", "a"), made_by(OWN, "t", "a")]), ["a"]);
    }

    /// A database with one table of these columns: name and default.
    fn inventory(columns: &[(&str, &str)]) -> Inventory {
        let column = |(name, default): &(&str, &str)| Column {
            name: (*name).to_string(),
            default: Some((*default).to_string()),
            ..Column::default()
        };
        let table = Table { columns: columns.iter().map(column).collect(), ..Table::default() };
        let tables = BTreeMap::from([(TableName::plain("t"), table)]);
        Inventory {
            engine: EngineKind::Postgresql,
            version: String::new(),
            facts: BTreeMap::new(),
            catalog: Catalog { tables, ..Catalog::default() },
            fingerprint: Fingerprint::default(),
            findings: Vec::new(),
        }
    }

    /// What is left of both columns of each piece.
    fn left(mut pieces: Vec<Piece>, before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
        for piece in &mut pieces {
            piece.made = piece.salvage.columns.iter().cloned().collect();
        }
        leave_own_values(&mut pieces, &inventory(before), &inventory(after));
        pieces.into_iter().map(|piece| piece.made.into_iter().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn only_a_column_that_is_new_and_makes_its_own_values_is_left() {
        let one = || vec![piece(SalvageKind::Values)];
        assert_eq!(left(one(), &[], &[("a", "now()"), ("b", "now()")]), ["a b"]);
        assert_eq!(left(one(), &[("a", "now()")], &[("a", "now()"), ("b", "now()")]), ["b"]);
        assert_eq!(left(one(), &[], &[("a", "7"), ("b", "now()")]), ["b"]);
        assert_eq!(left(one(), &[], &[("b", "now()")]), ["b"]);
    }

    #[test]
    fn of_a_column_that_two_backups_have_salvaged_none_is_left() {
        let now = [("a", "now()"), ("b", "now()")];
        let second = sample::piece("t", SalvageKind::Values, &["id"], &["b"]);
        assert_eq!(left(vec![piece(SalvageKind::Values), second.clone()], &[], &now), ["a", ""]);
        // The second file of one backup brings other rows of the same column.
        let beyond = Some(Arc::new(piece(SalvageKind::Values)));
        let later = Piece { beyond, ..second };
        assert_eq!(left(vec![piece(SalvageKind::Values), later], &[], &now), ["a b", "b"]);
        // Whole rows bring their columns along, and overwrite none.
        let rows = piece(SalvageKind::Rows);
        assert_eq!(left(vec![piece(SalvageKind::Values), rows], &[], &now)[0], "a b");
    }
}
