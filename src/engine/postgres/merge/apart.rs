//! Rows that are others than those of then: nothing is put into them, and nothing that would refer to them comes back.

use super::super::PostgresDatabase;
use super::super::names::identifier;
use super::super::session::Session;
use super::moved::salvaged;
use super::target::{Target, TargetColumn};
use super::unique::unique_sets;
use super::{DOING, live, renumbered};
use crate::engine::{Error, Piece};

impl PostgresDatabase {
    /// Looks which rows of a target may be others than those of then, and lets nothing be put into these.
    pub(super) async fn tell_apart(
        &self,
        session: &mut Session,
        target: &mut Target<'_>,
        pieces: &[Piece],
        gone: &[&Target<'_>],
        moved: Option<&String>,
    ) -> Result<(), Error> {
        if !self.look_for_recycled(session, target, pieces).await? {
            renumbered::look(session, target, gone).await?;
        }
        if let Some(keys) = moved {
            target.leave_moved(session, keys).await?;
        }
        target.leave_renamed();
        Ok(())
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

    /// Lets all of it stay as it is, because its rows were numbered anew and somebody has written since.
    pub(super) fn leave_all(&mut self) {
        self.broken = true;
        self.columns.iter_mut().for_each(|column| column.kept = None);
        self.keep_apart("true");
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
