//! What stays while a restore in place drops everything else: the schemas of extensions, and `public`, which every
//! database has. A dump takes them for new ones, so they must look like that before it.

use super::catalog;
use super::contents::Made;
use super::database_level::DatabaseLevel;
use super::drops;
use super::in_place::DOING;
use super::lodgers::Lodger;
use super::names::{identifier, literal};
use super::session::{Row, Session};
use crate::catalog::Catalog;
use crate::engine::Error;

/// What `initdb` says of it, and a dump does not.
const OF_PUBLIC: &str = "standard public schema";

/// Who owns it since 15.
const LANDLORD: &str = "pg_database_owner";

/// The schemas that stay, as they are now.
pub(super) struct Schemas {
    staying: Vec<Schema>,
    /// All owners that a schema can have had.
    owners: Vec<String>,
    major: u32,
}

struct Schema {
    name: String,
    owner: String,
    /// The other roles that were granted something, as SQL.
    grantees: Vec<String>,
    /// Whether owner and grants are those of the snapshot.
    is_as_expected: bool,
    comment: String,
}

impl Schemas {
    /// Reads those that stay, and holds them against what the snapshot saw.
    pub(super) async fn read(
        session: &mut Session,
        level: &DatabaseLevel,
        expected: Option<&Catalog>,
    ) -> Result<Self, Error> {
        let sql = format!(
            "SELECT n.nspname, pg_get_userbyid(n.nspowner), {grants}, (SELECT string_agg(DISTINCT CASE WHEN g.grantee = 0 THEN \
             'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, E'\\n') FROM aclexplode(n.nspacl) g \
             WHERE g.grantee <> n.nspowner), obj_description(n.oid, 'pg_namespace'), \
             quote_ident(n.nspname) FROM pg_namespace n WHERE {} AND n.nspname !~ '^pg_' ORDER BY 1",
            drops::stays(level),
            grants = catalog::grants("n.nspacl", 'n', "n.nspowner"),
        );
        let rows = session.rows(DOING, &sql).await?;
        // Of an object that is not there nothing is known to differ: it goes as it is.
        let is = |row: &Row| {
            let seen = expected.and_then(|all| all.objects.get(&format!("schema {}", row.text(5))));
            let option =
                |name: &str| seen.and_then(|seen| seen.options.get(name)).cloned().unwrap_or_default();
            seen.is_none() || (option("owner") == row.text(1) && option("grants") == row.text(2))
        };
        let staying = rows.iter().map(|row| Schema {
            name: row.text(0).to_string(),
            owner: row.text(1).to_string(),
            grantees: row.text(3).lines().map(str::to_string).collect(),
            is_as_expected: is(row),
            comment: row.text(4).to_string(),
        });
        Ok(Self {
            staying: staying.collect(),
            owners: level.roles.iter().chain(&level.owners).cloned().collect(),
            major: session.major(),
        })
    }

    /// Returns those that the dump must not make.
    pub(super) fn made(&self, level: &DatabaseLevel) -> Vec<Made> {
        let others = self.staying.iter().filter(|schema| schema.name != "public");
        let made = |schema: &Schema| Made { schema: schema.name.clone(), owners: self.owners.clone() };
        others.map(made).chain(Lodger::with_schemas(&level.lodgers)).collect()
    }

    /// Returns the statements that make them what the dump takes them for, when everything else is dropped.
    pub(super) fn before_the_dump(&self, level: &DatabaseLevel) -> Vec<String> {
        let mut statements = Vec::new();
        if level.public_schema && !self.stays("public") {
            let owner = if self.major >= 15 { format!(" AUTHORIZATION {LANDLORD}") } else { String::new() };
            statements.push(format!("CREATE SCHEMA public{owner}"));
            statements.push(format!("COMMENT ON SCHEMA public IS {}", literal(OF_PUBLIC)));
            statements.push(self.as_new("public"));
        }
        // Who may not change them and need not goes on.
        for schema in self.staying.iter().filter(|schema| !schema.is_as_expected) {
            let name = identifier(&schema.name);
            let is_public = schema.name == "public";
            let mut owner = schema.owner.as_str();
            if is_public && self.major >= 15 && owner != LANDLORD {
                owner = LANDLORD;
                statements.push(format!("ALTER SCHEMA public OWNER TO {owner}"));
            }
            let revoke = |grantee: &String| format!("REVOKE ALL ON SCHEMA {name} FROM {grantee} CASCADE");
            statements.extend(schema.grantees.iter().map(revoke));
            statements.push(format!("GRANT ALL ON SCHEMA {name} TO {}", identifier(owner)));
            if is_public {
                statements.push(self.as_new("public"));
            }
        }
        if self.staying.iter().any(|schema| schema.name == "public" && schema.comment != OF_PUBLIC) {
            statements.push(format!("COMMENT ON SCHEMA public IS {}", literal(OF_PUBLIC)));
        }
        let entering = Lodger::entering(&level.lodgers).into_iter();
        statements.extend(entering.filter(|statement| {
            !self
                .staying
                .iter()
                .any(|one| statement.starts_with(&format!("CREATE SCHEMA {} ", identifier(&one.name))))
        }));
        statements
    }

    /// Returns what a new database grants on its `public`.
    fn as_new(&self, public: &str) -> String {
        let right = if self.major >= 15 { "USAGE" } else { "ALL" };
        format!("GRANT {right} ON SCHEMA {public} TO PUBLIC")
    }

    fn stays(&self, name: &str) -> bool {
        self.staying.iter().any(|schema| schema.name == name)
    }
}
