//! Reads everything that a database contains except its rows, as text that is equal in the source and in a restored
//! copy: no object identifiers, every name with its schema (`search_path` is empty), lists sorted, and never the name
//! of the database itself.
//!
//! What belongs to an extension is left out: the extension's own line stands for it, as in a dump.

mod canonical;
mod columns;
mod objects;
mod programs;
mod reader;
mod relations;
mod settings;
mod table_parts;

use super::session::Session;
use crate::catalog::Catalog;
use crate::engine::Error;
use reader::Reader;

pub(super) use columns::keys_sql;
pub(super) use objects::SEQUENCE_TYPE;
pub(super) use settings::DATABASE_LEVEL;

/// Reads the catalog of the database that the session is connected to.
///
/// From here to the end of its transaction, joins are done in the order in which they are written. Among as many system
/// catalogs as are joined here a server looks for the best order longer than it then needs to read them.
pub(super) async fn read(session: &mut Session) -> Result<Catalog, Error> {
    if !session.is_taped() {
        let in_order = "SELECT pg_catalog.set_config('join_collapse_limit', '1', true)";
        session.run("reading the catalog", in_order).await?;
    }
    let mut catalog = Catalog::default();
    let mut reader = Reader::new(session, &mut catalog).await?;
    relations::read(&mut reader).await?;
    columns::read(&mut reader).await?;
    table_parts::read(&mut reader).await?;
    objects::read(&mut reader).await?;
    programs::read(&mut reader).await?;
    catalog.settings = settings::read(session).await?;
    Ok(catalog)
}

/// Limits `n` (`pg_namespace`) to what users made.
const USER_SCHEMA: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Objects below this number were made by `initdb`.
const FIRST_OF_USERS: u32 = 16_384;

/// Objects below this number come with the program itself: `initdb` makes schemas and views from here on, and so does a
/// user in single-user mode before the first start.
pub(super) const FIRST_AT_ALL: u32 = 12_000;

/// Returns a condition that leaves out what belongs to an extension; `class` is the system catalog it is in.
fn not_of_extension(class: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{class}'::regclass AND e.objid = {oid} \
         AND e.deptype = 'e')"
    )
}

/// Returns an expression for the grants of an object, sorted; what nobody ever granted is written out as the default
/// it means, because a dump leaves a default away and a restore then has none stored. All privileges on a table are
/// called so: version 17 has one more of them (`m`), and a snapshot may come back on a newer server.
pub(super) fn grants(column: &str, kind: char, owner: &str) -> String {
    let item = match kind {
        'r' => {
            "replace(g.item::text, CASE WHEN current_setting('server_version_num')::int >= 170000 \
             THEN '=arwdDxtm/' ELSE '=arwdDxt/' END, '=all/')"
        }
        _ => "g.item::text",
    };
    format!(
        "(SELECT string_agg({item}, ' ' ORDER BY {item} COLLATE \"C\") \
         FROM unnest(coalesce({column}, acldefault('{kind}', {owner}))) AS g(item))"
    )
}

/// Returns an expression for a list of options (`fillfactor=70`), sorted.
fn sorted(list: &str) -> String {
    format!("(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest({list}) AS o)")
}

/// Returns a list of roles by name; 0 stands for everybody.
fn role_names(list: &str) -> String {
    format!(
        "(SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r) END, ', ' \
         ORDER BY CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r) END COLLATE \"C\") FROM unnest({list}) AS r)"
    )
}
