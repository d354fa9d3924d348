//! Which numbers a column holds that refers to keys which are put back: those of then, or those that the way back gave. Pure.
//!
//! A column that the way back made, by a join with what it refers to, holds those of now, and follows. One that nothing touched
//! holds those of then: they are right as soon as the keys are back. What was written to it since holds those of then as well,
//! as long as there were no others; whoever wrote after the way back may have meant either.
//!
//! Of one that the way back changed each row is asked: what it left in a row is a number of now, what it left as it was one of
//! then. For a join that gives a row the number which it had finds that of what it refers to unchanged, and this does not move.

use super::{Base, Piece};
use crate::catalog::{Catalog, Column, TableName};
use crate::ledger::SalvageKind;

/// Why a key is left to which rows refer of which nobody knows whether they mean the row that has it now.
pub const UNDECIDED: &str =
    "rows refer to the key that it has now, and nothing says whether they mean this row or the one of then";

/// What is known of a column that refers to keys which are put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// What its table was called then.
    pub table_then: TableName,
    /// Whether rows of its table are found by it: then each that is found holds what it held then.
    pub finds: bool,
    /// Whether the rows of its table are found by their key, so that the snapshot can be asked.
    pub is_keyed: bool,
    /// Whether it is part of that key.
    pub is_key: bool,
    /// The file that says in which rows the way back changed it, by its place among the pieces; none where it changed none.
    pub changed: Option<usize>,
    /// Whether the way back may have made it, of no row of then.
    may_be_made: bool,
    /// Whether nobody can have written since the way back.
    is_fresh: bool,
}

/// What rows show of what the way back did to a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// One was left as it was, and what it referred to has another number: a way back that makes the column gives it that.
    pub stays: bool,
    /// One was left the new number of what it referred to.
    pub follows: bool,
    /// Some were left other numbers than they had.
    pub gives: bool,
    /// One was left something else than the number of now of what it referred to: no join does that.
    pub strays: bool,
}

/// Which numbers rows hold that are not as they were then, nor as the way back left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Then,
    Now,
    Unknown,
}

impl Numbers {
    /// Returns what is known of a column that refers to keys which a piece puts back; none where the way back made it, and
    /// nothing says of which row.
    pub fn of(pieces: &[Piece], rekeyed: &Piece, table: &TableName, column: &str) -> Option<Self> {
        let all = || pieces.iter().enumerate();
        let placed =
            || all().filter(|(_, other)| other.turn == rekeyed.turn && other.salvage.table == *table);
        let own = || placed().map(|(_, piece)| piece);
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(column));
        let is_of_values = |piece: &Piece| piece.salvage.what == SalvageKind::Values;
        let mut changed = placed().filter(|(_, piece)| is_of_values(piece) && named(&piece.salvage.columns));
        let is_told = |piece: &Piece| {
            let mut names = piece.salvage.columns.iter().filter(|name| name.eq_ignore_ascii_case(column));
            !piece.matched_by().is_empty() && names.all(|name| piece.base(name) != Base::Unknown)
        };
        if changed.clone().any(|(_, piece)| !is_told(piece)) {
            return None;
        }
        let changed = changed.next().map(|(place, _)| place);
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
            is_key,
            changed,
            may_be_made: may_be_made(rekeyed, (table, column), (&then_name, column_then)),
            is_fresh: rekeyed.fresh,
            table_then: then_name,
        })
    }

    /// Tells whether rows may hold numbers of then, as far as that can be told without looking at them.
    pub fn may_stay(&self) -> bool {
        self.changed.is_none() || !self.may_be_made
    }

    /// Tells which numbers rows hold that are neither as they were then nor as the way back left them.
    pub fn since(&self, shown: Shown) -> Since {
        match (shown.stays, shown.follows) {
            // The way back may have given them one as well.
            (true, false) if self.is_fresh && !shown.gives => Since::Then,
            (false, true) if !shown.strays => Since::Now,
            (false, false) if self.may_be_made && !shown.strays => Since::Now,
            _ => Since::Unknown,
        }
    }
}

