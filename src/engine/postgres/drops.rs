//! What a restore in place drops: everything that users made, and the extensions that the snapshot has not.

use super::database_level::DatabaseLevel;
use super::in_place::DOING;
use super::names::{identifier, literal};
use super::session::Session;
use crate::catalog::TableName;
use crate::engine::Error;

/// Returns the statements that empty the database of what users made. The extensions of the snapshot stay, and what
/// belongs to them; others go.
pub(super) async fn drops(session: &mut Session, level: &DatabaseLevel) -> Result<Vec<String>, Error> {
    let mut statements = default_privileges(session).await?;
    statements.extend(extensions(session, level).await?);
    let schemas = format!(
        "SELECT n.nspname FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
         AND NOT {} AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass \
         AND e.objid = n.oid AND e.deptype = 'e') ORDER BY 1",
        stays(level)
    );
    for row in session.rows(DOING, &schemas).await? {
        statements.push(format!("DROP SCHEMA IF EXISTS {} CASCADE", identifier(row.text(0))));
    }
    for (class, namespace, sql) in BUILT_ON_CODE {
        let sql = format!(
            "SELECT format({sql}) FROM {class} o JOIN pg_namespace n ON n.oid = o.{namespace} WHERE {} ORDER BY o.oid",
            own(class)
        );
        let rows = session.rows(DOING, &sql).await?;
        statements.extend(rows.iter().map(|row| format!("DROP {} CASCADE", row.text(0))));
    }
    // What is left lies in schemas that stay: public, and those of extensions.
    for (class, kind, sql) in IN_SCHEMAS {
        let sql = sql.replace("{own}", &own(class));
        for row in session.rows(DOING, &sql).await? {
            let kind = row.filled(2).unwrap_or_else(|| kind.to_string());
            let object = TableName::qualified(row.text(0), row.text(1)).sql();
            statements.push(format!("DROP {kind} IF EXISTS {object}{} CASCADE", row.text(3)));
        }
    }
    for (kind, sql) in WITHOUT_SCHEMA {
        for row in session.rows(DOING, sql).await? {
            statements.push(format!("DROP {kind} IF EXISTS {} CASCADE", identifier(row.text(0))));
        }
    }
    let large = session.rows(DOING, "SELECT oid FROM pg_largeobject_metadata").await?;
    statements.extend(large.iter().map(|row| format!("SELECT lo_unlink({})", literal(row.text(0)))));
    Ok(statements)
}

/// Limits `o` to what users made in schemas of theirs.
fn own(class: &str) -> String {
    format!(
        "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
         WHERE e.classid = '{class}'::regclass AND e.objid = o.oid AND e.deptype IN ('e', 'i') AND e.refobjid <> e.objid)"
    )
}

/// Returns the condition that a schema `n` stays: `public`, if the snapshot has one, and where extensions of the snapshot
/// are.
pub(super) fn stays(level: &DatabaseLevel) -> String {
    let kept = names_of(level);
    let public = if level.public_schema { "n.nspname = 'public' OR " } else { "" };
    format!(
        "({public}EXISTS (SELECT FROM pg_extension x WHERE x.extnamespace = n.oid AND x.extname = ANY ({kept})))"
    )
}

/// Returns the names of the snapshot's extensions as an array in SQL.
fn names_of(level: &DatabaseLevel) -> String {
    let names: Vec<String> = level.extensions.keys().map(|name| literal(name)).collect();
    format!("ARRAY[{}]::text[]", names.join(", "))
}

/// Returns the statements that drop the extensions that were created since.
async fn extensions(session: &mut Session, level: &DatabaseLevel) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT extname, pg_has_role(extowner, 'USAGE'), pg_get_userbyid(extowner) FROM pg_extension \
         WHERE extname <> ALL ({}) ORDER BY oid DESC",
        names_of(level)
    );
    let rows = session.rows(DOING, &sql).await?;
    if let Some(row) = rows.iter().find(|row| !row.is(1)) {
        let what = format!("dropping the extension {}, which the snapshot has not,", row.text(0));
        return Err(Error::Privilege { what, privilege: format!("membership in {}", row.text(2)) });
    }
    Ok(rows
        .iter()
        .map(|row| format!("DROP EXTENSION IF EXISTS {} CASCADE", identifier(row.text(0))))
        .collect())
}

