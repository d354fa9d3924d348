use super::super::Unseen;
use super::super::opaque::tests::told_with;
use super::*;
use crate::catalog::Column;
use proptest::prelude::*;

fn object(kind: &str, definition: &str) -> Object {
    Object { kind: kind.to_string(), definition: definition.to_string(), ..Object::default() }
}

/// A function as PostgreSQL prints it.
fn function(name: &str, header: &str, body: &str) -> (String, Object) {
    let definition =
        format!("CREATE OR REPLACE FUNCTION public.{name}()\n{header}\nAS $function${body}$function$\n");
    (format!("function public.{name}()"), object("function", &definition))
}

/// One that may write.
fn purge() -> (String, Object) {
    function("purge", " RETURNS integer\n LANGUAGE plpgsql", "BEGIN DELETE FROM other; RETURN 1; END")
}

fn catalog(objects: impl IntoIterator<Item = (String, Object)>) -> Catalog {
    Catalog { objects: objects.into_iter().collect(), ..Catalog::default() }
}

/// What is said of a plan that names no table with rows.
fn told(catalog: &Catalog, texts: &[&str]) -> Option<String> {
    told_with(catalog.clone(), texts, Unseen::Everything)
}

#[track_caller]
fn asks(catalog: &Catalog, texts: &[&str], by: &str) {
    for unseen in [Unseen::Everything, Unseen::Rows] {
        let said = told_with(catalog.clone(), texts, unseen).unwrap_or_default();
        // The word FULL is a table's name as well.
        let reaches = said.contains(&format!("can reach what it does not name, by {by}: "));
        assert!(reaches && said.starts_with("7: ") && said.ends_with("other"), "{texts:?}: {said}");
    }
}

#[test]
fn a_definition_that_names_a_function_can_reach_what_it_does_not_name() {
    let catalog = catalog([purge()]);
    for text in [
        "ALTER TABLE empty ALTER COLUMN a TYPE INT USING purge()",
        "ALTER TABLE empty ADD COLUMN b INT DEFAULT public.purge()",
        "ALTER TABLE empty ADD CHECK (\"purge\"() > 0)",
        "ALTER TABLE empty ALTER COLUMN a SET DEFAULT purge()",
        "CREATE INDEX i ON empty ((purge()))",
        "CREATE INDEX i ON empty (a) WHERE purge() > 0",
        "CREATE TABLE fresh (a INT GENERATED ALWAYS AS (purge()) STORED)",
        "CREATE TABLE fresh PARTITION OF parent FOR VALUES IN (purge())",
        "ALTER DOMAIN d ADD CHECK (purge() > VALUE)",
        "CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM purge",
    ] {
        asks(&catalog, &[text], "function public.purge()");
    }
}

#[test]
fn what_computes_nothing_or_calls_nothing_of_the_databases_own_is_not_asked_for() {
    let catalog = catalog([purge()]);
    for text in [
        "ALTER TABLE empty ALTER COLUMN a TYPE INT USING length(lower(a))",
        "ALTER TABLE empty ADD COLUMN b TIMESTAMP DEFAULT now()",
        "CREATE INDEX i ON empty (lower(a)) WHERE a IS NOT NULL",
        "CREATE TABLE fresh (a INT DEFAULT purge())",
        "CREATE OR REPLACE FUNCTION purge() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER t AFTER INSERT ON empty EXECUTE FUNCTION purge()",
        "CREATE VIEW v AS SELECT purge()",
        "DROP FUNCTION purge()",
        "COMMENT ON FUNCTION purge() IS 'old'",
        "GRANT EXECUTE ON FUNCTION purge() TO app",
        "ALTER FUNCTION purge() OWNER TO app",
        "ANALYZE empty",
        "SELECT 1",
    ] {
        assert_eq!(told(&catalog, &[text]), None, "{text}");
    }
}

#[test]
fn a_function_that_the_plan_makes_counts_wherever_it_is_made() {
    let none = Catalog::default();
    let uses = "ALTER TABLE empty ADD COLUMN b INT DEFAULT purge()";
    for makes in [
        "CREATE FUNCTION purge() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION app.\"purge\"(a INT) RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE purge (INT) (SFUNC = f, STYPE = INT)",
        "CREATE FUNCTION /* not (this) */ other_one() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION f() RENAME TO purge",
        "ALTER ROUTINE f() VOLATILE",
    ] {
        asks(&none, &[makes, uses], "the function of line 7 of 5f2c.sql");
        asks(&none, &[uses, makes], "the function of line 7 of 5f2c.sql");
    }
    for harmless in [
        "CREATE FUNCTION purge() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE FUNCTION another() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION purge() OWNER TO app",
    ] {
        assert_eq!(told(&none, &[harmless, uses]), None, "{harmless}");
    }
}

