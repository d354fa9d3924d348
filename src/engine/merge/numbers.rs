//! Which numbers a column holds that refers to keys which are put back: those of then, or those that the way back gave. Pure.
//!
//! A column that the way back made, by a join with what it refers to, holds those of now, and follows. One that nothing touched
//! holds those of then: they are right as soon as the keys are back. What was written to it since holds those of then as well,
//! as long as there were no others; whoever wrote after the way back may have meant either.

use super::{Base, Piece};
use crate::catalog::{Catalog, TableName};
use crate::ledger::SalvageKind;

/// Why a key is left to which rows refer of which nobody knows whether they mean the row that has it now.
pub const UNDECIDED: &str =
    "rows refer to the key that it has now, and nothing says whether they mean this row or the one of then";

/// What is known of a column that the way back did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// What its table was called then.
    pub table_then: TableName,
    /// Whether rows of its table are found by it: then each that is found holds what it held then.
    pub finds: bool,
    /// Whether the rows of its table are found by their key, so that the snapshot can be asked.
    pub is_keyed: bool,
    /// Whether the way back may have made it all the same, of no row of then.
    may_be_made: bool,
    /// Whether nobody can have written since the way back.
    is_fresh: bool,
}

/// Which numbers rows hold that are not as they were then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Then,
    Now,
    Unknown,
}

impl Numbers {
    /// Returns what is known of a column that refers to keys which a piece puts back; none where the way back made it.
    pub fn of(pieces: &[Piece], rekeyed: &Piece, table: &TableName, column: &str) -> Option<Self> {
        let own = || {
            let same_turn = pieces.iter().filter(|other| other.turn == rekeyed.turn);
            same_turn.filter(|other| other.salvage.table == *table)
        };
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(column));
        // What is the same in all rows no join has found.
        let is_left_by_join = |piece: &Piece| {
            let mut columns = piece.salvage.columns.iter().filter(|name| name.eq_ignore_ascii_case(column));
            columns.any(|name| !matches!(piece.base(name), Base::Constant(_)))
        };
        let is_remade = |piece: &&Piece| piece.salvage.what == SalvageKind::Values && is_left_by_join(piece);
        if own().any(|piece| is_remade(&piece)) {
            return None;
        }
        let then_name = own().next().map_or(table, |piece| piece.table_then()).clone();
        let column_then = own().next().map_or(column, |piece| piece.column_then(column));
        let then = rekeyed.catalog.as_ref().and_then(|catalog| catalog.tables.get(&then_name));
        let is_key =
            then.is_some_and(|then| then.key.iter().any(|name| name.eq_ignore_ascii_case(column_then)));
        let is_rekeyed = own().any(Piece::is_rekeying);
        let has_other_rows = own().any(|piece| piece.salvage.what == SalvageKind::Rows) || is_rekeyed;
        // Under a key that was made anew nothing says which row is which.
        if is_key && has_other_rows {
            return None;
        }
        let finds = own().any(|piece| piece.salvage.key.is_empty() && named(&piece.salvage.identity));
        Some(Self {
            finds,
            is_keyed: !is_rekeyed && then.is_some_and(|then| !then.key.is_empty()),
            may_be_made: may_be_made(rekeyed, (table, column), (&then_name, column_then)),
            is_fresh: rekeyed.fresh,
            table_then: then_name,
        })
    }

    /// Tells which numbers rows hold that are not as they were then. `is_proved` says that there are others which refer to a key
    /// that was made anew, and are: a way back that makes the column would have made these, too.
    pub fn since(&self, is_proved: bool) -> Since {
        match (is_proved || self.finds, self.is_fresh) {
            (true, true) => Since::Then,
            (false, _) if self.may_be_made => Since::Now,
            _ => Since::Unknown,
        }
    }
}

