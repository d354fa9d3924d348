//! The statements that make a table that is not there, as `pg_restore` has them: those before the rows, and those after.

use super::super::PostgresDatabase;
use super::super::child::Children;
use super::super::names::{self, identifier, literal};
use super::super::private::{PrivateFolder, RESTORE};
use super::super::restore::Build;
use super::super::session::Session;
use super::super::tools::Tools;
use crate::base::fs;
use crate::catalog::{Catalog, TableName};
use crate::engine::Error;
use std::collections::BTreeSet;

/// SQL; empty when nothing is missing.
#[derive(Default)]
pub(super) struct Scripts {
    /// Tables, sequences, defaults.
    pub before: String,
    /// Indexes, constraints, triggers, rules, publications.
    pub after: String,
    /// Making partitions of tables again, when they have the indexes of which the partitioned table would give them
    /// others.
    pub attach: String,
}

impl PostgresDatabase {
    /// Returns the statements for these tables, what belongs to them alone, and their part in publications that are `open`.
    pub(super) async fn scripts(
        &self,
        build: &Build<'_>,
        scratch: &mut Session,
        missing: &[&TableName],
        (expected, open): (&Catalog, &BTreeSet<String>),
    ) -> Result<Scripts, Error> {
        if missing.is_empty() {
            return Ok(Scripts::default());
        }
        let mut wanted = BTreeSet::new();
        for table in missing {
            let sequences = owned_sequences(scratch, table).await?;
            wanted.extend(labels(table, expected, &sequences));
            let publications = expected.publications_of(table);
            wanted.extend(publications.intersection(open).map(|name| publication_label(table, name)));
        }
        let major = scratch.major();
        let tools = Tools::choose(&self.options.tools_path, major, &self.options.cancel).await?;
        let application = self.application();
        let children = Children::new(build.server, &tools, &self.options.work_dir, &application)?;
        let dump = build.folder.join("dump");
        let listed = children.tool("pg_restore", build.name).arg("--list").arg(&dump);
        let listed = listed.run(&self.options.cancel).await?.stdout;
        let attached: BTreeSet<String> = missing.iter().map(|table| attach_label(table)).collect();
        let work_dir = &self.options.work_dir;
        let io = |source| Error::Io { place: work_dir.clone(), doing: "written to", source };
        let private = PrivateFolder::new(work_dir, RESTORE, names::operation(&application)).map_err(io)?;
        let list = private.path().join("list");
        let mut scripts = Scripts::default();
        let parts = [
            ("pre-data", &wanted, &mut scripts.before),
            ("post-data", &wanted, &mut scripts.after),
            ("pre-data", &attached, &mut scripts.attach),
        ];
        for (section, wanted, into) in parts {
            let chosen: Vec<&str> = listed.lines().filter(|line| is_wanted(line, wanted)).collect();
            fs::write_durable(&list, (chosen.join("\n") + "\n").as_bytes()).map_err(io)?;
            let mut tool = children.tool("pg_restore", build.name).arg("--section").arg(section);
            tool = tool.arg("--use-list").arg(&list).args(["--file", "-"]);
            if !build.roles {
                tool = tool.args(["--no-owner", "--no-privileges"]);
            }
            let text = tool.arg(&dump).run(&self.options.cancel).await?.stdout;
            *into = statements(&text);
        }
        Ok(scripts)
    }
}

/// Leaves out what is for psql alone, and the limits that pg_restore switches off: ours are shorter.
fn statements(text: &str) -> String {
    let ours = |line: &&str| !line.starts_with('\\') && !line.starts_with("SET lock_timeout");
    text.lines().filter(ours).collect::<Vec<_>>().join("\n")
}

/// What stands for a table's parts in the list of a dump: kind, schema and tag.
fn labels(table: &TableName, expected: &Catalog, sequences: &[(String, String)]) -> Vec<String> {
    let schema = table.schema.clone().unwrap_or_default();
    let name = &table.name;
    let mut labels = Vec::new();
    let mut add = |kind: &str, schema: &str, tag: &str| labels.push(format!("{kind} {schema} {tag}"));
    // The tags of comments and grants are SQL, and have a name in quotes where it needs them. What needs them is for the
    // version of pg_dump to say: both ways are looked for.
    let mut about = |kinds: &[&str], schema: &str, what: &str, names: &[&str], between: &str| {
        for tag in tags(names, between) {
            kinds.iter().for_each(|kind| add(kind, schema, &format!("{what} {tag}")));
        }
    };
    let (comment, both) = (&["COMMENT"][..], &["COMMENT", "ACL"][..]);
    about(both, &schema, "TABLE", &[name], "");
    for (schema, sequence) in sequences {
        about(both, schema, "SEQUENCE", &[sequence], "");
    }
    let known = expected.tables.get(table);
    for column in known.iter().flat_map(|known| &known.columns) {
        about(both, &schema, "COLUMN", &[name, &column.name], ".");
    }
    if let Some(known) = known {
        let parts = [
            ("CONSTRAINT", known.constraints.keys()),
            ("TRIGGER", known.triggers.keys()),
            ("POLICY", known.policies.keys()),
        ];
        for (what, parts) in parts {
            parts.for_each(|part| about(comment, &schema, what, &[part, name], " ON "));
        }
        known.indexes.keys().for_each(|index| about(comment, &schema, "INDEX", &[index], ""));
    }
    let belongings: Vec<Vec<String>> = expected
        .belongings(table)
        .into_iter()
        .filter_map(|(key, object)| crate::catalog::parts(key.strip_prefix(&object.kind)?.trim_start()))
        .collect();
    for parts in &belongings {
        match &parts[..] {
            [schema, _, rule] => about(comment, schema, "RULE", &[rule, name], " ON "),
            [schema, statistics] => about(comment, schema, "STATISTICS", &[statistics], ""),
            _ => {}
        }
    }
    add("TABLE", &schema, name);
    add("ROW SECURITY", &schema, name);
    for (schema, sequence) in sequences {
        for kind in ["SEQUENCE", "SEQUENCE OWNED BY"] {
            add(kind, schema, sequence);
        }
    }
    for parts in &belongings {
        match &parts[..] {
            [schema, _, rule] => add("RULE", schema, &format!("{name} {rule}")),
            [schema, statistics] => add("STATISTICS", schema, statistics),
            _ => {}
        }
    }
    let Some(known) = known else { return labels };
    for column in &known.columns {
        add("DEFAULT", &schema, &format!("{name} {}", column.name));
    }
    for constraint in known.constraints.keys() {
        for kind in ["CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT"] {
            add(kind, &schema, &format!("{name} {constraint}"));
        }
    }
    for index in known.indexes.keys() {
        add("INDEX", &schema, index);
    }
    for trigger in known.triggers.keys() {
        add("TRIGGER", &schema, &format!("{name} {trigger}"));
    }
    for policy in known.policies.keys() {
        add("POLICY", &schema, &format!("{name} {policy}"));
    }
    labels
}

