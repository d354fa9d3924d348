//! What is looked at before an operation: everything that would make it fail later, found while nothing has begun.

use super::bookkeeping::end_looking;
use super::names::{identifier, literal};
use super::rights::{self, Obstacle};
use super::session::Session;
use super::{PostgresDatabase, names, out_of_range};
use crate::base::fs;
use crate::catalog::{Finding, Severity};
use crate::engine::{Error, Need, Preflight, ProofLevel};

const DOING: &str = "looking at the server before the operation";

impl PostgresDatabase {
    pub(super) async fn look_before(&self, need: &Need<'_>) -> Result<Preflight, Error> {
        let tools = self.tools().await?;
        let mut session = self.reading_session().await?;
        let mut findings = Vec::new();
        pooler(&mut session, &mut findings).await?;
        let size = session.value(DOING, "SELECT pg_database_size(current_database())").await?;
        let bytes = size.and_then(|text| text.parse().ok()).unwrap_or_default();
        room(need, bytes, &mut findings)?;
        let proves_here = need.proof != ProofLevel::None && self.options.scratch_url.is_none();
        let extensions = session.rows(DOING, "SELECT extname FROM pg_extension").await?;
        let obstacles = self.obstacles(extensions.iter().map(|row| row.text(0))).await?;
        findings.extend(obstacles.iter().map(|obstacle| self.in_the_way(obstacle, proves_here)));
        for rule in RULES {
            if rule.only_for_replacing && !need.replaces {
                continue;
            }
            for row in session.rows(DOING, rule.sql).await? {
                findings.push(finding(rule.severity, rule.code, row.text(0), row.text(1)));
            }
        }
        // Only where nothing is proven may such a dump be all that is wanted.
        let severity = if need.proof == ProofLevel::None { Severity::Warning } else { Severity::Error };
        out_of_range::look(&mut session, severity, &mut findings).await?;
        self.leftovers(&mut session, &mut findings).await?;
        if obstacles.contains(&Obstacle::Createdb) && !need.replaces && !proves_here {
            // The way back would be in place, and may be another user's.
            owners(Severity::Warning, &mut session, &mut findings).await?;
        } else if proves_here || need.replaces {
            owners(Severity::Error, &mut session, &mut findings).await?;
        }
        if need.replaces && obstacles.is_empty() {
            for stays in rights::who_stays(&mut session, &self.id.name).await? {
                let detail = format!(
                    "nobody may be left when the databases are swapped, and to end it needs {}",
                    stays.needs
                );
                findings.push(finding(Severity::Warning, "session", &stays.who, &detail));
            }
        }
        session.give_back().await;
        if need.rehearsal || (need.replaces && !obstacles.is_empty()) {
            let severity = if need.replaces { Severity::Error } else { Severity::Warning };
            self.may_build(severity, &mut findings).await?;
        }
        findings.sort();
        Ok(Preflight { findings, tools: tools.facts(), bytes })
    }

    /// What keeps a restore from being built beside the live database keeps the proof from being made there, too, but for
    /// the name that only the restore takes.
    fn in_the_way(&self, obstacle: &Obstacle, proves_here: bool) -> Finding {
        let (code, subject) = match obstacle {
            Obstacle::Createdb => ("createdb", self.server.user()),
            Obstacle::Owner(owner) => ("database-owner", owner.as_str()),
            Obstacle::Extension(name) => ("extension", name.as_str()),
        };
        let fact = obstacle.sentence();
        if proves_here && !matches!(obstacle, Obstacle::Owner(_)) {
            let who = if matches!(obstacle, Obstacle::Extension(_)) { " and a superuser there" } else { "" };
            let detail = format!(
                "{fact}: a snapshot cannot be proven on this server; name another one{who} as proof.scratch_url"
            );
            return finding(Severity::Error, code, subject, &detail);
        }
        let detail = format!(
            "{fact}: a restore would work in place, in one transaction, with all tables locked while it runs"
        );
        finding(Severity::Warning, code, subject, &detail)
    }

    /// Looks whether the user may create anything where a migration makes its tables: the copy of a rehearsal belongs to
    /// the user, who may do everything there.
    async fn may_build(&self, severity: Severity, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let mut session = self.looking_session().await?;
        let sql = "SELECT pg_catalog.current_schema() WHERE NOT pg_catalog.has_schema_privilege(\
             pg_catalog.current_schema(), 'CREATE')";
        let schema = session.value(DOING, sql).await;
        end_looking(session).await;
        if let Some(schema) = schema? {
            let detail = format!(
                "the user may not create anything in it, which a rehearsal does not show: GRANT CREATE ON SCHEMA {} TO {}",
                identifier(&schema),
                identifier(self.server.user())
            );
            findings.push(finding(severity, "schema", &schema, &detail));
        }
        Ok(())
    }

    /// Databases that an operation made and did not drop.
    async fn leftovers(&self, session: &mut Session, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let own = self.application();
        let own = own.strip_prefix("ripcord:").unwrap_or_default();
        let sql = format!(
            "SELECT datname FROM pg_database WHERE (datname LIKE 'ripcord\\_scratch\\_%' OR datname LIKE \
             'ripcord\\_rehearsal\\_%' OR datname LIKE 'ripcord\\_new\\_%') AND datname NOT IN ({}, {}, {})",
            literal(&names::scratch(own)),
            literal(&names::rehearsal(own)),
            literal(&names::side(own))
        );
        for row in session.rows(DOING, &sql).await? {
            let detail = format!(
                "an operation made this database and did not drop it, or is still at work; where none is: DROP DATABASE {}",
                identifier(row.text(0))
            );
            findings.push(finding(Severity::Note, "leftover", row.text(0), &detail));
        }
        Ok(())
    }
}

