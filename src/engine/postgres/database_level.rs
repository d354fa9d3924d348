//! What belongs to a database as a whole and is not in its dump: how it must be created, and what must be said of it
//! afterwards (owner, grants, connection limit, comment, settings). It stays with the database's identity number when
//! names are swapped, so the one that comes in must be given it anew.

mod spoken;

use super::lodgers::Lodger;
use super::names::{identifier, literal};
use super::rights;
use super::session::Session;
use crate::engine::Error;
use serde::{Deserialize, Serialize};
pub(super) use spoken::{Grant, Parameter};
use spoken::{if_allowed, whom};
use std::collections::{BTreeMap, BTreeSet};

/// Where a snapshot keeps it, for ripcord and as a script for `psql`.
pub(super) const FILE: &str = "database.json";
pub(super) const SCRIPT: &str = "database.sql";
pub(super) const CREATE_SCRIPT: &str = "create.sql";

/// Everything that one database's dump forgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatabaseLevel {
    /// As the catalog has them: encoding, locale, owner, comment.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) grants: Vec<Grant>,
    pub(super) parameters: Vec<Parameter>,
    /// The roles that own something or were granted something.
    pub(super) roles: Vec<String>,
    /// Extensions and their versions: a dump creates them in the newest version.
    pub(super) extensions: BTreeMap<String, String>,
    /// Whether there is a schema `public`, which every new database has.
    pub(super) public_schema: bool,
    pub(super) subscriptions: u64,
    /// The cluster it was in.
    #[serde(default)]
    pub(super) system: Option<String>,
    /// The roles that the database or something in it belongs to.
    #[serde(default)]
    pub(super) owners: Vec<String>,
    #[serde(default)]
    pub(super) lodgers: Vec<Lodger>,
}

impl DatabaseLevel {
    /// Reads it from the database that the session is connected to.
    pub(super) async fn read(
        session: &mut Session,
        settings: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let doing = "reading the database's own properties";
        let this = "d.datname = current_database()";
        let grants = format!(
            "SELECT CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee) END, g.privilege_type, g.is_grantable \
             FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g WHERE {this} \
             ORDER BY 1, 2"
        );
        let grants = session.rows(doing, &grants).await?;
        let parameters = format!(
            "SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END, c.one FROM pg_db_role_setting s \
             JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c(one) WHERE {this} ORDER BY 1, 2"
        );
        let parameters = session.rows(doing, &parameters).await?;
        // Of the role that the cluster was made with the server keeps no dependencies.
        let roles = format!(
            "SELECT DISTINCT pg_get_userbyid(r.oid) FROM (SELECT s.refobjid FROM pg_shdepend s, pg_database d \
             WHERE {this} AND s.refclassid = 'pg_authid'::regclass AND (s.dbid = d.oid \
             OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid)) \
             UNION SELECT d.datdba FROM pg_database d WHERE {this} UNION SELECT o.role FROM ({}) AS o \
             UNION SELECT g.grantee FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid >= 16384 AND g.grantee = 10) \
             AS r(oid) ORDER BY 1",
            rights::owned()
        );
        let roles = session.rows(doing, &roles).await?;
        let owners = format!(
            "SELECT pg_get_userbyid(d.datdba) FROM pg_database d WHERE {this} UNION \
             SELECT pg_get_userbyid(o.role) FROM ({}) AS o ORDER BY 1",
            rights::owned()
        );
        let owners = session.rows(doing, &owners).await?;
        let extensions = session.rows(doing, "SELECT extname, extversion FROM pg_extension").await?;
        let others = format!(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public'), (SELECT count(*) \
             FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE {this})"
        );
        // Who may not see subscriptions has none that a dump of his would hold.
        let others = match session.rows(doing, &others).await {
            Err(Error::Privilege { .. }) => Vec::new(),
            other => other?,
        };
        Ok(Self {
            settings,
            grants: grants
                .iter()
                .map(|row| Grant {
                    to: row.filled(0),
                    privilege: row.text(1).to_string(),
                    grantable: row.is(2),
                })
                .collect(),
            parameters: parameters
                .iter()
                .filter_map(|row| {
                    let (name, value) = row.text(1).split_once('=')?;
                    Some(Parameter { role: row.filled(0), name: name.to_string(), value: value.to_string() })
                })
                .collect(),
            roles: roles.iter().map(|row| row.text(0).to_string()).collect(),
            extensions: extensions
                .iter()
                .map(|row| (row.text(0).to_string(), row.text(1).to_string()))
                .collect(),
            public_schema: others.first().is_none_or(|row| row.is(0)),
            subscriptions: others.first().map_or(0, |row| row.number(1)),
            system: super::system_of(session).await,
            owners: owners.iter().map(|row| row.text(0).to_string()).collect(),
            lodgers: Lodger::read(session).await?,
        })
    }

