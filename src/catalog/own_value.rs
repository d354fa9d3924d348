//! Columns that give each row a value of its own: a number, a time, chance.

use super::{Column, EngineKind, Table};

/// Words that are a value of the moment without being called. PostgreSQL's `current_…` are all of that kind.
const MOMENTS: [&str; 6] = ["localtime", "localtimestamp", "session_user", "system_user", "user", "current"];
/// What may stand before a parenthesis without being a function: types with their length or precision.
const TYPES: [&str; 11] = [
    "varying",
    "character",
    "char",
    "varchar",
    "bpchar",
    "numeric",
    "decimal",
    "timestamp",
    "time",
    "bit",
    "second",
];

impl Column {
    /// Tells whether two rows, or two runs, may get different values when nobody names one: an identity column, or a
    /// default that is not the same each time. Whatever calls a function counts, because nobody knows it.
    pub fn makes_its_own(&self, table: &Table, engine: EngineKind) -> bool {
        let is_rowid = engine == EngineKind::Sqlite
            && self.type_name.eq_ignore_ascii_case("integer")
            && table.key == [self.name.as_str()]
            && !table.options.contains_key("without rowid");
        let is_open = self.default.as_deref().is_some_and(|default| !is_constant(default));
        self.generated.is_none() && (is_rowid || is_open || self.options.contains_key("identity"))
    }
}

/// Tells whether an expression is the same at every time, as far as its words show.
fn is_constant(expression: &str) -> bool {
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        if next == '\'' || next == '"' {
            let text = &rest[1..];
            let end = text.find(next).unwrap_or(text.len());
            // Evaluated anew each time where it is cast.
            let is_moment =
                ["now", "today", "tomorrow", "yesterday"].contains(&&*text[..end].to_ascii_lowercase());
            rest = text.get(end + 1..).unwrap_or_default();
            if is_moment || (next == '"' && is_called(rest)) {
                return false;
            }
        } else if next.is_alphabetic() || next == '_' {
            let is_part = |part: char| part.is_alphanumeric() || "_$".contains(part);
            let end = rest.find(|part| !is_part(part)).unwrap_or(rest.len());
            let word = rest[..end].to_ascii_lowercase();
            rest = &rest[end..];
            let is_moment = word.starts_with("current_") || MOMENTS.contains(&word.as_str());
            if is_moment || (is_called(rest) && !TYPES.contains(&word.as_str())) {
                return false;
            }
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    true
}

fn is_called(rest: &str) -> bool {
    rest.trim_start().starts_with('(')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_the_same_each_time_unless_it_calls_something_or_names_the_moment() {
        for constant in [
            "0",
            "(-1)",
            "'now and then (a)'::text",
            "'it''s'::character varying(10)",
            "(0)::numeric(10,2)",
            "true",
            "NULL",
            "ARRAY['a'::text]",
            "'10:00:00'::time(3) without time zone",
            "\"quoted\"",
            "'a'::public.mood",
            "(1 + 1)",
        ] {
            assert!(is_constant(constant), "{constant}");
        }
        for open in [
            "nextval('cust_no_seq'::regclass)",
            "now()",
            "random()",
            "(random())",
            "gen_random_uuid()",
            "CURRENT_TIMESTAMP",
            "(hex(randomblob(4)))",
            "('now'::text)::date",
            "public.\"Make\" (1)",
            "1 + strftime ('%s')",
            "SESSION_USER",
        ] {
            assert!(!is_constant(open), "{open}");
        }
    }

    #[test]
    fn a_number_of_the_row_is_one_of_its_own() {
        let column = Column { name: "id".to_string(), type_name: "INTEGER".to_string(), ..Column::default() };
        let table = Table { key: vec!["id".to_string()], ..Table::default() };
        assert!(column.makes_its_own(&table, EngineKind::Sqlite));
        assert!(!column.makes_its_own(&table, EngineKind::Postgresql));
        assert!(!column.makes_its_own(&Table::default(), EngineKind::Sqlite));
        let identity = Column { options: [("identity".to_string(), "always".to_string())].into(), ..column };
        assert!(identity.makes_its_own(&Table::default(), EngineKind::Postgresql));
    }
}
