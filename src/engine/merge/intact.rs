//! Which pieces are asked when tables whose rows were numbered anew come back as a whole or not at all. Pure.

use super::{Base, Piece};
use crate::ledger::SalvageKind;

impl Piece {
    /// Tells whether rows of this piece may hold what others had: not where the way back left one value in all of them.
    pub fn may_be_numbered_anew(&self) -> bool {
        let mut columns = self.salvage.columns.iter();
        self.is_by_key()
            && self.salvage.key.len() == 1
            && columns.any(|name| !matches!(self.base(name), Base::Constant(_)))
    }

    /// Tells whether it has values of rows that are found by their key.
    pub fn is_by_key(&self) -> bool {
        self.is_of_values() && !self.salvage.key.is_empty()
    }

    /// Tells whether it has values of rows that are found by their key, or by other columns.
    pub fn is_found(&self) -> bool {
        self.is_of_values() && !self.matched_by().is_empty()
    }

    fn is_of_values(&self) -> bool {
        self.salvage.what == SalvageKind::Values && !self.salvage.table.is_large_objects()
    }
}
