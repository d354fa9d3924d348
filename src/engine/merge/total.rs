//! What became of two files of one backup, told together.

use super::{Merged, Piece};

/// Returns what became of each column, or of whole rows, of the pieces; of two files of one backup together.
pub fn in_all<'p>(pieces: impl Iterator<Item = (&'p Piece, Vec<Merged>)>) -> Vec<Merged> {
    let mut all: Vec<Merged> = Vec::new();
    for (piece, merged) in pieces {
        for one in merged {
            let is_same = |other: &&mut Merged| {
                (&other.table, other.what, &other.column) == (&one.table, one.what, &one.column)
            };
            match all.iter_mut().rfind(is_same).filter(|_| piece.beyond.is_some()) {
                Some(other) => {
                    // The other file took the same rows for such as had lost nothing, unless they are gone.
                    if piece.not_lost.is_some() {
                        other.already =
                            other.already.saturating_sub(one.merged + one.already + one.conflicts);
                        other.deleted = other.deleted.saturating_sub(one.deleted);
                    }
                    other.add(&one);
                }
                None => all.push(one),
            }
        }
    }
    all
}

/// Adds what is skipped of a piece, unless the other file of its backup said so already.
pub fn skip(skipped: &mut Vec<Merged>, piece: &Piece, left_out: Vec<Merged>) {
    for one in left_out {
        if piece.beyond.is_none() || !skipped.contains(&one) {
            skipped.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::engine::merge::tests::piece;
    use crate::ledger::SalvageKind;
    use std::sync::Arc;

    fn merged(piece: &Piece, column: &str, already: u64, conflicts: u64) -> Merged {
        Merged { already, conflicts, ..Merged::new(&piece.salvage, Some(column)) }
    }

    #[test]
    fn what_two_files_of_a_backup_say_of_a_column_is_one_sum() {
        let first = piece("t", SalvageKind::Values);
        let later = Piece { beyond: Some(Arc::new(first.clone())), ..first.clone() };
        let all = in_all(
            [
                (&first, vec![merged(&first, "a", 1, 2)]),
                (&later, vec![merged(&later, "a", 3, 4), merged(&later, "b", 5, 6)]),
                // That of another backup.
                (&first, vec![merged(&first, "a", 7, 8)]),
            ]
            .into_iter(),
        );
        let told: Vec<_> = all.iter().map(|one| (one.already, one.conflicts)).collect();
        assert_eq!(told, [(4, 6), (5, 6), (7, 8)]);
    }

    #[test]
    fn what_the_first_file_has_said_is_not_there_is_not_said_again() {
        let first = piece("t", SalvageKind::Values);
        let later = Piece { beyond: Some(Arc::new(first.clone())), ..first.clone() };
        let gone = || vec![Merged::skipped(&first.salvage, None, "there is no such table now")];
        let mut skipped = Vec::new();
        [&first, &later].into_iter().for_each(|piece| skip(&mut skipped, piece, gone()));
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].table, TableName::plain("t"));
    }
}
