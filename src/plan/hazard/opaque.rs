//! What nobody can say of a plan: which statements may have changed rows that no rehearsal saw. Pure.
//!
//! Promises to err on the side of asking: only a statement whose first words are known to touch nothing but what it names,
//! and which runs no code of the database, is judged by its names. Every other one can reach any table: by a trigger, a
//! function, a cascade.

use super::code::Code;
use super::{Hazard, Held};
use crate::catalog::{Catalog, TableName};
use crate::fingerprint::{Inventory, TableFingerprint};
use crate::plan::{Plan, Script, Statement, Touches};

/// So many tables are named at most.
const NAMED: usize = 8;

/// What a rehearsal could not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// There was none.
    Everything,
    /// It ran on a copy without rows: of definitions it has judged itself.
    Rows,
}

/// Returns the hazard of a plan that nobody rehearsed, or not with rows: statements, and rows that they may change.
/// `reaches` tells whether what names these identifiers touches a table, whatever it belongs to.
pub fn opaque(
    plan: &Plan,
    before: &Inventory,
    unseen: Unseen,
    reaches: &dyn Fn(&Touches, &TableName) -> bool,
) -> Option<Held> {
    let statements =
        plan.scripts.iter().flat_map(|script| script.statements.iter().map(move |found| (script, found)));
    let reach = Reach::of(plan, &before.catalog);
    let anywhere = statements.clone().find(|(_, statement)| reach.is_far(statement));
    let named = match unseen {
        Unseen::Everything => plan.touches(),
        Unseen::Rows => unjudged(statements.map(|(_, statement)| statement)),
    };
    let tables = before.fingerprint.tables.iter().filter(|(name, table)| {
        table.rows > 0 && !name.is_bookkeeping() && (anywhere.is_some() || reaches(&named, name))
    });
    // Where any table may be reached, those that are named at all are told first.
    let said = match (&anywhere, plan.touches()) {
        (None, _) => named.clone(),
        (Some(_), Touches::Anything) => Touches::default(),
        (Some(_), names) => names,
    };
    let (by_name, others): (Vec<_>, Vec<_>) = tables.partition(|(name, _)| reaches(&said, name));
    if by_name.is_empty() && others.is_empty() {
        return None;
    }
    let rows = by_name.iter().chain(&others).map(|(_, table)| table.rows).sum();
    let list = |tables: &[(&TableName, &TableFingerprint)]| {
        let named = tables.iter().take(NAMED).map(|(name, _)| name.to_string());
        let more = tables.len().checked_sub(NAMED).filter(|more| *more > 0);
        named.chain(more.map(|more| format!("{more} more"))).collect::<Vec<_>>().join(", ")
    };
    let seen = match unseen {
        Unseen::Everything => "nothing was rehearsed",
        Unseen::Rows => "the rehearsal saw no rows",
    };
    let named = (!by_name.is_empty()).then(|| format!("the migration names {}", list(&by_name)));
    let reached = anywhere.filter(|_| !others.is_empty()).map(|(script, statement)| {
        let by = reach.code.run_by(statement).map(|code| format!(", by {code}")).unwrap_or_default();
        format!("{} can reach what it does not name{by}: {}", at(script, statement), list(&others))
    });
    let why = named.into_iter().chain(reached).collect::<Vec<_>>().join("; ");
    Some(Held::new(Hazard::Opaque, Some(rows), Some(format!("{seen}, and {why}"))))
}

/// What the statements of a plan may reach.
pub struct Reach<'a> {
    plan: &'a Plan,
    code: Code,
}

impl<'a> Reach<'a> {
    /// Looks at the plan; `catalog` is that of before it.
    pub fn of(plan: &'a Plan, catalog: &Catalog) -> Self {
        Self { plan, code: Code::of(catalog, plan) }
    }

