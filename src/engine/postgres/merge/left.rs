//! What the way back left in a column that refers to keys which are put back, row by row: a file of salvage says it of those in
//! which it changed something.

use super::super::names::{identifier, is_held, literal};
use super::super::session::Session;
use super::DOING;
use super::live::LiveColumn;
use super::load;
use crate::catalog::TableName;
use crate::engine::{Base, Error, Piece, Shown};
use crate::report::Progress;

/// The conditions that say it, over the rows of the file in a temporary table, `x`.
pub(super) struct Left {
    table: String,
    /// That a row of the file is the live one, `r`.
    matches: String,
    ours: String,
    base: String,
    /// That the way back left what the row held.
    kept: String,
    /// That what it left is there.
    there: String,
}

impl Left {
    /// Loads them into a table of this name; none where they do not say which row is which.
    pub(super) async fn load(
        session: &mut Session,
        piece: &Piece,
        (table, live, column): (&TableName, &[LiveColumn], &str),
        name: &str,
    ) -> Result<Option<Self>, Error> {
        let find = |wanted: &str| live.iter().find(|own| own.name == wanted);
        let by = piece.matched_by().iter().map(|name| Some((find(name)?, piece.place_of(name)?)));
        let (Some(by), Some(own)) = (by.collect::<Option<Vec<_>>>(), find(column)) else { return Ok(None) };
        let Some(place) = piece.place_of(column) else { return Ok(None) };
        let base = match piece.base(column) {
            Base::Column(place) => format!("x.v{place}"),
            Base::Constant(None) => format!("NULL::{}", own.type_name),
            Base::Constant(Some((text, _))) => format!("{}::{}", literal(&text), own.type_name),
            Base::Unknown => return Ok(None),
        };
        let loaded = load::load(session, piece, table, live, name, &Progress::silent()).await?;
        let mut needed = by.iter().map(|(_, place)| *place).chain([place]);
        if needed.any(|place| loaded.misfits.contains(&place)) {
            return Ok(None);
        }
        let list: Vec<String> = by.iter().map(|(_, place)| format!("v{place}")).collect();
        let list = list.join(", ");
        session.run(DOING, &format!("CREATE INDEX ON pg_temp.{name} ({list})")).await?;
        // What was left in rows that are alike only all of them together mean.
        let alike = format!("SELECT EXISTS (SELECT FROM pg_temp.{name} GROUP BY {list} HAVING count(*) > 1)");
        if session.value(DOING, &alike).await?.as_deref() == Some("t") {
            return Ok(None);
        }
        // A key is held everywhere, and only by its own equality an index finds it.
        let is_keyed = !piece.salvage.key.is_empty();
        let same = by.iter().map(|(column, place)| {
            let (one, other) = (format!("x.v{place}"), format!("r.{}", identifier(&column.name)));
            if is_keyed { column.equals(&one, &other) } else { column.same(&one, &other) }
        });
        let ours = format!("x.v{place}");
        Ok(Some(Self {
            table: format!("pg_temp.{name}"),
            matches: same.collect::<Vec<_>>().join(" AND "),
            kept: own.same(&base, &ours),
            there: own.same(&base, &format!("r.{}", identifier(column))),
            ours,
            base,
        }))
    }

    fn has(&self, condition: &str) -> String {
        format!("EXISTS (SELECT FROM {} AS x WHERE {} AND {condition})", self.table, self.matches)
    }

    /// Returns the condition that the way back left something else in a row than it held.
    pub(super) fn is_changed(&self) -> String {
        self.has(&format!("NOT {}", self.kept))
    }

    /// Returns the condition that it left something else, and that is there.
    pub(super) fn is_there(&self) -> String {
        self.has(&format!("NOT {} AND {}", self.kept, self.there))
    }

    /// Returns the condition that it left what the row held, and that is there.
    pub(super) fn is_kept(&self) -> String {
        self.has(&format!("{} AND {}", self.kept, self.there))
    }

    /// Returns what its rows show beside the keys that move.
    pub(super) async fn shown(&self, session: &mut Session, keys: &str) -> Result<Shown, Error> {
        let Self { table, ours, base, kept, .. } = self;
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {table} AS x JOIN {keys} AS m ON m.old = {ours} WHERE m.now = {base}), \
             EXISTS (SELECT FROM {table} AS x WHERE {} AND NOT {kept}), \
             EXISTS (SELECT FROM {table} AS x LEFT JOIN {keys} AS m ON m.old = {ours} \
             WHERE NOT {kept} AND {base} IS DISTINCT FROM m.now AND (m.now IS NOT NULL OR {ours} IS NULL))",
            is_held(base)
        );
        let rows = session.rows(DOING, &sql).await?;
        let is = |at: usize| rows.first().is_some_and(|row| row.is(at));
        Ok(Shown { follows: is(0), gives: is(1), strays: is(2), ..Shown::default() })
    }
}