    /// Returns the statement that creates an empty database of the same encoding and locale; `name` is how it calls the
    /// database, `tablespace` whether the same tablespace is there to be used, `owner` who gets it instead of the user.
    pub(super) fn create(&self, name: &str, tablespace: bool, owner: Option<String>) -> String {
        let mut sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        let mut add = |word: &str, setting: &str| {
            if let Some(value) = self.settings.get(setting) {
                sql.push_str(&format!(" {word} {}", literal(value)));
            }
        };
        add("ENCODING", "encoding");
        add("LC_COLLATE", "collate");
        add("LC_CTYPE", "ctype");
        match self.settings.get("locale provider").map(String::as_str) {
            Some("icu") => {
                add("LOCALE_PROVIDER icu ICU_LOCALE", "locale");
                add("ICU_RULES", "icu rules");
            }
            Some("builtin") => add("LOCALE_PROVIDER builtin BUILTIN_LOCALE", "locale"),
            _ => {}
        }
        if let (true, Some(space)) = (tablespace, self.settings.get("tablespace")) {
            sql.push_str(&format!(" TABLESPACE {}", identifier(space)));
        }
        if let Some(owner) = owner {
            sql.push_str(&format!(" OWNER {owner}"));
        }
        sql
    }

    /// Returns the statements that say of a database what was true of this one; `name` is how they call it.
    pub(super) fn replay(&self, name: &str) -> Vec<String> {
        let mut statements = Vec::new();
        let owner = self.settings.get("owner").map(|owner| identifier(owner));
        if let Some(owner) = &owner {
            // What a new database grants by itself goes first: an open door must not stay open.
            statements.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC, CURRENT_USER, {owner}"));
        }
        statements.extend(self.grants.iter().map(|grant| grant.spoken(name)));
        if let Some(limit) = self.settings.get("connection limit").filter(|limit| *limit != "-1") {
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"));
        }
        if let Some(comment) = self.settings.get("comment") {
            statements.push(format!("COMMENT ON DATABASE {name} IS {}", literal(comment)));
        }
        statements.extend(self.parameters.iter().map(|parameter| parameter.spoken_of(name)));
        // Given away last: whoever does it may have no say in it afterwards. The grants become the new owner's.
        if let Some(owner) = owner {
            statements.push(format!("ALTER DATABASE {name} OWNER TO {owner}"));
        }
        statements
    }

    /// Returns the statements that make what is true of `now` true of this one again, where both differ. What the user
    /// has no right to say, or what names a role that is gone, is passed over: the look afterwards finds it.
    pub(super) fn bring_back(&self, now: &DatabaseLevel, name: &str) -> Vec<String> {
        let mut statements = Vec::new();
        if self.grants != now.grants {
            let grantees: BTreeSet<&Option<String>> = now.grants.iter().map(|grant| &grant.to).collect();
            let revoke = |to: &Option<String>| format!("REVOKE ALL ON DATABASE {name} FROM {}", whom(to));
            statements.extend(grantees.into_iter().map(revoke));
            statements.extend(self.grants.iter().map(|grant| grant.spoken(name)));
        }
        if let Some(limit) = self.differs(now, "connection limit") {
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {}", limit.unwrap_or("-1")));
        }
        if let Some(comment) = self.differs(now, "comment") {
            let comment = comment.map_or("NULL".to_string(), literal);
            statements.push(format!("COMMENT ON DATABASE {name} IS {comment}"));
        }
        let gone = now.parameters.iter().filter(|one| !self.parameters.iter().any(|own| own.is_same(one)));
        statements.extend(gone.map(|one| format!("{} RESET {}", one.whose(name), one.written())));
        let own = self.parameters.iter().filter(|one| !now.parameters.contains(one));
        statements.extend(own.map(|one| one.spoken_of(name)));
        if let Some(Some(owner)) = self.differs(now, "owner") {
            statements.push(format!("ALTER DATABASE {name} OWNER TO {}", identifier(owner)));
        }
        statements.iter().map(|statement| if_allowed(statement)).collect()
    }

    /// Returns what a setting was, if it is something else now.
    fn differs(&self, now: &DatabaseLevel, setting: &str) -> Option<Option<&str>> {
        let own = self.settings.get(setting);
        (own != now.settings.get(setting)).then(|| own.map(String::as_str))
    }

