//! Constraints, indexes, triggers and policies of tables.

use super::reader::Reader;
use super::{USER_SCHEMA, canonical::canonical, role_names, sorted};
use crate::catalog::{Object, Table, TableName};
use crate::engine::Error;
use crate::engine::postgres::session::Row;
use std::collections::BTreeMap;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    // Since 18 every NOT NULL column has a constraint; one with nothing to say but that is told by the column.
    let constraints = format!(
        "SELECT n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid), \
         obj_description(k.oid, 'pg_constraint'), NULL, NULL, NULL \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype <> 't' AND (k.contype <> 'n' OR NOT k.convalidated OR k.connoinherit OR k.conname !~ '_not_null$') \
         AND {USER_SCHEMA}"
    );
    fill(reader, "pg_constraint", "constraint", &constraints, |table| &mut table.constraints).await?;
    // What CREATE INDEX CONCURRENTLY left half done is a finding: nothing uses it, and no dump holds it. On partitioned
    // tables "invalid" only means that a partition has none, and the dump says so, too.
    let indexes = format!(
        "SELECT n.nspname, c.relname, ic.relname, pg_get_indexdef(i.indexrelid), \
         obj_description(ic.oid, 'pg_class'), CASE WHEN NOT i.indisvalid THEN 'INVALID' END, \
         CASE WHEN i.indisclustered THEN 'CLUSTERED' END, \
         (SELECT 'PART OF ' || pc.relname FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent \
         WHERE h.inhrelid = ic.oid), \
         (SELECT 'STATISTICS ' || string_agg(ia.attnum || ': ' || ia.attstattarget, ', ' ORDER BY ia.attnum) \
         FROM pg_attribute ia WHERE ia.attrelid = ic.oid AND ia.attstattarget >= 0), \
         (SELECT 'TABLESPACE ' || t.spcname FROM pg_tablespace t WHERE t.oid = ic.reltablespace) \
         FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'f') AND {USER_SCHEMA} \
         AND (i.indisvalid OR c.relkind = 'p')"
    );
    fill(reader, "pg_index", "index", &indexes, |table| &mut table.indexes).await?;
    let triggers = format!(
        "SELECT n.nspname, c.relname, g.tgname, pg_get_triggerdef(g.oid), obj_description(g.oid, 'pg_trigger'), \
         CASE g.tgenabled WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'ENABLED ON REPLICA' WHEN 'A' THEN \
         'ENABLED ALWAYS' END, NULL, NULL \
         FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT g.tgisinternal AND {USER_SCHEMA}"
    );
    fill(reader, "pg_trigger", "trigger", &triggers, |table| &mut table.triggers).await?;
    let policies = format!(
        "SELECT n.nspname, c.relname, p.polname, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END \
         || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' \
         WHEN 'd' THEN 'DELETE' ELSE 'ALL' END || ' TO ' || {roles}, obj_description(p.oid, 'pg_policy'), \
         'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', \
         'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', NULL \
         FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USER_SCHEMA}",
        roles = role_names("p.polroles"),
    );
    fill(reader, "pg_policy", "policy", &policies, |table| &mut table.policies).await?;
    rules_and_statistics(reader).await
}

/// Runs a query for (schema, table, name, definition, comment, remarks …) and files its rows. What hangs on something
/// else than a table (an index of a materialized view, a trigger of a view) becomes an object of its own.
async fn fill(
    reader: &mut Reader<'_>,
    class: &str,
    kind: &str,
    sql: &str,
    part: impl Fn(&mut Table) -> &mut BTreeMap<String, String>,
) -> Result<(), Error> {
    for row in reader.rows(class, &format!("reading each {kind}"), sql).await? {
        let (name, of) = (row.text(2).to_string(), TableName::qualified(row.text(0), row.text(1)));
        let definition = definition(&row);
        match reader.catalog.tables.get_mut(&of) {
            Some(table) => {
                part(table).insert(name, definition);
            }
            None => {
                let object = Object { kind: kind.to_string(), definition, ..Object::default() };
                reader.catalog.objects.insert(format!("{kind} {of}.{name}"), object);
            }
        }
    }
    Ok(())
}

fn definition(row: &Row) -> String {
    let mut text = canonical(row.text(3));
    for index in 5..10 {
        if let Some(remark) = row.filled(index) {
            text.push(' ');
            text.push_str(&canonical(&remark));
        }
    }
    if let Some(comment) = row.filled(4) {
        text.push_str(" -- ");
        text.push_str(&comment);
    }
    text
}

async fn rules_and_statistics(reader: &mut Reader<'_>) -> Result<(), Error> {
    let rules = format!(
        "SELECT 'rule', format('%I.%I.%I', n.nspname, c.relname, r.rulename), pg_get_ruledef(r.oid), NULL, NULL, \
         obj_description(r.oid, 'pg_rewrite'), \
         CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' END \
         FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE r.rulename <> '_RETURN' AND {USER_SCHEMA}"
    );
    reader.fill("pg_rewrite", "rules", &rules, &["firing"]).await?;
    let statistics = format!(
        "SELECT 'statistics', format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid), \
         pg_get_userbyid(s.stxowner), NULL, obj_description(s.oid, 'pg_statistic_ext') \
         FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USER_SCHEMA}"
    );
    reader.fill("pg_statistic_ext", "statistics objects", &statistics, &[]).await?;
    let servers = format!(
        "SELECT 'foreign server', format('%I', s.srvname), format('FOREIGN DATA WRAPPER %I TYPE %L VERSION %L \
         OPTIONS (%s)', w.fdwname, s.srvtype, s.srvversion, {options}), pg_get_userbyid(s.srvowner), {grants}, \
         obj_description(s.oid, 'pg_foreign_server'), \
         (SELECT string_agg(CASE WHEN u.umuser = 0 THEN 'public' ELSE pg_get_userbyid(u.umuser) END, ', ' \
         ORDER BY u.umuser = 0, pg_get_userbyid(u.umuser)) FROM pg_user_mappings u WHERE u.srvid = s.oid) \
         FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw",
        options = sorted("s.srvoptions"),
        grants = super::grants("s.srvacl", 'S', "s.srvowner"),
    );
    // The options of user mappings hold passwords, so only whose mapping there is gets into the catalog.
    reader.fill("pg_foreign_server", "foreign servers", &servers, &["user mappings"]).await
}
