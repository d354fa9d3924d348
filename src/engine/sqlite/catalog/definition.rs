//! What a `CREATE TABLE` says beyond what the pragmas tell: collations, generated columns, checks and constraints.
//!
//! Promises that every clause of the text is in the answer, so that no change of a table can be overlooked. SQLite has
//! parsed the text before us, so it is not checked again.

use super::tokens::{is_word, join, tokens, unquote};
use std::collections::BTreeMap;

/// The clauses of one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// In the order of the table.
    pub columns: Vec<ColumnClauses>,
    /// Primary keys, unique, foreign key and check constraints of columns and of the table: by name, or by what they
    /// say when they have none.
    pub constraints: BTreeMap<String, String>,
}

/// The clauses of one column that are neither its type nor a constraint.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnClauses {
    pub name: String,
    pub generated: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// Reads the text of an ordinary table.
pub(super) fn read(sql: &str) -> Definition {
    let tokens = tokens(sql);
    let mut definition = Definition::default();
    let Some(open) = tokens.iter().position(|token| *token == "(") else { return definition };
    for item in items(&tokens[open + 1..]) {
        let Some(first) = item.first() else { continue };
        if ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| is_word(first, word)) {
            for clause in clauses(item, &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"]) {
                definition.constrain("", clause);
            }
        } else {
            definition.column(item);
        }
    }
    definition
}

/// Cuts the part between the outer parentheses at its commas.
fn items<'t, 's>(tokens: &'t [&'s str]) -> Vec<&'t [&'s str]> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" if depth == 0 => {
                found.push(&tokens[start..index]);
                return found;
            }
            ")" => depth -= 1,
            "," if depth == 0 => {
                found.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    found.push(&tokens[start..]);
    found
}

/// Cuts constraints, which need no comma between them, where a keyword begins the next one. A `CONSTRAINT name` stays
/// with what it names.
fn clauses<'t, 's>(tokens: &'t [&'s str], keywords: &[&str]) -> Vec<&'t [&'s str]> {
    let (mut depth, mut starts) = (0, Vec::new());
    let mut named = false;
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth == 0 && begins_clause(tokens, index, keywords) => {
                if !std::mem::take(&mut named) {
                    starts.push(index);
                }
                named = is_word(token, "CONSTRAINT");
            }
            _ => {}
        }
    }
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts.iter().zip(ends).map(|(start, end)| &tokens[*start..end]).collect()
}

fn begins_clause(tokens: &[&str], index: usize, keywords: &[&str]) -> bool {
    let token = tokens[index];
    let before = index.checked_sub(1).map_or("", |before| tokens[before]);
    let after = tokens.get(index + 1).copied().unwrap_or_default();
    let is = |word| is_word(token, word);
    let continues = is_word(before, "CONSTRAINT") // a constraint may be named like a keyword that SQLite lets pass
        || (is("NULL") && (is_word(before, "NOT") || is_word(before, "DEFAULT")))
        || ((is("NULL") || is("DEFAULT")) && is_word(before, "SET"))
        || (is("NOT") && is_word(after, "DEFERRABLE"))
        || (is("AS") && is_word(before, "ALWAYS"));
    !continues && keywords.iter().any(|word| is(word))
}

impl Definition {
    fn column(&mut self, item: &[&str]) {
        const KEYWORDS: [&str; 10] = [
            "CONSTRAINT",
            "PRIMARY",
            "NOT",
            "NULL",
            "UNIQUE",
            "CHECK",
            "DEFAULT",
            "COLLATE",
            "REFERENCES",
            "GENERATED",
        ];
        let name = unquote(item[0]);
        let mut column = ColumnClauses { name: name.clone(), ..ColumnClauses::default() };
        let keywords = [KEYWORDS.as_slice(), &["AS"]].concat();
        for clause in clauses(&item[1..], &keywords) {
            let (label, body) = named(clause);
            let first = body.first().copied().unwrap_or_default();
            let is = |word| is_word(first, word);
            if ["PRIMARY", "UNIQUE", "CHECK", "REFERENCES"].iter().any(|word| is(word)) {
                self.constrain(&name, clause);
            } else if is("COLLATE") {
                column.options.insert("collation".to_string(), join(&body[1..]));
            } else if is("GENERATED") || is("AS") {
                let start = body.iter().position(|token| *token == "(").unwrap_or(0);
                column.generated = Some(join(&body[start..]));
            } else if body.len() > 2 && is("NOT") || label.is_some() {
                // A conflict clause, or a name that a migration could refer to; the rest is in the pragma.
                let key = label.map_or_else(|| "not null".to_string(), |label| format!("constraint {label}"));
                column.options.insert(key, join(body));
            }
        }
        self.columns.push(column);
    }

