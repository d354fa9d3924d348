//! A restore in place, for a user who may not create databases, of what an ordinary database holds.

use super::*;

/// A filled sample whose user may not create databases.
fn without_createdb() -> (TestDatabase, Sandbox) {
    let (db, sandbox) = filled();
    admin(&db, "ALTER ROLE app NOCREATEDB;");
    sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
    (db, sandbox)
}

#[test]
fn what_only_a_superuser_may_make_stops_a_restore_in_place_before_anything_is_lost() {
    let (db, sandbox) = without_createdb();
    admin(
        &db,
        "CREATE OPERATOR FAMILY many USING btree; ALTER OPERATOR FAMILY many USING btree OWNER TO app;",
    );
    let (backup, _) = saved(&db, &sandbox);
    db.execute("DELETE FROM training_metric WHERE id > 1;");
    refuses(&sandbox, &db, &["restore", &backup], 4, "must be superuser");
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
}

#[test]
fn operators_and_text_search_come_back_in_place() {
    let (db, sandbox) = without_createdb();
    db.execute(
        "CREATE TEXT SEARCH CONFIGURATION odd (COPY = simple);
CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple, STOPWORDS = english);
CREATE FUNCTION same(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = same);
CREATE OPERATOR !!! (RIGHTARG = integer, FUNCTION = abs);
CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);",
    );
    let (backup, before) = saved(&db, &sandbox);
    db.execute(
        "DELETE FROM training_metric; DROP OPERATOR === (integer, integer); DROP TYPE mood;
CREATE TEXT SEARCH CONFIGURATION since (COPY = english); CREATE OPERATOR ~~~ (RIGHTARG = integer, FUNCTION = abs);",
    );
    let since = db.dump();
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
    at(&sandbox, 3);
    let undone = follow(&sandbox, &undo_of(&run));
    undone.expect_code(0);
    assert_same(&since, &db.dump(), &undone);
}

#[test]
fn a_public_schema_that_was_dropped_or_opened_since_comes_back_in_place() {
    let (db, sandbox) = without_createdb();
    if db.server().major() < 15 {
        return;
    }
    admin(&db, "CREATE ROLE guest;");
    let (backup, before) = saved(&db, &sandbox);
    for (number, change) in [
        "DROP SCHEMA public CASCADE;",
        "GRANT CREATE ON SCHEMA public TO guest; REVOKE USAGE ON SCHEMA public FROM PUBLIC;",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE public.other (id INTEGER);",
    ]
    .into_iter()
    .enumerate()
    {
        db.execute(change);
        at(&sandbox, 3 + u32::try_from(number).unwrap());
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
    }
    // And the other way round: rights that the snapshot had.
    db.execute("GRANT CREATE ON SCHEMA public TO guest;");
    at(&sandbox, 10);
    let (backup, before) = saved(&db, &sandbox);
    db.execute("REVOKE CREATE ON SCHEMA public FROM guest;");
    at(&sandbox, 11);
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn extensions_stay_come_back_and_go_in_place() {
    let (db, sandbox) = without_createdb();
    if !["hstore", "pgcrypto", "citext"].iter().all(|name| has_extension(&db, name)) {
        return;
    }
    // One of a superuser with its comment, one of the user in a schema of its own.
    admin(&db, "CREATE EXTENSION hstore;");
    db.execute(
        "CREATE SCHEMA crypto; GRANT USAGE ON SCHEMA crypto TO PUBLIC; CREATE EXTENSION pgcrypto SCHEMA crypto;
CREATE TABLE bag (id INTEGER PRIMARY KEY, content hstore); INSERT INTO bag VALUES (1, 'a=>1');",
    );
    let (backup, before) = saved(&db, &sandbox);
    for (number, change) in [
        "DELETE FROM bag;",
        "CREATE EXTENSION citext; CREATE TABLE since (name citext);",
        "DROP EXTENSION pgcrypto; CREATE SCHEMA more; CREATE EXTENSION citext SCHEMA more;",
        "REVOKE USAGE ON SCHEMA crypto FROM PUBLIC;",
    ]
    .into_iter()
    .enumerate()
    {
        db.execute(change);
        at(&sandbox, 3 + u32::try_from(number).unwrap());
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
    }
}

#[test]
fn what_would_not_end_as_the_snapshot_is_undone_before_the_commit() {
    let (db, sandbox) = without_createdb();
    let (backup, _) = saved(&db, &sandbox);
    // It belongs to nobody, and only a superuser may drop it.
    admin(&db, "CREATE CAST (point AS macaddr) WITH INOUT;");
    db.execute("DELETE FROM training_metric WHERE id > 1;");
    let run = refuses(
        &sandbox,
        &db,
        &["restore", &backup],
        3,
        "it would not end as the snapshot: cast point AS macaddr",
    );
    run.stderr_has("state: nothing was changed");
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    leaves_nothing_behind(&sandbox, &db);
}

#[test]
fn an_extension_that_the_user_may_not_drop_is_named() {
    let (db, sandbox) = without_createdb();
    if !has_extension(&db, "hstore") {
        return;
    }
    let (backup, _) = saved(&db, &sandbox);
    admin(&db, "CREATE EXTENSION hstore;");
    db.execute("DELETE FROM training_metric WHERE id > 1;");
    let run = refuses(&sandbox, &db, &["restore", &backup], 3, "dropping the extension hstore");
    run.stderr_has("membership in postgres");
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
}

#[test]
fn a_restore_that_ended_otherwise_names_the_backup_of_what_was_there() {
    let (db, sandbox) = without_createdb();
    admin(&db, "CREATE ROLE guest; ALTER ROLE guest IN DATABASE app SET jit = off;");
    let (backup, _) = saved(&db, &sandbox);
    // Only a superuser may say that of another role again.
    admin(&db, "ALTER ROLE guest IN DATABASE app RESET jit;");
    let run = sandbox.ripcord(&["restore", &backup]);
    run.expect_code(5);
    let present = name_of(&sandbox.backups().pop().unwrap());
    assert_eq!(next_of(&run), ["restore", &present], "{run}");
    at(&sandbox, 4);
    follow(&sandbox, &next_of(&run)).expect_code(0);
}

#[test]
fn who_may_not_create_databases_restores_as_the_refusal_says() {
    let (db, sandbox) = filled();
    let (backup, before) = saved(&db, &sandbox);
    admin(&db, "ALTER ROLE app NOCREATEDB;");
    db.execute("DELETE FROM training_metric;");
    let run = refuses(&sandbox, &db, &["restore", &backup], 3, "a snapshot cannot be proven on this server");
    run.stderr_has("next: set proof.scratch_url in ripcord.toml").stderr_has("with --proof none");
    let run = sandbox.ripcord(&["restore", &backup, "--proof", "none"]);
    run.expect_code(0).stdout_has("NOT PROVEN");
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn a_way_back_is_not_barred_by_a_proof_that_the_user_may_not_make() {
    let (db, sandbox) = filled();
    let before = db.dump();
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "before {\"event\":\"started\",\"step\":\"verify\"");
    sandbox.ripcord(&["downgrade"]).expect_code(-6);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
    admin(&db, "ALTER ROLE app NOCREATEDB;");
    let since = db.dump();
    let run = sandbox.ripcord(&["recover", "--undo"]);
    run.expect_code(5);
    says_three_parts(&run, "creating a database beside the live one needs more rights");
    run.stderr_has("or go back without proving that the present state could be restored: ripcord recover --undo --proof none");
    assert_same(&since, &db.dump(), &run);
    let run = sandbox.ripcord(&["recover", "--undo", "--proof", "none"]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
}
