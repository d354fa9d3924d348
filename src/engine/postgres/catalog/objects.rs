//! Everything in a schema that is neither a table nor code: schemas, views, sequences, types, and what belongs to the
//! database without a schema (extensions, publications, event triggers, default privileges, large objects).

use super::reader::Reader;
use super::{USER_SCHEMA, grants, not_of_extension, sorted};
use crate::engine::Error;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    let schemas = format!(
        "SELECT 'schema', format('%I', n.nspname), '', pg_get_userbyid(n.nspowner), {grants}, \
         obj_description(n.oid, 'pg_namespace') FROM pg_namespace n WHERE {USER_SCHEMA} AND {own}",
        grants = grants("n.nspacl", 'n', "n.nspowner"),
        own = not_of_extension("pg_namespace", "n.oid"),
    );
    reader.fill("pg_namespace", "schemas", &schemas, &[]).await?;
    views(reader).await?;
    sequences(reader).await?;
    types(reader).await?;
    whole_database(reader).await
}

async fn views(reader: &mut Reader<'_>) -> Result<(), Error> {
    let sql = format!(
        "SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, \
         format('%I.%I', n.nspname, c.relname), pg_get_viewdef(c.oid), pg_get_userbyid(c.relowner), {grants}, \
         obj_description(c.oid, 'pg_class'), {options}, \
         CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'no' END, \
         (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) \
         || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') \
         || coalesce(' GRANTS ' || (SELECT string_agg(g::text, ' ' ORDER BY g::text COLLATE \"C\") \
         FROM unnest(a.attacl) AS g), '') || coalesce(' -- ' || col_description(c.oid, a.attnum), ''), ', ' \
         ORDER BY a.attnum) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid \
         AND d.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
         (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('v', 'm') AND {USER_SCHEMA} AND {own}",
        grants = grants("c.relacl", 'r', "c.relowner"),
        options = sorted("c.reloptions"),
        own = not_of_extension("pg_class", "c.oid"),
    );
    reader.fill("pg_class", "views", &sql, &["options", "populated", "columns", "tablespace"]).await
}

/// The type that a sequence `s` of `pg_sequence` is made with again. A dump does not say it of an identity column's, which
/// then gets that of the column (`LIKE … INCLUDING IDENTITY` makes others, all of them `bigint`).
pub(in super::super) const SEQUENCE_TYPE: &str = "coalesce((SELECT i.atttypid FROM pg_depend e \
     JOIN pg_attribute i ON i.attrelid = e.refobjid AND i.attnum = e.refobjsubid WHERE e.classid = 'pg_class'::regclass \
     AND e.objid = s.seqrelid AND e.refclassid = 'pg_class'::regclass AND e.deptype = 'i'), s.seqtypid)";

async fn sequences(reader: &mut Reader<'_>) -> Result<(), Error> {
    let sql = format!(
        "SELECT 'sequence', format('%I.%I', n.nspname, c.relname), \
         format('AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s', format_type({SEQUENCE_TYPE}, NULL), \
         s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END), \
         pg_get_userbyid(c.relowner), {grants}, obj_description(c.oid, 'pg_class'), \
         (SELECT format('%I.%I.%I', tn.nspname, t.relname, a.attname) FROM pg_depend d \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')), \
         CASE c.relpersistence WHEN 'u' THEN 'unlogged' END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid \
         WHERE {USER_SCHEMA} AND {own}",
        grants = grants("c.relacl", 's', "c.relowner"),
        own = not_of_extension("pg_class", "c.oid"),
    );
    reader.fill("pg_sequence", "sequences", &sql, &["owned by", "persistence"]).await
}

/// Enumerations, domains, composite and range types. Row types of tables and array types follow from others.
async fn types(reader: &mut Reader<'_>) -> Result<(), Error> {
    let sql = format!(
        "SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, format('%I.%I', n.nspname, t.typname), \
         CASE t.typtype \
         WHEN 'e' THEN 'ENUM (' || coalesce((SELECT string_agg(quote_literal(l.enumlabel), ', ' \
         ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid), '') || ')' \
         WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END \
         || coalesce(' DEFAULT ' || t.typdefault, '') || coalesce((SELECT string_agg(' CONSTRAINT ' || \
         quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), '' ORDER BY k.conname) FROM pg_constraint k \
         WHERE k.contypid = t.oid), '') \
         WHEN 'c' THEN 'COMPOSITE (' || coalesce((SELECT string_agg(format('%I %s', a.attname, \
         format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) FROM pg_attribute a \
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')' \
         WHEN 'r' THEN (SELECT 'RANGE OF ' || format_type(r.rngsubtype, NULL) || CASE WHEN r.rngcanonical::oid <> 0 \
         THEN ' CANONICAL ' || r.rngcanonical::text ELSE '' END || CASE WHEN r.rngsubdiff::oid <> 0 \
         THEN ' DIFF ' || r.rngsubdiff::text ELSE '' END \
         FROM pg_range r WHERE r.rngtypid = t.oid) \
         WHEN 'b' THEN format('BASE INPUT %s OUTPUT %s LENGTH %s', t.typinput::text, t.typoutput::text, t.typlen) \
         WHEN 'p' THEN 'SHELL' ELSE t.typtype::text END, \
         pg_get_userbyid(t.typowner), {grants}, obj_description(t.oid, 'pg_type'), \
         (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co \
         JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = t.typcollation AND t.typtype = 'd') \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE t.typtype IN ('e', 'd', 'c', 'r', 'b', 'p') AND {USER_SCHEMA} AND {own} \
         AND (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = t.typrelid)) \
         AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)",
        grants = grants("t.typacl", 'T', "t.typowner"),
        own = not_of_extension("pg_type", "t.oid"),
    );
    reader.fill("pg_type", "types", &sql, &["collation"]).await
}

async fn whole_database(reader: &mut Reader<'_>) -> Result<(), Error> {
    let extensions = "SELECT 'extension', format('%I', x.extname), format('VERSION %L SCHEMA %I', x.extversion, \
         n.nspname), NULL, NULL, NULL FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace";
    reader.fill("pg_extension", "extensions", extensions, &[]).await?;
    let publications = format!(
        "SELECT 'publication', format('%I', p.pubname), CASE WHEN p.puballtables THEN 'ALL TABLES' ELSE 'TABLES ' || \
         coalesce((SELECT string_agg(format('%I.%I', t.schemaname, t.tablename), ', ' ORDER BY t.schemaname, \
         t.tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname), '') END || format(' INSERT %s UPDATE \
         %s DELETE %s TRUNCATE %s', p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate), \
         pg_get_userbyid(p.pubowner), NULL, obj_description(p.oid, 'pg_publication') FROM pg_publication p WHERE {}",
        not_of_extension("pg_publication", "p.oid"),
    );
    reader.fill("pg_publication", "publications", &publications, &[]).await?;
    let event_triggers = format!(
        "SELECT 'event trigger', format('%I', t.evtname), format('ON %s EXECUTE FUNCTION %s %s TAGS %s', t.evtevent, \
         t.evtfoid::regproc, t.evtenabled, coalesce({tags}, '')), pg_get_userbyid(t.evtowner), NULL, \
         obj_description(t.oid, 'pg_event_trigger') FROM pg_event_trigger t WHERE {own}",
        tags = sorted("t.evttags"),
        own = not_of_extension("pg_event_trigger", "t.oid"),
    );
    reader.fill("pg_event_trigger", "event triggers", &event_triggers, &[]).await?;
    let defaults = "SELECT 'default privileges', format('%s %s %s', pg_get_userbyid(d.defaclrole), \
         coalesce((SELECT quote_ident(n.nspname) FROM pg_namespace n WHERE n.oid = d.defaclnamespace), 'everywhere'), \
         d.defaclobjtype), (SELECT string_agg(g::text, ' ' ORDER BY g::text COLLATE \"C\") FROM unnest(d.defaclacl) \
         AS g), NULL, NULL, NULL FROM pg_default_acl d";
    reader.fill("pg_default_acl", "default privileges", defaults, &[]).await?;
    let large = "SELECT 'large objects', 'all', count(*), string_agg(DISTINCT pg_get_userbyid(m.lomowner), ', '), \
         NULL, NULL FROM pg_largeobject_metadata m HAVING count(*) > 0";
    reader.fill("pg_largeobject_metadata", "large objects", large, &[]).await
}
