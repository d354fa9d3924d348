//! Rows that are others than those of then: nothing is put into them, and nothing that would refer to them comes back.

use super::super::PostgresDatabase;
use super::super::names::identifier;
use super::super::session::Session;
use super::moved::{parents, salvaged};
use super::strangers::Strangers;
use super::target::{Known, Target, TargetColumn};
use super::unique::unique_sets;
use super::{DOING, Job, live, renumbered, strangers};
use crate::engine::{Error, Piece};
use crate::report::Progress;
use std::collections::{BTreeMap, BTreeSet};

impl PostgresDatabase {
    /// Looks which rows of a target may be others than those of then, and lets nothing be put into these.
    pub(super) async fn tell_apart(
        &self,
        session: &mut Session,
        target: &mut Target<'_>,
        pieces: &[Piece],
        jobs: &[Job<'_>],
        moved: Option<&String>,
    ) -> Result<(), Error> {
        if !self.look_for_recycled(session, target, pieces).await? {
            renumbered::look(session, target, jobs).await?;
        }
        if let Some(keys) = moved {
            target.leave_moved(session, keys).await?;
        }
        target.leave_renamed();
        Ok(())
    }

    /// Looks which rows that pieces of a turn refer to keep what stands under their keys, because it is of others now. Whole rows
    /// come back before the values of what they refer to, so that these are loaded for this look alone.
    pub(super) async fn kept_parents(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        turn: &[usize],
        known: Known<'_>,
        moved: &BTreeMap<usize, String>,
    ) -> Result<Vec<Strangers>, Error> {
        let (mut referred, mut found) = (BTreeSet::new(), Vec::new());
        for index in turn {
            referred.extend(parents(session, &pieces[*index]).await?);
        }
        let is_asked = |piece: &Piece| {
            piece.remade && salvaged(piece).is_some() && referred.contains(&piece.salvage.table)
        };
        for index in turn.iter().filter(|index| is_asked(&pieces[**index])) {
            let (piece, place) = (&pieces[*index], pieces.len() + index);
            let (target, _) = Target::load(session, piece, place, known, &Progress::silent()).await?;
            let Some(mut target) = target else { continue };
            self.tell_apart(session, &mut target, pieces, &[], moved.get(index)).await?;
            found.extend(strangers::of_kept(session, &target).await?);
            session.run(DOING, &format!("DROP TABLE pg_temp.{}", target.loaded)).await?;
        }
        Ok(found)
    }
}

impl Target<'_> {
    /// Lets nothing be put into the rows that stand under these keys.
    pub(super) async fn leave_moved(&mut self, session: &mut Session, keys: &str) -> Result<(), Error> {
        let live = live::columns(session, &self.table).await?;
        let find = |wanted: &str| live.iter().find(|column| column.name == wanted);
        let on = self.found_by.iter().filter_map(|(name, place)| {
            Some(find(name)?.equals(&format!("m.{}", identifier(name)), &format!("s.v{place}")))
        });
        let on: Vec<String> = on.collect();
        let note = format!(
            "ALTER TABLE pg_temp.{loaded} ADD another boolean NOT NULL DEFAULT false; \
             UPDATE pg_temp.{loaded} AS s SET another = true FROM pg_temp.{keys} AS m WHERE {}; \
             ANALYZE pg_temp.{loaded}",
            on.join(" AND "),
            loaded = self.loaded
        );
        session.run(DOING, &note).await?;
        self.keep_apart("s.another");
        Ok(())
    }

    /// Lets nothing be put into a row whose key the way back made anew and whose name is neither the one of then nor what the way
    /// back left: the name itself is a conflict, and so is what belongs to it.
    pub(super) fn leave_renamed(&mut self) {
        let piece = self.piece;
        let then = piece.catalog.as_ref().and_then(|catalog| catalog.tables.get(piece.table_then()));
        let Some(then) = then.filter(|_| piece.remade && salvaged(piece).is_some()) else { return };
        let unique: Vec<String> = unique_sets(then).into_iter().flatten().collect();
        let is_name =
            |column: &&TargetColumn| unique.iter().any(|name| name == piece.column_then(&column.name));
        let other = |column: &TargetColumn| format!("NOT ({} OR {})", column.same, column.is_base);
        let others: Vec<String> = self.columns.iter().filter(is_name).map(other).collect();
        if !others.is_empty() {
            self.keep_apart(&format!("({})", others.join(" OR ")));
        }
    }

    /// Lets nothing be put where this condition says that another row stands.
    pub(super) fn keep_apart(&mut self, another: &str) {
        for column in &mut self.columns {
            column.is_base = format!("(NOT {another} AND {})", column.is_base);
        }
        let retaken = self.retaken.iter().cloned().chain([another.to_string()]);
        self.retaken = Some(format!("({})", retaken.collect::<Vec<_>>().join(" OR ")));
    }
}
