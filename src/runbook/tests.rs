use super::*;
use crate::store::sample;

fn facts() -> RunbookFacts {
    RunbookFacts {
        tables: 2,
        rows: 1000,
        ..RunbookFacts::of(&sample::manifest("20261123T181500Z-upgrade-5f2c"))
    }
}

fn postgresql() -> RunbookFacts {
    let database = DatabaseId {
        engine: EngineKind::Postgresql,
        place: "db.example:5432".to_string(),
        name: "O'Brien".to_string(),
        system: Some("7301".to_string()),
    };
    RunbookFacts { database, engine_version: "15.18".to_string(), ..facts() }
}

#[test]
fn the_page_of_a_sqlite_backup() {
    insta::assert_snapshot!(text(&facts()), @r#"
    # Backup 20261123T181500Z-upgrade-5f2c

    Taken right before an upgrade of SQLite /srv/app/database.db, by ripcord 0.1.0.
    Run the commands below in the folder that holds this page; those that begin with
    `ripcord`, in the project's folder, with the same `--database-url` as before if there was one.

    | | |
    |---|---|
    | Moment | 2026-11-23 18:15:00 UTC |
    | Engine | SQLite 3.51.3 |
    | Revision in this backup | 1975ea83b712 |
    | Revision it was to end at | 5f2c81d0a3be |
    | Data | 2 tables, 1000 rows |
    | Taken by | sqlite page copy |
    | Proven to restore | yes, 2 tables, 1000 rows: opened as a database, every row compared |

    ## 1. Look first

    How did the operation end, and is this backup whole?

    ```console
    $ ripcord log 20261123T181500Z-upgrade-5f2c
    $ ripcord backup verify 20261123T181500Z-upgrade-5f2c
    ```

    If the log says that it is unfinished: `ripcord recover` first. Without ripcord, every line of this must end with `OK`:

    ```console
    $ sha256sum -c SHA256SUMS
    ```

    ## 2. What a restore loses

    Everything written to the database since the snapshot (2026-11-23 18:15:00 UTC): rows added since are gone,
    rows changed since are as they were, rows deleted since are back. Stop the application first, so that it
    loses nothing more.

    ## 3. Restore with ripcord

    ```console
    $ ripcord restore 20261123T181500Z-upgrade-5f2c
    ```

    It saves the present state as a backup of its own first, compares what it restored with this backup, and
    prints the command that undoes it. To look at the old data without touching the live database:

    ```console
    $ ripcord restore 20261123T181500Z-upgrade-5f2c --to sqlite:///beside.db
    ```

    ## 4. Restore without ripcord

    With `sqlite3`, `sha256sum`; what is there now is kept under another name.

    ```console
    $ umask 077
    $ sqlite3 /srv/app/database.db ".backup '../20261123T181500Z-upgrade-5f2c-replaced.db'"
    $ sh RESTORE.sh /srv/app/database.db --overwrite
    ```

    What `RESTORE.sh` does, should you have to do it by hand:

    ```console
    $ sha256sum -c SHA256SUMS
    $ sqlite3 /srv/app/database.db ".restore 'snapshot/database.db'"
    $ sqlite3 /srv/app/database.db 'PRAGMA integrity_check'
    ```

    ## 5. Who to ask

    The journal says who ran the operation, on which machine, and how each step of it went: `ripcord log`,
    `journal.jsonl` in this folder, or `../.operations/20261123T181500Z-upgrade-5f2c.jsonl`. What the database looked like is in
    `before.json`. What every file means is in ripcord's `docs/format.md`.
    "#);
}

#[test]
fn the_page_of_a_postgresql_backup_quotes_its_name_for_shell_and_sql() {
    let page = text(&postgresql());
    let restoring =
        page.split("## 3. ").nth(1).and_then(|rest| rest.split("## 5.").next()).unwrap_or_default();
    insta::assert_snapshot!(restoring, @r#"
    Restore with ripcord

    ```console
    $ ripcord restore 20261123T181500Z-upgrade-5f2c
    ```

    It saves the present state as a backup of its own first, compares what it restored with this backup, and
    prints the command that undoes it. To look at the old data without touching the live database:

    ```console
    $ ripcord restore 20261123T181500Z-upgrade-5f2c --to 'postgresql://db.example:5432/O%27Brien_restored'
    ```

    ## 4. Restore without ripcord

    With `psql`, `pg_restore`, `sha256sum`; what is there now is kept under another name. First set `PGHOST`, `PGPORT`
    and `PGUSER` to the live server.

    ```console
    $ sh RESTORE.sh 'O'\''Brien_restored'
    $ psql -X -1 -v ON_ERROR_STOP=1 -d postgres -c 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\''O'\'''\''Brien'\''' -c 'ALTER DATABASE "O'\''Brien" RENAME TO "O'\''Brien_replaced"' -c 'ALTER DATABASE "O'\''Brien_restored" RENAME TO "O'\''Brien"'
    ```

    What `RESTORE.sh` does, should you have to do it by hand:

    ```console
    $ sha256sum -c SHA256SUMS
    $ psql -X -v ON_ERROR_STOP=1 -d postgres -v 'db=O'\''Brien_restored' -f snapshot/create.sql
    $ pg_restore --exit-on-error --dbname 'O'\''Brien_restored' snapshot/dump
    $ psql -X -v ON_ERROR_STOP=1 -d 'O'\''Brien_restored' -v 'db=O'\''Brien_restored' -f snapshot/database.sql
    ```
    "#);
}

#[test]
fn a_backup_that_was_not_proven_says_so_in_bold() {
    let mut facts = facts();
    facts.proof.proven = false;
    assert!(text(&facts).contains("| Proven to restore | **no**"));
    facts.proof.level = "schema".to_string();
    assert!(text(&facts).contains("| Proven to restore | **only the schema**"));
}

#[test]
fn what_was_not_compared_is_named() {
    let left_out = NotCompared { subject: "public.remote".into(), reason: "a foreign table".into() };
    let page = text(&RunbookFacts { not_compared: vec![left_out], ..facts() });
    assert!(page.contains("| Not compared | public.remote: a foreign table |"), "{page}");
}

#[test]
fn no_name_can_break_the_page() {
    let mut facts = facts();
    facts.database.place = "/srv/a|b`c\nd".to_string();
    let page = text(&facts);
    let first = page.lines().nth(2).unwrap_or_default();
    assert!(first.ends_with("of SQLite /srv/a?b?c?d, by ripcord 0.1.0."), "{first}");
}

/// Runs the page's own words, with a name that a shell would take apart.
#[tokio::test]
async fn the_commands_of_a_sqlite_page_bring_the_old_rows_back() {
    use crate::base::{Cancel, Tool, fs};
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("backup");
    fs::create_private_dir(&folder.join("snapshot")).expect("created");
    let live = place.path().join("O'Brien's app.db");
    let sqlite = async |database: &std::path::Path, sql: &str| {
        let tool = Tool::new("sqlite3").arg(database).arg(sql);
        tool.run(&Cancel::new()).await.expect("sqlite3 runs").stdout.trim().to_string()
    };
    sqlite(&folder.join("snapshot/database.db"), "CREATE TABLE t (x); INSERT INTO t VALUES ('old')").await;
    sqlite(&live, "PRAGMA journal_mode=wal; CREATE TABLE t (x); INSERT INTO t VALUES ('new')").await;
    let seal = Tool::new("sh").args(["-c", "sha256sum snapshot/* > SHA256SUMS"]).current_dir(&folder);
    seal.run(&Cancel::new()).await.expect("sealed");

    let mut facts = facts();
    facts.database.place = live.display().to_string();
    let commands = Commands::of(&facts);
    let keep = &commands.with_script[..2];
    let script = [keep, &commands.by_hand].concat().join("\n");
    let shell = Tool::new("sh").args(["-euc", &script]).current_dir(&folder);
    let said = shell.run(&Cancel::new()).await.expect("every command succeeds").stdout;
    assert!(said.ends_with("ok\n"), "{said}");
    assert_eq!(sqlite(&live, "SELECT x FROM t").await, "old");
    let replaced = place.path().join(format!("{}-replaced.db", facts.id));
    assert_eq!(sqlite(&replaced, "SELECT x FROM t").await, "new");
}
