//! What the statements of a plan rename, as far as they say so themselves: a function or a trigger may rename as well.

use super::{Plan, words};
use crate::catalog::TableName;

/// The names that a table and its columns have at the end of a plan, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    table: Vec<String>,
    columns: Vec<Vec<String>>,
}

impl Plan {
    /// Follows a table and columns of it through every `ALTER TABLE … RENAME` that names them.
    pub fn renamed(&self, table: &TableName, columns: &[&String]) -> Renamed {
        let schema = table.schema.as_deref().map(words::of).unwrap_or_default();
        let columns = columns.iter().map(|column| words::of(column)).collect();
        let mut now = Renamed { table: words::of(&table.name), columns };
        for statement in self.scripts.iter().flat_map(|script| &script.statements) {
            now.take(&schema, &statement.words());
        }
        now
    }
}

impl Renamed {
    /// Tells whether the table is called so at the end.
    pub fn is_table(&self, name: &str) -> bool {
        self.table == words::of(name)
    }

    /// Tells whether the column that was given at this place is called so at the end.
    pub fn is_column(&self, place: usize, name: &str) -> bool {
        self.columns.get(place).is_some_and(|column| *column == words::of(name))
    }

    fn take(&mut self, schema: &[String], statement: &[String]) {
        let Some(rest) = after(statement, &["ALTER", "TABLE"]) else { return };
        let rest = after(rest, &["IF", "EXISTS"]).unwrap_or(rest);
        let rest = after(rest, &["ONLY"]).unwrap_or(rest);
        let bare = schema.is_empty().then_some(rest).or_else(|| rest.strip_prefix(schema));
        let own = |rest| after(rest, &self.table).and_then(|rest| after(rest, &["RENAME"]));
        let Some(renamed) = bare.and_then(own).or_else(|| own(rest)) else { return };
        let what = after(renamed, &["COLUMN"]).unwrap_or(renamed);
        match what.iter().position(|word| word == "TO") {
            Some(0) => self.table = what[1..].to_vec(),
            Some(to) => {
                let (old, new) = (&what[..to], &what[to + 1..]);
                self.columns
                    .iter_mut()
                    .filter(|column| *column == old)
                    .for_each(|column| *column = new.to_vec());
            }
            None => {}
        }
    }
}

fn after<'w>(words: &'w [String], beginning: &[impl AsRef<str>]) -> Option<&'w [String]> {
    let (head, rest) = words.split_at_checked(beginning.len())?;
    head.iter().zip(beginning).all(|(word, other)| word == other.as_ref()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Direction, RevisionId};
    use crate::plan::{Script, Statement, Touches, TransactionMode};

    fn plan(statements: &[&str]) -> Plan {
        let statement = |text: &&str| Statement {
            text: (*text).to_string(),
            line: 1,
            sha256: String::new(),
            touches: Touches::Anything,
        };
        let script = Script {
            revision: RevisionId::new("aaaa00000001").expect("an id"),
            direction: Direction::Up,
            message: String::new(),
            place: String::new(),
            sha256: String::new(),
            transaction: TransactionMode::One,
            statements: statements.iter().map(statement).collect(),
            accepts: Vec::new(),
            rows: Vec::new(),
            rows_after: Vec::new(),
        };
        Plan {
            direction: Direction::Up,
            target: String::new(),
            from: Vec::new(),
            to: Vec::new(),
            schema: None,
            scripts: vec![script],
            accepted: Vec::new(),
        }
    }

    #[test]
    fn tables_and_columns_are_followed_through_every_statement_that_renames_them() {
        let plan = plan(&[
            "ALTER TABLE public.a RENAME TO tmp",
            "alter table if exists only tmp rename column x to \"Y z\"",
            "ALTER TABLE b RENAME TO a",
            "ALTER TABLE tmp RENAME TO b -- at last",
            "ALTER TABLE other.tmp RENAME TO c",
            "CREATE TABLE a (x INTEGER)",
        ]);
        let x = "x".to_string();
        let of = |table| plan.renamed(&TableName::qualified("public", table), &[&x]);
        assert!(of("a").is_table("b") && of("a").is_column(0, "Y z"));
        assert!(of("b").is_table("a") && of("b").is_column(0, "x"));
        assert!(of("c").is_table("c"));
    }
}
