//! A fresh database of either engine, read and changed with the engine's own tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::postgres::{APP_DATABASE, APP_ROLE, Postgres};
use super::{session::Session, tools};

/// The two kinds of databases that every promise is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// An empty database in a place of its own; gone when dropped.
pub struct TestDatabase {
    place: Place,
}

enum Place {
    /// The file does not exist before something is written to it.
    Sqlite {
        _folder: TempDir,
        file: PathBuf,
    },
    Postgres {
        server: Box<Postgres>,
        database: String,
    },
}

impl TestDatabase {
    /// An empty database of this engine: a path without a file yet, or the database `app` of a new server.
    pub fn start(backend: Backend) -> TestDatabase {
        match backend {
            Backend::Sqlite => TestDatabase::sqlite(),
            Backend::Postgres => TestDatabase::postgres_server(Postgres::start()),
        }
    }

    /// A path for a SQLite database; nothing is there yet.
    pub fn sqlite() -> TestDatabase {
        let folder = tools::short_temporary_folder("ripcord-sqlite-");
        let file = folder.path().join("app.db");
        TestDatabase { place: Place::Sqlite { _folder: folder, file } }
    }

    /// The database `app` of a new server.
    pub fn postgres() -> TestDatabase {
        TestDatabase::start(Backend::Postgres)
    }

    /// The database `app` of a server that was started with options of its own.
    pub fn postgres_server(server: Postgres) -> TestDatabase {
        TestDatabase {
            place: Place::Postgres { server: Box::new(server), database: APP_DATABASE.to_owned() },
        }
    }

    pub fn backend(&self) -> Backend {
        match self.place {
            Place::Sqlite { .. } => Backend::Sqlite,
            Place::Postgres { .. } => Backend::Postgres,
        }
    }

    /// The URL to give to ripcord: `sqlite:////…` or `postgresql://app@/app?host=…`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { file, .. } => format!("sqlite:///{}", file.display()),
            Place::Postgres { server, database } => server.url(database),
        }
    }

    /// The server behind it; panics on SQLite.
    pub fn server(&self) -> &Postgres {
        match &self.place {
            Place::Postgres { server, .. } => server,
            Place::Sqlite { .. } => panic!("a SQLite database has no server"),
        }
    }

    /// The server behind it; panics on SQLite.
    pub fn server_mut(&mut self) -> &mut Postgres {
        match &mut self.place {
            Place::Postgres { server, .. } => server,
            Place::Sqlite { .. } => panic!("a SQLite database has no server"),
        }
    }

    /// The database file; panics on PostgreSQL.
    pub fn file(&self) -> &Path {
        match &self.place {
            Place::Sqlite { file, .. } => file,
            Place::Postgres { .. } => panic!("a PostgreSQL database is not a file"),
        }
    }

    /// Runs SQL statements, on PostgreSQL as the owner of the database. Panics on an error.
    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs SQL and returns what it printed, the same way for both engines: one line a row, columns divided by `|`,
    /// NULL as nothing, no newline at the end. Panics on an error.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|report| panic!("{report}"))
    }

    /// Runs SQL; an error is what the tool said.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let printed = match &self.place {
            Place::Sqlite { file, .. } => tools::try_capture(&mut sqlite3(file), sql),
            Place::Postgres { server, database } => server.try_psql_as(APP_ROLE, database, sql),
        };
        printed.map(|text| text.trim_end_matches('\n').to_owned())
    }

    /// A connection that stays open, for locks, long transactions and live writers.
    pub fn session(&self) -> Session {
        match &self.place {
            Place::Sqlite { file, .. } => Session::sqlite(sqlite3(file)),
            Place::Postgres { server, database } => server.session(database),
        }
    }

    /// Everything in the database as text, to compare before with after: definitions, rows (sorted within their
    /// table, since their order on disk is no promise), and what SQLite keeps in the header of the file.
    pub fn dump(&self) -> String {
        match &self.place {
            Place::Sqlite { file, .. } if !file.exists() => "no database\n".to_owned(),
            Place::Sqlite { file, .. } => {
                let text = tools::capture(&mut sqlite3(file), ".dump\n");
                let pragmas =
                    "PRAGMA user_version; PRAGMA application_id; PRAGMA encoding; PRAGMA journal_mode;";
                sorted_inserts(&text) + &tools::capture(&mut sqlite3(file), pragmas)
            }
            Place::Postgres { server, database } => server.dump(database),
        }
    }

    /// The definitions in the database as text, without rows.
    pub fn schema(&self) -> String {
        match &self.place {
            Place::Sqlite { file, .. } => tools::capture(&mut sqlite3(file), ".schema\n"),
            Place::Postgres { server, database } => server.schema(database),
        }
    }

    /// The names of the tables, in order, each on its line.
    pub fn tables(&self) -> String {
        match self.backend() {
            Backend::Sqlite => {
                self.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1;")
            }
            Backend::Postgres => self.query(
                "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1;",
            ),
        }
    }

    /// The rows of `alembic_version`, in order, divided by spaces; nothing when there is no such table.
    pub fn version(&self) -> String {
        if !self.tables().lines().any(|table| table == "alembic_version") {
            return String::new();
        }
        self.query("SELECT version_num FROM alembic_version ORDER BY 1;").replace('\n', " ")
    }
}

fn sqlite3(file: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    // `-init` with nothing in it: somebody's ~/.sqliterc must not change what is printed.
    command.args(["-batch", "-bail", "-init", "/dev/null", "-noheader", "-list"]).arg(file);
    command
}

/// Sorts neighbouring INSERT lines: `.dump` writes one line a row, table after table.
fn sorted_inserts(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for rows in lines.chunk_by_mut(|one, other| one.starts_with("INSERT ") && other.starts_with("INSERT ")) {
        rows.sort_unstable();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
