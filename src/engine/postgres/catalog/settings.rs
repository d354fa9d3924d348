//! What belongs to the database as a whole, as settings of the catalog.

use super::{grants, sorted};
use crate::engine::Error;
use crate::engine::postgres::session::Session;
use std::collections::BTreeMap;

/// The settings that stay with a database's identity number when it is renamed, and that a dump of one database does
/// not hold: they are replayed, and left out of a comparison where they could not be.
pub(in crate::engine::postgres) const DATABASE_LEVEL: [&str; 6] =
    ["owner", "grants", "connection limit", "comment", "tablespace", "parameters"];

pub(super) async fn read(session: &mut Session) -> Result<BTreeMap<String, String>, Error> {
    // The columns of locale providers came with 15, 16 and 17; as JSON an absent one is simply not there.
    let sql = format!(
        "SELECT pg_get_userbyid(d.datdba), {grants}, d.datconnlimit, shobj_description(d.oid, 'pg_database'), \
         (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace AND t.spcname <> 'pg_default'), \
         pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, \
         CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END, \
         coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules' \
         FROM pg_database d WHERE d.datname = current_database()",
        grants = grants("d.datacl", 'd', "d.datdba"),
    );
    let names = [
        "owner",
        "grants",
        "connection limit",
        "comment",
        "tablespace",
        "encoding",
        "collate",
        "ctype",
        "locale provider",
        "locale",
        "icu rules",
    ];
    let rows = session.rows("reading the database's settings", &sql).await?;
    let mut settings: BTreeMap<String, String> = rows
        .iter()
        .flat_map(|row| names.iter().enumerate().map(move |(index, name)| (row, index, name)))
        .filter_map(|(row, index, name)| Some((name.to_string(), row.filled(index)?)))
        .collect();
    let sql = format!(
        "SELECT CASE WHEN s.setrole = 0 THEN 'parameters' ELSE 'parameters for ' || quote_ident(pg_get_userbyid(s.setrole)) \
         END, {} FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
         WHERE d.datname = current_database()",
        sorted("s.setconfig"),
    );
    for row in session.rows("reading the settings for roles", &sql).await? {
        settings.insert(row.text(0).to_string(), row.text(1).to_string());
    }
    Ok(settings)
}