    /// Returns the scripts that may reach a table: by a name that they use, of which `names` tells whether it touches the
    /// table, or by a statement that can reach what it does not name.
    pub fn scripts(&self, names: &dyn Fn(&Touches) -> bool) -> Vec<&'a Script> {
        let may = |statement: &Statement| self.is_far(statement) || names(&statement.touches);
        self.plan.scripts.iter().filter(|script| script.statements.iter().any(may)).collect()
    }

    /// Tells whether a statement can reach what it does not name.
    fn is_far(&self, statement: &Statement) -> bool {
        !is_bound_to_names(statement) || self.code.run_by(statement).is_some()
    }
}

fn at(script: &Script, statement: &Statement) -> String {
    let word = statement.words().into_iter().next().unwrap_or_default();
    format!("{word} in line {} of {}", statement.line, script.place)
}

/// Tells whether a statement is known to touch only what it names.
fn is_bound_to_names(statement: &Statement) -> bool {
    let words = statement.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // What a quoted name hides from the words is among the identifiers.
    let has = |word: &str| words.contains(&word) || statement.touches.mentions(&TableName::plain(word));
    match words.first().copied() {
        // What is filled by a query runs the functions that the query calls.
        Some("CREATE") => match made(&words) {
            "TABLE" | "MATERIALIZED" => {
                !has("AS") || !["SELECT", "VALUES", "EXECUTE"].iter().any(|word| has(word))
            }
            // Rows come from elsewhere, into tables that are named there.
            "SUBSCRIPTION" => false,
            _ => true,
        },
        // An action of a key is a promise for later, not a cascade of now.
        Some("ALTER") => {
            let harmless = |pair: &[&str]| ["DELETE", "UPDATE"].contains(&pair[0]);
            let cascades = words.windows(2).any(|pair| pair[1] == "CASCADE" && !harmless(pair))
                || (has("CASCADE") && !words.contains(&"CASCADE"));
            // A part of a type goes with its values, in whichever table they are.
            let of_type = words.windows(2).any(|pair| matches!(pair, ["DROP" | "ALTER", "ATTRIBUTE"]));
            !cascades && !of_type && !matches!(words.get(1), Some(&("EXTENSION" | "SUBSCRIPTION")))
        }
        Some("DROP") => !has("CASCADE") && !matches!(words.get(1), Some(&("OWNED" | "EXTENSION"))),
        // With keys enforced a table that is dropped empties its children; the schema can be written to as well.
        Some("PRAGMA") => !has("FOREIGN_KEYS") && !has("WRITABLE_SCHEMA"),
        // `SELECT 1` calls nothing and reads nothing.
        Some("SELECT") => !statement.text.contains('(') && !has("FROM"),
        Some(
            "ANALYZE" | "ATTACH" | "BEGIN" | "CHECKPOINT" | "COMMENT" | "COMMIT" | "DETACH" | "END" | "GRANT"
            | "LOCK" | "REINDEX" | "RELEASE" | "RESET" | "REVOKE" | "SAVEPOINT" | "SECURITY" | "SET" | "SHOW"
            | "VACUUM",
        ) => true,
        _ => false,
    }
}

/// Returns the kind of thing that a CREATE makes.
pub(super) fn made<'a>(words: &[&'a str]) -> &'a str {
    const BETWEEN: [&str; 12] = [
        "CREATE",
        "OR",
        "REPLACE",
        "TEMP",
        "TEMPORARY",
        "UNLOGGED",
        "GLOBAL",
        "LOCAL",
        "UNIQUE",
        "VIRTUAL",
        "FOREIGN",
        "RECURSIVE",
    ];
    words.iter().find(|word| !BETWEEN.contains(word)).copied().unwrap_or_default()
}

