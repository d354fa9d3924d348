//! Values of tables without a key that two files of one backup hold, and tell by other columns. Pure.
//!
//! What a real run did beyond its rehearsal changes by which columns rows are told apart, so that nothing says of a row in
//! the second file which one it is in the first. Both are merged whole, and of a value that is a conflict of both one is enough.

use super::Piece;
use crate::ledger::SalvageKind;

/// Two such files.
#[derive(Debug, PartialEq, Eq)]
pub struct Twice<'p> {
    /// What rows of each are told by: a conflict says so, which shows whose it is.
    pub first: &'p [String],
    pub later: &'p [String],
    /// What both tell rows by.
    pub by: Vec<&'p String>,
    /// The columns whose values both hold.
    pub columns: Vec<&'p String>,
}

/// Returns of which earlier pieces, of the same backup, this one holds values again.
pub fn twice<'p>(pieces: impl Iterator<Item = &'p Piece>, later: &'p Piece) -> Vec<Twice<'p>> {
    let earlier = pieces.take_while(|piece| !std::ptr::eq(*piece, later));
    let found = earlier.filter_map(|first| {
        let (one, other) = (&first.salvage, &later.salvage);
        let is_of_values =
            |piece: &Piece| piece.salvage.what == SalvageKind::Values && piece.salvage.key.is_empty();
        let is_twin = is_of_values(first)
            && is_of_values(later)
            && (&one.table, first.turn, &first.snapshot) == (&other.table, later.turn, &later.snapshot)
            && one.identity != other.identity;
        let shared =
            |of: &'p [String], among: &[String]| of.iter().filter(|name| among.contains(name)).collect();
        let twice = Twice {
            first: &one.identity,
            later: &other.identity,
            by: shared(&other.identity, &one.identity),
            columns: shared(&other.columns, &one.columns),
        };
        (is_twin && !twice.by.is_empty() && !twice.columns.is_empty()).then_some(twice)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::tests::piece;

    fn of(identity: &[&str], columns: &[&str]) -> Piece {
        let mut piece = piece("t", SalvageKind::Values);
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        (piece.salvage.key, piece.salvage.identity, piece.salvage.columns) =
            (Vec::new(), owned(identity), owned(columns));
        piece
    }

    #[test]
    fn values_that_two_files_tell_by_other_columns_are_known_by_those_that_both_have() {
        let pieces = [of(&["id", "name"], &["phone"]), of(&["id"], &["name", "phone"])];
        let found = twice(pieces.iter(), &pieces[1]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].by.as_slice(), found[0].columns.as_slice()),
            (&[&"id".to_string()][..], &[&"phone".to_string()][..])
        );
        assert!(twice(pieces.iter(), &pieces[0]).is_empty(), "the first one says it");
    }

    #[test]
    fn nothing_is_held_twice_by_files_that_have_no_column_in_common_or_are_of_several_backups() {
        let first = of(&["id", "name"], &["phone"]);
        let another = Piece { turn: 1, ..of(&["id"], &["name", "phone"]) };
        for later in [of(&["id"], &["name"]), of(&[], &["id", "phone"]), another, first.clone()] {
            let pieces = [first.clone(), later];
            assert!(twice(pieces.iter(), &pieces[1]).is_empty());
        }
    }
}
