//! The commands that restore a backup by hand, for each engine.

use super::RunbookFacts;
use crate::catalog::EngineKind;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Commands of one backup, ready to be typed.
pub(super) struct Commands {
    /// The programs that are needed, in words.
    pub tools: &'static str,
    /// The raw commands, run in the backup's folder.
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
        by_hand: vec![
            "umask 077".to_string(),
            // Beside the folder, not in it: what is in it is sealed.
            format!("sqlite3 {live} \".backup '../{}-replaced.db'\"", facts.id),
            format!("sqlite3 {live} \".restore 'snapshot/database.db'\""),
            format!("sqlite3 {live} 'PRAGMA integrity_check'"),
        ],
        beside_url: quoted("sqlite:///beside.db"),
    }
}

fn postgresql(facts: &RunbookFacts) -> Commands {
    let live = &facts.database.name;
    let (beside, replaced) = (format!("{live}_restored"), format!("{live}_replaced"));
    let rename = |from: &str, to: &str| {
        let sql = format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to));
        format!("psql -d postgres -c {}", quoted(&sql))
    };
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}", literal(live));
    Commands {
        tools: "`psql`, `pg_restore`, `sha256sum`; set `PGHOST`, `PGPORT`, `PGUSER` as for the live server",
        by_hand: vec![
            format!("createdb --template template0 {}", quoted(&beside)),
            format!("pg_restore --exit-on-error --dbname {} snapshot/dump", quoted(&beside)),
            format!("psql -d postgres -c {}", quoted(&end)),
            rename(live, &replaced),
            rename(&beside, live),
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

fn identifier(name: &str) -> String {
    crate::catalog::TableName::plain(name).sql()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a word that a shell reads as it is written here.
fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