#[test]
fn any_definition_sets_off_an_event_trigger() {
    let fires = |definition: &str| {
        catalog([("event trigger guard".to_string(), object("event trigger", definition))])
    };
    let enabled = fires("ON ddl_command_end EXECUTE FUNCTION public.f O TAGS ");
    for text in [
        "CREATE TABLE fresh (a INT)",
        "DROP TABLE empty",
        "ALTER TABLE empty ADD a INT",
        "COMMENT ON TABLE empty IS ''",
    ] {
        asks(&enabled, &[text], "event trigger guard");
        for other in [
            fires("ON ddl_command_end EXECUTE FUNCTION public.f D TAGS DROP TABLE"),
            fires("ON login EXECUTE FUNCTION public.f O TAGS "),
        ] {
            assert_eq!(told(&other, &[text]), None, "{text}");
        }
        let made = ["CREATE EVENT TRIGGER g ON sql_drop EXECUTE FUNCTION f()", text];
        asks(&Catalog::default(), &made, "the event trigger of line 7 of 5f2c.sql");
    }
    for text in ["SET lock_timeout = 1", "VACUUM", "SELECT 1", "CREATE ROLE app", "DROP EVENT TRIGGER guard"]
    {
        assert_eq!(told(&enabled, &[text]), None, "{text}");
    }
    let off = fires("ON ddl_command_end EXECUTE FUNCTION public.f D TAGS ");
    asks(
        &off,
        &["ALTER EVENT TRIGGER guard ENABLE", "DROP TABLE empty"],
        "the event trigger of line 7 of 5f2c.sql",
    );
}

#[test]
fn a_function_that_the_server_lets_write_nothing_does_not_count() {
    let text = "CREATE INDEX i ON full ((slug()))";
    let judged = |header: &str, body: &str| {
        told_with(catalog([function("slug", header, body), purge()]), &[text], Unseen::Rows)
    };
    assert_eq!(judged(" RETURNS text\n LANGUAGE sql\n IMMUTABLE STRICT", "SELECT lower('A')"), None);
    assert_eq!(judged(" RETURNS text\n LANGUAGE plpgsql\n STABLE", "BEGIN RETURN ''; END"), None);
    assert_eq!(judged(" RETURNS trigger\n LANGUAGE plpgsql", "BEGIN RETURN NEW; END"), None);
    for (header, body) in [
        (" RETURNS text\n LANGUAGE sql", " SELECT 1 -- IMMUTABLE STABLE \n"),
        (" RETURNS text\n LANGUAGE plpython3u\n IMMUTABLE", ""),
        (" RETURNS text\n LANGUAGE plpgsql\n IMMUTABLE", "BEGIN EXECUTE 'SELECT pur' || 'ge()'; END"),
        (" RETURNS text\n LANGUAGE sql\n IMMUTABLE", "SELECT purge()"),
        (" RETURNS text\n LANGUAGE sql\n STABLE", "SELECT dblink_exec('DELETE FROM other')"),
        (" RETURNS text\n LANGUAGE sql\n SET a TO 'b IMMUTABLE'", "SELECT 1"),
    ] {
        assert!(judged(header, body).is_some(), "{header} {body}");
    }
}

#[test]
fn what_calls_a_function_where_it_is_used_counts_by_its_name() {
    let kinds = [
        ("domain public.\"Positive int\"", "domain", "integer CONSTRAINT c CHECK ((public.purge() > 0))"),
        ("type public.pair", "type", "COMPOSITE (a integer, b public.\"Positive int\")"),
        ("foreign data wrapper w", "foreign data wrapper", "HANDLER - VALIDATOR public.purge"),
        ("foreign server far", "foreign server", "FOREIGN DATA WRAPPER w TYPE NULL VERSION NULL OPTIONS ()"),
    ];
    let objects = kinds.map(|(key, kind, definition)| (key.to_string(), object(kind, definition)));
    let mut catalog = catalog(objects.into_iter().chain([purge()]));
    let checked = Table {
        constraints: [("c".to_string(), "CHECK ((purge() > 0))".to_string())].into(),
        ..Table::default()
    };
    catalog.tables.insert(TableName::qualified("public", "empty"), checked);
    asks(&catalog, &["ALTER TABLE bare ADD a \"Positive int\""], "domain public.\"Positive int\"");
    asks(&catalog, &["ALTER TABLE bare ADD a pair[]"], "type public.pair");
    asks(&catalog, &["CREATE FOREIGN TABLE fresh (a INT) SERVER far"], "foreign server far");
    asks(&catalog, &["ALTER TABLE empty VALIDATE CONSTRAINT c"], "table public.empty");
    for text in ["ANALYZE", "REINDEX SCHEMA public", "VACUUM FULL"] {
        asks(&catalog, &[text], "table public.empty");
    }
    assert_eq!(told(&catalog, &["ALTER TABLE bare ADD a INT"]), None);
    let column = Column { name: "a".into(), type_name: "public.pair".into(), ..Column::default() };
    catalog.tables.insert(TableName::plain("typed"), Table { columns: vec![column], ..Table::default() });
    asks(&catalog, &["ALTER TABLE typed ADD b INT"], "table typed");
}

