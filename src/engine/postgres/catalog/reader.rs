//! Reading what is neither a table nor a column, and only of those kinds that the database has at all.
//!
//! Most databases have few of them, and to plan a statement about each kind costs a server more than to say in one that
//! there is none: a change reads the catalog about nine times.

use super::canonical::canonical;
use super::{FIRST_AT_ALL, FIRST_OF_USERS, USER_SCHEMA};
use crate::catalog::{Catalog, Object};
use crate::engine::Error;
use crate::engine::postgres::session::{Row, Session};
use std::collections::BTreeSet;

/// What is read, and what there is to read.
pub(super) struct Reader<'a> {
    session: &'a mut Session,
    pub(super) catalog: &'a mut Catalog,
    /// The system catalogs in which users have nothing.
    absent: BTreeSet<String>,
}

/// Catalogs whose rows are users' where their schema is, with what numbers them.
const IN_SCHEMAS: [(&str, &str, &str); 8] = [
    ("pg_proc", "x.oid", "x.pronamespace"),
    ("pg_operator", "x.oid", "x.oprnamespace"),
    ("pg_opclass", "x.oid", "x.opcnamespace"),
    ("pg_collation", "x.oid", "x.collnamespace"),
    ("pg_ts_config", "x.oid", "x.cfgnamespace"),
    ("pg_ts_dict", "x.oid", "x.dictnamespace"),
    ("pg_statistic_ext", "x.oid", "x.stxnamespace"),
    ("pg_sequence", "x.seqrelid", "(SELECT c.relnamespace FROM pg_class c WHERE c.oid = x.seqrelid)"),
];

/// Catalogs of which each row that fulfils the condition is the users'.
const ANYWHERE: [(&str, &str); 10] = [
    ("pg_policy", "true"),
    ("pg_trigger", "NOT x.tgisinternal"),
    ("pg_foreign_server", "true"),
    ("pg_foreign_data_wrapper", "true"),
    ("pg_publication", "true"),
    ("pg_event_trigger", "true"),
    ("pg_largeobject_metadata", "true"),
    ("pg_default_acl", "true"),
    ("pg_inherits", "true"),
    ("pg_seclabel", "true"),
];

impl<'a> Reader<'a> {
    /// Asks which kinds there are. A session that records is asked everything: its questions are put somewhere else, at
    /// another time.
    pub(super) async fn new(session: &'a mut Session, catalog: &'a mut Catalog) -> Result<Self, Error> {
        let doing = "asking which kinds of objects there are";
        let rows = if session.is_taped() { Vec::new() } else { session.rows(doing, &absent_sql()).await? };
        let absent = rows.iter().map(|row| row.text(0).to_string()).collect();
        Ok(Self { session, catalog, absent })
    }

    /// Returns the server's major version: 15.
    pub(super) fn major(&self) -> u32 {
        self.session.major()
    }

    /// Returns an expression that asks one system catalog, or what it comes to where users have nothing in it.
    pub(super) fn unless_absent<'b>(&self, class: &str, expression: &'b str) -> &'b str {
        if self.absent.contains(class) { "NULL" } else { expression }
    }

    /// Returns the rows of a query about what nearly every database has.
    pub(super) async fn ask(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>, Error> {
        self.session.rows(doing, sql).await
    }

    /// Returns the rows of a query about one system catalog, and asks nothing where users have nothing in it.
    pub(super) async fn rows(&mut self, class: &str, doing: &str, sql: &str) -> Result<Vec<Row>, Error> {
        if self.absent.contains(class) { Ok(Vec::new()) } else { self.session.rows(doing, sql).await }
    }

    /// Runs a query for (kind, name, definition, owner, grants, comment, further options …) and files its rows.
    pub(super) async fn fill(
        &mut self,
        class: &str,
        what: &str,
        sql: &str,
        further: &[&str],
    ) -> Result<(), Error> {
        for row in self.rows(class, &format!("reading the {what}"), sql).await? {
            let names = ["owner", "grants", "comment"].iter().chain(further).enumerate();
            let options = names.filter_map(|(index, name)| Some((name.to_string(), row.filled(index + 3)?)));
            let object = Object {
                kind: row.text(0).to_string(),
                definition: canonical(row.text(2)),
                options: options.collect(),
            };
            self.catalog.objects.insert(format!("{} {}", row.text(0), row.text(1)), object);
        }
        Ok(())
    }
}

/// Asks for the system catalogs in which users have nothing. Those of the server's own objects that no user can have made
/// are passed by with their numbers: they are nearly all rows of these catalogs.
fn absent_sql() -> String {
    let own = "= ANY ((SELECT o.schemas FROM own o)::oid[])";
    let in_schemas = IN_SCHEMAS
        .map(|(class, number, schema)| (class, format!("{number} >= {FIRST_AT_ALL} AND {schema} {own}")));
    let made_by_users = ["pg_cast", "pg_language"].map(|class| (class, format!("x.oid >= {FIRST_OF_USERS}")));
    let views = format!("x.oid >= {FIRST_AT_ALL} AND x.relkind IN ('v', 'm') AND x.relnamespace {own}");
    // Each table has a row type, and that an array.
    let types = format!(
        "x.oid >= {FIRST_AT_ALL} AND x.typnamespace {own} \
         AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = x.typelem AND e.typarray = x.oid) \
         AND (x.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = x.typrelid))"
    );
    let of = "(SELECT c.relnamespace FROM pg_class c WHERE c.oid = x.ev_class)";
    let rules = format!("x.oid >= {FIRST_AT_ALL} AND x.rulename <> '_RETURN' AND {of} {own}");
    let further = [("pg_class", views), ("pg_type", types), ("pg_rewrite", rules)];
    let anywhere = ANYWHERE.map(|(class, condition)| (class, condition.to_string()));
    let all = in_schemas.into_iter().chain(made_by_users).chain(further).chain(anywhere);
    let each = all.map(|(class, condition)| {
        format!("SELECT '{class}' WHERE NOT EXISTS (SELECT FROM {class} x WHERE {condition})")
    });
    format!(
        "WITH own AS MATERIALIZED (SELECT ARRAY(SELECT n.oid FROM pg_namespace n WHERE {USER_SCHEMA}) AS schemas) {}",
        each.collect::<Vec<_>>().join(" UNION ALL ")
    )
}
