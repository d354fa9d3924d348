//! Values that the type of their column does not take now, or would make others of: an enum has lost a label, a domain has
//! got another rule, a column has another type.
//!
//! The file is loaded as text then, and each value by itself decides: what fits becomes a value of the type, and what does
//! not stands beside it, as text, and ends as a conflict.

use super::super::errors;
use super::super::names::literal;
use super::super::session::{Row, Session};
use super::DOING;
use crate::engine::Error;

/// Why a value that its type does not take is a conflict.
pub(super) const NOT_TAKEN: &str = "the type of the column does not take the value now";

/// A loaded column of texts, and the type that they are to have.
pub(super) struct Texts<'a> {
    pub loaded: &'a str,
    pub place: usize,
    /// The type that the values had in the file.
    pub before: &'a str,
    pub now: &'a str,
}

/// What became of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitted {
    All,
    /// Those that do not fit stand beside the column.
    Some,
    /// The type does not even take NULL, which would have to stand in their place; they are all texts still.
    None,
}

/// The column beside `v…` that holds the text of a value which does not fit.
pub(super) fn beside(place: usize) -> String {
    format!("x{place}")
}

/// Tells whether the server refused a value, and not a statement: data exceptions, and the rules of domains.
pub(super) fn is_of_value(error: &sqlx::Error) -> bool {
    let class = |said: &sqlx::postgres::PgDatabaseError| {
        ["22", "23"].iter().any(|class| said.code().starts_with(class))
    };
    errors::server_error(error).is_some_and(class)
}

impl Texts<'_> {
    /// Turns the texts into values of the type.
    pub(super) async fn fit(&self, session: &mut Session) -> Result<Fitted, Error> {
        let (place, kind) = (self.place, self.now);
        if !self.turns_some(session).await? && tried(session, &self.becomes()).await? {
            return Ok(Fitted::All);
        }
        let valid = format!("pg_input_is_valid(v{place}, {})", literal(kind));
        // A type may still end in an error where it is asked, and then it has to be tried.
        let asked = session.major() >= 16 && self.aside(session, &format!("NOT {valid}")).await?;
        if asked {
            return Ok(Fitted::Some);
        }
        let bad = self.one_by_one(session).await?;
        let is_bad = format!("v{place} IN (SELECT value FROM pg_temp.{bad})");
        Ok(if self.aside(session, &is_bad).await? { Fitted::Some } else { Fitted::None })
    }

    fn becomes(&self) -> String {
        let Self { loaded, place, now, .. } = self;
        format!("ALTER TABLE pg_temp.{loaded} ALTER v{place} TYPE {now} USING v{place}::{now}")
    }

    /// Returns the condition that the type takes a text and makes another value of it; none where the type is the same.
    fn turned(&self) -> Option<String> {
        let Self { place, before, now, .. } = self;
        if before == now {
            return None;
        }
        let is_padded = |kind: &str| kind == "character" || kind.starts_with("character(");
        // What the type prints, which is what the file has: a cast to text would leave out blanks, and spell truth in full.
        let (mut new, mut old) = (format!("format('%s', v{place}::{now})"), format!("v{place}"));
        if is_padded(now) && is_padded(before) {
            (new, old) = (format!("rtrim({new}, ' ')"), format!("rtrim({old}, ' ')"));
        }
        let differs = format!("{new} COLLATE \"C\" IS DISTINCT FROM {old} COLLATE \"C\"");
        Some(format!("(v{place} IS NOT NULL AND {differs})"))
    }

    /// Tells whether the type is known to make another value of some text, or not to take it.
    async fn turns_some(&self, session: &mut Session) -> Result<bool, Error> {
        let Some(turned) = self.turned() else { return Ok(false) };
        let look = format!("SELECT EXISTS (SELECT FROM pg_temp.{} WHERE {turned})", self.loaded);
        let found = attempt(session, &look).await?;
        Ok(found.is_none_or(|rows| rows.first().is_none_or(|row| row.is(0))))
    }

    /// Puts the texts that do not fit aside and makes values of the others; false when that was undone because of a value.
    async fn aside(&self, session: &mut Session, is_refused: &str) -> Result<bool, Error> {
        let (loaded, place, beside) = (self.loaded, self.place, beside(self.place));
        // In this order: what the type refuses must not be asked what it becomes.
        let turned = self.turned().unwrap_or_else(|| "false".to_string());
        let unfit = format!("CASE WHEN {is_refused} THEN true ELSE {turned} END");
        let steps = [
            format!("ALTER TABLE pg_temp.{loaded} ADD {beside} text"),
            format!("UPDATE pg_temp.{loaded} SET {beside} = v{place}, v{place} = NULL WHERE {unfit}"),
            self.becomes(),
        ];
        tried(session, &steps.join("; ")).await
    }

    /// Makes the table of the values that the type does not take, and returns its name. Where the server cannot be asked
    /// the only way is to try: each different value once, in halves.
    async fn one_by_one(&self, session: &mut Session) -> Result<String, Error> {
        let Self { loaded, place, now: kind, .. } = self;
        let (values, bad) = (format!("{loaded}_values_{place}"), format!("{loaded}_bad_{place}"));
        let make = format!(
            "CREATE TEMPORARY TABLE {values} ON COMMIT DROP AS SELECT value, row_number() OVER () AS number \
             FROM (SELECT DISTINCT v{place} AS value FROM pg_temp.{loaded} WHERE v{place} IS NOT NULL) AS x"
        );
        session.run(DOING, &make).await?;
        session.run(DOING, &format!("ALTER TABLE pg_temp.{values} ADD PRIMARY KEY (number)")).await?;
        session.run(DOING, &format!("CREATE TEMPORARY TABLE {bad} (value text) ON COMMIT DROP")).await?;
        let count = session.value(DOING, &format!("SELECT count(*) FROM pg_temp.{values}")).await?;
        let count: u64 = count.and_then(|text| text.parse().ok()).unwrap_or_default();
        let mut open = vec![(1, count)];
        while let Some((from, to)) = open.pop() {
            let which = format!("number BETWEEN {from} AND {to}");
            let look = format!("SELECT count(value::{kind}) FROM pg_temp.{values} WHERE {which}");
            if from > to || tried(session, &look).await? {
                continue;
            }
            if from == to {
                let keep =
                    format!("INSERT INTO pg_temp.{bad} SELECT value FROM pg_temp.{values} WHERE {which}");
                session.run(DOING, &keep).await?;
            } else {
                let middle = from + (to - from) / 2;
                open.extend([(from, middle), (middle + 1, to)]);
            }
        }
        Ok(bad)
    }
}

/// Runs statements; false when they were undone because of a value.
async fn tried(session: &mut Session, sql: &str) -> Result<bool, Error> {
    attempt(session, sql).await.map(|done| done.is_some())
}

/// Runs statements and returns the rows that they give; nothing when they were undone because of a value.
async fn attempt(session: &mut Session, sql: &str) -> Result<Option<Vec<Row>>, Error> {
    session.run(DOING, "SAVEPOINT ripcord_fit").await?;
    match session.query(sql).await {
        Ok(rows) => session.run(DOING, "RELEASE ripcord_fit").await.map(|()| Some(rows)),
        Err(error) if is_of_value(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_fit; RELEASE ripcord_fit").await.map(|()| None)
        }
        Err(error) => Err(session.failed(&error, DOING)),
    }
}
