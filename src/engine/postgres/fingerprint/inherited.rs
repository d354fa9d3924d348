//! What no dump keeps of a table that inherits columns: where they stand among its own, and their compression.

use crate::catalog::TableName;
use crate::engine::Error;
use crate::engine::postgres::session::Session;
use crate::fingerprint::NotCompared;

/// Children whose columns a restore puts in another order, themselves or because it does so with a parent. A dump creates a
/// child as its own columns and the names of its parents; the server puts the columns of the parents first, in their order.
const MOVED: &str = "WITH RECURSIVE child AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition AND n.nspname !~ '^pg_' \
     AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)), \
     placed AS (SELECT a.attrelid, a.attnum, (SELECT ARRAY[h.inhseqno, p.attnum::integer] FROM pg_inherits h \
     JOIN pg_attribute p ON p.attrelid = h.inhparent AND p.attname = a.attname AND NOT p.attisdropped \
     WHERE h.inhrelid = a.attrelid ORDER BY 1 LIMIT 1) AS place \
     FROM pg_attribute a JOIN child ON child.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped), \
     moved(oid) AS (SELECT attrelid FROM (SELECT attrelid FROM placed GROUP BY attrelid \
     HAVING array_agg(attnum ORDER BY place, attnum) <> array_agg(attnum ORDER BY attnum)) own \
     UNION SELECT h.inhrelid FROM moved JOIN pg_inherits h ON h.inhparent = moved.oid JOIN child ON child.oid = h.inhrelid) \
     SELECT n.nspname, c.relname FROM moved JOIN pg_class c ON c.oid = moved.oid \
     JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2";

/// Inherited columns without a compression, where a parent's has one: made again, they have the parent's.
const COMPRESSED: &str = "SELECT n.nspname, c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition \
     AND a.attnum > 0 AND NOT a.attisdropped AND a.attcompression = '' AND n.nspname !~ '^pg_' \
     AND EXISTS (SELECT FROM pg_inherits h JOIN pg_attribute p ON p.attrelid = h.inhparent AND p.attname = a.attname \
     WHERE h.inhrelid = c.oid AND p.attcompression <> '') ORDER BY 1, 2, 3";

/// Names what is left out of the comparison of definitions ([`crate::catalog::diff`]).
pub(super) async fn not_compared(session: &mut Session, found: &mut Vec<NotCompared>) -> Result<(), Error> {
    for row in session.rows("listing the tables that inherit columns", MOVED).await? {
        found.push(NotCompared {
            subject: format!("the order of columns of {}", TableName::qualified(row.text(0), row.text(1))),
            reason: "a restore puts those that it inherits first".to_string(),
        });
    }
    // Since 14 a column can name its compression.
    if session.major() < 14 {
        return Ok(());
    }
    for row in session.rows("listing the compression of inherited columns", COMPRESSED).await? {
        let table = TableName::qualified(row.text(0), row.text(1));
        found.push(NotCompared {
            subject: format!("the compression of column {table}.{}", row.text(2)),
            reason: "it is inherited, and a restore gives it that of the parent".to_string(),
        });
    }
    Ok(())
}
