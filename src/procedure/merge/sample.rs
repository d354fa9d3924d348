//! Pieces for tests.

use crate::engine::{Piece, ShapeColumn, empty_piece};
use crate::ledger::{Salvage, SalvageKind};

/// A file without rows.
pub(super) fn piece(table: &str, what: SalvageKind, key: &[&str], columns: &[&str]) -> Piece {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    let empty = empty_piece(table, what);
    let salvage = Salvage { key: names(key), columns: names(columns), ..empty.salvage };
    let shape = |name: &&str| ShapeColumn { name: (*name).to_string(), type_name: String::new() };
    Piece { salvage, columns: key.iter().chain(columns).map(shape).collect(), ..empty }
}
