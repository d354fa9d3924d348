//! A state that can be had again and again, and what can be seen of it from outside.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{
    ADD_PROCESS_RANK, Backend, CLOCK, CREATE_TABLES, Revision, Run, Running, Sandbox, TestDatabase, leftovers,
};

/// A project and its database, and a copy of both to begin from.
pub struct Scene<'a> {
    pub db: &'a TestDatabase,
    pub sandbox: Sandbox,
    kept: TempDir,
}

/// The copy of the database from which every run starts.
const KEPT: &str = "kept";

/// What belongs to a PostgreSQL database and to no dump of its content; the template does not hand it on either.
const OF_THE_DATABASE: &str = "ALTER DATABASE app SET work_mem = '7MB';
REVOKE ALL ON DATABASE app FROM PUBLIC;
COMMENT ON DATABASE app IS 'the training log';";

impl<'a> Scene<'a> {
    /// An empty project on this database.
    pub fn new(db: &'a TestDatabase) -> Scene<'a> {
        let kept = tempfile::tempdir().expect("the temporary folder is writable");
        if db.backend() == Backend::Postgres {
            // It writes whenever it likes, and then nobody can tell who wrote.
            db.server().psql("postgres", "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();");
            // In every backup that a story takes.
            db.server().psql("postgres", OF_THE_DATABASE);
        }
        Scene { db, sandbox: Sandbox::with(db), kept }
    }

    /// Leaves out the proof on a server, where it takes longest: one procedure that dies in it is enough.
    pub fn without_proof(self) -> Self {
        if self.db.backend() == Backend::Postgres {
            self.sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
        }
        self
    }

    /// Takes the present state as the beginning of every run.
    pub fn keep(&self) {
        copy(&self.sandbox.project(), &self.kept.path().join("project"));
        match self.db.backend() {
            Backend::Sqlite => copy(self.folder(), &self.kept.path().join("database")),
            Backend::Postgres => {
                let sql = format!(
                    "DROP DATABASE IF EXISTS {KEPT}; ALTER DATABASE app RENAME TO {KEPT};
ALTER DATABASE {KEPT} ALLOW_CONNECTIONS false;"
                );
                // A database that is not there yet is a state to begin from as well.
                if self.has_database("app") {
                    self.server(&sql);
                }
                self.reset();
            }
        }
    }

    /// Goes back to the beginning.
    pub fn reset(&self) {
        empty(&self.sandbox.project());
        copy(&self.kept.path().join("project"), &self.sandbox.project());
        match self.db.backend() {
            Backend::Sqlite => {
                empty(self.folder());
                copy(&self.kept.path().join("database"), self.folder());
            }
            Backend::Postgres => {
                self.server(&format!(
                    "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
WHERE datname NOT IN ('postgres', 'origin', '{KEPT}') AND NOT datistemplate \\gexec
SELECT count(*) > 0 AS is_kept FROM pg_database WHERE datname = '{KEPT}' \\gset
\\if :is_kept
CREATE DATABASE app TEMPLATE {KEPT} OWNER app;
{OF_THE_DATABASE}
\\endif"
                ));
            }
        }
    }

    /// Runs ripcord; `URL` among the arguments stands for the database, `backup` after `restore` for the backup by
    /// hand, `upgrade` after `backup merge-back` for that of the newest upgrade.
    pub fn ripcord(&self, arguments: &[&str]) -> Run {
        self.spawn(arguments).wait()
    }

    /// Starts ripcord, with the same words.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let arguments = self.spelt(arguments);
        self.sandbox.spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn spelt(&self, arguments: &[&str]) -> Vec<String> {
        let is_restore = arguments.first() == Some(&"restore");
        let is_merge = arguments.get(1) == Some(&"merge-back");
        let spell = |argument: &&str| match *argument {
            "URL" => self.db.url(),
            "backup" if is_restore => self.backup_of("-backup-"),
            "upgrade" if is_merge => self.backup_of("-upgrade-"),
            other => other.to_owned(),
        };
        arguments.iter().map(spell).collect()
    }

    fn backup_of(&self, what: &str) -> String {
        let names =
            leftovers::published(self).into_iter().filter_map(|path| path.file_name().map(|n| n.to_owned()));
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.contains(what)).max().expect("there is such a backup")
    }

    /// Runs ripcord and lets it die at a checkpoint, by number or by a part of its name, if it gets that far.
    pub fn die_at(&self, checkpoint: impl ToString, arguments: &[&str]) -> Run {
        self.sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
        let run = self.ripcord(arguments);
        self.sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        run
    }

