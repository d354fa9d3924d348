//! What must be unique in a table, read from the definitions of its indexes.

use crate::catalog::{Table, take_quoted};

/// Returns the columns of each unique index that is over whole columns and all rows.
pub(super) fn unique_sets(table: &Table) -> Vec<Vec<String>> {
    table.indexes.values().filter_map(|definition| columns(definition)).collect()
}

/// Reads `CREATE UNIQUE INDEX i ON t USING btree (a, b DESC) INCLUDE (c)`.
fn columns(definition: &str) -> Option<Vec<String>> {
    let (_, after) = definition.strip_prefix("CREATE UNIQUE INDEX ")?.split_once(" USING ")?;
    let (_, mut rest) = after.split_once(" (")?;
    let mut columns = Vec::new();
    loop {
        let (name, after) = name(rest)?;
        columns.push(name);
        // A type of order and a collation may follow, but nothing that is called.
        let end = after.find([',', ')', '('])?;
        let (between, after) = after.split_at(end);
        if !(between.is_empty() || between.starts_with(' ')) {
            return None;
        }
        match after.strip_prefix(", ") {
            Some(next) => rest = next,
            None => return after.strip_prefix(')').filter(|end| is_whole(end)).map(|_| columns),
        }
    }
}

/// Tells whether an index has all rows.
fn is_whole(end: &str) -> bool {
    !end.contains(" WHERE ") && !end.contains(" INVALID")
}

fn name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return take_quoted(quoted);
    }
    let end = text.find(|next: char| !(next.is_alphanumeric() || "_$".contains(next)))?;
    (end > 0).then(|| (text[..end].to_string(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(end: &str) -> Option<Vec<String>> {
        columns(&format!("CREATE UNIQUE INDEX i ON public.t USING btree {end}"))
    }

    #[test]
    fn the_columns_of_a_unique_index_are_read() {
        let some = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        assert_eq!(read("(a)"), some(&["a"]));
        assert_eq!(read("(a, \"B, (c)\" DESC NULLS LAST)"), some(&["a", "B, (c)"]));
        assert_eq!(
            read("(a text_pattern_ops, b COLLATE \"C\") INCLUDE (d) NULLS NOT DISTINCT CLUSTERED"),
            some(&["a", "b"])
        );
        assert_eq!(read("(\"say \"\"it\"\"\") WITH (fillfactor='70') -- a comment"), some(&["say \"it\""]));
    }

    #[test]
    fn what_is_not_over_whole_columns_and_all_rows_is_none() {
        for end in
            ["(lower(a))", "((a + b))", "(a) WHERE (b > 1)", "(a, lower(b))", "(a) INVALID", "(a", "()"]
        {
            assert_eq!(read(end), None, "{end}");
        }
        assert_eq!(columns("CREATE INDEX i ON public.t USING btree (a)"), None);
    }
}
