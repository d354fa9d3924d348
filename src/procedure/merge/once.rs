//! What two files of one backup hold is merged once. Pure.
//!
//! Where a real run went further than its rehearsal, all that it took away is kept again: most of it is in both files, as of
//! the same instant. The first one knows more, namely what the way back leaves. Where that is what was salvaged, the value was not
//! lost on the copy, and stands in the first file beside another one that was: then the later one knows more.

use crate::engine::{Base, Piece};
use crate::ledger::SalvageKind;
use std::sync::Arc;

/// Divides the files of a backup, those of its rehearsal first, so that of what an earlier one is about, too, a later one
/// brings only the rows that the earlier one does not have.
pub(super) fn once(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut divided = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let mut rest = piece.clone();
        for earlier in pieces[..place].iter().filter(|earlier| is_twin(earlier, piece)) {
            let is_shared = |name: &String| earlier.salvage.columns.contains(name);
            if rest.salvage.columns.iter().any(is_shared) {
                let beyond = Some(Arc::new(earlier.clone()));
                let shared = of_columns(rest.clone(), is_shared);
                divided.push(Piece { beyond: beyond.clone(), ..shared.clone() });
                divided.extend(not_lost(earlier, &shared).map(|column| {
                    let of_column = of_columns(shared.clone(), |name| *name == column);
                    Piece { beyond: beyond.clone(), not_lost: Some(column), ..of_column }
                }));
                rest = of_columns(rest, |name| !is_shared(name));
            }
        }
        if !rest.salvage.columns.is_empty() || piece.salvage.columns.is_empty() {
            divided.push(rest);
        }
    }
    divided
}

/// Returns the columns of both that some rows of the earlier one may not have lost: what the way back left stands beside each value.
fn not_lost(earlier: &Piece, shared: &Piece) -> impl Iterator<Item = String> {
    let is_by_key = !shared.salvage.key.is_empty() && shared.salvage.what == SalvageKind::Values;
    let is_told = |name: &&String| is_by_key && matches!(earlier.base(name), Base::Column(_));
    shared.salvage.columns.iter().filter(is_told).cloned().collect::<Vec<_>>().into_iter()
}

/// Tells whether a row of one file can be found in the other one. Without a key that takes all its columns: whole rows are
/// found as often as they are in both, and of values those that are alike are told by all columns together.
fn is_twin(earlier: &Piece, later: &Piece) -> bool {
    let (one, other) = (&earlier.salvage, &later.salvage);
    let is_same = one.table == other.table
        && one.what == other.what
        && one.key == other.key
        && !later.matched_by().is_empty()
        && earlier.matched_by() == later.matched_by();
    let has_all = || other.columns.iter().all(|name| one.columns.contains(name));
    is_same && ((!other.key.is_empty() && other.what == SalvageKind::Values) || has_all())
}

fn of_columns(mut piece: Piece, is_one: impl Fn(&String) -> bool) -> Piece {
    piece.salvage.columns.retain(&is_one);
    piece.salvage.returned.retain(|name, _| is_one(name));
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Returned;
    use crate::procedure::merge::sample::piece;

    /// The columns of each, and whether it leaves out what another one has.
    fn told(pieces: Vec<Piece>) -> Vec<(String, bool)> {
        let all = once(pieces).into_iter();
        all.map(|piece| (piece.salvage.columns.join(" "), piece.beyond.is_some())).collect()
    }

    fn of(table: &str, what: SalvageKind, key: &[&str], columns: &[&str]) -> Piece {
        piece(table, what, key, columns)
    }

    #[test]
    fn of_columns_that_two_files_have_the_second_brings_only_other_rows() {
        use SalvageKind::Values;
        let told = told(vec![of("t", Values, &["id"], &["a", "b"]), of("t", Values, &["id"], &["b", "c"])]);
        assert_eq!(told, [("a b".to_string(), false), ("b".to_string(), true), ("c".to_string(), false)]);
    }

    #[test]
    fn a_value_that_the_way_back_left_as_it_was_is_brought_by_the_second_file_alone() {
        use SalvageKind::Values;
        let mut first = of("t", Values, &["id"], &["a", "b", "left"]);
        first.salvage.columns.pop();
        first.salvage.returned.insert("a".to_string(), Returned::In("left".to_string()));
        let pieces = once(vec![first, of("t", Values, &["id"], &["a", "b"])]);
        let told = pieces.iter().map(|piece| (piece.salvage.columns.join(" "), piece.not_lost.as_deref()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [("a b".to_string(), None), ("a b".to_string(), None), ("a".to_string(), Some("a"))]
        );
        assert_eq!(pieces[2].other_file().and_then(|(_, same)| same), Some((1, 3)));
    }

    #[test]
    fn files_that_find_their_rows_otherwise_are_both_merged_whole() {
        use SalvageKind::{Rows, Values};
        for (one, other) in [
            (of("t", Values, &["id"], &["a"]), of("u", Values, &["id"], &["a"])),
            (of("t", Values, &["id"], &["a"]), of("t", Values, &["no"], &["a"])),
            (of("t", Values, &["id"], &["a"]), of("t", Rows, &["id"], &["a"])),
            (of("t", Rows, &[], &["a"]), of("t", Rows, &[], &["a", "b"])),
            (of("t", Values, &[], &["a"]), of("t", Values, &[], &["a"])),
        ] {
            assert!(told(vec![one, other]).iter().all(|(_, beyond)| !beyond));
        }
    }

    #[test]
    fn a_file_that_another_one_has_all_columns_of_is_not_merged_twice() {
        use SalvageKind::Rows;
        for key in [&["id"][..], &[]] {
            let told = told(vec![of("t", Rows, key, &["id", "a"]), of("t", Rows, key, &["id", "a"])]);
            assert_eq!(told, [("id a".to_string(), false), ("id a".to_string(), true)]);
        }
    }
}
