//! Whole rows that merges may have put back since a snapshot was taken: a row that came out of salvage is as it was then, and
//! says nothing of the numbers below its own, which may have been given out again while it was gone.

use super::kept::pieces;
use crate::engine::Piece;
use crate::ledger::SalvageKind;
use crate::procedure::{Ports, readable};
use crate::store::Backup;
use std::sync::Arc;

/// Adds the whole rows that newer backups of this database hold to what each piece knows of its own.
pub(super) async fn with_newer(ports: &Ports<'_>, backup: &str, found: &mut [&mut Piece]) {
    if found.is_empty() {
        return;
    }
    // Where the backups cannot be listed, nothing was merged out of one either.
    let all = readable(ports).await.unwrap_or_default();
    let Some(own) = all.iter().find(|other| other.manifest.id == backup) else { return };
    let is_newer = |other: &&Backup| {
        (other.manifest.created, &other.manifest.id) > (own.manifest.created, &own.manifest.id)
            && other.manifest.database.is_same(ports.identity())
    };
    let newer = all.iter().filter(is_newer).flat_map(|newer| pieces(newer).unwrap_or_default());
    let newer: Vec<Piece> = newer.filter(|piece| piece.salvage.what == SalvageKind::Rows).collect();
    if newer.is_empty() {
        return;
    }
    for piece in found {
        let known = piece.put_back.iter().chain(&newer).cloned();
        piece.put_back = Arc::new(known.collect());
    }
}
