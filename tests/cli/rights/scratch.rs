//! A scratch server with another user than the live one.

use super::*;

const ADD_MORE: &str = "aaaa00000001";

fn adds_a_table(sandbox: &Sandbox) {
    let more = "CREATE TABLE more (id INTEGER PRIMARY KEY); CREATE SEQUENCE counter;";
    let revision = Revision::new(ADD_MORE).revises(ADD_PROCESS_RANK).upgrade(more);
    sandbox.add(&revision.downgrade("DROP TABLE more; DROP SEQUENCE counter;"));
}

#[test]
fn a_superuser_of_a_scratch_server_rehearses_as_the_live_user() {
    let (db, sandbox) = filled();
    let scratch = Postgres::start();
    let url = scratch.url_as("postgres", "postgres");
    sandbox.write("ripcord.toml", format!("[proof]\nscratch_url = \"{url}\"\n"));
    adds_a_table(&sandbox);
    sandbox.ripcord(&["upgrade"]).expect_code(0).stdout_lacks("NOT PROVEN");
    assert_eq!((scratch.databases(), db.version()), (vec!["app".into(), "postgres".into()], ADD_MORE.into()));
}

#[test]
fn a_plain_user_of_a_scratch_server_proves_and_rehearses_without_owners() {
    let (db, sandbox) = filled();
    let scratch = Postgres::start();
    scratch.create_role("prover", "CREATEDB");
    let url = scratch.url_as("prover", "postgres");
    sandbox.write("ripcord.toml", format!("[proof]\nscratch_url = \"{url}\"\n"));
    adds_a_table(&sandbox);
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(0).stdout_lacks("NOT PROVEN");
    assert!(format!("{run}").contains("without owners and grants"), "{run}");
    assert_eq!((scratch.databases(), db.version()), (vec!["app".into(), "postgres".into()], ADD_MORE.into()));
}

#[test]
fn who_may_not_create_databases_is_told_what_a_rehearsal_needs() {
    let (db, sandbox) = filled();
    adds_a_table(&sandbox);
    admin(&db, "ALTER ROLE app NOCREATEDB;");
    let run = refuses(&sandbox, &db, &["rehearse"], 3, "a snapshot cannot be proven on this server");
    run.stderr_has("next: set proof.scratch_url in ripcord.toml").stderr_lacks("--proof none");
    let grant = "ALTER ROLE \"app\" CREATEDB";
    run.stderr_has(&format!(
        "next: or let this user make databases, and run the same command again: {grant}\n"
    ));
    admin(&db, grant);
    sandbox.ripcord(&["rehearse"]).expect_code(0);
}
