//! Code of a database that a statement runs although its first words call nothing: functions in the expressions of an
//! `ALTER` or a `CREATE INDEX`, event triggers, and what calls functions in its turn. Pure.
//!
//! Promises to err on the side of asking. A function counts unless the server itself lets it write nothing, and then it
//! counts if it mentions one that does. Trusts what extensions bring, except what runs the text it is given. SQLite has no
//! code but triggers, which a definition does not set off.

use super::opaque::made;
use crate::catalog::{Catalog, Object, Table, TableName, take_quoted};
use crate::plan::{Plan, Script, Statement, Touches};
use std::collections::{BTreeMap, BTreeSet};

/// Functions that run SQL which they are given as text: of the server, and of extensions that come with it.
const RUN_TEXT: [&str; 13] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "dblink",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "ts_stat",
    "xpath_table",
];

/// Objects that call functions without being named where that happens.
const NAMELESS: [&str; 3] = ["cast", "operator", "operator class"];

/// Other objects that call functions where they are used.
const CALLING: [&str; 9] = [
    "aggregate",
    "domain",
    "foreign data wrapper",
    "foreign server",
    "function",
    "materialized view",
    "procedure",
    "type",
    "view",
];

/// What is only written down when it is made or changed: nothing in it is computed then.
const WRITTEN_DOWN: [&str; 22] = [
    "AGGREGATE",
    "CAST",
    "COLLATION",
    "CONSTRAINT",
    "DOMAIN",
    "EVENT",
    "EXTENSION",
    "FUNCTION",
    "OPERATOR",
    "POLICY",
    "PROCEDURE",
    "PUBLICATION",
    "ROLE",
    "ROUTINE",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "STATISTICS",
    "TRIGGER",
    "TYPE",
    "USER",
    "VIEW",
];

/// What of the database's own can run, each thing with how it is told of.
pub(super) struct Code {
    /// By names in lower case.
    named: BTreeMap<String, String>,
    /// What runs where nothing names it.
    nameless: Option<String>,
    /// A table in whose indexes or constraints something runs.
    table: Option<String>,
    /// An event trigger.
    event: Option<String>,
}

impl Code {
    /// Finds what there is before the plan, and what the plan makes.
    pub(super) fn of(catalog: &Catalog, plan: &Plan) -> Self {
        let known = RUN_TEXT.iter().map(|name| ((*name).to_string(), format!("function {name}")));
        let event = catalog.objects.iter().find(|(_, object)| is_set_off(object));
        let mut code = Self {
            named: known.collect(),
            nameless: None,
            table: None,
            event: event.map(|(key, _)| key.clone()),
        };
        let statements = || {
            let scripts = plan.scripts.iter();
            scripts.flat_map(|script| script.statements.iter().map(move |statement| (script, statement)))
        };
        statements().for_each(|(script, statement)| code.made_by(script, statement));
        code.spread(catalog);
        statements().for_each(|(script, statement)| code.hidden_by(script, statement));
        code
    }

    /// Returns what a statement can run of it.
    pub(super) fn run_by(&self, statement: &Statement) -> Option<&str> {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let event = self.event.as_ref().filter(|_| sets_off_events(&words));
        let maintains = words.first().is_some_and(|first| ["ANALYZE", "REINDEX", "VACUUM"].contains(first));
        let inside = self.table.as_ref().filter(|_| maintains);
        let found = event.or(inside).or_else(|| {
            let named = || self.named.iter().find(|(name, _)| mentions(&statement.touches, name));
            let run = || self.nameless.as_ref().or_else(|| named().map(|(_, what)| what));
            computes(&words, &statement.touches).then(run).flatten()
        });
        found.map(String::as_str)
    }

    /// Takes in a function or an event trigger that a statement makes.
    fn made_by(&mut self, script: &Script, statement: &Statement) {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let what = |kind: &str| format!("the {kind} of line {} of {}", statement.line, script.place);
        match (words.first().copied(), kind(&words)) {
            (Some("CREATE"), "AGGREGATE" | "FUNCTION" | "PROCEDURE") if !is_for_triggers(&words) => {
                if let Some(name) = name_of_routine(&statement.text) {
                    self.named.insert(name, what("function"));
                } else {
                    self.nameless = Some(what("function"));
                }
            }
            // One that gets another name, or may write from now on.
            (Some("ALTER"), "AGGREGATE" | "FUNCTION" | "PROCEDURE" | "ROUTINE")
                if ["RENAME", "VOLATILE"].iter().any(|word| words.contains(word)) =>
            {
                self.nameless = Some(what("function"));
            }
            (Some("CREATE"), "EVENT") => self.event = Some(what("event trigger")),
            (Some("ALTER"), "EVENT") if words.contains(&"ENABLE") => {
                self.event = Some(what("event trigger"));
            }
            _ => {}
        }
    }

