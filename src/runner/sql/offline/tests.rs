//! The scripts, letter by letter; that they run is tested with the real tools in `tests/cli`.

use super::*;
use crate::plan::{Statement, Touches};

fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace().map(|id| RevisionId::new(id).expect("a good id")).collect()
}

fn update(from: &str, to: &str) -> RowChange {
    let id = |text: &str| RevisionId::new(text).expect("a good id");
    RowChange::Update { from: id(from), to: id(to) }
}

fn a_script(revision: &str, direction: Direction, sql: &[&str], rows: Vec<RowChange>, after: &str) -> Script {
    let statement = |text: &&str| Statement {
        text: (*text).to_owned(),
        line: 1,
        sha256: String::new(),
        touches: Touches::default(),
    };
    Script {
        revision: ids(revision).remove(0),
        direction,
        message: "add\ta column".to_owned(),
        place: "a.sql".to_owned(),
        sha256: "5f".to_owned(),
        transaction: TransactionMode::One,
        statements: sql.iter().map(statement).collect(),
        accepts: Vec::new(),
        rows,
        rows_after: ids(after),
    }
}

fn plan(direction: Direction, from: &str, scripts: Vec<Script>) -> Plan {
    let to = scripts.last().map_or_else(|| ids(from), |script| script.rows_after.clone());
    Plan {
        direction,
        target: "head".to_owned(),
        from: ids(from),
        to,
        schema: None,
        scripts,
        accepted: Vec::new(),
    }
}

const LIMIT: Duration = Duration::from_secs(3);

fn upgrade() -> Plan {
    let sql = ["ALTER TABLE t ADD COLUMN a INTEGER"];
    plan(
        Direction::Up,
        "aaaa cccc",
        vec![a_script("bbbb", Direction::Up, &sql, vec![update("aaaa", "bbbb")], "bbbb cccc")],
    )
}

