//! Objects in the schema of somebody else. To be given one, a role needs CREATE on its schema, and a dump grants that
//! after it has given the object away; a user who is no superuser must grant it before.

use super::contents::Made;
use super::database_level::DatabaseLevel;
use super::names::{identifier, literal};
use super::rights;
use super::session::Session;
use crate::engine::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A role that owns something in a schema in which it may create nothing, or only by a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lodger {
    pub(super) schema: String,
    /// The owner of the schema.
    pub(super) landlord: String,
    role: String,
    /// Whether it was granted to create there.
    may_create: bool,
}

impl Lodger {
    /// Reads those of the database that the session is connected to.
    pub(super) async fn read(session: &mut Session) -> Result<Vec<Lodger>, Error> {
        let sql = format!(
            "SELECT DISTINCT n.nspname, pg_get_userbyid(n.nspowner), pg_get_userbyid(o.role), \
             EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g \
             WHERE g.privilege_type = 'CREATE' AND g.grantee = o.role) FROM ({}) AS o \
             JOIN pg_namespace n ON n.oid = o.schema WHERE o.role <> n.nspowner \
             AND NOT pg_has_role(o.role, n.nspowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend e \
             WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') ORDER BY 1, 3",
            rights::owned()
        );
        let rows = session.rows("looking whose objects lie in the schemas of others", &sql).await?;
        let read = rows.iter().map(|row| Lodger {
            schema: row.text(0).to_string(),
            landlord: row.text(1).to_string(),
            role: row.text(2).to_string(),
            may_create: row.is(3),
        });
        Ok(read.collect())
    }

    /// Returns the statements that let them in, the schemas first: all of a dump's objects need one.
    pub(super) fn entering(lodgers: &[Lodger]) -> Vec<String> {
        let schemas: BTreeSet<_> = lodgers.iter().map(|one| (&one.schema, &one.landlord)).collect();
        let schemas = schemas.into_iter().filter(|(schema, _)| *schema != "public");
        let make = |(schema, landlord): (&String, &String)| {
            format!("CREATE SCHEMA {} AUTHORIZATION {}", identifier(schema), identifier(landlord))
        };
        let grant = |one: &Lodger| {
            format!("GRANT CREATE ON SCHEMA {} TO {}", identifier(&one.schema), identifier(&one.role))
        };
        schemas.map(make).chain(lodgers.iter().map(grant)).collect()
    }

    /// Returns the statements that take back what was granted for the moment only.
    pub(super) fn leaving(lodgers: &[Lodger]) -> Vec<String> {
        let guests = lodgers.iter().filter(|one| !one.may_create);
        let revoke = |one: &Lodger| {
            format!("REVOKE CREATE ON SCHEMA {} FROM {}", identifier(&one.schema), identifier(&one.role))
        };
        guests.map(revoke).collect()
    }

    /// Returns those whose schema is made before the dump, which then must not make it.
    pub(super) fn with_schemas(lodgers: &[Lodger]) -> Vec<Made> {
        let others = lodgers.iter().filter(|one| one.schema != "public");
        let made = |one: &Lodger| Made { schema: one.schema.clone(), owners: vec![one.landlord.clone()] };
        others.map(made).collect()
    }

    /// Lets them into a database that is about to be filled; returns the schemas that were made for it. All or nothing:
    /// where the user has no say, the dump says so itself.
    pub(super) async fn let_in(session: &mut Session, lodgers: &[Lodger]) -> Option<Vec<Made>> {
        if lodgers.is_empty() {
            return None;
        }
        let statements = format!("BEGIN; {}; COMMIT", Self::entering(lodgers).join("; "));
        match session.run("letting owners into the schemas of others", &statements).await {
            Ok(()) => Some(Self::with_schemas(lodgers)),
            Err(error) => {
                tracing::debug!(%error, "owners cannot be let into the schemas of others");
                let _ = session.run("giving up a transaction", "ROLLBACK").await;
                None
            }
        }
    }

    /// Takes back what was granted for the moment only.
    pub(super) async fn let_out(session: &mut Session, lodgers: &[Lodger]) -> Result<(), Error> {
        for statement in Self::leaving(lodgers) {
            session.run("taking back what owners needed for a moment", &statement).await?;
        }
        Ok(())
    }
}

impl DatabaseLevel {
    /// Returns the owner as SQL, if it is another than the user and the user may create a database for it: since 15 the
    /// owner of the database is who may create tables in `public`, and a dump gives tables away as it goes.
    pub(super) async fn owner_if_allowed(&self, outside: &mut Session) -> Result<Option<String>, Error> {
        let Some(owner) = self.settings.get("owner") else { return Ok(None) };
        let sql = format!(
            "SELECT 1 FROM pg_roles WHERE rolname = {} AND rolname <> current_user AND {}",
            literal(owner),
            rights::may_give("oid", outside.major())
        );
        let may = outside.value("asking whether a database may be created for its owner", &sql).await?;
        Ok(may.map(|_| identifier(owner)))
    }

    /// Tells whether nothing belongs to a role, which was granted something: that needs no say in the role. Of an older
    /// snapshot it is not known.
    pub(super) fn is_only_granted(&self, role: &String) -> bool {
        !self.owners.is_empty() && !self.owners.contains(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lodger_is_let_in_before_the_dump_and_keeps_only_what_was_granted() {
        let one = |schema: &str, may_create| Lodger {
            schema: schema.into(),
            landlord: "app".into(),
            role: "other".into(),
            may_create,
        };
        let lodgers = [one("public", true), one("s", false)];
        assert_eq!(
            Lodger::entering(&lodgers),
            [
                "CREATE SCHEMA \"s\" AUTHORIZATION \"app\"",
                "GRANT CREATE ON SCHEMA \"public\" TO \"other\"",
                "GRANT CREATE ON SCHEMA \"s\" TO \"other\""
            ]
        );
        assert_eq!(Lodger::leaving(&lodgers), ["REVOKE CREATE ON SCHEMA \"s\" FROM \"other\""]);
        let made = Made { schema: "s".into(), owners: vec!["app".into()] };
        assert_eq!(Lodger::with_schemas(&lodgers), [made]);
    }
}
