//! What the user may do on a server: to whom it can give objects, which way a restore can take, whose sessions it can
//! end. Asked before anything is begun, because each of them would else stop an operation near its end.

use super::PostgresDatabase;
use super::names::{identifier, literal};
use super::session::Session;
use crate::engine::Error;
use std::time::{Duration, Instant};

/// How long a session that nobody may end is waited for.
const LEAVING: Duration = Duration::from_secs(1);

const DOING: &str = "asking what the user may do";

/// The extension that every new database has.
pub(super) const IN_EVERY_DATABASE: &str = "plpgsql";

/// The catalogs of what has an owner that a dump gives back, with the columns of the owner and of the schema.
const OWNED: [(&str, &str, &str); 17] = [
    ("pg_class", "relowner", "relnamespace"),
    ("pg_collation", "collowner", "collnamespace"),
    ("pg_conversion", "conowner", "connamespace"),
    ("pg_default_acl", "defaclrole", "0"),
    ("pg_event_trigger", "evtowner", "0"),
    ("pg_foreign_data_wrapper", "fdwowner", "0"),
    ("pg_foreign_server", "srvowner", "0"),
    ("pg_language", "lanowner", "0"),
    ("pg_namespace", "nspowner", "0"),
    ("pg_opclass", "opcowner", "opcnamespace"),
    ("pg_operator", "oprowner", "oprnamespace"),
    ("pg_opfamily", "opfowner", "opfnamespace"),
    ("pg_proc", "proowner", "pronamespace"),
    ("pg_publication", "pubowner", "0"),
    ("pg_statistic_ext", "stxowner", "stxnamespace"),
    ("pg_ts_config", "cfgowner", "cfgnamespace"),
    ("pg_ts_dict", "dictowner", "dictnamespace"),
];

/// Returns a query for (role, class, object, schema) of everything that users made and that a dump gives to its owner.
///
/// `pg_shdepend` says the same faster, but not of the role that the cluster was made with.
pub(super) fn owned() -> String {
    let mut parts: Vec<String> = OWNED
        .iter()
        .map(|(class, owner, schema)| {
            let own = match *class {
                "pg_class" => " AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')",
                "pg_namespace" => " AND nspname !~ '^pg_'",
                _ => "",
            };
            format!(
                "SELECT {owner} AS role, '{class}'::regclass AS class, oid AS object, {schema} AS schema FROM {class} \
                 WHERE oid >= 16384{own}"
            )
        })
        .collect();
    parts.push(
        "SELECT typowner, 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE oid >= 16384 AND typtype IN \
         ('b', 'c', 'd', 'e', 'r')"
            .to_string(),
    );
    parts.push(
        "SELECT lomowner, 'pg_largeobject'::regclass, oid, 0 FROM pg_largeobject_metadata WHERE oid >= 16384"
            .to_string(),
    );
    // What a role `pg_…` owns belongs to the server, and what lies in such a schema to a session.
    format!(
        "SELECT o.role, o.class, o.object, o.schema FROM ({}) AS o WHERE NOT EXISTS (SELECT FROM pg_depend e \
         WHERE e.classid = o.class AND e.objid = o.object AND e.deptype IN ('e', 'i')) \
         AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = o.role AND r.rolname ~ '^pg_') \
         AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = o.schema AND n.nspname ~ '^pg_')",
        parts.join(" UNION ALL ")
    )
}

/// Returns the condition that the user may give something to a role, and work with it afterwards: a dump makes the
/// indexes of a table when it has been given away.
pub(super) fn may_give(role: &str, major: u32) -> String {
    // Since 16 a membership can be without the right to give something to the role.
    let membership = if major >= 16 { "SET" } else { "MEMBER" };
    format!("(pg_has_role({role}, '{membership}') AND pg_has_role({role}, 'USAGE'))")
}

/// Why a restore cannot be built beside the live database and swapped with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Createdb,
    /// The role that owns the database.
    Owner(String),
    /// An extension that the user may not create.
    Extension(String),
}

impl Obstacle {
    /// Returns it as the end of a sentence.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Createdb => "the user may not create databases (CREATEDB)".to_string(),
            Self::Owner(owner) => format!(
                "the database belongs to {owner}, and the user is no member of it, so it cannot be renamed"
            ),
            Self::Extension(name) => format!("only a superuser may create the extension {name}"),
        }
    }
}