/// Tells whether a way back has to make a column, of all rows that there are: what an upgrade ended with has not got it, also not by
/// another name, or refers with it to something. In another type it may hold the same numbers.
fn may_be_made(piece: &Piece, now: (&TableName, &str), then: (&TableName, &str)) -> bool {
    let Some(ended) = piece.ended.as_deref() else { return false };
    let former = piece.catalog.as_deref().and_then(|catalog| catalog.tables.get(then.0));
    let (Some(former), Some(table)) = (former, ended.tables.get(now.0)) else { return false };
    let is = |column: &Column, name: &str| column.name.eq_ignore_ascii_case(name);
    let Some(own) = former.columns.iter().find(|column| is(column, then.1)) else { return false };
    if table.columns.iter().any(|column| is(column, now.1)) {
        return refers(ended, now);
    }
    let is_new = |column: &Column| !former.columns.iter().any(|other| is(other, &column.name));
    !table.columns.iter().any(|column| is_new(column) && column.type_name == own.type_name)
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
    use crate::catalog::Table;
    use crate::engine::empty_piece;
    use crate::ledger::Returned;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn catalog(type_name: &str, constraint: &str) -> Option<Arc<Catalog>> {
        of_columns(&[("up", type_name)], constraint)
    }

    fn of_columns(columns: &[(&str, &str)], constraint: &str) -> Option<Arc<Catalog>> {
        let column = |(name, type_name): &(&str, &str)| Column {
            name: name.to_string(),
            type_name: type_name.to_string(),
            ..Column::default()
        };
        let columns = columns.iter().map(column).collect();
        let constraints = BTreeMap::from([("k".to_string(), constraint.to_string())]);
        let table = Table { columns, key: vec!["id".to_string()], constraints, ..Table::default() };
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
        piece.salvage.key = vec!["id".to_string()];
        piece.salvage.columns = vec!["up".to_string()];
        piece.salvage.returned = returned.map(|left| ("up".to_string(), left)).into_iter().collect();
        piece
    }

    #[test]
    fn of_a_column_that_the_way_back_changed_each_row_is_asked_unless_nothing_tells_what_it_left() {
        assert_eq!(of(&[salvaged(None)], None), None);
        let told = salvaged(Some(Returned::Constant(None)));
        assert_eq!(of(std::slice::from_ref(&told), None).and_then(|numbers| numbers.changed), Some(0));
        assert_eq!(of(&[told, salvaged(None)], None), None);
        assert_eq!(of(&[], None).map(|numbers| numbers.changed), Some(None));
        // Of another backup.
        assert!(of(&[Piece { turn: 1, ..salvaged(None) }], None).is_some());
    }

    fn shown(stays: bool, follows: bool) -> Shown {
        Shown { stays, follows, gives: follows, strays: false }
    }

    #[test]
    fn what_was_written_since_holds_the_numbers_of_then_where_the_column_is_seen_to_be_kept() {
        let (stays, nothing) = (shown(true, false), Shown::default());
        let kept = of(&[], catalog("INTEGER", "")).expect("kept");
        assert_eq!((kept.since(stays), kept.since(nothing)), (Since::Then, Since::Unknown));
        assert_eq!(kept.since(Shown { gives: true, ..stays }), Since::Unknown);
        let late = Numbers { is_fresh: false, ..kept };
        assert_eq!((late.since(stays), late.since(nothing)), (Since::Unknown, Since::Unknown));
    }

    #[test]
    fn what_was_written_since_holds_the_numbers_of_now_where_the_column_is_seen_to_be_made() {
        let kept = of(&[], catalog("INTEGER", "")).expect("kept");
        let follows = shown(false, true);
        assert_eq!(kept.since(follows), Since::Now);
        assert_eq!(kept.since(Shown { strays: true, ..follows }), Since::Unknown);
        assert_eq!(kept.since(shown(true, true)), Since::Unknown);
    }

    #[test]
    fn a_column_that_the_upgrade_had_not_or_that_referred_holds_the_numbers_of_now_where_nothing_is_seen() {
        for ended in [
            of_columns(&[("name", "TEXT")], ""),
            catalog("INTEGER", "FOREIGN KEY (\"up\") REFERENCES parent(id)"),
            catalog("INTEGER", "up REFERENCES parent"),
        ] {
            let made = of(&[], ended).expect("not seen to be made");
            let (stays, nothing) = (shown(true, false), Shown::default());
            assert_eq!((made.since(nothing), made.since(stays)), (Since::Now, Since::Then));
            assert_eq!(made.since(Shown { strays: true, ..nothing }), Since::Unknown);
        }
        // In another type or under another name it may hold the same.
        for ended in [
            catalog("INTEGER", "other REFERENCES parent"),
            catalog("TEXT", ""),
            of_columns(&[("above", "INTEGER")], ""),
        ] {
            assert_eq!(of(&[], ended).map(|kept| kept.since(Shown::default())), Some(Since::Unknown));
        }
    }
}
