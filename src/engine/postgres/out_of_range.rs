//! Identity sequences that are out of the range of their column: `pg_dump` says nothing of a sequence's own type there, so
//! that a restore makes it one of the column's and cannot set it to what it was.

use super::names::literal;
use super::session::Session;
use crate::catalog::{Finding, Severity, TableName};
use crate::engine::Error;

const DOING: &str = "looking at the sequences of identity columns";

/// Adds a finding for each of them, with the statement that sets it right.
pub(super) async fn look(
    session: &mut Session,
    severity: Severity,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let sql = "SELECT n.nspname, c.relname, tn.nspname, t.relname, quote_ident(a.attname), \
         format_type(a.atttypid, NULL), CASE a.atttypid WHEN 21 THEN -32768 ELSE -2147483648 END, \
         CASE a.atttypid WHEN 21 THEN 32767 ELSE 2147483647 END \
         FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class c ON c.oid = s.seqrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = d.refobjid \
         JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i' \
         AND s.seqtypid <> a.atttypid AND a.atttypid IN (21, 23) \
         AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT') END ORDER BY 1, 2";
    for row in session.rows(DOING, sql).await? {
        let sequence = TableName::qualified(row.text(0), row.text(1));
        let table = TableName::qualified(row.text(2), row.text(3));
        let (column, type_name) = (row.text(4), row.text(5));
        let value = format!(
            "SELECT last_value FROM {} WHERE last_value NOT BETWEEN {} AND {}",
            sequence.sql(),
            row.text(6),
            row.text(7)
        );
        let Some(value) = session.value(DOING, &value).await? else { continue };
        let detail = format!(
            "it is at {value}, which {table}.{column} ({type_name}) cannot hold, and no dump can be restored with that: \
             ALTER TABLE {0} ALTER COLUMN {column} TYPE bigint, or SELECT setval({1}, (SELECT max({column}) FROM {0}))",
            table.sql(),
            literal(&sequence.sql())
        );
        let (code, subject) = ("sequence-out-of-range".to_string(), sequence.to_string());
        findings.push(Finding { severity, code, subject, detail });
    }
    Ok(())
}