fn publication_label(table: &TableName, publication: &str) -> String {
    let schema = table.schema.as_deref().unwrap_or_default();
    format!("PUBLICATION TABLE {schema} {publication} {}", table.name)
}

fn attach_label(table: &TableName) -> String {
    format!("TABLE ATTACH {} {}", table.schema.as_deref().unwrap_or_default(), table.name)
}

/// Returns one or two names with what is between them, each plain and in quotes.
fn tags(names: &[&str], between: &str) -> Vec<String> {
    let both = |name: &str| [name.to_string(), identifier(name)];
    match names {
        [one] => both(one).to_vec(),
        [one, other] => {
            let others = both(other);
            both(one)
                .iter()
                .flat_map(|one| others.iter().map(move |other| format!("{one}{between}{other}")))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Tells whether a line of the list is of one of these. After the numbers come kind, schema, tag and owner; names are
/// printed as they are, so that the line is compared as a whole.
fn is_wanted(line: &str, wanted: &BTreeSet<String>) -> bool {
    // `215; 1259 16386 TABLE public person app`
    let Some((_, rest)) = line.split_once("; ") else { return false };
    let Some(entry) = rest.splitn(3, ' ').nth(2) else { return false };
    wanted.iter().any(|label| {
        entry.strip_prefix(label.as_str()).is_some_and(|owner| {
            // A longer name begins alike: `t` and `t big`. An owner is one word, unless somebody made it difficult.
            owner.is_empty() || (owner.starts_with(' ') && !owner[1..].contains(' '))
        })
    })
}

/// Returns the sequences that belong to columns of a table, also those of identity columns.
async fn owned_sequences(scratch: &mut Session, table: &TableName) -> Result<Vec<(String, String)>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE d.classid = 'pg_class'::regclass \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass({}) AND d.deptype IN ('a', 'i')",
        literal(&table.sql())
    );
    let rows = scratch.rows("reading the sequences", &sql).await?;
    Ok(rows.iter().map(|row| (row.text(0).to_string(), row.text(1).to_string())).collect())
}

/// Returns the publications that the user may give tables to.
pub(super) async fn open_publications(session: &mut Session) -> Result<BTreeSet<String>, Error> {
    let sql = "SELECT pubname FROM pg_publication WHERE NOT puballtables AND pg_has_role(pubowner, 'USAGE')";
    let rows = session.rows("reading the publications", sql).await?;
    Ok(rows.iter().map(|row| row.text(0).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_the_table_is_chosen() {
        let wanted = BTreeSet::from(["TABLE public t".to_string(), "INDEX public t_i".to_string()]);
        assert!(is_wanted("215; 1259 16386 TABLE public t app", &wanted));
        assert!(is_wanted("3300; 1259 16400 INDEX public t_i app", &wanted));
        assert!(!is_wanted("216; 1259 16387 TABLE public t2 app", &wanted));
        assert!(!is_wanted("217; 1259 16388 TABLE public t big app", &wanted));
        assert!(!is_wanted("3301; 0 16386 TABLE DATA public t app", &wanted));
        assert!(!is_wanted("; Archive created at 2026-11-23", &wanted));
    }

    #[test]
    fn a_comment_is_found_whether_its_tag_has_quotes_or_not() {
        let table = TableName::qualified("public", "Odd \"t\"");
        let wanted = labels(&table, &Catalog::default(), &[]).into_iter().collect();
        assert!(is_wanted("3300; 0 0 COMMENT public TABLE \"Odd \"\"t\"\"\" app", &wanted));
        assert!(is_wanted("215; 1259 16386 TABLE public Odd \"t\" app", &wanted));
        assert!(!is_wanted("3300; 0 0 COMMENT public TABLE \"Odd\" app", &wanted));
    }

    #[test]
    fn what_is_for_psql_alone_is_left_out() {
        assert_eq!(statements("\\restrict x\nSET lock_timeout = 0;\nSELECT 1;"), "SELECT 1;");
    }
}
