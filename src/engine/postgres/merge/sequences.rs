//! Sequences that give a column its values: set past what was inserted.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use crate::catalog::TableName;
use crate::engine::Error;

/// Moves the sequences behind a table's columns past the values that are there. Never back, and nothing undoes it: a
/// sequence is no part of a transaction, so this comes last.
pub(in super::super) async fn follow(session: &mut Session, table: &TableName) -> Result<(), Error> {
    let doing = "setting sequences";
    let number = literal(&table.sql());
    let sql = format!(
        "SELECT DISTINCT a.attname, format('%I.%I', n.nspname, c.relname), s.seqincrement > 0 \
         FROM (SELECT d.refobjsubid AS column, d.objid AS sequence FROM pg_depend d \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass \
         AND d.refobjid = to_regclass({number}) AND d.deptype IN ('a', 'i') \
         UNION SELECT ad.adnum, d.refobjid FROM pg_attrdef ad JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass \
         AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass WHERE ad.adrelid = to_regclass({number})) x \
         JOIN pg_sequence s ON s.seqrelid = x.sequence JOIN pg_class c ON c.oid = x.sequence \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = to_regclass({number}) AND a.attnum = x.column"
    );
    for row in session.rows(doing, &sql).await? {
        let (column, sequence) = (identifier(row.text(0)), row.text(1));
        let (end, beyond) = if row.is(2) { ("max", ">") } else { ("min", "<") };
        let set = format!(
            "SELECT setval({}, x.value) FROM (SELECT {end}({column})::bigint AS value FROM ONLY {}) x, {sequence} q \
             WHERE x.value {beyond} q.last_value OR (x.value = q.last_value AND NOT q.is_called)",
            literal(sequence),
            table.sql()
        );
        session.rows(doing, &set).await?;
    }
    Ok(())
}
