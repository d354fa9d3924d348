//! Virtual tables of SQLite: where the rows are that they show.

use super::{Catalog, Table, TableKind, TableName};

impl Table {
    /// Returns the module of a virtual table with its arguments, as text.
    fn module(&self) -> Option<(String, &str)> {
        let definition = self.options.get("definition").filter(|_| self.kind == TableKind::Virtual)?;
        let using = definition.to_ascii_lowercase().find(" using ")?;
        let (module, arguments) = definition[using + " using ".len()..].split_once('(')?;
        Some((module.trim().to_ascii_lowercase(), arguments))
    }

    /// Returns the value of the option `content=` of a full-text index.
    fn content(&self) -> Option<String> {
        let (module, arguments) = self.module()?;
        module.strip_prefix("fts")?;
        let lower = arguments.to_ascii_lowercase();
        let options = lower.match_indices("content").filter_map(|(at, word)| {
            let begins = arguments[..at].trim_end();
            let value = arguments[at + word.len()..].trim_start().strip_prefix('=')?.trim_start();
            (begins.is_empty() || begins.ends_with(',')).then_some(value)
        });
        let value = options.last()?;
        match value.chars().next()? {
            quote @ ('\'' | '"' | '`') => {
                let (mut name, mut rest) = (String::new(), value[1..].chars().peekable());
                while let Some(next) = rest.next() {
                    if next == quote && rest.next_if_eq(&quote).is_none() {
                        break;
                    }
                    name.push(next);
                }
                Some(name)
            }
            '[' => value[1..].split(']').next().map(str::to_string),
            _ => value.split([',', ')']).next().map(|name| name.trim().to_string()),
        }
    }

    /// Returns the table (or view) that a full-text index of SQLite reads its rows from, by its option `content=`; none for
    /// everything else. Nothing but a trigger or a rebuild tells such an index that rows of that table have changed.
    pub fn outer_content(&self) -> Option<TableName> {
        self.content().filter(|name| !name.is_empty()).map(TableName::plain)
    }

    /// Tells whether a virtual table keeps its rows itself, so that one that is inserted with its rowid is there as it was: a
    /// full-text index with its own content, or an R-tree.
    pub fn has_own_rows(&self) -> bool {
        let module = self.module().map(|(module, _)| module).unwrap_or_default();
        match module.as_str() {
            "fts3" | "fts4" | "fts5" => self.content().is_none(),
            "rtree" | "rtree_i32" => true,
            _ => false,
        }
    }
}

impl Catalog {
    /// Returns the virtual table that a shadow table belongs to: `docs_idx` to `docs`.
    pub fn shadowed_by(&self, shadow: &TableName) -> Option<TableName> {
        self.tables.get(shadow).filter(|table| table.kind == TableKind::Shadow)?;
        let mut ends = shadow.name.match_indices('_').map(|(end, _)| TableName::plain(&shadow.name[..end]));
        ends.find(|owner| self.tables.get(owner).is_some_and(|table| table.kind == TableKind::Virtual))
    }

    /// Tells whether a table is a part of a virtual one that is among these, or that is a full-text index which reads one of
    /// these, or a view, which may read them.
    pub fn follows_any<'t>(&self, shadow: &TableName, mut of: impl Iterator<Item = &'t TableName>) -> bool {
        let Some(owner) = self.shadowed_by(shadow) else { return false };
        let content = self.tables.get(&owner).and_then(Table::outer_content);
        let name = content.as_ref().unwrap_or(&owner);
        let is = |other: &TableName| other.name.eq_ignore_ascii_case(&name.name);
        of.any(is) || !self.tables.keys().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_an_index_is_read_from_its_definition() {
        let of = |arguments: &str| {
            let definition = format!("CREATE VIRTUAL TABLE f USING fts5({arguments})");
            let options = [("definition".to_string(), definition)].into();
            let table = Table { kind: TableKind::Virtual, options, ..Table::default() };
            table.outer_content().map(|name| name.name)
        };
        for arguments in
            ["a,content=doc", "a, content = 'doc', content_rowid='id'", "content=\"doc\",a", "content=[doc]"]
        {
            assert_eq!(of(arguments).as_deref(), Some("doc"), "{arguments}");
        }
        assert_eq!(of("a, content='it''s'").as_deref(), Some("it's"));
        assert_eq!(of("a, content=''"), None);
        assert_eq!(of("a, content='', columnsize=0"), None);
        assert_eq!(of("content, body, prefix='2 content=x'"), None);
        assert_eq!(Table::default().outer_content(), None);
    }

    #[test]
    fn rows_are_a_virtual_tables_own_unless_it_reads_them_elsewhere() {
        let of = |using: &str| {
            let options =
                [("definition".to_string(), format!("CREATE VIRTUAL TABLE f USING {using}"))].into();
            Table { kind: TableKind::Virtual, options, ..Table::default() }.has_own_rows()
        };
        assert!(of("fts5(a, b)") && of("rtree(id, x0, x1)"));
        assert!(!of("fts5(a, content='')") && !of("fts5(a, content=t)") && !of("fts5vocab(g, row)"));
    }
}
