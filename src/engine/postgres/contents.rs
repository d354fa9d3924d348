//! The table of contents of a dump: choosing what of it is restored
//! (<https://www.postgresql.org/docs/current/app-pgrestore.html>, `--use-list`).

use super::PostgresDatabase;
use super::child::Children;
use super::names;
use super::private::{PrivateFolder, RESTORE};
use crate::base::{Tool, fs};
use crate::catalog::TableName;
use crate::engine::Error;
use std::path::Path;

/// A schema that a dump must not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) schema: String,
    /// Whom it may have belonged to: a name in the contents ends where the owner's begins.
    pub(super) owners: Vec<String>,
}

/// What is left out.
#[derive(Clone, Copy, Default)]
pub(super) struct Without<'a> {
    /// The rows of all tables but these, when it is not for all.
    pub(super) rows_but_of: Option<&'a [TableName]>,
    /// The schemas, with all names that their owners may have, which are there already.
    pub(super) made: &'a [Made],
    /// The comments on extensions, which stay and may be another's.
    pub(super) extension_comments: bool,
}

impl PostgresDatabase {
    /// Gives `pg_restore` the list of what it is to restore, where that is not everything. The folder has to last as long
    /// as the program runs.
    pub(super) async fn choose(
        &self,
        tool: Tool,
        children: &Children<'_>,
        (dump, database): (&Path, &str),
        without: Without<'_>,
        operation: &str,
    ) -> Result<(Tool, Option<PrivateFolder>), Error> {
        if without.rows_but_of.is_none() && without.made.is_empty() && !without.extension_comments {
            return Ok((tool, None));
        }
        let listed = children.tool("pg_restore", database).arg("--list").arg(dump);
        let listed = listed.run(&self.options.cancel).await?;
        let lines = listed.stdout.lines().filter(|line| is_wanted(line, without));
        let chosen: String = lines.map(|line| format!("{line}\n")).collect();
        let work_dir = &self.options.work_dir;
        let failed = |source| Error::Io { place: work_dir.clone(), doing: "written to", source };
        let folder = PrivateFolder::new(work_dir, RESTORE, names::operation(operation)).map_err(failed)?;
        let place = folder.path().join("list");
        fs::write_durable(&place, chosen.as_bytes()).map_err(failed)?;
        Ok((tool.arg("--use-list").arg(place), Some(folder)))
    }
}

/// Tells whether a line of the contents is wanted: `3217; 0 16386 TABLE DATA public t owner`. Names stand there as they
/// are, line breaks turned into spaces: two tables that look alike are both wanted.
fn is_wanted(line: &str, without: Without<'_>) -> bool {
    let Some(entry) = line.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2)) else {
        return true;
    };
    let plain = |name: &str| name.replace(['\n', '\r'], " ");
    if without.extension_comments && entry.starts_with("COMMENT - EXTENSION ") {
        return false;
    }
    if let Some(schema) = entry.strip_prefix("SCHEMA - ") {
        let is = |one: &Made, owner: &String| schema == format!("{} {}", plain(&one.schema), plain(owner));
        return !without.made.iter().any(|one| one.owners.iter().any(|owner| is(one, owner)));
    }
    let Some(tables) = without.rows_but_of else { return true };
    let named = |rows: &str, table: &TableName| {
        let schema = table.schema.as_deref().map(plain).unwrap_or_default();
        rows.starts_with(&format!("{schema} {} ", plain(&table.name)))
    };
    match entry.strip_prefix("TABLE DATA ") {
        Some(rows) => tables.iter().any(|table| named(rows, table)),
        None if entry.starts_with("BLOB") => tables.iter().any(TableName::is_large_objects),
        None => !entry.starts_with("SEQUENCE SET "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_rows_only_those_of_the_tables_that_are_asked_for_are_wanted() {
        let tables = [TableName::qualified("public", "a b"), TableName::qualified("s", "t")];
        let wanted =
            |line: &str| is_wanted(line, Without { rows_but_of: Some(&tables), ..Without::default() });
        assert!(wanted("3217; 0 16386 TABLE DATA public a b app"));
        assert!(wanted("3218; 0 16387 TABLE DATA s t app"));
        assert!(!wanted("3219; 0 16388 TABLE DATA public t app"));
        assert!(!wanted("3220; 0 16389 TABLE DATA public a app"));
        assert!(!wanted("3221; 0 0 SEQUENCE SET public t_id_seq app"));
        assert!(!wanted("3222; 2613 16400 BLOB - 16400 app"));
        assert!(wanted("215; 1259 16386 TABLE public t app"));
        assert!(wanted(";     Archive created at 2026-11-24 04:20:38 UTC"));
        assert!(wanted(""));
    }

    #[test]
    fn schemas_that_are_there_and_comments_of_others_are_not_wanted() {
        let made = [Made { schema: "a".into(), owners: vec!["app".into()] }];
        let without = Without { made: &made, extension_comments: true, ..Without::default() };
        assert!(!is_wanted("8; 2615 16400 SCHEMA - a app", without));
        assert!(is_wanted("9; 2615 16401 SCHEMA - a b app", without));
        assert!(!is_wanted("3400; 0 0 COMMENT - EXTENSION hstore ", without));
        assert!(is_wanted("3401; 0 0 COMMENT public TABLE t app", without));
        assert!(is_wanted("3217; 0 16386 TABLE DATA public t app", without));
    }
}
