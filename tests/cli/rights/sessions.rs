//! Sessions that the user may not end, and databases that let nobody in.

use super::*;
use std::process::{Child, Stdio};

/// Somebody else at work in the database.
struct Somebody(Child);

impl Somebody {
    fn works(db: &TestDatabase, role: &str) -> (Somebody, String) {
        let mut psql = db.server().client("psql", role);
        psql.args(["-X", "-d", "app", "-c", "SELECT pg_sleep(600)"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let somebody = Somebody(psql.spawn().unwrap());
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND query LIKE '%sleep%' \
             AND pid <> pg_backend_pid();"
        );
        assert_eq!(db.server().ends_with(&count, "1"), "1");
        let pid = format!(
            "SELECT pid FROM pg_stat_activity WHERE usename = '{role}' AND query LIKE '%sleep%' \
             AND pid <> pg_backend_pid();"
        );
        let pid = db.server().psql("app", &pid).trim().to_owned();
        (somebody, pid)
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_session_that_may_not_be_ended_is_named_before_anybody_is_kept_out() {
    let (db, sandbox) = filled();
    db.server().create_role("boss", "");
    let (backup, _) = saved(&db, &sandbox);
    db.execute("DELETE FROM training_metric WHERE id > 1;");
    let (boss, pid) = Somebody::works(&db, "boss");
    let run = refuses(
        &sandbox,
        &db,
        &["restore", &backup],
        3,
        &format!("ending process {pid} (psql) of user boss"),
    );
    run.stderr_has(&format!("warning: process {pid}"));
    run.stderr_has("GRANT pg_signal_backend TO \"app\"").stderr_has("state: nothing was changed");
    assert_eq!(db.server().databases(), ["app", "postgres"]);
    // The grant that is named is enough.
    admin(&db, "GRANT pg_signal_backend TO app;");
    at(&sandbox, 3);
    sandbox.ripcord(&["restore", &backup]).expect_code(0);
    drop(boss);
    assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
}

#[test]
fn a_database_that_an_operation_left_barred_leads_to_recovery() {
    let (db, sandbox) = filled();
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "6");
    let died = sandbox.ripcord(&["backup", "create"]);
    assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
    db.server().psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false;");
    for arguments in [&["current"][..], &["verify"]] {
        let run = sandbox.ripcord(arguments);
        run.expect_code(8);
        assert_eq!(next_of(&run), ["recover"], "{run}");
    }
    // Where ripcord did nothing, it does not claim it.
    db.server().psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS true;");
    sandbox.ripcord(&["recover"]).expect_code(0);
    db.server().psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false;");
    let run = sandbox.ripcord(&["current"]);
    run.expect_code(4).stderr_has("lets nobody in").stderr_has("ALTER DATABASE");
    db.server().psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS true;");
}

#[test]
fn a_difference_names_the_operation_that_did_not_come_to_its_end() {
    let (db, sandbox) = filled();
    let revision =
        Revision::new("aaaa00000001").revises(ADD_PROCESS_RANK).upgrade("CREATE TABLE more (id INTEGER);");
    sandbox.add(&revision.downgrade("DROP TABLE more;"));
    sandbox.ripcord(&["verify"]).expect_code(6).stdout_lacks("did not come to its end");
    let upgrade = ["upgrade", "--proof", "none", "--accept", "opaque"];
    for checkpoint in 8.. {
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
        let died = sandbox.ripcord(&upgrade);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
        if db.version() == "aaaa00000001" {
            break;
        }
        sandbox.ripcord(&["recover"]).expect_code(0);
    }
    let run = sandbox.ripcord(&["verify"]);
    run.expect_code(6).stdout_has("did not come to its end").stdout_has("next: ripcord recover");
}