#[test]
fn an_upgrade_for_sqlite() {
    assert_eq!(
        script(&upgrade(), EngineKind::Sqlite, LIMIT),
        "\
-- ripcord upgrade: aaaa, cccc -> bbbb, cccc
-- Run it with: sqlite3 -bail DATABASE < SCRIPT    (without -bail it would go on after an error)
-- It stops before it changes anything unless the version rows are: aaaa, cccc
PRAGMA foreign_keys = OFF;

-- Running upgrade aaaa -> bbbb, add a column
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS alembic_version (
\tversion_num VARCHAR(32) NOT NULL, 
\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TEMP TABLE ripcord_guard (holds INTEGER, CONSTRAINT \"the version rows are not aaaa, cccc, so the script stops here\" CHECK (holds));
INSERT INTO temp.ripcord_guard SELECT (SELECT count(*) FROM alembic_version) = 2 AND (SELECT count(*) FROM alembic_version WHERE version_num IN ('aaaa', 'cccc')) = 2;
DROP TABLE temp.ripcord_guard;
CREATE TEMP TABLE ripcord_keys AS SELECT * FROM pragma_foreign_key_check;
ALTER TABLE t ADD COLUMN a INTEGER;
CREATE TEMP TABLE ripcord_guard (holds INTEGER, CONSTRAINT \"foreign keys would point nowhere, so the script stops here\" CHECK (holds));
INSERT INTO temp.ripcord_guard SELECT (SELECT count(*) FROM (SELECT * FROM pragma_foreign_key_check EXCEPT SELECT * FROM temp.ripcord_keys)) = 0;
DROP TABLE temp.ripcord_guard;
DROP TABLE temp.ripcord_keys;
UPDATE alembic_version SET version_num='bbbb' WHERE alembic_version.version_num = 'aaaa';
CREATE TABLE IF NOT EXISTS ripcord_revision (
\trevision VARCHAR(32) NOT NULL,
\tsha256 VARCHAR(64) NOT NULL,
\tapplied_at TIMESTAMP NOT NULL,
\toperation VARCHAR(64) NOT NULL,
\tCONSTRAINT ripcord_revision_pkc PRIMARY KEY (revision)
);
INSERT OR REPLACE INTO ripcord_revision (revision, sha256, applied_at, operation) VALUES ('bbbb', '5f', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), 'offline script');
COMMIT;

PRAGMA foreign_keys = ON;
"
    );
}

#[test]
fn an_upgrade_for_postgresql() {
    assert_eq!(
        script(&upgrade(), EngineKind::Postgresql, LIMIT),
        "\
-- ripcord upgrade: aaaa, cccc -> bbbb, cccc
-- Run it with: psql -X -v ON_ERROR_STOP=1 -f SCRIPT DATABASE
-- It stops before it changes anything unless the version rows are: aaaa, cccc
SET lock_timeout = '3000ms';

-- Running upgrade aaaa -> bbbb, add a column
BEGIN;
LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE;
DO $ripcord$
DECLARE
    found text := (SELECT coalesce(string_agg(version_num, ', ' ORDER BY version_num COLLATE \"C\"), 'base')
                   FROM alembic_version);
BEGIN
    IF found <> 'aaaa, cccc' THEN
        RAISE EXCEPTION 'the version rows are %, not %, so the script stops here', found, 'aaaa, cccc';
    END IF;
END
$ripcord$;
ALTER TABLE t ADD COLUMN a INTEGER;
UPDATE alembic_version SET version_num='bbbb' WHERE alembic_version.version_num = 'aaaa';
CREATE TABLE IF NOT EXISTS ripcord_revision (
    revision TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    operation TEXT NOT NULL
);
DELETE FROM ripcord_revision WHERE revision = 'bbbb';
INSERT INTO ripcord_revision (revision, sha256, applied_at, operation)
VALUES ('bbbb', '5f', to_char(now() AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'offline script');
COMMIT;
"
    );
}

#[test]
fn every_transaction_looks_at_the_rows_that_the_one_before_left() {
    let scripts = vec![
        a_script("bbbb", Direction::Down, &[], vec![update("bbbb", "aaaa")], "aaaa"),
        a_script("aaaa", Direction::Down, &[], vec![RowChange::Delete(ids("aaaa").remove(0))], ""),
    ];
    let plan = plan(Direction::Down, "bbbb", scripts);
    for engine in [EngineKind::Sqlite, EngineKind::Postgresql] {
        let text = script(&plan, engine, LIMIT);
        let (first, second) = text.split_once("-- Running downgrade aaaa -> , ").expect("two revisions");
        assert!(first.contains("-- Running downgrade bbbb -> aaaa, "), "{text}");
        assert!(first.contains("'bbbb'") && !second.contains("bbbb"), "{text}");
        assert_eq!(text.matches("BEGIN;").count() + text.matches("BEGIN IMMEDIATE;").count(), 2, "{text}");
        assert_eq!(text.matches("CREATE TABLE IF NOT EXISTS ripcord_revision").count(), 1, "{text}");
        assert!(second.contains("DELETE FROM ripcord_revision WHERE revision = 'aaaa';\nCOMMIT;"), "{text}");
    }
}

#[test]
fn statements_by_themselves_stand_between_two_guarded_transactions() {
    let mut alone = a_script("bbbb", Direction::Up, &["VACUUM"], vec![update("aaaa", "bbbb")], "bbbb");
    alone.transaction = TransactionMode::None;
    let plan = plan(Direction::Up, "aaaa", vec![alone]);
    let text = script(&plan, EngineKind::Postgresql, LIMIT);
    assert!(text.contains("$ripcord$;\nCOMMIT;\nVACUUM;\nBEGIN;\nLOCK TABLE"), "{text}");
    assert_eq!(text.matches("RAISE EXCEPTION").count(), 2);
    let text = script(&plan, EngineKind::Sqlite, LIMIT);
    assert!(text.contains("COMMIT;\nVACUUM;\nBEGIN IMMEDIATE;\n"), "{text}");
}

#[test]
fn a_script_that_moves_the_search_path_puts_it_back_before_the_rows() {
    let sql = ["SET search_path = other"];
    let moved = a_script("bbbb", Direction::Up, &sql, vec![update("aaaa", "bbbb")], "bbbb");
    let text = script(&plan(Direction::Up, "aaaa", vec![moved]), EngineKind::Postgresql, LIMIT);
    assert!(text.contains("SET search_path = other;\nRESET search_path;\nUPDATE alembic_version"), "{text}");
}

#[test]
fn nothing_in_a_name_or_a_message_breaks_out_of_its_place() {
    let id = "it's$ripcord$\"";
    let mut odd = a_script(id, Direction::Up, &["SELECT 1 -- the end"], vec![update(id, id)], id);
    odd.message = "one\r\ntwo".to_owned();
    let plan = plan(Direction::Up, id, vec![odd]);
    let text = script(&plan, EngineKind::Postgresql, LIMIT);
    assert!(text.contains("DO $_ripcord$\n") && text.contains("'it''s$ripcord$\"'"), "{text}");
    assert!(text.contains(", one  two\nBEGIN;\n") && text.contains("SELECT 1 -- the end\n;\n"), "{text}");
    let text = script(&plan, EngineKind::Sqlite, LIMIT);
    assert!(text.contains("are not it's$ripcord$\"\", so"), "{text}");
}

#[test]
fn a_plan_without_a_step_is_a_comment() {
    let text = script(&plan(Direction::Up, "aaaa", Vec::new()), EngineKind::Sqlite, LIMIT);
    assert_eq!(text, "-- ripcord upgrade: nothing to do, the version rows are aaaa\n");
}
