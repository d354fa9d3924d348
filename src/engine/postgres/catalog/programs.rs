//! Code and what is built on it: functions, aggregates, casts, operators, collations, languages, text search.

use super::reader::Reader;
use super::{FIRST_OF_USERS, USER_SCHEMA, grants, not_of_extension};
use crate::engine::Error;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    functions(reader).await?;
    let casts = format!(
        "SELECT 'cast', format('%s AS %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)), \
         format('%s %s %s', c.castmethod, c.castcontext, CASE WHEN c.castfunc <> 0 THEN \
         c.castfunc::regprocedure::text ELSE '' END), NULL, NULL, obj_description(c.oid, 'pg_cast') \
         FROM pg_cast c WHERE c.oid >= {FIRST_OF_USERS} AND {}",
        not_of_extension("pg_cast", "c.oid"),
    );
    reader.fill("pg_cast", "casts", &casts, &[]).await?;
    // The encoding is left out: CREATE COLLATION … FROM "C" leaves it open (-1), and a dump writes the database's own.
    let collations = format!(
        "SELECT 'collation', format('%I.%I', n.nspname, c.collname), format('%s %s', c.collprovider, \
         (to_jsonb(c) - 'oid' - 'collname' - 'collnamespace' - 'collowner' - 'collversion' - 'collprovider' - 'collencoding')::text), \
         pg_get_userbyid(c.collowner), NULL, obj_description(c.oid, 'pg_collation') \
         FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {USER_SCHEMA} AND {}",
        not_of_extension("pg_collation", "c.oid"),
    );
    reader.fill("pg_collation", "collations", &collations, &[]).await?;
    let languages = format!(
        "SELECT 'language', format('%I', l.lanname), format('%s TRUSTED %s', l.lanplcallfoid::regproc, \
         l.lanpltrusted), pg_get_userbyid(l.lanowner), {grants}, obj_description(l.oid, 'pg_language') \
         FROM pg_language l WHERE l.oid >= {FIRST_OF_USERS} AND {own}",
        grants = grants("l.lanacl", 'l', "l.lanowner"),
        own = not_of_extension("pg_language", "l.oid"),
    );
    reader.fill("pg_language", "languages", &languages, &[]).await?;
    let wrappers = format!(
        "SELECT 'foreign data wrapper', format('%I', w.fdwname), format('HANDLER %s VALIDATOR %s', \
         w.fdwhandler::regproc, w.fdwvalidator::regproc), pg_get_userbyid(w.fdwowner), {grants}, \
         obj_description(w.oid, 'pg_foreign_data_wrapper') FROM pg_foreign_data_wrapper w WHERE {own}",
        grants = grants("w.fdwacl", 'F', "w.fdwowner"),
        own = not_of_extension("pg_foreign_data_wrapper", "w.oid"),
    );
    reader.fill("pg_foreign_data_wrapper", "foreign data wrappers", &wrappers, &[]).await?;
    operators(reader).await?;
    text_search(reader).await
}

async fn functions(reader: &mut Reader<'_>) -> Result<(), Error> {
    let sql = format!(
        "SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, \
         format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), \
         CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE (SELECT format('RETURNS %s KIND %s SFUNC %s \
         STYPE %s FINALFUNC %s COMBINEFUNC %s MSFUNC %s SORTOP %s INITIAL %L PARALLEL %s', \
         pg_get_function_result(p.oid), g.aggkind, g.aggtransfn::regprocedure, format_type(g.aggtranstype, NULL), \
         g.aggfinalfn::regprocedure, g.aggcombinefn::regprocedure, g.aggmtransfn::regprocedure, \
         g.aggsortop::regoperator, g.agginitval, p.proparallel) FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END, \
         pg_get_userbyid(p.proowner), {grants}, obj_description(p.oid, 'pg_proc') \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {USER_SCHEMA} AND {own} \
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid \
         AND d.deptype = 'i')",
        grants = grants("p.proacl", 'f', "p.proowner"),
        own = not_of_extension("pg_proc", "p.oid"),
    );
    reader.fill("pg_proc", "functions", &sql, &[]).await
}

async fn operators(reader: &mut Reader<'_>) -> Result<(), Error> {
    let operators = format!(
        "SELECT 'operator', format('%I.%s(%s,%s)', n.nspname, o.oprname, format_type(o.oprleft, NULL), \
         format_type(o.oprright, NULL)), format('FUNCTION %s RETURNS %s COMMUTATOR %s NEGATOR %s HASHES %s MERGES %s', \
         o.oprcode::regprocedure, format_type(o.oprresult, NULL), o.oprcom::regoperator, o.oprnegate::regoperator, \
         o.oprcanhash, o.oprcanmerge), pg_get_userbyid(o.oprowner), NULL, obj_description(o.oid, 'pg_operator') \
         FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {USER_SCHEMA} AND {}",
        not_of_extension("pg_operator", "o.oid"),
    );
    reader.fill("pg_operator", "operators", &operators, &[]).await?;
    let classes = format!(
        "SELECT 'operator class', format('%I.%I USING %s', n.nspname, o.opcname, m.amname), format('FOR TYPE %s \
         DEFAULT %s MEMBERS %s', format_type(o.opcintype, NULL), o.opcdefault, \
         (SELECT string_agg(a.amopstrategy || ' ' || a.amopopr::regoperator, ', ' ORDER BY a.amopstrategy, \
         a.amopopr::regoperator::text) FROM pg_amop a WHERE a.amopfamily = o.opcfamily)), \
         pg_get_userbyid(o.opcowner), NULL, obj_description(o.oid, 'pg_opclass') \
         FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod \
         WHERE {USER_SCHEMA} AND {}",
        not_of_extension("pg_opclass", "o.oid"),
    );
    reader.fill("pg_opclass", "operator classes", &classes, &[]).await
}

async fn text_search(reader: &mut Reader<'_>) -> Result<(), Error> {
    let configurations = format!(
        "SELECT 'text search configuration', format('%I.%I', n.nspname, c.cfgname), \
         (SELECT string_agg(m.maptokentype || ': ' || m.mapdict::regdictionary, ', ' ORDER BY m.maptokentype, \
         m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = c.oid), pg_get_userbyid(c.cfgowner), NULL, \
         obj_description(c.oid, 'pg_ts_config') FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace \
         WHERE {USER_SCHEMA} AND {}",
        not_of_extension("pg_ts_config", "c.oid"),
    );
    reader.fill("pg_ts_config", "text search configurations", &configurations, &[]).await?;
    let dictionaries = format!(
        "SELECT 'text search dictionary', format('%I.%I', n.nspname, d.dictname), format('TEMPLATE %s (%s)', \
         (SELECT t.tmplname FROM pg_ts_template t WHERE t.oid = d.dicttemplate), d.dictinitoption), \
         pg_get_userbyid(d.dictowner), NULL, obj_description(d.oid, 'pg_ts_dict') \
         FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace WHERE {USER_SCHEMA} AND {}",
        not_of_extension("pg_ts_dict", "d.oid"),
    );
    reader.fill("pg_ts_dict", "text search dictionaries", &dictionaries, &[]).await
}
