//! Salvage under the names of now: a table that was renamed since is followed, and another one that has its name now gets
//! nothing.

use super::kept::pieces;
use super::older::{self, Older};
use super::{Cause, names, put_back};
use crate::catalog::{Catalog, TableName};
use crate::engine::Piece;
use crate::ledger::{Merged, MergedBack};
use crate::procedure::renamed::{Now, Trail, Unsure};
use crate::procedure::{Ports, Refusal, refused};
use crate::report::Failure;
use crate::store::Backup;
use std::collections::{BTreeMap, BTreeSet};

/// What is merged by hand.
pub(super) struct Chosen {
    pub pieces: Vec<Piece>,
    /// What cannot be merged, and why.
    skipped: Vec<Merged>,
    notes: Vec<String>,
}

impl Chosen {
    /// Adds what was not merged to what was.
    pub(super) fn with_skipped(&self, mut merged: MergedBack) -> MergedBack {
        merged.merged.extend(self.skipped.iter().cloned());
        merged
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.iter().cloned()
    }
}

/// Returns the salvage of these tables in a backup, by their names of now or of then; refuses when there is none, or when
/// nobody can tell where any of it belongs. The caller holds the lock: nobody renames anything meanwhile.
pub(super) async fn chosen(ports: &Ports<'_>, backup: &Backup, tables: &[String]) -> Result<Chosen, Failure> {
    let id = &backup.manifest.id;
    let mut found = pieces(backup).map_err(refused)?;
    put_back::with_newer(ports, id, &mut found.iter_mut().collect::<Vec<_>>()).await;
    let Named { mut found, mut skipped, ways_on } = named(ports, backup, found).await.map_err(refused)?;
    let is_piece = |asked: &String, piece: &Piece| {
        names(asked, &piece.salvage.table) || names(asked, piece.table_then())
    };
    let is_any = |asked: &&String| {
        let mut unsure = skipped.iter();
        found.iter().any(|piece| is_piece(asked, piece)) || unsure.any(|one| names(asked, &one.table))
    };
    if let Some(unknown) = tables.iter().find(|asked| !is_any(asked)) {
        return Err(refused(Refusal::NoSalvage { backup: id.clone(), table: Some(unknown.clone()) }));
    }
    found.retain(|piece| tables.is_empty() || tables.iter().any(|asked| is_piece(asked, piece)));
    skipped.retain(|one| tables.is_empty() || tables.iter().any(|asked| names(asked, &one.table)));
    match (found.is_empty(), skipped.is_empty()) {
        (true, true) => Err(refused(Refusal::NoSalvage { backup: id.clone(), table: None })),
        (true, false) => {
            let refusal = Refusal::Untraced { backup: id.clone(), told: told(&skipped) };
            Err(Failure { next: ways_on, ..refused(refusal) })
        }
        (false, _) => {
            let notes: BTreeSet<String> = found.iter().flat_map(went).collect();
            Ok(Chosen { pieces: found, skipped, notes: notes.into_iter().chain(ways_on).collect() })
        }
    }
}

fn told(skipped: &[Merged]) -> Vec<String> {
    let told: BTreeSet<String> = skipped
        .iter()
        .map(|one| format!("{}: {}", one.table, one.skipped.as_deref().unwrap_or_default()))
        .collect();
    told.into_iter().collect()
}

/// The pieces of a backup, as far as their place of now is known.
#[derive(Default)]
struct Named {
    found: Vec<Piece>,
    skipped: Vec<Merged>,
    /// How what an older way back may have touched is merged all the same.
    ways_on: Vec<String>,
}

/// Gives each piece the names of now.
async fn named(ports: &Ports<'_>, backup: &Backup, pieces: Vec<Piece>) -> Result<Named, Cause> {
    let mut named = Named::default();
    if pieces.is_empty() {
        return Ok(named);
    }
    let (trail, live) = (Trail::since(ports, backup).await?, ports.database.catalog().await?);
    let rows = ports.database.version_rows().await?;
    let touched =
        Older::undone(ports, backup, &[], &rows).await?.touching(&pieces.iter().collect::<Vec<_>>());
    for (piece, older) in pieces.into_iter().zip(touched) {
        if !older.is_empty() {
            named.ways_on = older::ways_on(backup, &rows);
            named.skipped.push(Merged::skipped(&piece.salvage, None, &older::why(&older)));
            continue;
        }
        match place(&trail, &live, &piece) {
            Ok(now) => named.found.push(under(piece, now)),
            Err(why) => named.skipped.push(Merged::skipped(&piece.salvage, None, &why)),
        }
    }
    Ok(named)
}

/// Returns what a piece's table and columns are called now, or why nobody can tell.
fn place(trail: &Trail, live: &Catalog, piece: &Piece) -> Result<Now, String> {
    let salvage = &piece.salvage;
    let columns: Vec<String> =
        salvage.key.iter().chain(&salvage.identity).chain(&salvage.columns).cloned().collect();
    let now = trail.follow(&salvage.table, &columns).map_err(|unsure| why(&unsure))?;
    let own: Vec<String> = now.columns.values().cloned().collect();
    match trail.is_another(live, &now.table, &own) {
        true => Err(format!(
            "{} is another table now: it has none of the columns that were beside these",
            now.table
        )),
        false => Ok(now),
    }
}

fn why(unsure: &Unsure) -> String {
    let perhaps = unsure.perhaps.as_ref().map(|name| format!(", perhaps {name}")).unwrap_or_default();
    format!("nobody can tell what it is called since {}{perhaps}", unsure.operation)
}

fn under(piece: Piece, now: Now) -> Piece {
    let columns: BTreeMap<String, String> =
        now.columns.into_iter().filter(|(then, now)| then != now).collect();
    match now.table == piece.salvage.table && columns.is_empty() {
        true => piece,
        false => piece.renamed(now.table, &columns),
    }
}

/// Says what was renamed.
fn went(piece: &Piece) -> Vec<String> {
    let Some(former) = &piece.former else { return Vec::new() };
    let (then, now): (&TableName, &TableName) = (&former.table, &piece.salvage.table);
    let table = (then != now).then(|| format!("{then} is called {now} now, and its salvage goes there"));
    let columns = former.columns.iter();
    let columns = columns.map(|(now_called, was)| format!("{then}.{was} is called {now}.{now_called} now"));
    table.into_iter().chain(columns).collect()
}
