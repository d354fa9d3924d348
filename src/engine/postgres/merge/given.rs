//! What the way back has just given the rows of a column that it made: the base of their values, told by the server.

use super::super::PostgresDatabase;
use super::super::made::Made;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::DOING;
use super::target::Target;
use crate::catalog::TableName;
use crate::engine::{Error, Piece};
use std::collections::{BTreeMap, BTreeSet};

/// What stands in such a column where nobody has written since.
pub(super) enum Given {
    /// In all rows that were there the same, as text: the server keeps it beside the table.
    One(String),
    /// In each row its own.
    Each(Each),
}

/// Values of their own, which rows hold that one of these transactions wrote: the table was written anew with them.
pub(super) struct Each {
    transactions: Vec<u64>,
    /// Whether all rows are of that kind.
    all: bool,
}

/// By table and column.
pub(super) type AllGiven = BTreeMap<(TableName, String), Given>;

impl Each {
    /// Returns the condition that a loaded row and the live one with its key were not written to since.
    pub(super) fn is_left(&self, place: usize) -> String {
        if self.all { "true".to_string() } else { format!("s.{}", left(place)) }
    }

    /// The condition that a live row is as one of the transactions wrote it.
    fn wrote(&self) -> String {
        let numbers = self.transactions.iter().map(|number| format!("'{}'::xid", number % (1 << 32)));
        format!("t.xmin IN ({})", numbers.collect::<Vec<_>>().join(", "))
    }
}

/// The column beside `v…` that tells of a loaded row whether nobody has written to the live one.
fn left(place: usize) -> String {
    format!("l{place}")
}

/// Returns what a column of a piece was given, where the piece asks.
pub(super) fn given_to<'g>(given: &'g AllGiven, piece: &Piece, column: &str) -> Option<&'g Given> {
    let given = given.get(&(piece.salvage.table.clone(), column.to_string()));
    given.filter(|_| piece.made.contains(column) || piece.momentary.contains(column))
}

/// Looks what columns hold that were made just now, as far as pieces ask for them; the tables are locked against writers,
/// and nothing was merged yet.
pub(super) async fn look(session: &mut Session, pieces: &[Piece], made: &[Made]) -> Result<AllGiven, Error> {
    let mut found = AllGiven::new();
    let asked = |piece: &&Piece| !piece.made.is_empty();
    let tables: BTreeSet<&TableName> =
        pieces.iter().filter(asked).map(|piece| &piece.salvage.table).collect();
    for table in tables {
        let of_table = pieces.iter().filter(|piece| piece.salvage.table == *table);
        let names: BTreeSet<&String> = of_table.flat_map(|piece| &piece.made).collect();
        let sql = format!(
            "SELECT a.attrelid, a.attnum, a.attname, CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END \
             FROM pg_attribute a WHERE a.attrelid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped",
            literal(&table.sql())
        );
        for row in session.rows("reading the columns", &sql).await? {
            let (oid, number, name) = (row.number::<u32>(0), row.number::<i16>(1), row.text(2).to_string());
            let is_it = |made: &&Made| made.table == oid && made.number == number;
            let Some(made) = made.iter().find(is_it).filter(|_| names.contains(&name)) else { continue };
            let given = match row.maybe(3) {
                Some(text) => Given::One(text.to_string()),
                None => Given::Each(each(session, table, made).await?),
            };
            found.insert((table.clone(), name), given);
        }
    }
    for piece in pieces {
        for column in &piece.momentary {
            let of = (piece.salvage.table.clone(), column.clone());
            if let (false, Some(one)) = (found.contains_key(&of), one_value(session, &of).await?) {
                found.insert(of, Given::One(one));
            }
        }
    }
    Ok(found)
}

impl PostgresDatabase {
    /// Lets pieces rely on the look after their way back no more where somebody may have written to their table since; the tables are
    /// locked against writers.
    pub(super) async fn unless_written_since(
        &self,
        session: &mut Session,
        mut pieces: Vec<Piece>,
    ) -> Result<Vec<Piece>, Error> {
        for piece in pieces.iter_mut().filter(|piece| piece.relies_on_a_look()) {
            if !self.is_as_looked_at(session, &piece.salvage.table).await? {
                piece.written_since();
            }
        }
        Ok(pieces)
    }
}

/// Returns what all rows hold in a column, where that is one value.
async fn one_value(
    session: &mut Session,
    (table, column): &(TableName, String),
) -> Result<Option<String>, Error> {
    let text = format!("({}::text COLLATE \"C\")", identifier(column));
    let sql = format!(
        "SELECT min({text}) FROM {} HAVING min({text}) = max({text}) AND count({text}) = count(*)",
        table.sql()
    );
    session.value(DOING, &sql).await
}

async fn each(session: &mut Session, table: &TableName, made: &Made) -> Result<Each, Error> {
    let each = Each { transactions: made.transactions.clone(), all: false };
    let others = format!("SELECT EXISTS (SELECT FROM ONLY {} AS t WHERE NOT {})", table.sql(), each.wrote());
    let all = session.value(DOING, &others).await?.as_deref() == Some("f");
    Ok(Each { all, ..each })
}

impl Target<'_> {
    /// Notes of each loaded row whether the live one was not written to, before the merge itself writes there.
    pub(super) async fn note_left(&self, session: &mut Session, given: &AllGiven) -> Result<(), Error> {
        for column in &self.columns {
            let Some(Given::Each(each)) = given_to(given, self.piece, &column.name) else { continue };
            if each.all {
                continue;
            }
            let (loaded, left) = (&self.loaded, left(column.place));
            let note = format!(
                "ALTER TABLE pg_temp.{loaded} ADD {left} boolean NOT NULL DEFAULT false; \
                 UPDATE pg_temp.{loaded} AS s SET {left} = true FROM (SELECT s.ctid AS place FROM {} GROUP BY s.ctid \
                 HAVING bool_and({})) AS x WHERE s.ctid = x.place; ANALYZE pg_temp.{loaded}",
                self.joined(),
                each.wrote()
            );
            session.run(DOING, &note).await?;
        }
        Ok(())
    }
}
