//! Laws that hold for every text.

use proptest::prelude::*;
use rusqlite::fallible_iterator::FallibleIterator;

use super::{lexer::Lexer, *};

/// Texts made of the pieces that decide how SQL is read, in any order, so that most of them are broken.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("''"),
        Just("\""),
        Just("`"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just(";"),
        Just("--"),
        Just("\n"),
        Just("\r"),
        Just("/*"),
        Just("*/"),
        Just("$$"),
        Just("$a$"),
        Just("$"),
        Just("\\"),
        Just("E'"),
        Just("U&'"),
        Just("U&\""),
        Just("UESCAPE '!'"),
        Just("x"),
        Just("é"),
        Just("1"),
        Just("."),
        Just(" "),
        Just("CREATE TRIGGER "),
        Just("CREATE FUNCTION "),
        Just("BEGIN "),
        Just("ATOMIC "),
        Just("CASE "),
        Just("END "),
        Just("COPY "),
        Just("FROM STDIN"),
        Just("\u{feff}"),
        Just("\0"),
        Just(":a"),
        Just("?1"),
        Just("@"),
        Just("\\D83D"),
        Just("\\u00e9"),
        Just("\\x"),
        Just("\\8"),
        Just("\\+"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![pieces(), any::<String>()]
}

fn engines() -> impl Strategy<Value = EngineKind> {
    prop_oneof![Just(EngineKind::Sqlite), Just(EngineKind::Postgresql)]
}

/// A statement for the engine that holds any text at all, well quoted: as a literal, an identifier, a comment.
fn quoted(engine: EngineKind) -> impl Strategy<Value = String> {
    (any_text(), 0..8).prop_map(move |(text, form)| quote(engine, form, &text.replace('\0', "")))
}

fn quote(engine: EngineKind, form: i32, text: &str) -> String {
    let literal = format!("'{}'", text.replace('\'', "''"));
    match (engine, form) {
        (_, 0) => format!("SELECT {literal}"),
        (_, 1) => format!("SELECT 1 AS \"{}\"", text.replace('"', "\"\"")),
        // A dot first, or the comment could be taken for a directive.
        (_, 2) => format!("SELECT 1 --.{}\n+ 1", text.replace(['\n', '\r'], " ")),
        (_, 3) => format!("SELECT /*.{}*/ 1", text.replace(['*', '/'], "")),
        (EngineKind::Sqlite, 4) => format!("SELECT 1 AS [{}]", text.replace(']', "")),
        (EngineKind::Sqlite, 5) => format!("SELECT 1 AS `{}`", text.replace('`', "``")),
        (EngineKind::Sqlite, _) => {
            format!(
                "CREATE TRIGGER t UPDATE ON a BEGIN SELECT {literal}; SELECT CASE 1 WHEN 1 THEN 2 END; END"
            )
        }
        (EngineKind::Postgresql, 4) => {
            format!("SELECT E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        (EngineKind::Postgresql, 5) => format!("DO $q${}$q$", text.replace('$', "")),
        (EngineKind::Postgresql, 6) => format!("SELECT U&{literal}"),
        (EngineKind::Postgresql, _) => {
            format!("CREATE RULE r AS ON UPDATE TO a DO (SELECT {literal}; SELECT 2)")
        }
    }
}

proptest! {
    #[test]
    fn splitting_never_panics_and_errors_point_into_the_text(sql in any_text(), engine in engines()) {
        if let Err(error) = split(&sql, engine, 1) {
            let line = sql.split('\n').nth(error.line - 1);
            prop_assert!(line.is_some_and(|line| error.column <= line.chars().count() + 1), "{error:?}");
        }
    }

    #[test]
    fn tokens_follow_each_other_without_a_gap(sql in any_text(), engine in engines()) {
        let mut end = 0;
        for token in Lexer::new(&sql, engine) {
            let Ok(token) = token else { return Ok(()) };
            prop_assert_eq!(token.range.start, end);
            prop_assert!(token.range.end > end);
            end = token.range.end;
        }
        prop_assert_eq!(end, sql.len());
    }

    #[test]
    fn statements_and_what_parts_them_are_the_whole_text(sql in any_text(), engine in engines()) {
        let Ok(statements) = split(&sql, engine, 1) else { return Ok(()) };
        let mut joined = String::new();
        let mut end = 0;
        for statement in &statements {
            let between = &sql[end..statement.range.start];
            // Nothing between two statements is one: only white space, comments and semicolons.
            prop_assert_eq!(split(between, engine, 1).map(|found| found.len()), Ok(0));
            joined += between;
            joined += &statement.text;
            end = statement.range.end;
        }
        prop_assert_eq!(split(&sql[end..], engine, 1).map(|found| found.len()), Ok(0));
        prop_assert_eq!(joined + &sql[end..], sql);
    }

    #[test]
    fn a_statement_alone_is_one_statement_again(sql in any_text(), engine in engines()) {
        for statement in split(&sql, engine, 1).unwrap_or_default() {
            let again = split(&statement.text, engine, statement.line);
            prop_assert_eq!(again.map(|found| found.into_iter().map(|one| (one.text, one.identifiers)).collect()),
                Ok(vec![(statement.text, statement.identifiers)]));
        }
    }

    #[test]
    fn quoting_never_changes_the_number_of_statements(
        (engine, statements) in engines()
            .prop_flat_map(|engine| (Just(engine), prop::collection::vec(quoted(engine), 0..6))),
        separator in prop_oneof![Just(";"), Just(" ;\n"), Just("; -- it's;\n"), Just("/* ;' */;;\r\n")],
    ) {
        let sql = statements.join(separator);
        let found: Vec<String> = split(&sql, engine, 1)
            .map_err(|error| TestCaseError::fail(format!("{error}")))?
            .into_iter().map(|statement| statement.text).collect();
        prop_assert_eq!(found, statements);
    }

    #[test]
    fn sqlite_itself_ends_statements_where_the_splitter_does(
        statements in prop::collection::vec(quoted(EngineKind::Sqlite), 0..6),
        separator in prop_oneof![Just(";"), Just(" ;;\n"), Just("; -- it's;\n"), Just("/* ;' */;\r\n")],
    ) {
        let sql = statements.join(separator);
        let database = rusqlite::Connection::open_in_memory()?;
        database.execute_batch("CREATE TABLE a (x)")?;
        let seen = rusqlite::Batch::new(&database, &sql).count()?;
        prop_assert_eq!(split(&sql, EngineKind::Sqlite, 1).map(|found| found.len()), Ok(seen));
    }
}
