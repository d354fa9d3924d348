//! Columns that refer to keys which are put back, without a foreign key that says so: in a temporary table of the transaction, so
//! that whoever asks which foreign keys there are finds them beside these.

use super::super::PostgresDatabase;
use super::super::dumped::DumpedRows;
use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use super::live::ForeignKey;
use super::recycled::{fields, fill, unread};
use crate::catalog::TableName;
use crate::engine::{Error, Named, Piece, Undeclared, named, undeclared};

const NOTED: &str = "pg_temp.ripcord_undeclared";

/// Writes them down, as far as the live tables still have them and no foreign key says the same.
pub(super) async fn note(
    database: &PostgresDatabase,
    session: &mut Session,
    pieces: &[Piece],
) -> Result<(), Error> {
    let make = "CREATE TEMPORARY TABLE ripcord_undeclared (child oid, own name, parent oid, other name) ON COMMIT DROP";
    session.run(DOING, make).await?;
    let mut found = undeclared(pieces)?;
    for one in named(pieces) {
        if held_keys(database, session, &one).await? {
            found.push(one.what);
        }
    }
    for Undeclared { table, column, parent, key } in found {
        // Of two types that cannot be compared no value of the one is one of the other.
        let note = format!(
            "INSERT INTO {NOTED} SELECT a.attrelid, a.attname, p.attrelid, p.attname FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type at ON at.oid = a.atttypid, \
             pg_attribute p JOIN pg_type pt ON pt.oid = p.atttypid \
             WHERE c.oid = to_regclass({}) AND c.relkind = 'r' AND a.attname = {} AND a.attgenerated = '' \
             AND p.attrelid = to_regclass({}) AND p.attname = {} \
             AND (at.oid = pt.oid OR (at.typcategory = pt.typcategory AND at.typcategory IN ('N', 'S'))) \
             AND NOT EXISTS (SELECT FROM {NOTED} AS u WHERE u.child = a.attrelid AND u.own = a.attname) \
             AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = a.attrelid \
             AND a.attnum = ANY (k.conkey))",
            literal(&table.sql()),
            literal(&column),
            literal(&parent.sql()),
            literal(&key)
        );
        session.run(DOING, &note).await?;
    }
    Ok(())
}

/// Tells whether all that a column held then were keys.
async fn held_keys(
    database: &PostgresDatabase,
    session: &mut Session,
    asked: &Named<'_>,
) -> Result<bool, Error> {
    session.run(DOING, "SAVEPOINT ripcord_named").await?;
    let found = by_dump(database, session, asked).await;
    if matches!(found, Err(Error::Interrupted)) {
        return found;
    }
    // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
    session.run(DOING, "ROLLBACK TO ripcord_named; RELEASE ripcord_named").await?;
    Ok(found.unwrap_or_default())
}

async fn by_dump(
    database: &PostgresDatabase,
    session: &mut Session,
    asked: &Named<'_>,
) -> Result<bool, Error> {
    for (name, (table, column)) in [("own", asked.own), ("keys", asked.key)] {
        let then = asked.piece.catalog.as_ref().and_then(|catalog| catalog.tables.get(table));
        let fields = then.and_then(|then| fields(then, std::iter::once(column)));
        let (Some((fields, width)), Some(snapshot)) = (fields, &asked.piece.snapshot) else {
            return Ok(false);
        };
        let Some(file) = database.dumped_rows(snapshot, table).await? else { return Ok(false) };
        let temporary = format!("ripcord_named_{name}");
        session.run(DOING, &format!("CREATE TEMPORARY TABLE {temporary} (v text) ON COMMIT DROP")).await?;
        let rows = DumpedRows::open(&file, fields, width, database.options.cancel.clone());
        fill(session, Box::new(rows.map_err(unread)?), &temporary).await?;
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_temp.ripcord_named_own WHERE v IS NOT NULL) AND NOT EXISTS (SELECT v \
               FROM pg_temp.ripcord_named_own WHERE v IS NOT NULL EXCEPT SELECT v FROM pg_temp.ripcord_named_keys)";
    Ok(session.value(DOING, sql).await?.as_deref() == Some("t"))
}

/// Returns those of a table, as the foreign keys that it has not got.
pub(super) async fn of(session: &mut Session, table: &TableName) -> Result<Vec<ForeignKey>, Error> {
    let sql = format!(
        "SELECT u.own, n.nspname, c.relname, u.other FROM {NOTED} AS u JOIN pg_class c ON c.oid = u.parent \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE u.child = to_regclass({}) ORDER BY 1",
        literal(&table.sql())
    );
    let rows = session.rows("reading the keys", &sql).await?;
    let key = |row: &super::super::session::Row| ForeignKey {
        name: String::new(),
        columns: vec![row.text(0).to_string()],
        parent: TableName::qualified(row.text(1), row.text(2)),
        partitions: Vec::new(),
        referred: vec![row.text(3).to_string()],
        follows: false,
    };
    Ok(rows.iter().map(key).collect())
}

/// Returns the columns that refer to one, with their tables.
pub(super) async fn to(
    session: &mut Session,
    table: &TableName,
    column: &str,
) -> Result<Vec<(TableName, String)>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname, u.own FROM {NOTED} AS u JOIN pg_class c ON c.oid = u.child \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE u.parent = to_regclass({}) AND u.other = {} ORDER BY 1, 2, 3",
        literal(&table.sql()),
        literal(column)
    );
    let rows = session.rows("reading the keys", &sql).await?;
    let one = |row: &super::super::session::Row| {
        (TableName::qualified(row.text(0), row.text(1)), row.text(2).to_string())
    };
    Ok(rows.iter().map(one).collect())
}