    /// Takes in what calls what is in already, until nothing does any more.
    fn spread(&mut self, catalog: &Catalog) {
        let objects = catalog.objects.iter().filter_map(|(key, object)| Part::of_object(key, object));
        let tables = catalog.tables.iter().map(|(name, table)| Part::of_table(name, table));
        let mut open: Vec<Part> = objects.chain(tables).collect();
        loop {
            let (found, rest): (Vec<Part>, Vec<Part>) =
                open.into_iter().partition(|part| part.writes || part.mentions_any(&self.named));
            if found.is_empty() {
                return;
            }
            for part in found {
                if part.what.starts_with("table ") {
                    self.table.get_or_insert_with(|| part.what.clone());
                }
                if let Some(name) = part.name {
                    self.named.entry(name).or_insert(part.what);
                } else {
                    self.nameless.get_or_insert(part.what);
                }
            }
            open = rest;
        }
    }

    /// Takes in a type, an operator or a cast that a statement makes of what is in already.
    fn hidden_by(&mut self, script: &Script, statement: &Statement) {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let hides = words.first() == Some(&"CREATE")
            && ["CAST", "DOMAIN", "OPERATOR", "TYPE"].contains(&kind(&words));
        if hides && self.named.keys().any(|name| mentions(&statement.touches, name)) {
            let what = kind(&words).to_lowercase();
            self.nameless = Some(format!("the {what} of line {} of {}", statement.line, script.place));
        }
    }
}

/// Something of the catalog that may run code.
struct Part {
    /// In lower case; none for what runs without being named.
    name: Option<String>,
    what: String,
    /// Whether it may write by itself.
    writes: bool,
    /// What defines it, in lower case, and the words of that.
    text: String,
    words: BTreeSet<String>,
}

impl Part {
    fn new(name: Option<String>, what: String, text: &str) -> Self {
        let text = text.to_lowercase();
        let words = text.split(|c: char| !is_of_word(c)).map(str::to_string).collect();
        Self { name, what, writes: false, text, words }
    }

    fn of_object(key: &str, object: &Object) -> Option<Self> {
        let kind = object.kind.as_str();
        let rest = key.strip_prefix(kind)?.trim_start();
        if NAMELESS.contains(&kind) {
            return Some(Self::new(None, key.to_string(), &format!("{rest} {}", object.definition)));
        }
        let is_routine = ["function", "procedure"].contains(&kind);
        if !CALLING.contains(&kind) || is_routine && returns_for_triggers(rest, &object.definition) {
            return None;
        }
        let part = Self::new(Some(last_name(rest).to_lowercase()), key.to_string(), &object.definition);
        Some(Self { writes: is_routine && !is_held_to_reading(&object.definition), ..part })
    }

    /// What is computed of a table's rows when they or its indexes are written anew, or when they are read.
    fn of_table(name: &TableName, table: &Table) -> Self {
        let parts = [&table.constraints, &table.indexes, &table.policies];
        let columns = table.columns.iter();
        let columns = columns.flat_map(|column| [Some(&column.type_name), column.generated.as_ref()]);
        let text: Vec<&str> = parts
            .into_iter()
            .flat_map(BTreeMap::values)
            .chain(columns.flatten())
            .map(String::as_str)
            .collect();
        Self::new(Some(name.name.to_lowercase()), format!("table {name}"), &text.join("\n"))
    }

    fn mentions_any(&self, names: &BTreeMap<String, String>) -> bool {
        names.keys().any(|name| {
            self.words.contains(name) || !name.chars().all(is_of_word) && self.text.contains(name.as_str())
        })
    }
}

/// A `$` is none: what stands beside the quote `$function$` of a body would be one word with it.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn mentions(touches: &Touches, name: &str) -> bool {
    touches.mentions(&TableName::plain(name))
}

