//! Code of the database runs in definitions, and reaches what no migration names.

use super::*;

/// A function that empties a table, and one that says that it only reads and calls it.
const PURGE: &str = "CREATE FUNCTION purge(word TEXT) RETURNS TEXT LANGUAGE plpgsql
AS $$ BEGIN DELETE FROM public.wide; RETURN word; END $$;
CREATE FUNCTION quiet() RETURNS TEXT STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN public.purge('a'); END $$;";

/// What a database has that writes nothing when something is defined.
const HARMLESS: &str = "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.wide; RETURN NEW; END $$;
CREATE TRIGGER stamp AFTER UPDATE ON scrap EXECUTE FUNCTION stamp();
CREATE FUNCTION slug(word TEXT) RETURNS TEXT IMMUTABLE LANGUAGE sql AS $$ SELECT lower(word) $$;
CREATE INDEX scrap_slug ON scrap (slug(word));
CREATE FUNCTION unused() RETURNS INTEGER LANGUAGE sql AS $$ DELETE FROM public.wide RETURNING id $$;";

const WITHOUT_ROWS: &[&str] = &["--proof", "schema"];
const UNREHEARSED: &[&str] = &["--no-rehearsal"];

#[track_caller]
fn asks(db: &TestDatabase, upgrade: &str, flags: &[&str], by: &str) {
    let sandbox = with(db, upgrade, "SELECT 1;");
    let arguments = [&["upgrade"], flags].concat();
    let run = refuses_to_lose(&sandbox, db, &arguments, "1 hazard is not accepted: opaque");
    run.stderr_has(&format!("can reach what it does not name, by {by}: ")).stderr_has("wide");
}

fn with_code(code: &str) -> TestDatabase {
    let db = TestDatabase::postgres();
    // An event trigger is for a superuser to make, and to have.
    db.server().psql("app", "ALTER ROLE app SUPERUSER;");
    db.execute(code);
    db
}

#[test]
fn a_function_that_converts_a_column_is_asked_for_as_it_can_empty_another_table() {
    let alter = "ALTER TABLE scrap ALTER COLUMN word TYPE VARCHAR(9) USING purge(word);";
    for flags in [WITHOUT_ROWS, UNREHEARSED] {
        asks(&with_code(PURGE), alter, flags, "function public.purge(word text)");
    }
    // It is no idle fear.
    let db = with_code(PURGE);
    let sandbox = with(&db, alter, "SELECT 1;");
    let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"]);
    run.expect_code(5).stderr_has("wide");
    assert_eq!(db.query("SELECT count(*) FROM wide;"), "0");
}

#[test]
fn a_default_of_an_empty_table_is_asked_for_where_its_function_calls_one_that_writes() {
    let alter = "ALTER TABLE empty_one ADD COLUMN more TEXT DEFAULT quiet();";
    asks(&with_code(PURGE), alter, UNREHEARSED, "function public.quiet()");
}

#[test]
fn a_function_that_the_migration_itself_makes_is_asked_for() {
    let upgrade = format!("{PURGE}\nALTER TABLE empty_one ADD CHECK (purge(word) > '');");
    asks(
        &TestDatabase::postgres(),
        &upgrade,
        UNREHEARSED,
        "the function of line 8 of migrations/versions/abcd00000001_revision_abcd00000001.sql",
    );
}

#[test]
fn a_definition_is_asked_for_where_an_event_trigger_can_delete_rows() {
    let guard = "CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql
AS $$ BEGIN IF to_regclass('public.fresh') IS NOT NULL THEN DELETE FROM public.wide; END IF; END $$;
CREATE EVENT TRIGGER guard ON ddl_command_end EXECUTE FUNCTION guard();";
    let create = "CREATE TABLE fresh (id INTEGER PRIMARY KEY);";
    for flags in [WITHOUT_ROWS, UNREHEARSED] {
        asks(&with_code(guard), create, flags, "event trigger guard");
    }
    let db = with_code(&format!("{guard} ALTER EVENT TRIGGER guard DISABLE;"));
    with(&db, create, "DROP TABLE fresh;").ripcord(&["upgrade", "--no-rehearsal"]).expect_code(0);
    assert_eq!(db.query("SELECT count(*) FROM wide;"), "3");
}

#[test]
fn a_domain_that_checks_by_a_function_is_asked_for_by_its_name() {
    let code = format!("{PURGE} CREATE DOMAIN word AS TEXT CHECK (purge(VALUE) > '');");
    let alter = "ALTER TABLE scrap ADD COLUMN more \"word\" DEFAULT 'a';";
    asks(&with_code(&code), alter, WITHOUT_ROWS, "domain public.word");
}

#[test]
fn definitions_that_call_what_the_server_brings_or_what_may_only_read_are_not_asked_for() {
    let db = TestDatabase::postgres();
    let upgrade = "ALTER TABLE empty_one ALTER COLUMN word TYPE VARCHAR(9) USING lower(left(word, 9));
ALTER TABLE empty_one ADD COLUMN made TIMESTAMP DEFAULT clock_timestamp();
ALTER TABLE empty_one ADD COLUMN slug TEXT GENERATED ALWAYS AS (slug(word)) STORED;
CREATE INDEX empty_one_word ON empty_one (upper(word)) WHERE length(word) > 1;";
    let sandbox = with(&db, upgrade, "SELECT 1;");
    db.execute(HARMLESS);
    sandbox.ripcord(&["upgrade", "--no-rehearsal"]).expect_code(0);
    let upgrade = "ALTER TABLE scrap ADD COLUMN slug TEXT GENERATED ALWAYS AS (slug(word)) STORED;
ALTER TABLE scrap ADD CHECK (length(word) < 9);
ALTER TABLE scrap DISABLE TRIGGER stamp;";
    sandbox.revision("abcd00000002", &[NEXT], upgrade, "SELECT 1;");
    at(&sandbox, 2);
    sandbox.ripcord(&["upgrade", "--proof", "schema"]).expect_code(0);
    assert_eq!(db.query("SELECT count(*) FROM wide;"), "3");
}