/// Returns the statements that take default privileges back: they would be granted on every table that the dump builds
/// again, beside the grants that the dump has. The dump says them anew at its end.
async fn default_privileges(session: &mut Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', pg_get_userbyid(d.defaclrole), \
         (SELECT format(' IN SCHEMA %I', n.nspname) FROM pg_namespace n WHERE n.oid = d.defaclnamespace)), \
         CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' \
         WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, d.defaclnamespace = 0, \
         quote_ident(pg_get_userbyid(d.defaclrole)), (SELECT string_agg(DISTINCT CASE WHEN g.grantee = 0 THEN \
         'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, ', ') FROM aclexplode(d.defaclacl) g) \
         FROM pg_default_acl d";
    let mut statements = Vec::new();
    for row in session.rows(DOING, sql).await? {
        let (alter, kind, owner) = (row.text(0), row.text(1), row.text(3));
        if let Some(grantees) = row.filled(4) {
            statements.push(format!("{alter} REVOKE ALL ON {kind} FROM {grantees}"));
        }
        // Outside of a schema the list replaces what is built in, so what is built in must be said.
        if row.is(2) {
            let public = if matches!(kind, "FUNCTIONS" | "TYPES") { ", PUBLIC" } else { "" };
            statements.push(format!("{alter} GRANT ALL ON {kind} TO {owner}{public}"));
        }
    }
    Ok(statements)
}

/// Queries for (schema, name, kind, arguments); later ones find less, because CASCADE has taken it.
const IN_SCHEMAS: [(&str, &str, &str); 5] = [
    (
        "pg_class",
        "TABLE",
        "SELECT n.nspname, o.relname, CASE o.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
         WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, '' \
         FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace \
         WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {own} ORDER BY o.oid",
    ),
    (
        "pg_proc",
        "ROUTINE",
        "SELECT n.nspname, o.proname, CASE o.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE \
         'FUNCTION' END, '(' || pg_get_function_identity_arguments(o.oid) || ')' FROM pg_proc o \
         JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {own} ORDER BY o.oid",
    ),
    (
        "pg_type",
        "TYPE",
        "SELECT n.nspname, o.typname, CASE o.typtype WHEN 'd' THEN 'DOMAIN' END, '' FROM pg_type o \
         JOIN pg_namespace n ON n.oid = o.typnamespace WHERE (o.typtype IN ('e', 'd', 'r') \
         OR o.typtype = 'c' AND (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = o.typrelid)) AND {own} ORDER BY o.oid",
    ),
    (
        "pg_collation",
        "COLLATION",
        "SELECT n.nspname, o.collname, NULL, '' FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace \
         WHERE {own} ORDER BY o.oid",
    ),
    (
        "pg_statistic_ext",
        "STATISTICS",
        "SELECT n.nspname, o.stxname, NULL, '' FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace \
         WHERE {own} ORDER BY o.oid",
    ),
];

const WITHOUT_SCHEMA: [(&str, &str); 3] = [
    ("PUBLICATION", "SELECT pubname FROM pg_publication ORDER BY 1"),
    ("EVENT TRIGGER", "SELECT evtname FROM pg_event_trigger ORDER BY 1"),
    ("SERVER", "SELECT srvname FROM pg_foreign_server ORDER BY 1"),
];

/// What a dump makes anew beside tables, functions and types: class, column of the schema, arguments of `format`.
const BUILT_ON_CODE: [(&str, &str, &str); 8] = [
    (
        "pg_operator",
        "oprnamespace",
        "'OPERATOR IF EXISTS %I.%s (%s, %s)', n.nspname, o.oprname, CASE WHEN o.oprleft = 0 THEN 'NONE' ELSE \
         format_type(o.oprleft, NULL) END, CASE WHEN o.oprright = 0 THEN 'NONE' ELSE format_type(o.oprright, NULL) END",
    ),
    (
        "pg_opclass",
        "opcnamespace",
        "'OPERATOR CLASS IF EXISTS %I.%I USING %I', n.nspname, o.opcname, \
         (SELECT m.amname FROM pg_am m WHERE m.oid = o.opcmethod)",
    ),
    (
        "pg_opfamily",
        "opfnamespace",
        "'OPERATOR FAMILY IF EXISTS %I.%I USING %I', n.nspname, o.opfname, \
         (SELECT m.amname FROM pg_am m WHERE m.oid = o.opfmethod)",
    ),
    ("pg_conversion", "connamespace", "'CONVERSION IF EXISTS %I.%I', n.nspname, o.conname"),
    ("pg_ts_config", "cfgnamespace", "'TEXT SEARCH CONFIGURATION IF EXISTS %I.%I', n.nspname, o.cfgname"),
    ("pg_ts_dict", "dictnamespace", "'TEXT SEARCH DICTIONARY IF EXISTS %I.%I', n.nspname, o.dictname"),
    ("pg_ts_parser", "prsnamespace", "'TEXT SEARCH PARSER IF EXISTS %I.%I', n.nspname, o.prsname"),
    ("pg_ts_template", "tmplnamespace", "'TEXT SEARCH TEMPLATE IF EXISTS %I.%I', n.nspname, o.tmplname"),
];
