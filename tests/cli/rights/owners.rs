//! Owners that are not the user.

use super::*;

#[test]
fn a_database_of_a_group_is_proven_migrated_and_restored() {
    let db = TestDatabase::postgres();
    admin(&db, "CREATE ROLE grp; GRANT grp TO app; ALTER DATABASE app OWNER TO grp;");
    db.execute(
        "SET ROLE grp; CREATE TABLE of_group (id INTEGER PRIMARY KEY); INSERT INTO of_group VALUES (1);",
    );
    let sandbox = filled_sample_of(&db);
    let (backup, before) = saved(&db, &sandbox);
    db.execute("DROP TABLE of_group; DELETE FROM training_metric;");
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app';";
    assert_eq!(db.server().psql("app", owner), "grp\n");
    at(&sandbox, 3);
    sandbox.ripcord(&["downgrade"]).expect_code(0);
    leaves_nothing_behind_but(&db, "app_old_");
}

#[test]
fn an_object_in_the_schema_of_somebody_else_is_proven_and_restored_with_its_owner() {
    let (db, sandbox) = filled();
    admin(
        &db,
        "CREATE ROLE other; CREATE ROLE granted; GRANT other, granted TO app; CREATE SCHEMA s AUTHORIZATION app;
CREATE TABLE lodger (id INTEGER PRIMARY KEY); ALTER TABLE lodger OWNER TO other;
CREATE TABLE s.lodger (id INTEGER PRIMARY KEY); ALTER TABLE s.lodger OWNER TO other;
CREATE FUNCTION s.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION s.f() OWNER TO granted;
GRANT CREATE ON SCHEMA s TO granted; GRANT USAGE ON SCHEMA s TO other;",
    );
    let (backup, before) = saved(&db, &sandbox);
    db.execute("DROP SCHEMA s CASCADE; DROP TABLE lodger;");
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
    // In place as well.
    admin(&db, "ALTER ROLE app NOCREATEDB;");
    db.execute("DROP SCHEMA s CASCADE; DROP TABLE lodger;");
    at(&sandbox, 3);
    sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn a_database_of_somebody_else_is_restored_in_place_and_that_is_said_before() {
    let (db, sandbox) = filled();
    admin(&db, "CREATE ROLE boss; ALTER DATABASE app OWNER TO boss; GRANT CREATE ON SCHEMA public TO app;");
    at(&sandbox, 1);
    let run = sandbox.ripcord(&["downgrade"]);
    run.expect_code(0).stderr_has("belongs to boss").stderr_has("in place");
    at(&sandbox, 2);
    let (backup, before) = saved(&db, &sandbox);
    db.execute("DELETE FROM training_metric;");
    at(&sandbox, 3);
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0).stderr_has("belongs to boss");
    assert_same(&before, &db.dump(), &run);
    leaves_nothing_behind_but(&db, "app_old_");
    assert_eq!(db.server().databases(), ["app", "postgres"]);
}

#[test]
fn a_right_that_the_copy_of_a_rehearsal_cannot_miss_is_named() {
    let (db, sandbox) = filled();
    admin(
        &db,
        "CREATE ROLE boss; ALTER DATABASE app OWNER TO boss; REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
    );
    sandbox.add(
        &Revision::new("aaaa00000001")
            .revises(ADD_PROCESS_RANK)
            .upgrade("CREATE TABLE more (id INTEGER);")
            .downgrade("DROP TABLE more;"),
    );
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(4);
    run.stderr_has("GRANT CREATE ON SCHEMA \"public\" TO \"app\"");
    says_three_parts(&run, "permission denied for schema public");
    run.stderr_has("next: grant the user what the server names").stderr_lacks("mend the revision");
}

#[test]
fn what_belongs_to_the_superuser_is_named_before_anything_is_begun() {
    let (db, sandbox) = filled();
    admin(&db, "CREATE TABLE secret (id INTEGER); GRANT SELECT ON secret TO app;");
    let run = refuses(&sandbox, &db, &["downgrade"], 3, "the role owns table public.secret");
    run.stderr_has("postgres");
    assert_eq!(sandbox.backups().len(), 1);
    // Nor could a restore in place drop it.
    admin(&db, "DROP TABLE secret;");
    let (backup, _) = saved(&db, &sandbox);
    admin(&db, "ALTER ROLE app NOCREATEDB; CREATE TABLE secret (id INTEGER); GRANT SELECT ON secret TO app;");
    sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
    refuses(&sandbox, &db, &["restore", &backup], 3, "the role owns table public.secret");
}

#[test]
fn an_extension_that_only_a_superuser_may_create_is_named_with_the_remedy() {
    let (db, sandbox) = filled();
    if !has_extension(&db, "pageinspect") {
        return;
    }
    admin(&db, "CREATE EXTENSION pageinspect;");
    let run =
        refuses(&sandbox, &db, &["downgrade"], 3, "only a superuser may create the extension pageinspect");
    run.stderr_has("proof.scratch_url");
    // The remedy works, and so does the way back.
    let scratch = db.server().url_as("postgres", "postgres");
    sandbox.write("ripcord.toml", format!("[proof]\nscratch_url = \"{scratch}\"\n"));
    let before = db.dump();
    let run = sandbox.ripcord(&["downgrade"]);
    run.expect_code(0).stdout_lacks("NOT PROVEN");
    at(&sandbox, 2);
    let backup = name_of(&sandbox.backups().pop().unwrap());
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
}

/// No database is left but the usual ones, and those that a swap keeps.
#[track_caller]
fn leaves_nothing_behind_but(db: &TestDatabase, kept: &str) {
    let all = db.server().databases();
    let left: Vec<_> = all.iter().filter(|name| name.contains("ripcord") && !name.contains(kept)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn row_level_security_that_is_forced_names_the_attribute_that_is_missing_on_postgres() {
    let (db, sandbox) = filled();
    db.execute(
        "CREATE TABLE secret (id SERIAL PRIMARY KEY, who TEXT); INSERT INTO secret (who) VALUES ('app'), ('other');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secret USING (who = current_user);",
    );
    let run = sandbox.ripcord(&["backup", "create"]);
    run.expect_code(3).stderr_has("needs the attribute BYPASSRLS").stderr_has("state: nothing was changed");
    // A migration that forces it is refused before it runs on more than the copy.
    db.execute("ALTER TABLE secret NO FORCE ROW LEVEL SECURITY;");
    let force = Revision::new("ffff00000001").revises(ADD_PROCESS_RANK);
    sandbox.add(
        &force
            .upgrade("ALTER TABLE secret FORCE ROW LEVEL SECURITY;")
            .downgrade("ALTER TABLE secret NO FORCE ROW LEVEL SECURITY;"),
    );
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(3).stderr_has("needs the attribute BYPASSRLS").stderr_has("state: nothing was changed");
    admin(
        &db,
        "DO $$ BEGIN EXECUTE format('ALTER ROLE %I BYPASSRLS', (SELECT tableowner FROM pg_tables WHERE tablename = 'secret')); END $$",
    );
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
}
