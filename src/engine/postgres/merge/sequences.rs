//! Sequences that give a column its values: set past what was inserted.

use super::super::names::{identifier, literal};
use super::super::session::{Row, Session};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::engine::postgres::fingerprint::COUNTS_DOWN;
use std::collections::BTreeMap;

/// How far sequences once were, as fingerprints have it, for some columns of a table or for all.
pub(in super::super) struct Then<'a> {
    pub sequences: &'a BTreeMap<String, i64>,
    pub columns: Option<&'a [String]>,
}

/// Moves the sequences behind a table's columns past the values that are there. Never back, and nothing undoes it: a
/// sequence is no part of a transaction, so this comes last.
///
/// `then` is how far sequences once were: where rows or values come back, no number that was given out before they went is
/// given out again.
pub(in super::super) async fn follow(
    session: &mut Session,
    table: &TableName,
    then: &[Then<'_>],
) -> Result<(), Error> {
    let doing = "setting sequences";
    for row in behind(session, table).await? {
        let (column_name, sequence) = (row.text(0).to_string(), row.text(1));
        let column = identifier(&column_name);
        let (end, beyond) = if row.is(2) { ("max", ">") } else { ("min", "<") };
        let name = TableName::qualified(row.text(3), row.text(4));
        let of = then.iter().filter(|then| then.columns.is_none_or(|columns| columns.contains(&column_name)));
        let given = of.filter_map(|then| given(then.sequences, &name, row.is(2)));
        let given: String = given.map(|value| format!(" UNION ALL SELECT ({value})::bigint")).collect();
        // Beyond its bounds a sequence gives out nothing, and takes nothing. A column that only has a number in it
        // ('INV-' || nextval(…)) says nothing of how far it was.
        let bound = |place: usize| format!("{}::bigint", literal(row.text(place)));
        let (least, most) = (bound(5), bound(6));
        let held = match row.is(7) {
            true => format!(
                "SELECT trunc({end}({column})::numeric)::bigint FROM ONLY {} WHERE {column} BETWEEN {least} AND {most}",
                table.sql()
            ),
            false => "SELECT NULL::bigint".to_string(),
        };
        let set = format!(
            "SELECT setval({}, x.value) FROM (SELECT {end}(y.value) AS value FROM \
             ({held}{given}) AS y (value) WHERE y.value BETWEEN {least} AND {most}) x, {sequence} q \
             WHERE x.value {beyond} q.last_value OR (x.value = q.last_value AND NOT q.is_called)",
            literal(sequence)
        );
        session.rows(doing, &set).await?;
    }
    Ok(())
}

/// Returns how far the sequence behind a column has come, if it counts up and was further then.
pub(super) async fn set_back(
    session: &mut Session,
    table: &TableName,
    column: &str,
    then: &BTreeMap<String, i64>,
) -> Result<Option<i64>, Error> {
    let mut least = None;
    for row in behind(session, table).await?.iter().filter(|row| row.text(0) == column && row.is(2)) {
        let Some(then) = given(then, &TableName::qualified(row.text(3), row.text(4)), true) else { continue };
        let sql = format!("SELECT last_value - (NOT is_called)::int FROM {}", row.text(1));
        let now = session.value("reading a sequence", &sql).await?.and_then(|text| text.parse().ok());
        least = least.max(now.filter(|now| *now < then));
    }
    Ok(least)
}

/// Returns the sequences behind the columns of a table: the column, the sequence as SQL, whether it counts up, its schema and
/// name, its bounds, and whether the column holds numbers.
async fn behind(session: &mut Session, table: &TableName) -> Result<Vec<Row>, Error> {
    let number = literal(&table.sql());
    let sql = format!(
        "SELECT DISTINCT a.attname, format('%I.%I', n.nspname, c.relname), s.seqincrement > 0, n.nspname, c.relname, \
         s.seqmin, s.seqmax, t.typcategory = 'N' AND t.oid NOT IN ('money'::regtype, 'oid'::regtype) \
         FROM (SELECT d.refobjsubid AS column, d.objid AS sequence FROM pg_depend d \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass \
         AND d.refobjid = to_regclass({number}) AND d.deptype IN ('a', 'i') \
         UNION SELECT ad.adnum, d.refobjid FROM pg_attrdef ad JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass \
         AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass WHERE ad.adrelid = to_regclass({number})) x \
         JOIN pg_sequence s ON s.seqrelid = x.sequence JOIN pg_class c ON c.oid = x.sequence \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = to_regclass({number}) AND a.attnum = x.column \
         JOIN pg_type t ON t.oid = a.atttypid"
    );
    session.rows("reading the sequences", &sql).await
}

/// Returns the last value that a sequence had given out; one that counts down is entered with its sign turned.
fn given(then: &BTreeMap<String, i64>, name: &TableName, counts_up: bool) -> Option<i64> {
    match counts_up {
        true => then.get(&name.to_string()).copied(),
        false => then.get(&format!("{name}{COUNTS_DOWN}")).map(|value| value.saturating_neg()),
    }
}