    /// Everything in the database as text, with what is around the content of a PostgreSQL database. Names of
    /// operations are masked: they are in `ripcord_revision`, and every run has one of its own.
    pub fn content(&self) -> String {
        if self.db.backend() == Backend::Sqlite {
            return self.content_of_file();
        }
        let around = self.server(
            "SELECT datallowconn, datconnlimit, datacl, pg_get_userbyid(datdba), shobj_description(d.oid, 'pg_database'),
    (SELECT string_agg(setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = 'app';",
        );
        match around.is_empty() {
            true => "no database\n".to_owned(),
            false if around.starts_with('f') => format!("barred: {around}"),
            false => masked(&(around + &self.db.dump())),
        }
    }

    /// A file that is no database has its bytes. One of no bytes is as good as none: SQLite makes it before it writes to
    /// it, and whoever opens it finds an empty database.
    fn content_of_file(&self) -> String {
        match fs::read(self.db.file()) {
            Ok(bytes) if bytes.starts_with(b"SQLite format 3\0") => masked(&self.db.dump()),
            Ok(bytes) if !bytes.is_empty() => format!("{bytes:?}"),
            _ => "no database\n".to_owned(),
        }
    }

    /// Everything that a death has left on a server and in the backups; two deaths that left the same need one look.
    /// `None` for a file: what lies in it and beside it is SQLite's, and never twice the same bytes.
    pub fn left_behind(&self) -> Option<String> {
        if self.db.backend() == Backend::Sqlite {
            return None;
        }
        let databases = self.server("SELECT datname, datallowconn FROM pg_database ORDER BY 1;");
        let names = leftovers::names(&self.sandbox.path("backups"));
        let journals = self.sandbox.path("backups/.operations");
        let mut journal = String::new();
        for name in self.sandbox.files(&journals) {
            journal.push_str(&self.sandbox.read(journals.join(name)));
        }
        Some(masked(&(databases + &names + &journal)) + &self.content())
    }

    /// Whether there is a database that lets clients in. The file is not opened: whatever a crash left in it is for
    /// ripcord to meet first.
    pub fn is_open(&self) -> bool {
        match self.db.backend() {
            Backend::Sqlite => {
                fs::read(self.db.file()).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
            }
            Backend::Postgres => {
                self.server("SELECT 1 FROM pg_database WHERE datname = 'app' AND datallowconn;") == "1\n"
            }
        }
    }

    pub fn has_database(&self, name: &str) -> bool {
        self.db.server().databases().iter().any(|known| known == name)
    }

    /// Runs SQL as the superuser, outside of the database.
    pub fn server(&self, sql: &str) -> String {
        self.db.server().psql("postgres", sql)
    }

    /// The folder that the SQLite database is in; nothing else is.
    pub fn folder(&self) -> &Path {
        self.db.file().parent().expect("a file is in a folder")
    }
}

/// How an empty database is upgraded: there is nothing to prove of it, and nothing to lose.
pub const OF_EMPTY: &[&str] = &["--proof", "none", "--no-rehearsal"];

/// The sample project at its first revision, with rows; its second one is still to come.
pub fn filled(db: &TestDatabase) -> Scene<'_> {
    filled_at(db, &db.url())
}

/// At a revision that has destroyed values, with the salvage in its backup; one of them was written since, so that a merge
/// has a conflict to keep.
pub fn lossy(db: &TestDatabase) -> Scene<'_> {
    let scene = filled(db);
    scene.sandbox.ripcord(&["upgrade"]).expect_code(0);
    scene.sandbox.env("RIPCORD_CLOCK", CLOCK.replace(":15:", ":16:"));
    scene.sandbox.add(&lossy_revision("SELECT 1;"));
    scene.sandbox.ripcord(&["upgrade"]).expect_code(0);
    db.execute("UPDATE training_metric SET eval_loss = 9 WHERE id = 1;");
    scene.sandbox.env("RIPCORD_CLOCK", CLOCK.replace(":15:", ":17:"));
    scene
}

pub fn lossy_revision(down: &str) -> Revision {
    Revision::new("abcd0000ab01")
        .revises(ADD_PROCESS_RANK)
        .directive("accept", "overwrites-values:training_metric.eval_loss \"they are measured anew\"")
        .directive("accept", "deletes-rows:training_metric \"they are measured anew\"")
        .directive("accept", "opaque \"it is tried elsewhere\"")
        .upgrade("UPDATE training_metric SET eval_loss = 0; DELETE FROM training_metric WHERE step = 2;")
        .downgrade(down)
}

pub fn filled_at<'a>(db: &'a TestDatabase, url: &str) -> Scene<'a> {
    let scene = Scene::new(db);
    scene.sandbox.env("DATABASE_URL", url);
    scene.sandbox.sample();
    scene.sandbox.ripcord(&[&["upgrade", CREATE_TABLES], OF_EMPTY].concat()).expect_code(0);
    db.fill_sample(3, 20);
    scene
}

/// Replaces what is random, or another one in every run: names of operations and the numbers of processes.
pub fn masked(text: &str) -> String {
    let text = replaced(text, "20261123T181", |next| next.is_ascii_alphanumeric() || next == '-');
    let text = replaced(&text, "20261123t181", |next| next.is_ascii_alphanumeric() || next == '_');
    replaced(&text, "\"process\":", |next| next.is_ascii_digit())
}

/// Replaces each word and what follows it as long as it belongs to it.
fn replaced(text: &str, word: &str, belongs: fn(char) -> bool) -> String {
    let mut parts = text.split(word);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push_str("MASKED");
        replaced.push_str(part.trim_start_matches(belongs));
    }
    replaced
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the scene is writable");
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(status.expect("cp runs").success(), "{} cannot be copied", from.display());
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("the scene is writable");
    }
}