    /// Returns the script that creates the empty database, for `psql -v db=NAME`. It belongs to its owner from the
    /// beginning, where whoever runs it may act as that role: since 15 nobody else may create tables in `public`.
    pub(super) fn create_script(&self) -> String {
        let create = self.create(":\"db\"", false, None);
        let mut text = format!("-- psql -d postgres -v db=NAME -f create.sql\n{create};\n");
        if let Some(owner) = self.settings.get("owner") {
            // Which right counts depends on the server that it is restored on, not on the one it was taken from.
            text.push_str(&format!(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {} AND pg_has_role(oid, CASE WHEN \
                 current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)) AS is_given \\gset\n\
                 \\if :is_given\nALTER DATABASE :\"db\" OWNER TO {};\n\\endif\n",
                literal(owner),
                identifier(owner)
            ));
        }
        text
    }

    /// Returns the script that gives it its properties, for `psql -v db=NAME`.
    pub(super) fn script(&self) -> String {
        let mut text = String::from(
            "-- What a dump of one database does not hold; psql -v db=NAME -f database.sql\n-- Roles that it needs:",
        );
        self.roles.iter().for_each(|role| text.push_str(&format!(" {}", identifier(role))));
        text.push('\n');
        if !self.public_schema {
            text.push_str("DROP SCHEMA IF EXISTS public;\n");
        }
        self.replay(":\"db\"").iter().for_each(|statement| text.push_str(&format!("{statement};\n")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level() -> DatabaseLevel {
        let settings = [
            ("owner", "app"),
            ("comment", "it's"),
            ("connection limit", "5"),
            ("encoding", "UTF8"),
            ("collate", "C.UTF-8"),
            ("ctype", "C.UTF-8"),
            ("locale provider", "libc"),
            ("tablespace", "fast"),
        ];
        DatabaseLevel {
            settings: settings.map(|(name, value)| (name.to_string(), value.to_string())).into(),
            grants: vec![Grant { to: None, privilege: "TEMPORARY".into(), grantable: false }],
            parameters: vec![
                Parameter { role: None, name: "search_path".into(), value: "\"$user\", \"My, s\"".into() },
                Parameter { role: Some("r".into()), name: "work_mem".into(), value: "77MB".into() },
            ],
            ..DatabaseLevel::default()
        }
    }

    #[test]
    fn a_revoked_privilege_is_revoked_again_before_anything_is_granted() {
        let statements = level().replay("\"x\"");
        let at = |text: &str| statements.iter().position(|statement| statement.starts_with(text));
        assert_eq!(at("REVOKE ALL"), Some(0), "{statements:?}");
        assert!(at("REVOKE ALL") < at("GRANT TEMPORARY ON DATABASE \"x\" TO PUBLIC"), "{statements:?}");
        assert_eq!(at("ALTER DATABASE \"x\" OWNER"), Some(statements.len() - 1), "{statements:?}");
    }

    #[test]
    fn lists_of_names_and_plain_values_are_said_as_the_server_takes_them() {
        let statements = level().replay("\"x\"");
        let has =
            |text: &str| assert!(statements.iter().any(|statement| statement == text), "{statements:?}");
        has("ALTER DATABASE \"x\" SET \"search_path\" TO '$user', 'My, s'");
        has("ALTER ROLE \"r\" IN DATABASE \"x\" SET \"work_mem\" TO '77MB'");
        has("COMMENT ON DATABASE \"x\" IS 'it''s'");
        has("ALTER DATABASE \"x\" CONNECTION LIMIT 5");
    }

    #[test]
    fn what_is_as_it_was_is_not_said_again_and_what_is_new_is_taken_away() {
        assert_eq!(level().bring_back(&level(), "\"x\""), Vec::<String>::new());
        let mut now = level();
        now.parameters[0].value = "other".into();
        now.parameters.push(Parameter { role: None, name: "jit".into(), value: "off".into() });
        now.settings.remove("comment");
        now.grants.push(Grant { to: Some("guest".into()), privilege: "CONNECT".into(), grantable: false });
        let statements = level().bring_back(&now, "\"x\"").join("\n");
        for said in [
            "REVOKE ALL ON DATABASE \"x\" FROM \"guest\"",
            "GRANT TEMPORARY ON DATABASE \"x\" TO PUBLIC",
            "RESET \"jit\"",
            "SET \"search_path\" TO ",
            "COMMENT ON DATABASE \"x\" IS ",
        ] {
            assert!(statements.contains(said), "{said}: {statements}");
        }
        assert!(!statements.contains("work_mem") && !statements.contains("OWNER"), "{statements}");
    }

    #[test]
    fn a_new_database_has_the_encoding_and_locale_of_the_old_one() {
        let sql = level().create("\"x\"", true, None);
        assert_eq!(
            sql,
            "CREATE DATABASE \"x\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TABLESPACE \"fast\""
        );
        assert!(!level().create("\"x\"", false, None).contains("TABLESPACE"));
    }
}