fn finding(severity: Severity, code: &str, subject: &str, detail: &str) -> Finding {
    Finding { severity, code: code.to_string(), subject: subject.to_string(), detail: detail.to_string() }
}

/// Behind a pooler that shares sessions between transactions, an exported snapshot and an advisory lock would belong
/// to somebody else a moment later.
async fn pooler(session: &mut Session, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let first = session.ask_for_pid().await?;
    for _ in 0..3 {
        if session.ask_for_pid().await? != first {
            let detail =
                "the connection goes through a pooler that shares sessions: connect to the server itself";
            findings.push(finding(Severity::Error, "pooler", "the connection", detail));
            break;
        }
    }
    Ok(())
}

/// A compressed dump is seldom larger than half of the database; the rest is for exports and what we write beside.
fn room(need: &Need<'_>, bytes: u64, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let free = fs::free_space(need.folder).map_err(|source| Error::Io {
        place: need.folder.to_path_buf(),
        doing: "asked for free space",
        source,
    })?;
    let needed = bytes / 2 + 16 * 1024 * 1024;
    if free < needed {
        let detail = format!("{needed} bytes may be needed, {free} are free");
        findings.push(finding(Severity::Error, "free-space", &need.folder.display().to_string(), &detail));
    }
    Ok(())
}

/// A restore gives each object to its owner, which needs membership in that role.
async fn owners(severity: Severity, session: &mut Session, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let sql = format!(
        "SELECT pg_get_userbyid(o.role), count(*), min(pg_describe_object(o.class, o.object, 0)) FROM ({}) AS o \
         WHERE NOT {} GROUP BY 1",
        rights::owned(),
        rights::may_give("o.role", session.major())
    );
    for row in session.rows(DOING, &sql).await? {
        let more = match row.number::<u64>(1) {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let detail = format!(
            "the role owns {}{more}, and the user is no member of it: a restore could not give them back",
            row.text(2)
        );
        findings.push(finding(severity, "owner", row.text(0), &detail));
    }
    Ok(())
}

/// One query for (subject, detail).
struct Rule {
    severity: Severity,
    code: &'static str,
    only_for_replacing: bool,
    sql: &'static str,
}

const RULES: [Rule; 8] = [
    Rule {
        severity: Severity::Error,
        code: "privilege",
        only_for_replacing: false,
        sql: "SELECT format('%I.%I', n.nspname, c.relname), 'the user may not read it, so it cannot be dumped' \
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'S') \
              AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
              AND (NOT has_schema_privilege(n.oid, 'USAGE') OR NOT CASE WHEN c.relkind = 'S' THEN \
              has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END) \
              AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid \
              AND e.deptype = 'e')",
    },
    Rule {
        severity: Severity::Error,
        code: "row-security",
        only_for_replacing: false,
        sql: "SELECT format('%I.%I', n.nspname, c.relname), 'row security hides rows from the user, \
              who needs the attribute BYPASSRLS: a dump would fail' \
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r WHERE c.relrowsecurity \
              AND n.nspname !~ '^pg_' AND r.rolname = current_user AND NOT r.rolsuper AND NOT r.rolbypassrls \
              AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))",
    },
    Rule {
        severity: Severity::Warning,
        code: "prepared-transaction",
        only_for_replacing: false,
        sql: "SELECT gid, 'it was prepared at ' || prepared || ' and holds its locks until it is committed or rolled back' \
              FROM pg_prepared_xacts WHERE database = current_database()",
    },
    Rule {
        severity: Severity::Warning,
        code: "long-transaction",
        only_for_replacing: false,
        sql: "SELECT 'process ' || pid || coalesce(nullif(' (' || application_name || ')', ' ()'), ''), \
              'a transaction is open since ' || date_trunc('second', xact_start) || ': it can keep a migration from its locks' \
              FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
              AND backend_type = 'client backend' AND xact_start < now() - interval '1 minute'",
    },
    Rule {
        severity: Severity::Warning,
        code: "running-dump",
        only_for_replacing: false,
        sql: "SELECT 'process ' || min(pid), 'a pg_dump is running: it holds a lock on every table' FROM pg_stat_activity \
              WHERE datname = current_database() AND application_name = 'pg_dump' HAVING count(*) > 0",
    },
    Rule {
        severity: Severity::Error,
        code: "logical-slot",
        only_for_replacing: true,
        sql: "SELECT slot_name::text, 'the logical replication slot belongs to the live database and would stay with it' \
              FROM pg_replication_slots WHERE database = current_database()",
    },
    Rule {
        severity: Severity::Error,
        code: "subscription",
        only_for_replacing: true,
        sql: "SELECT s.subname, 'the subscription belongs to the live database and would go on filling that' \
              FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()",
    },
    Rule {
        severity: Severity::Error,
        code: "prepared-transaction",
        only_for_replacing: true,
        sql: "SELECT gid, 'a database with a prepared transaction cannot be renamed' FROM pg_prepared_xacts \
              WHERE database = current_database()",
    },
];