/// Returns what is named where a copy without rows cannot tell: a conversion of values, and a table of which something is
/// dropped and something is made, because what is made again under its old name looks as if it had stayed.
fn unjudged<'a>(statements: impl Iterator<Item = &'a Statement>) -> Touches {
    let mut converted = Touches::default();
    let (mut dropped, mut made_again) = (Touches::default(), Touches::default());
    for statement in statements {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is = |word: &str, but: &[&str]| {
            words.iter().enumerate().any(|(at, found)| {
                *found == word && !words.get(at + 1).is_some_and(|next| but.contains(next))
            })
        };
        let of_kind = words.first().copied().unwrap_or_default();
        if of_kind == "ALTER" && words.contains(&"TYPE") && words[1..].contains(&"ALTER") {
            converted = converted.and(&statement.touches);
        }
        if is("DROP", &["CONSTRAINT", "DEFAULT", "EXPRESSION", "IDENTITY", "INDEX", "NOT", "TRIGGER", "VIEW"])
        {
            dropped = dropped.and(&statement.touches);
        }
        let adds = is("ADD", &["CHECK", "CONSTRAINT", "FOREIGN", "GENERATED", "PRIMARY", "UNIQUE", "VALUE"]);
        if adds || words.contains(&"RENAME") || (of_kind == "CREATE" && made(&words) == "TABLE") {
            made_again = made_again.and(&statement.touches);
        }
    }
    let both = match (dropped, made_again) {
        (Touches::Names(dropped), Touches::Names(made)) => {
            Touches::Names(dropped.intersection(&made).cloned().collect())
        }
        (touches, Touches::Anything) | (Touches::Anything, touches) => touches,
    };
    converted.and(&both)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::EngineKind;
    use crate::fingerprint::Fingerprint;
    use crate::history::{Direction, RevisionId};
    use crate::plan::TransactionMode;
    use std::collections::BTreeSet;

    fn statement(text: &str) -> Statement {
        let (text, sha256) = (text.to_string(), String::new());
        let alone = Statement { text, line: 7, sha256, touches: Touches::default() };
        let names = alone.text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase);
        let names = names.chain(alone.text.split('"').map(str::to_lowercase)).collect::<BTreeSet<_>>();
        Statement { touches: Touches::Names(names), ..alone }
    }

    pub(in super::super) fn plan(texts: &[&str]) -> Plan {
        let script = Script {
            revision: RevisionId::new("5f2c").expect("an id"),
            direction: Direction::Up,
            message: String::new(),
            place: "5f2c.sql".to_string(),
            sha256: String::new(),
            transaction: TransactionMode::One,
            statements: texts.iter().map(|text| statement(text)).collect(),
            accepts: Vec::new(),
            rows: Vec::new(),
            rows_after: Vec::new(),
        };
        Plan {
            direction: Direction::Up,
            target: "head".into(),
            from: Vec::new(),
            to: Vec::new(),
            schema: None,
            scripts: vec![script],
            accepted: Vec::new(),
        }
    }

    /// What is said of these statements where `full` has 3 rows, `other` 4 and `empty` none.
    pub(in super::super) fn told_with(catalog: Catalog, texts: &[&str], unseen: Unseen) -> Option<String> {
        let mut fingerprint = Fingerprint::new();
        for (name, rows) in [("full", 3), ("other", 4), ("empty", 0), ("alembic_version", 1)] {
            let print = TableFingerprint { rows, ..TableFingerprint::default() };
            fingerprint.tables.insert(TableName::plain(name), print);
        }
        let before = Inventory {
            engine: EngineKind::Postgresql,
            version: String::new(),
            facts: Default::default(),
            catalog,
            fingerprint,
            findings: Vec::new(),
        };
        let held = opaque(&plan(texts), &before, unseen, &|touches, name| touches.mentions(name))?;
        Some(format!("{}: {}", held.count.unwrap_or_default(), held.detail.unwrap_or_default()))
    }

    fn told(texts: &[&str], unseen: Unseen) -> Option<String> {
        told_with(Catalog::default(), texts, unseen)
    }

    fn not_rehearsed(text: &str) -> Option<String> {
        told(&[text], Unseen::Everything)
    }

    #[test]
    fn what_nobody_rehearsed_is_opaque_where_it_names_rows() {
        let named = |text: &str| not_rehearsed(text).unwrap_or_default();
        assert_eq!(
            named("ALTER TABLE full ADD x INT"),
            "3: nothing was rehearsed, and the migration names full"
        );
        assert_eq!(
            named("DROP TABLE full, other"),
            "7: nothing was rehearsed, and the migration names full, other"
        );
        for harmless in [
            "CREATE TABLE fresh (id INT GENERATED ALWAYS AS IDENTITY)",
            "DROP TABLE IF EXISTS empty",
            "ALTER TABLE empty ADD FOREIGN KEY (a) REFERENCES fresh ON DELETE CASCADE",
            "CREATE VIEW v AS SELECT a FROM empty",
            "ALTER TYPE pair ADD ATTRIBUTE c INT",
            "PRAGMA user_version = 3",
            "SELECT 1",
            "VACUUM",
        ] {
            assert_eq!(not_rehearsed(harmless), None, "{harmless}");
        }
        assert_eq!(told(&[], Unseen::Everything), None, "without statements nothing can be lost");
    }

    #[test]
    fn a_statement_that_can_reach_what_it_does_not_name_is_opaque_for_every_table_with_rows() {
        let text = "7: nothing was rehearsed, and SELECT in line 7 of 5f2c.sql can reach what it does not name: full, other";
        assert_eq!(not_rehearsed("SELECT purge()").as_deref(), Some(text));
        for far in [
            "DO $$ BEGIN PERFORM purge(); END $$",
            "CALL purge()",
            "TRUNCATE empty CASCADE",
            "DROP SCHEMA old CASCADE",
            "DROP TABLE \"a--b\" CASCADE",
            "DROP/**/TABLE empty CASCADE",
            "DROP EXTENSION e",
            "ALTER TABLE empty DROP COLUMN a CASCADE",
            "INSERT INTO empty VALUES (1)",
            "UPDATE empty SET a = 1",
            "DELETE FROM empty",
            "WITH gone AS (DELETE FROM empty RETURNING *) SELECT 1",
            "CREATE TABLE fresh AS SELECT purge()",
            "CREATE MATERIALIZED VIEW m AS SELECT purge()",
            "PRAGMA foreign_keys = ON",
            "EXPLAIN ANALYZE SELECT purge()",
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
            "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
            "ALTER TYPE pair DROP ATTRIBUTE IF EXISTS b",
            "WHATEVER",
        ] {
            assert!(not_rehearsed(far).is_some_and(|held| held.starts_with("7: ")), "{far}");
        }
    }

    #[test]
    fn a_table_that_the_migration_names_is_not_said_to_be_unnamed() {
        let all = "7: nothing was rehearsed, and the migration names full, other";
        assert_eq!(not_rehearsed("UPDATE full SET a = (SELECT b FROM other)").as_deref(), Some(all));
        let one = told(&["ALTER TABLE other ADD x INT", "SELECT purge()"], Unseen::Everything);
        let reached = "SELECT in line 7 of 5f2c.sql can reach what it does not name: full";
        let expected = format!("7: nothing was rehearsed, and the migration names other; {reached}");
        assert_eq!(one, Some(expected));
    }

    #[test]
    fn of_a_rehearsal_without_rows_only_what_it_could_not_judge_is_opaque() {
        let seen = |texts: &[&str]| told(texts, Unseen::Rows).unwrap_or_default();
        let judged = [
            "DROP TABLE full",
            "ALTER TABLE other DROP COLUMN a",
            "ALTER TABLE other ADD CONSTRAINT c CHECK (b > 0)",
        ];
        assert_eq!(seen(&judged), "");
        let says = "3: the rehearsal saw no rows, and the migration names full";
        assert_eq!(seen(&["ALTER TABLE full ALTER COLUMN a TYPE INT USING 0"]), says);
        assert_eq!(seen(&["ALTER TABLE full DROP COLUMN a", "ALTER TABLE full ADD COLUMN a TEXT"]), says);
        assert_eq!(seen(&["DROP TABLE full", "CREATE TABLE full (a INT)"]), says);
        assert_eq!(
            seen(&["DELETE FROM full"]),
            "7: the rehearsal saw no rows, and the migration names full; DELETE in line 7 of 5f2c.sql can reach what it does \
             not name: other"
        );
    }
}