impl PostgresDatabase {
    /// Returns why a database with these extensions cannot be built beside the live one and swapped with it; nothing
    /// when it can.
    pub(super) async fn obstacles<'a>(
        &self,
        extensions: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Obstacle>, Error> {
        let mut outside = self.outside().await?;
        let sql = format!(
            "SELECT r.rolcreatedb OR r.rolsuper, pg_get_userbyid(d.datdba), pg_has_role(d.datdba, 'USAGE') \
             FROM pg_roles r LEFT JOIN pg_database d ON d.datname = {} WHERE r.rolname = current_user",
            literal(&self.id.name)
        );
        let rows = outside.rows(DOING, &sql).await?;
        let untrusted = untrusted(&mut outside, extensions).await;
        outside.give_back().await;
        let mut found = Vec::new();
        if !rows.iter().any(|row| row.is(0)) {
            found.push(Obstacle::Createdb);
        }
        // The owner is whoever may rename it and let nobody in; without a database there is none.
        let owner = rows.first().and_then(|row| row.filled(1).filter(|_| !row.is(2)));
        found.extend(owner.map(Obstacle::Owner));
        found.extend(untrusted?.into_iter().map(Obstacle::Extension));
        Ok(found)
    }

    /// Fails where somebody works in the live database whom the user may not end: nobody may be left when the names are
    /// swapped. Autovacuum has no user, and the renaming ends it by itself.
    ///
    /// A program that has just ended leaves its session behind for a moment, which is no reason to refuse.
    pub(super) async fn refuse_who_stays(&self, outside: &mut Session) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let found = who_stays(outside, &self.id.name).await?;
            let Some(first) = found.into_iter().next() else { return Ok(()) };
            if begun.elapsed() > LEAVING {
                return Err(Error::Privilege {
                    what: format!("ending {}", first.who),
                    privilege: first.needs,
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A session that the user may not end.
pub(super) struct Stays {
    pub(super) who: String,
    pub(super) needs: String,
}

/// Returns the sessions of others in a database that the user may not end.
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL>
pub(super) async fn who_stays(session: &mut Session, database: &str) -> Result<Vec<Stays>, Error> {
    let sql = format!(
        "SELECT a.pid, a.usename, a.application_name, r.rolsuper, current_user FROM pg_stat_activity a \
         JOIN pg_roles r ON r.oid = a.usesysid, pg_roles me WHERE a.datname = {} AND a.pid <> pg_backend_pid() \
         AND me.rolname = current_user AND NOT me.rolsuper AND (r.rolsuper OR NOT pg_has_role(r.oid, 'USAGE') \
         AND NOT pg_has_role('pg_signal_backend', 'USAGE')) ORDER BY 1",
        literal(database)
    );
    let rows = session.rows(DOING, &sql).await?;
    let stays = rows.iter().map(|row| {
        let (user, me) = (row.text(1), identifier(row.text(4)));
        let program = row.filled(2).map(|name| format!(" ({name})")).unwrap_or_default();
        let needs = match row.is(3) {
            true => "a superuser: have it ended, or leave by itself".to_string(),
            false => format!("GRANT pg_signal_backend TO {me}, or GRANT {} TO {me}", identifier(user)),
        };
        Stays { who: format!("process {}{program} of user {user}", row.text(0)), needs }
    });
    Ok(stays.collect())
}

/// Returns those of the extensions that the user may not create. Hosted servers let their administrators create more
/// than the catalog says: whoever is a member of such a role is taken at his word.
pub(super) async fn untrusted<'a>(
    session: &mut Session,
    extensions: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, Error> {
    // What every new database has is created nowhere, and to look into all that could be is work for a server.
    let names: Vec<String> = extensions.filter(|name| *name != IN_EVERY_DATABASE).map(literal).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT v.name FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name \
         AND v.version = e.default_version WHERE v.name IN ({}) AND v.superuser AND NOT v.trusted \
         AND NOT EXISTS (SELECT FROM pg_roles r WHERE (r.rolsuper AND r.rolname = current_user) \
         OR (NOT r.rolsuper AND r.rolname ~ '(super_?user|_pg_admin)$' AND pg_has_role(r.oid, 'USAGE'))) ORDER BY 1",
        names.join(", ")
    );
    let rows = session.rows(DOING, &sql).await?;
    Ok(rows.iter().map(|row| row.text(0).to_string()).collect())
}
