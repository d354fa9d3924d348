//! Tables of cases; the laws that hold for every text are in `properties`.

use super::{EngineKind::*, *};
use crate::{catalog::TableName, plan::Touches};

const ENGINES: [EngineKind; 2] = [Sqlite, Postgresql];

fn mentions(statement: &Statement, name: &str) -> bool {
    Touches::Names(statement.identifiers.clone()).mentions(&TableName::plain(name))
}

fn texts(sql: &str, engine: EngineKind) -> Vec<String> {
    match split(sql, engine, 1) {
        Ok(statements) => statements.into_iter().map(|statement| statement.text).collect(),
        Err(error) => panic!("{engine:?}: {sql:?}: {error}"),
    }
}

fn error(sql: &str, engine: EngineKind) -> SplitError {
    match split(sql, engine, 1) {
        Ok(statements) => panic!("{engine:?}: {sql:?} was split into {statements:?}"),
        Err(error) => error,
    }
}

fn only(sql: &str, engine: EngineKind) -> Statement {
    let mut statements = split(sql, engine, 1).expect("splits");
    assert_eq!(statements.len(), 1, "{sql:?}: {statements:?}");
    statements.remove(0)
}

#[test]
fn both_engines_split_plain_statements_at_semicolons() {
    for (sql, expected) in [
        ("", vec![]),
        (" ;\n;; -- nothing\n/* at all */", vec![]),
        ("SELECT 1", vec!["SELECT 1"]),
        ("SELECT 1;\r\nSELECT 2 ;\r\n", vec!["SELECT 1", "SELECT 2"]),
        ("-- first; second\nSELECT 1 -- why; not\n;/* a;b */SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        ("SELECT 'a;b', 'it''s;', ''';'; SELECT ''", vec!["SELECT 'a;b', 'it''s;', ''';'", "SELECT ''"]),
        (r#"SELECT "a;b", "a"";" ; SELECT 2"#, vec![r#"SELECT "a;b", "a"";""#, "SELECT 2"]),
        ("SELECT 1--1;\n;SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        ("SELECT 4/2*3-1;SELECT 1/*;*/+1", vec!["SELECT 4/2*3-1", "SELECT 1/*;*/+1"]),
        ("SELECT 1.5e-3, 0x1F, .5;SELECT a->>'b;'", vec!["SELECT 1.5e-3, 0x1F, .5", "SELECT a->>'b;'"]),
        ("SELECT 'é;' AS ü;SELECT 2", vec!["SELECT 'é;' AS ü", "SELECT 2"]),
        ("SELECT x'ab;', begin_case_end;SELECT 2", vec!["SELECT x'ab;', begin_case_end", "SELECT 2"]),
    ] {
        for engine in ENGINES {
            assert_eq!(texts(sql, engine), expected, "{engine:?}: {sql:?}");
        }
    }
}

#[test]
fn each_engine_splits_by_its_own_quoting() {
    for (engine, sql, expected) in [
        (
            Sqlite,
            "SELECT [a;'b];SELECT `;` ;SELECT `a``;`",
            vec!["SELECT [a;'b]", "SELECT `;`", "SELECT `a``;`"],
        ),
        (Postgresql, "SELECT a[1];SELECT '{}'::int[]", vec!["SELECT a[1]", "SELECT '{}'::int[]"]),
        (Sqlite, r"SELECT 'a\';SELECT 2", vec![r"SELECT 'a\'", "SELECT 2"]),
        (Postgresql, r"SELECT 'a\';SELECT 2", vec![r"SELECT 'a\'", "SELECT 2"]),
        (Postgresql, r"SELECT E'a\';b\\';SELECT 2", vec![r"SELECT E'a\';b\\'", "SELECT 2"]),
        (Postgresql, r"SELECT fee'a\';SELECT 2", vec![r"SELECT fee'a\'", "SELECT 2"]),
        (Postgresql, "SELECT e'a' \n 'b\\';' ; SELECT 2", vec!["SELECT e'a' \n 'b\\';'", "SELECT 2"]),
        (
            Postgresql,
            "SELECT e'a' -- it's\n 'b\\';' ; SELECT 2",
            vec!["SELECT e'a' -- it's\n 'b\\';'", "SELECT 2"],
        ),
        (Postgresql, "SELECT e'a' 'b\\'; SELECT 2", vec!["SELECT e'a' 'b\\'", "SELECT 2"]),
        (Postgresql, r"SELECT U&'d\0061;\' ; SELECT 2", vec![r"SELECT U&'d\0061;\'", "SELECT 2"]),
        (Postgresql, r#"SELECT u&"d;\" ; SELECT 2"#, vec![r#"SELECT u&"d;\""#, "SELECT 2"]),
        (
            Postgresql,
            "SELECT $$a;'b$$;SELECT $x$ $$;$y$ $x$",
            vec!["SELECT $$a;'b$$", "SELECT $x$ $$;$y$ $x$"],
        ),
        (Postgresql, "SELECT $ä_1$;$ä_1$;SELECT 2", vec!["SELECT $ä_1$;$ä_1$", "SELECT 2"]),
        (Postgresql, "SELECT a$b$;SELECT c$b$", vec!["SELECT a$b$", "SELECT c$b$"]),
        (Postgresql, "SELECT $1;SELECT $2$q$;$q$", vec!["SELECT $1", "SELECT $2$q$;$q$"]),
        (Postgresql, "SELECT 1 /* a /* ; */ ; */;SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        (Sqlite, "SELECT 1 /* a /* ; */ ;SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        (Postgresql, "SELECT 1 -- a;\r;SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        (Sqlite, "SELECT 1 -- a;\r;SELECT 2", vec!["SELECT 1"]),
        (Sqlite, "\u{feff}SELECT 1;\u{feff}", vec!["SELECT 1"]),
        (Sqlite, "SELECT (1;SELECT 2", vec!["SELECT (1", "SELECT 2"]),
        (Postgresql, "SELECT 1);SELECT 2", vec!["SELECT 1)", "SELECT 2"]),
    ] {
        assert_eq!(texts(sql, engine), expected, "{engine:?}: {sql:?}");
    }
}

#[test]
fn a_body_belongs_to_its_statement() {
    for (engine, body) in [
        (Sqlite, "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = 1; DELETE FROM b; END"),
        (Sqlite, "create temp trigger t before delete on a begin select 1;\nend"),
        (Sqlite, "CREATE TEMPORARY TRIGGER \"end\" AFTER UPDATE OF [end] ON a BEGIN SELECT 1; END"),
        (
            Sqlite,
            "CREATE TRIGGER t UPDATE ON a BEGIN SELECT CASE WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END; END",
        ),
        (Sqlite, "CREATE TRIGGER t UPDATE ON a WHEN CASE a WHEN 1 THEN 2 END BEGIN SELECT 1 AS `end`; END"),
        (Sqlite, "CREATE TRIGGER t UPDATE ON a BEGIN SELECT ';END;'; /* ;END; */ SELECT 2; -- ;END;\nEND"),
        (Sqlite, "EXPLAIN QUERY PLAN CREATE TRIGGER t UPDATE ON a BEGIN SELECT 1; END"),
        (Postgresql, "CREATE RULE r AS ON UPDATE TO a DO ALSO (DELETE FROM b; INSERT INTO c VALUES (1))"),
        (Postgresql, "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END"),
        (
            Postgresql,
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT (CASE a WHEN 1 THEN 2 END); END",
        ),
        (
            Postgresql,
            "create or replace function f(a int) returns int begin atomic select a as end; select t.end from t; end",
        ),
        (
            Postgresql,
            "CREATE FUNCTION f() RETURNS trigger AS $f$ BEGIN UPDATE a SET x = 1; RETURN NEW; END $f$ LANGUAGE plpgsql",
        ),
        (Postgresql, "CREATE FUNCTION f() RETURNS int AS 'BEGIN; END;' LANGUAGE plpgsql"),
        (Postgresql, "DO $$ BEGIN PERFORM 1; END; $$"),
        (Postgresql, "SELECT CASE WHEN a THEN 1 END"),
    ] {
        assert_eq!(texts(&format!("SELECT 1; {body} ; SELECT 2;"), engine), ["SELECT 1", body, "SELECT 2"]);
        assert_eq!(texts(body, engine), [body], "the last semicolon may be missing");
    }
}

#[test]
fn what_looks_like_a_body_and_is_none_does_not_swallow_the_next_statement() {
    for (engine, sql, count) in [
        (Sqlite, "CREATE TABLE trigger_log (a); SELECT 1; SELECT 2", 3),
        (Sqlite, "DROP TRIGGER t; CREATE VIEW v AS SELECT 1; SELECT 2", 3),
        (Sqlite, "BEGIN; CREATE TABLE a (b); END; SELECT 1", 4),
        (Postgresql, "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f(); SELECT 1", 2),
        (Postgresql, "CREATE FUNCTION begin() RETURNS int AS '' LANGUAGE sql; SELECT 1", 2),
        (Postgresql, "BEGIN; SELECT 1; END", 3),
        (Postgresql, "CREATE TABLE a (b int DEFAULT (1)); SELECT 1", 2),
    ] {
        assert_eq!(texts(sql, engine).len(), count, "{sql:?}");
    }
}

#[test]
fn what_never_ends_is_reported_where_it_begins() {
    for (engine, sql, line, column, problem) in [
        (Sqlite, "SELECT 1;\n  SELECT 'a", 2, 10, Problem::UnterminatedString),
        (Postgresql, "SELECT 'é', E'a\\'", 1, 13, Problem::UnterminatedString),
        (Postgresql, "SELECT e'a\\", 1, 8, Problem::UnterminatedString),
        (Sqlite, "SELECT \"a", 1, 8, Problem::UnterminatedIdentifier),
        (Sqlite, "SELECT [a", 1, 8, Problem::UnterminatedIdentifier),
        (Sqlite, "SELECT `a``", 1, 8, Problem::UnterminatedIdentifier),
        (Sqlite, "SELECT 1 /* a", 1, 10, Problem::UnterminatedComment),
        (Postgresql, "SELECT 1\n/* /* */", 2, 1, Problem::UnterminatedComment),
        (Postgresql, "DO $f$ $$ $", 1, 4, Problem::UnterminatedDollarQuote { delimiter: "$f$".into() }),
        (Sqlite, "\nCREATE TRIGGER t UPDATE ON a BEGIN SELECT 1;", 2, 1, Problem::UnterminatedBody),
        (Postgresql, "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", 1, 1, Problem::UnterminatedBody),
        (Postgresql, "SELECT 1;\nSELECT (2; SELECT 3", 2, 8, Problem::UnclosedParenthesis),
    ] {
        assert_eq!(error(sql, engine), SplitError { line, column, problem }, "{sql:?}");
    }
}

#[test]
fn what_only_a_client_program_understands_is_refused_by_name() {
    let command = |text: &str| Problem::ClientCommand { command: text.into() };
    for (engine, sql, problem) in [
        (Postgresql, "\\copy t from 'f'", command("\\copy")),
        (Postgresql, "SELECT 1 \\gexec", command("\\gexec")),
        (Sqlite, ".read other.sql", command(".read")),
        (Postgresql, "COPY t (a, b) FROM STDIN;\n1\tit's\n\\.\n", Problem::CopyThroughClient),
        (Postgresql, "copy (SELECT 1) to stdout with csv", Problem::CopyThroughClient),
        (Sqlite, "SELECT :name", Problem::Parameter { name: ":name".into() }),
        (Sqlite, "SELECT ?1", Problem::Parameter { name: "?1".into() }),
        (Sqlite, "SELECT $a::b(c;d)", Problem::Parameter { name: "$a::b(c;d)".into() }),
        (Postgresql, "SET standard_conforming_strings = off", Problem::ChangesQuoting),
        (Postgresql, "SET LOCAL standard_conforming_strings TO 'off'", Problem::ChangesQuoting),
        (Sqlite, "SELECT 1;\0DROP TABLE t", Problem::Nul),
    ] {
        assert_eq!(error(sql, engine).problem, problem, "{sql:?}");
    }
    for accepted in [
        "COPY t FROM '/file'",
        "COPY (SELECT * FROM stdin) TO '/file'",
        "SET standard_conforming_strings = on",
        "SELECT $1, :x",
        "SELECT '\\copy'",
    ] {
        assert_eq!(texts(accepted, Postgresql), [accepted]);
    }
}

#[test]
fn a_directive_that_does_not_begin_its_line_is_refused() {
    for sql in [
        "SELECT 1; -- ripcord:downgrade\nDROP TABLE t",
        "/* Ripcord:downgrade */",
        "SELECT 1 /*\n ripcord:x */",
    ] {
        for engine in ENGINES {
            assert_eq!(error(sql, engine).problem, Problem::MisplacedDirective, "{sql:?}");
        }
    }
    assert_eq!(texts("SELECT '-- ripcord:downgrade' -- see ripcord:downgrade", Sqlite).len(), 1);
}

#[test]
fn a_statement_knows_its_place_and_its_hash() {
    let sql = "-- one\nSELECT 1;\n\n SELECT\n 2;";
    let statements = split(sql, Sqlite, 10).expect("splits");
    let places: Vec<_> =
        statements.iter().map(|statement| (statement.line, statement.range.clone())).collect();
    assert_eq!(places, [(11, 7..15), (13, 19..28)]);
    // printf 'SELECT 1' | sha256sum
    assert_eq!(statements[0].sha256, "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5");
}

#[test]
fn transaction_control_is_told_by_name() {
    for (engine, sql, expected) in [
        (Sqlite, "BEGIN IMMEDIATE", Some("BEGIN")),
        (Sqlite, "/* x */ commit", Some("COMMIT")),
        (Postgresql, "Start\n -- now\n Transaction", Some("START TRANSACTION")),
        (Postgresql, "ROLLBACK TO SAVEPOINT a", None),
        (Postgresql, "DO $$ BEGIN COMMIT; END $$", None),
        (Sqlite, "SELECT 1", None),
    ] {
        assert_eq!(only(sql, engine).transaction_control, expected, "{sql:?}");
    }
}

#[test]
fn every_name_a_statement_could_mean_is_collected() {
    for (engine, sql, name) in [
        (Postgresql, "ALTER TABLE Training_Metric ADD x int", "training_metric"),
        (Postgresql, "ALTER TABLE public.training_metric ADD x int", "public"),
        (Postgresql, "DROP TABLE public.\"My \"\"Table\"", "My \"Table"),
        (Postgresql, r#"DROP TABLE U&"d\0061t\+000061""#, "data"),
        (Postgresql, r#"DROP TABLE U&"d!0061ta" UESCAPE '!'"#, "data"),
        (Postgresql, r#"DROP TABLE U&"\D83D\DE00""#, "😀"),
        (Postgresql, "DO $$ BEGIN EXECUTE 'DROP TABLE Gone'; END $$", "gone"),
        (Postgresql, "DO $f$ BEGIN EXECUTE format('DROP TABLE %I', 'My Table'); END $f$", "My"),
        (Postgresql, "DO 'BEGIN EXECUTE ''DROP TABLE \"My Table\"''; END'", "My Table"),
        (Postgresql, "SELECT drop_it('My Table')", "My Table"),
        (Postgresql, r"DO E'BEGIN EXECUTE \'DROP TABLE\ngone\'; END'", "gone"),
        (Postgresql, r"DO $$ BEGIN EXECUTE E'DROP TABLE\ngone'; END $$", "gone"),
        (Postgresql, r"SELECT drop_it(E'\x67\157n\u0065')", "gone"),
        (Postgresql, r"SELECT drop_it(E'caf\xc3\xa9')", "café"),
        (Postgresql, "SELECT drop_it('go'\n'ne')", "gone"),
        (Postgresql, "DO $$ BEGIN EXECUTE $q$DROP TABLE a$b$q$; END $$", "a$b"),
        (Postgresql, "DO $$ BEGIN EXECUTE $q$gone$q$; END $$", "gone"),
        (Postgresql, "DROP TABLE ÄRGER", "ärger"),
        (Postgresql, "SELECT 1FROM gone", "gone"),
        (Sqlite, "DROP TABLE [My Table]", "my table"),
        (Sqlite, "DROP TABLE `My Table`", "My Table"),
        (Sqlite, "DROP TABLE 'My Table'", "MY TABLE"),
        (Sqlite, "DROP TABLE main.Gone", "GONE"),
        (Sqlite, "CREATE TRIGGER t UPDATE ON a BEGIN DELETE FROM gone; END", "gone"),
    ] {
        let statement = only(sql, engine);
        assert!(mentions(&statement, name), "{sql:?} names {name:?}: {:?}", statement.identifiers);
    }
}

#[test]
fn a_name_too_long_for_postgresql_is_also_collected_as_the_server_cuts_it() {
    let long = "é".repeat(40);
    let statement = only(&format!("DROP TABLE \"{long}\""), Postgresql);
    assert!(mentions(&statement, &"é".repeat(31)), "62 bytes: the 63rd would cut a character");
}

#[test]
fn what_a_statement_does_not_mention_is_not_collected() {
    let statement = only("ALTER TABLE training_metric ADD COLUMN x int -- not training_config\n", Postgresql);
    assert!(!mentions(&statement, "training_config"));
    assert!(!mentions(&statement, "training"));
}
