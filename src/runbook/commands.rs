//! The commands that restore a backup by hand, for each engine.

use super::RunbookFacts;
use crate::catalog::EngineKind;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Commands of one backup, ready to be typed in its folder.
pub(super) struct Commands {
    /// The programs that are needed, in words.
    pub tools: &'static str,
    /// What must be done before the first command, in words.
    pub before: &'static str,
    /// The whole way with `RESTORE.sh`: what is there now is kept under another name.
    pub with_script: Vec<String>,
    /// What the script does.
    pub by_hand: Vec<String>,
    /// A URL beside the live database, as `--to` takes it.
    pub beside_url: String,
}

impl Commands {
    pub(super) fn of(facts: &RunbookFacts) -> Self {
        match facts.database.engine {
            EngineKind::Sqlite => sqlite(facts),
            EngineKind::Postgresql => postgresql(facts),
        }
    }
}

fn sqlite(facts: &RunbookFacts) -> Commands {
    let live = quoted(&facts.database.place);
    // Through the backup API and never by cp or mv: a forgotten -wal beside a renamed file undoes the restore in
    // silence (https://www.sqlite.org/howtocorrupt.html, section 1.4).
    Commands {
        tools: "`sqlite3`, `sha256sum`",
        before: "",
        with_script: vec![
            "umask 077".to_string(),
            // Beside the folder, not in it: what is in it is sealed.
            format!("sqlite3 {live} \".backup '../{}-replaced.db'\"", facts.id),
            format!("sh RESTORE.sh {live} --overwrite"),
        ],
        by_hand: vec![
            "sha256sum -c SHA256SUMS".to_string(),
            format!("sqlite3 {live} \".restore 'snapshot/database.db'\""),
            format!("sqlite3 {live} 'PRAGMA integrity_check'"),
        ],
        beside_url: quoted("sqlite:///beside.db"),
    }
}

fn postgresql(facts: &RunbookFacts) -> Commands {
    let live = &facts.database.name;
    let (beside, replaced) = (format!("{live}_restored"), format!("{live}_replaced"));
    let rename =
        |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to));
    let script = |database: &str, file: &str| {
        format!(
            "psql -X -v ON_ERROR_STOP=1 -d {database} -v {} -f snapshot/{file}",
            quoted(&format!("db={beside}"))
        )
    };
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}", literal(live));
    Commands {
        tools: "`psql`, `pg_restore`, `sha256sum`",
        before: " First set `PGHOST`, `PGPORT`\nand `PGUSER` to the live server.",
        with_script: vec![
            format!("sh RESTORE.sh {}", quoted(&beside)),
            format!(
                "psql -X -1 -v ON_ERROR_STOP=1 -d postgres -c {} -c {} -c {}",
                quoted(&end),
                quoted(&rename(live, &replaced)),
                quoted(&rename(&beside, live)),
            ),
        ],
        by_hand: vec![
            "sha256sum -c SHA256SUMS".to_string(),
            script("postgres", "create.sql"),
            format!("pg_restore --exit-on-error --dbname {} snapshot/dump", quoted(&beside)),
            script(&quoted(&beside), "database.sql"),
        ],
        beside_url: quoted(&url(&facts.database.place, &beside)),
    }
}

fn url(place: &str, name: &str) -> String {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string().replace("%5F", "_");
    match place.starts_with('/') {
        true => format!("postgresql:///{name}?host={place}"),
        false => format!("postgresql://{place}/{name}"),
    }
}

pub(super) fn identifier(name: &str) -> String {
    crate::catalog::TableName::plain(name).sql()
}

pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a word that a shell reads as it is written here.
pub(super) fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
