//! Large objects as one pseudo table of (number, MD5 of the content): the server has no table that anybody may read which
//! says as much.

use crate::catalog::TableName;

/// What is read of them wherever the rows of the table are asked for.
const ROWS: &str = "SELECT pg_catalog.md5(pg_catalog.lo_get(oid)) AS md5, oid AS number \
     FROM pg_catalog.pg_largeobject_metadata";

/// Up to this many bytes the content of a large object is salvaged, as one value; the snapshot has longer ones too.
const LARGEST: u64 = 128 * 1024 * 1024;

/// Returns the statement that sends all of them.
pub(super) fn copy_out() -> String {
    format!("COPY ({ROWS}) TO STDOUT")
}

/// Returns what stands after FROM to read the rows of a table and not those of its children.
pub(super) fn only(table: &TableName) -> String {
    if table.is_large_objects() { format!("({ROWS})") } else { format!("ONLY {}", table.sql()) }
}

/// Returns the column `content` of a row `a`, as it stands in salvage.
pub(super) fn content() -> String {
    // A byte behind the longest one tells whether there is more, without reading all of it.
    format!(
        "CASE WHEN pg_catalog.octet_length(pg_catalog.lo_get(a.number, {LARGEST}, 1)) = 0 \
         THEN pg_catalog.lo_get(a.number) END AS content"
    )
}

/// Returns the length of the content of a row `a`.
pub(super) fn length() -> String {
    "pg_catalog.octet_length(pg_catalog.lo_get(a.number))".to_string()
}