    fn constrain(&mut self, column: &str, clause: &[&str]) {
        let (label, body) = named(clause);
        let body = &plain_parent(body);
        let text = if column.is_empty() { join(body) } else { format!("{column} {}", join(body)) };
        let mut key = label.unwrap_or_else(|| text.clone());
        // Two constraints may say the same or bear the same name; neither may hide the other.
        while self.constraints.contains_key(&key) {
            key.push('\'');
        }
        self.constraints.insert(key, text);
    }
}

/// Takes the quotes off the name of the table that a foreign key refers to, where it is the same without them: SQLite writes them
/// when that is renamed, and leaves them when it gets its name back.
fn plain_parent<'s>(body: &[&'s str]) -> Vec<&'s str> {
    let is_plain = |name: &&str| {
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_word && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    let mut plain = body.to_vec();
    for at in 1..body.len() {
        if is_word(body[at - 1], "REFERENCES") {
            let bare = body[at].strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            plain[at] = bare.filter(is_plain).unwrap_or(body[at]);
        }
    }
    plain
}

fn named<'t, 's>(clause: &'t [&'s str]) -> (Option<String>, &'t [&'s str]) {
    match clause {
        [first, name, rest @ ..] if is_word(first, "CONSTRAINT") => (Some(unquote(name)), rest),
        _ => (None, clause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraints(sql: &str) -> Vec<String> {
        read(sql).constraints.into_iter().map(|(name, text)| format!("{name} = {text}")).collect()
    }

    #[test]
    fn quotes_that_a_rename_leaves_around_a_parent_make_no_other_constraint() {
        let before = constraints(
            "CREATE TABLE c (t INT REFERENCES t(id), u INT, FOREIGN KEY (u) REFERENCES \"t 2\" (id))",
        );
        let after = constraints(
            "CREATE TABLE c (t INT REFERENCES \"t\"(id), u INT, FOREIGN KEY (u) REFERENCES \"t 2\" (id))",
        );
        assert_eq!(before, after);
        assert!(after[0].contains("\"t 2\""), "{after:?}");
    }

    #[test]
    fn constraints_are_found_by_their_name_or_by_what_they_say() {
        let sql = "CREATE TABLE t (id INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,
            a TEXT NOT NULL DEFAULT NULL CHECK (a <> ',') UNIQUE,
            p INT REFERENCES o (x) ON DELETE SET NULL NOT DEFERRABLE,
            CONSTRAINT u UNIQUE (a, p) CHECK (p > 0))";
        assert_eq!(
            constraints(sql),
            [
                "CHECK(p > 0) = CHECK(p > 0)",
                "a CHECK(a <> ',') = a CHECK(a <> ',')",
                "a UNIQUE = a UNIQUE",
                "p REFERENCES o(x) ON DELETE SET NULL NOT DEFERRABLE = p REFERENCES o(x) ON DELETE SET NULL NOT DEFERRABLE",
                "pk = id PRIMARY KEY AUTOINCREMENT",
                "u = UNIQUE(a, p)",
            ]
        );
    }

    #[test]
    fn collations_and_generated_columns_belong_to_their_column() {
        let sql = "CREATE TABLE t (\"a b\" TEXT COLLATE NOCASE NOT NULL ON CONFLICT IGNORE,
            g INT GENERATED ALWAYS AS (length(a)) STORED, h AS (g + 1))";
        let columns = read(sql).columns;
        assert_eq!(columns[0].name, "a b");
        assert_eq!(columns[0].options["collation"], "NOCASE");
        assert_eq!(columns[0].options["not null"], "NOT NULL ON CONFLICT IGNORE");
        assert_eq!(columns[1].generated.as_deref(), Some("(length(a)) STORED"));
        assert_eq!(columns[2].generated.as_deref(), Some("(g + 1)"));
    }

    #[test]
    fn two_equal_constraints_are_two() {
        assert_eq!(constraints("CREATE TABLE t (a, CHECK (a), CHECK (a))").len(), 2);
    }
}