/// Returns the kind of thing that a CREATE or an ALTER is about.
fn kind<'a>(words: &[&'a str]) -> &'a str {
    made(words.get(1..).unwrap_or_default())
}

/// Tells whether an event trigger fires at this statement. None does at what belongs to all databases, or at their own.
fn sets_off_events(words: &[&str]) -> bool {
    const NEVER: [&str; 5] = ["DATABASE", "EVENT", "ROLE", "SYSTEM", "TABLESPACE"];
    let defines = |first: &&str| {
        ["ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REINDEX", "REVOKE", "SECURITY"].contains(first)
    };
    words.first().is_some_and(defines) && !NEVER.contains(&kind(words))
}

/// Tells whether expressions are computed when a statement of a known kind runs.
fn computes(words: &[&str], touches: &Touches) -> bool {
    let has = |word: &&str| words.contains(word) || mentions(touches, &word.to_lowercase());
    match (words.first().copied(), kind(words)) {
        // A new table has no rows; but bounds of partitions, and what is the same for all rows, are computed at once, and a
        // foreign server's options are looked at.
        (Some("CREATE"), "TABLE") => ["GENERATED", "PARTITION", "SERVER"].iter().any(has),
        (Some("ALTER"), "DOMAIN" | "TYPE") => true,
        (Some("CREATE"), "USER") => has(&"MAPPING"),
        (Some("CREATE" | "ALTER"), kind) => !WRITTEN_DOWN.contains(&kind),
        (Some("SELECT"), _) => true,
        _ => false,
    }
}

/// Tells whether an event trigger fires at definitions: not if it is disabled, nor if it waits for connections.
fn is_set_off(object: &Object) -> bool {
    let definition = &object.definition;
    object.kind == "event trigger" && !definition.contains(" D TAGS ") && !definition.starts_with("ON login ")
}

/// Tells whether a CREATE makes a function that only triggers can call.
fn is_for_triggers(words: &[&str]) -> bool {
    let returns = words.iter().position(|word| *word == "RETURNS");
    let kind = returns.and_then(|at| words.get(at + 1));
    kind.is_some_and(|kind| ["TRIGGER", "EVENT_TRIGGER"].contains(kind))
}

/// The same of a function of the catalog: `signature` is its name with the types of its arguments.
fn returns_for_triggers(signature: &str, definition: &str) -> bool {
    ["trigger", "event_trigger"].iter().any(|kind| {
        definition.starts_with(&format!("CREATE OR REPLACE FUNCTION {signature}\n RETURNS {kind}\n"))
    })
}

/// Tells whether the server lets a function, as it prints it, write nothing by itself: it is declared so, in a language in
/// which that is looked after, and runs no text that is put together as it goes.
fn is_held_to_reading(definition: &str) -> bool {
    let Some((before, after)) = definition.split_once("\n LANGUAGE ") else { return false };
    let mut lines = after.lines();
    let language = lines.next().unwrap_or_default();
    // What it is declared as is on the next line, if it is anything; else parameters are, or the body begins.
    let options = lines.next().filter(|line| line.starts_with(' ') && !line.starts_with(" SET "));
    // What looks like a line of it may stand in the default of an argument.
    let is_line = before.matches('\'').count() % 2 == 0;
    let is_declared =
        options.is_some_and(|line| line.split(' ').any(|word| ["IMMUTABLE", "STABLE"].contains(&word)));
    let puts_together = definition.to_uppercase().contains("EXECUTE");
    is_line && ["plpgsql", "sql"].contains(&language) && is_declared && !puts_together
}

/// Returns the last part of a name with its schema, whatever follows.
fn last_name(text: &str) -> String {
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"').and_then(take_quoted) {
            Some(quoted) => quoted,
            None => {
                let end = rest.find(['.', '(']).unwrap_or(rest.len());
                (rest[..end].to_string(), &rest[end..])
            }
        };
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return part,
        }
    }
}

/// Returns the last word of the name that a CREATE gives a function, in lower case; none where that is not plain to see.
fn name_of_routine(text: &str) -> Option<String> {
    let (before, _) = text.split_once('(')?;
    if before.to_uppercase().contains("U&") {
        return None;
    }
    let words = crate::plan::words::of(before);
    let name = words.last().filter(|word| !["AGGREGATE", "FUNCTION", "PROCEDURE"].contains(&word.as_str()));
    name.map(|word| word.to_lowercase())
}

#[cfg(test)]
mod tests;
