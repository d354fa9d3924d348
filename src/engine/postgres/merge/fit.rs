//! Values that their type does not take any more: an enum has lost a label, a domain has got another rule.
//!
//! The file is loaded as text then, and each value by itself decides: what fits becomes a value of its type, and what does
//! not stands beside it, as text, and ends as a conflict.

use super::super::errors;
use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use crate::engine::Error;

/// Why a value that its type does not take is a conflict.
pub(super) const NOT_TAKEN: &str = "the type of the column does not take the value now";

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

/// Turns the texts of a loaded column into values of a type. Returns whether some did not fit, which then stand beside it.
pub(super) async fn fit(
    session: &mut Session,
    loaded: &str,
    place: usize,
    kind: &str,
) -> Result<bool, Error> {
    let becomes = format!("ALTER TABLE pg_temp.{loaded} ALTER v{place} TYPE {kind} USING v{place}::{kind}");
    if tried(session, &becomes).await? {
        return Ok(false);
    }
    let bad = if session.major() >= 16 {
        format!("NOT pg_input_is_valid(v{place}, {})", literal(kind))
    } else {
        one_by_one(session, loaded, place, kind).await?;
        format!("v{place} IN (SELECT value FROM pg_temp.{loaded}_bad_{place})")
    };
    let beside = beside(place);
    session.run(DOING, &format!("ALTER TABLE pg_temp.{loaded} ADD {beside} text")).await?;
    let aside = format!("UPDATE pg_temp.{loaded} SET {beside} = v{place}, v{place} = NULL WHERE {bad}");
    session.run(DOING, &aside).await?;
    session.run(DOING, &becomes).await?;
    Ok(true)
}

/// Runs a statement; false when it was undone because of a value.
async fn tried(session: &mut Session, sql: &str) -> Result<bool, Error> {
    session.run(DOING, "SAVEPOINT ripcord_fit").await?;
    match session.query(sql).await {
        Ok(_) => session.run(DOING, "RELEASE ripcord_fit").await.map(|()| true),
        Err(error) if is_of_value(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_fit; RELEASE ripcord_fit").await.map(|()| false)
        }
        Err(error) => Err(session.failed(&error, DOING)),
    }
}

/// Makes the table of the values that do not fit. Before version 16 the only way to ask is to try: each different value
/// once, in halves.
async fn one_by_one(session: &mut Session, loaded: &str, place: usize, kind: &str) -> Result<(), Error> {
    let (values, bad) = (format!("{loaded}_values_{place}"), format!("{loaded}_bad_{place}"));
    let make = format!(
        "CREATE TEMPORARY TABLE {values} ON COMMIT DROP AS SELECT value, row_number() OVER () AS number \
         FROM (SELECT DISTINCT v{place} AS value FROM pg_temp.{loaded} WHERE v{place} IS NOT NULL) AS x"
    );
    session.run(DOING, &make).await?;
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
            let keep = format!("INSERT INTO pg_temp.{bad} SELECT value FROM pg_temp.{values} WHERE {which}");
            session.run(DOING, &keep).await?;
        } else {
            let middle = from + (to - from) / 2;
            open.extend([(from, middle), (middle + 1, to)]);
        }
    }
    Ok(())
}