#[test]
fn what_calls_a_function_without_a_name_counts_for_whatever_is_computed() {
    for (key, kind, definition) in [
        (
            "operator public.<+>(integer,integer)",
            "operator",
            "FUNCTION public.purge(integer,integer) RETURNS integer",
        ),
        ("cast text AS integer", "cast", "f a public.purge(text)"),
        ("operator class public.o USING btree", "operator class", "FOR TYPE integer DEFAULT f MEMBERS purge"),
    ] {
        let entry = || (key.to_string(), object(kind, definition));
        asks(&catalog([entry(), purge()]), &["ALTER TABLE empty ALTER COLUMN a TYPE INT"], key);
        // Made of functions that nobody wrote, it runs nothing.
        assert_eq!(told(&catalog([entry()]), &["ALTER TABLE empty ALTER COLUMN a TYPE INT"]), None);
        assert_eq!(told(&catalog([entry(), purge()]), &["DROP TABLE empty"]), None);
    }
    let uses = "ALTER TABLE empty ADD a INT";
    for (makes, what) in [
        ("CREATE DOMAIN d AS INT CHECK (purge() > 0)", "the domain of line 7 of 5f2c.sql"),
        ("CREATE CAST (TEXT AS INT) WITH FUNCTION purge(TEXT)", "the cast of line 7 of 5f2c.sql"),
        ("CREATE OPERATOR <+> (FUNCTION = purge)", "the operator of line 7 of 5f2c.sql"),
    ] {
        asks(&catalog([purge()]), &[makes, uses], what);
        assert_eq!(told(&Catalog::default(), &[makes, uses]), None);
    }
}

/// Functions that may only read, f0 to f7, each with whether it says that it may write after all, and what it calls.
fn calls() -> impl Strategy<Value = Vec<(bool, Vec<usize>)>> {
    proptest::collection::vec((proptest::bool::weighted(0.2), proptest::collection::vec(0..8usize, 0..3)), 8)
}

fn reaches_a_writer(graph: &[(bool, Vec<usize>)], from: usize, seen: &mut BTreeSet<usize>) -> bool {
    let (writes, calls) = &graph[from];
    *writes || seen.insert(from) && calls.iter().any(|next| reaches_a_writer(graph, *next, seen))
}

proptest! {
    #[test]
    fn a_function_counts_exactly_if_one_that_may_write_is_among_those_it_can_call(graph in calls(), used in 0..8usize) {
        let objects = graph.iter().enumerate().map(|(number, (writes, calls))| {
            let declared = if *writes { "" } else { "\n STABLE" };
            let body: Vec<String> = calls.iter().map(|next| format!("f{next}()")).collect();
            function(&format!("f{number}"), &format!(" RETURNS integer\n LANGUAGE sql{declared}"), &body.join(" + "))
        });
        let text = format!("ALTER TABLE empty ADD CHECK (F{used}() > 0)");
        let asked = told(&catalog(objects), &[text.as_str()]).is_some();
        prop_assert_eq!(asked, reaches_a_writer(&graph, used, &mut BTreeSet::new()));
    }

    #[test]
    fn more_code_never_asks_for_less(kept in 0..64u32, statement in 0..6usize) {
        let whole = [
            purge(),
            function("slug", " RETURNS text\n LANGUAGE sql\n IMMUTABLE", "SELECT purge()"),
            ("domain public.d".to_string(), object("domain", "integer CHECK ((slug() > VALUE))")),
            ("cast d AS text".to_string(), object("cast", "f a slug(d)")),
            ("view public.v".to_string(), object("view", "SELECT slug()")),
            ("event trigger e".to_string(), object("event trigger", "ON sql_drop EXECUTE FUNCTION public.f O TAGS ")),
        ];
        let text = [
            "ALTER TABLE empty ADD a d", "CREATE INDEX i ON empty ((slug()))", "DROP TABLE empty",
            "ALTER TABLE empty ADD a INT DEFAULT purge()", "SELECT 1", "CREATE TABLE fresh (a INT)",
        ][statement];
        let some = whole.iter().enumerate().filter(|(at, _)| kept & (1 << at) != 0).map(|(_, entry)| entry.clone());
        let fewer = told(&catalog(some), &[text]).is_some();
        prop_assert!(!fewer || told(&catalog(whole), &[text]).is_some());
    }
}
