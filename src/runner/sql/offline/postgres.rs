//! The script as `psql` runs it.
//!
//! A failed guard aborts its transaction, so that nothing of that revision happens even where `psql` goes on after
//! errors; the guards of the revisions after it then fail too.

use super::{Dialect, OPERATION, literal, named};
use crate::history::RevisionId;
use crate::plan::Script;
use std::time::Duration;

pub(super) struct Postgres {
    pub(super) lock_timeout: Duration,
}

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
";

const MEMORY: &str = "CREATE TABLE IF NOT EXISTS ripcord_revision (
    revision TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    operation TEXT NOT NULL
);
";

impl Dialect for Postgres {
    fn usage(&self) -> &'static str {
        "psql -X -v ON_ERROR_STOP=1 -f SCRIPT DATABASE"
    }

    fn prologue(&self) -> String {
        format!("SET lock_timeout = '{}ms';\n", self.lock_timeout.as_millis())
    }

    fn epilogue(&self) -> &'static str {
        ""
    }

    fn begin(&self) -> &'static str {
        "BEGIN;\n"
    }

    fn guard(&self, rows: &[RevisionId], first: bool) -> String {
        // Only a script that begins at base may begin without the table. Creating it elsewhere could hide one that is in
        // another schema of the search path.
        let create = if first && rows.is_empty() { VERSIONS } else { "" };
        let expected = literal(&named(rows));
        let tag = tag(&expected);
        format!(
            "{create}LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE;
DO {tag}
DECLARE
    found text := (SELECT coalesce(string_agg(version_num, ', ' ORDER BY version_num COLLATE \"C\"), 'base')
                   FROM alembic_version);
BEGIN
    IF found <> {expected} THEN
        RAISE EXCEPTION 'the version rows are %, not %, so the script stops here', found, {expected};
    END IF;
END
{tag};
"
        )
    }

    fn before_statements(&self) -> &'static str {
        ""
    }

    fn after_statements(&self, script: &Script) -> String {
        let moves = |text: &str| text.to_ascii_lowercase().contains("search_path");
        if script.statements.iter().any(|statement| moves(&statement.text)) {
            // The version table is where it was found when the session began.
            return "RESET search_path;\n".to_owned();
        }
        String::new()
    }

    fn remember(&self, revision: &str, sha256: &str, first: bool) -> String {
        let create = if first { MEMORY } else { "" };
        if revision.is_empty() {
            return create.to_owned();
        }
        format!(
            "{create}DELETE FROM ripcord_revision WHERE revision = {revision};
INSERT INTO ripcord_revision (revision, sha256, applied_at, operation)
VALUES ({revision}, {sha256}, to_char(now() AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), {});
",
            literal(OPERATION)
        )
    }
}

/// A dollar quote that does not occur in the text.
fn tag(text: &str) -> String {
    let mut tag = "$ripcord$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, '_');
    }
    tag
}