/// Tells whether what an upgrade ended with has not the column as it was then, or refers with it to something: then a way
/// back has to make it, of all rows that there are.
fn may_be_made(piece: &Piece, now: (&TableName, &str), then: (&TableName, &str)) -> bool {
    let type_of = |catalog: &Catalog, (table, column): (&TableName, &str)| {
        let columns = catalog.tables.get(table).into_iter().flat_map(|table| &table.columns);
        let mut found = columns.filter(|one| one.name.eq_ignore_ascii_case(column));
        found.next().map(|one| one.type_name.clone())
    };
    let Some(ended) = piece.ended.as_deref() else { return false };
    let types = (type_of(ended, now), piece.catalog.as_deref().and_then(|catalog| type_of(catalog, then)));
    let is_kept = matches!(types, (Some(ended), Some(then)) if ended == then);
    !is_kept || refers(ended, now)
}

/// Tells whether a foreign key is over a column, as far as the text of a constraint tells.
pub fn refers(catalog: &Catalog, (table, column): (&TableName, &str)) -> bool {
    let plain = |text: &str| text.replace(['"', '`', '[', ']'], "").to_ascii_lowercase();
    let texts = catalog.tables.get(table).into_iter().flat_map(|table| table.constraints.values());
    let mut heads = texts.filter_map(|text| {
        let at = text.to_ascii_uppercase().find("REFERENCES")?;
        Some(plain(&text[..at]))
    });
    heads.any(|head| {
        let list = head.split_once('(').map_or(head.as_str(), |(_, list)| list.trim_end_matches([' ', ')']));
        list.split(',').any(|name| name.trim() == plain(column))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Table};
    use crate::engine::empty_piece;
    use crate::ledger::Returned;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn catalog(type_name: &str, constraint: &str) -> Option<Arc<Catalog>> {
        let column = Column { name: "up".to_string(), type_name: type_name.to_string(), ..Column::default() };
        let constraints = BTreeMap::from([("k".to_string(), constraint.to_string())]);
        let table =
            Table { columns: vec![column], key: vec!["id".to_string()], constraints, ..Table::default() };
        let tables = BTreeMap::from([(TableName::plain("child"), table)]);
        Some(Arc::new(Catalog { tables, ..Catalog::default() }))
    }

    fn rekeyed(ended: Option<Arc<Catalog>>) -> Piece {
        let piece = empty_piece("parent", SalvageKind::Values);
        Piece { catalog: catalog("INTEGER", ""), ended, fresh: true, ..piece }
    }

    fn of(pieces: &[Piece], ended: Option<Arc<Catalog>>) -> Option<Numbers> {
        Numbers::of(pieces, &rekeyed(ended), &TableName::plain("child"), "up")
    }

    fn salvaged(returned: Option<Returned>) -> Piece {
        let mut piece = empty_piece("child", SalvageKind::Values);
        piece.salvage.columns = vec!["up".to_string()];
        piece.salvage.returned = returned.map(|left| ("up".to_string(), left)).into_iter().collect();
        piece
    }

    #[test]
    fn a_column_that_the_way_back_left_otherwise_in_each_row_holds_the_numbers_of_now() {
        assert_eq!(of(&[salvaged(None)], None), None);
        assert!(of(&[], None).is_some());
        // Of another backup.
        assert!(of(&[Piece { turn: 1, ..salvaged(None) }], None).is_some());
    }

    #[test]
    fn what_was_written_since_holds_the_numbers_of_then_where_the_column_is_seen_to_be_kept() {
        let kept = of(&[], catalog("INTEGER", "")).expect("kept");
        assert_eq!((kept.since(true), kept.since(false)), (Since::Then, Since::Unknown));
        let late = Numbers { is_fresh: false, ..kept };
        assert_eq!((late.since(true), late.since(false)), (Since::Unknown, Since::Unknown));
    }

    #[test]
    fn a_column_that_the_upgrade_had_otherwise_holds_the_numbers_of_now_where_nothing_is_seen() {
        for ended in [
            catalog("TEXT", ""),
            catalog("INTEGER", "FOREIGN KEY (\"up\") REFERENCES parent(id)"),
            catalog("INTEGER", "up REFERENCES parent"),
        ] {
            let made = of(&[], ended).expect("not seen to be made");
            assert_eq!((made.since(false), made.since(true)), (Since::Now, Since::Then));
        }
        let other = of(&[], catalog("INTEGER", "other REFERENCES parent")).expect("kept");
        assert_eq!(other.since(false), Since::Unknown);
    }
}
