//! A temporary project folder and the environment that ripcord runs in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::postgres::Installation;
use super::run::{Run, Running};
use super::{TestDatabase, tools};

/// What the clock says in every sandbox.
pub const CLOCK: &str = "2026-11-23T18:15:00Z";

/// A project folder with nothing in it, and an environment with nothing in it but what is set here: a fixed clock and
/// width, no colours, a home and a temporary folder of its own, and a PATH that holds the fake tools of the test, then
/// PostgreSQL's clients, then a few ordinary tools, and nothing else.
pub struct Sandbox {
    folder: TempDir,
    environment: RefCell<BTreeMap<String, OsString>>,
    postgres: Installation,
}

/// What backups and app hooks may need; a sandbox in which `pg_dump` is missing cannot simply have /usr/bin on its PATH.
const ORDINARY_TOOLS: &[&str] = &[
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "date",
    "dd",
    "diff",
    "dirname",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mv",
    "printf",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "sqlite3",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
    "xargs",
];

impl Sandbox {
    /// A sandbox that knows of no database.
    pub fn new() -> Sandbox {
        Sandbox::with_clients(Installation::chosen())
    }

    /// A sandbox whose DATABASE_URL is this database, with the client tools of its server's version.
    pub fn with(database: &TestDatabase) -> Sandbox {
        let sandbox = match database.backend() {
            super::Backend::Sqlite => Sandbox::new(),
            super::Backend::Postgres => Sandbox::with_clients(database.server().installation().clone()),
        };
        sandbox.env("DATABASE_URL", database.url());
        sandbox
    }

    /// A sandbox with the client tools of this version.
    pub fn with_clients(postgres: Installation) -> Sandbox {
        let folder = tools::short_temporary_folder("ripcord-test-");
        let root = folder.path();
        for name in ["project", "home", "tmp", "fakes", "tools"] {
            std::fs::create_dir(root.join(name)).expect("the sandbox is writable");
        }
        let path =
            std::env::join_paths([root.join("fakes"), root.join("tools")]).expect("no colon in a path");
        let environment = BTreeMap::from([
            ("HOME".to_owned(), root.join("home").into()),
            ("TMPDIR".to_owned(), root.join("tmp").into()),
            ("PATH".to_owned(), path),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("TZ".to_owned(), "UTC".into()),
            ("COLUMNS".to_owned(), "100".into()),
            ("NO_COLOR".to_owned(), "1".into()),
            ("RIPCORD_CLOCK".to_owned(), CLOCK.into()),
        ]);
        let sandbox = Sandbox { folder, environment: RefCell::new(environment), postgres };
        sandbox.link_tools();
        sandbox
    }

    fn link_tools(&self) {
        let clients = std::fs::read_dir(&self.postgres.bin_dir).expect("PostgreSQL's programs can be listed");
        let clients = clients.flatten().map(|entry| entry.path());
        let ordinary = ORDINARY_TOOLS.iter().filter_map(|name| tools::find(name));
        for tool in clients.chain(ordinary) {
            let link = self.root().join("tools").join(tool.file_name().expect("a tool has a name"));
            std::os::unix::fs::symlink(&tool, &link).expect("each tool is linked once");
        }
    }

    /// The folder that everything of the sandbox is in.
    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The project folder, in which ripcord runs.
    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// A path in the project folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.project().join(relative)
    }

    /// Writes a file of the project; makes its folders.
    pub fn write(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .expect("the sandbox is writable");
        std::fs::write(&path, text).expect("the sandbox is writable");
        path
    }

    /// Reads a file of the project as text.
    #[track_caller]
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.path(relative);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The files below a folder of the project, in order, relative to it; nothing when there is no such folder.
    pub fn files(&self, relative: impl AsRef<Path>) -> Vec<String> {
        let top = self.path(relative);
        let mut found = Vec::new();
        let mut open = vec![top.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(&top).expect("it is below").display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// The backups in `backups/`, oldest first, by the names of their folders.
    pub fn backups(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("backups")).into_iter().flatten().flatten();
        // Drafts and journals lie beside the backups under names that begin with a dot.
        let published = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let mut folders: Vec<_> = published.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    /// The one backup that there is.
    #[track_caller]
    pub fn backup(&self) -> PathBuf {
        let mut all = self.backups();
        assert!(all.len() == 1, "expected one backup, found {all:?}");
        all.remove(0)
    }

    /// What is left in the temporary folder: after a run that was allowed to end, nothing.
    pub fn temporary_files(&self) -> Vec<String> {
        self.files(self.root().join("tmp"))
    }

    /// Sets a variable of the environment.
    pub fn env(&self, name: &str, value: impl Into<OsString>) -> &Sandbox {
        self.environment.borrow_mut().insert(name.to_owned(), value.into());
        self
    }

    /// Removes a variable from the environment.
    pub fn env_remove(&self, name: &str) -> &Sandbox {
        self.environment.borrow_mut().remove(name);
        self
    }

    /// Runs ripcord to its end.
    #[track_caller]
    pub fn ripcord(&self, arguments: &[&str]) -> Run {
        self.spawn(arguments).wait()
    }

    /// Starts ripcord, for tests that do something while it runs.
    #[track_caller]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.start(ripcord_binary(), arguments)
    }

    /// Runs another program in the project folder and environment: `RESTORE.sh`, a stock tool.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Run {
        self.start(program, arguments).wait()
    }

    /// Starts another program in the project folder and environment.
    #[track_caller]
    pub fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Running {
        let program = program.as_ref();
        let known = self.root().join("tools").join(program);
        let mut command = self.command(if known.exists() { known } else { program.to_path_buf() });
        command.args(arguments);
        Running::start(command)
    }

    /// A command in the project folder and environment, to be changed further.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.project()).env_clear().envs(self.environment.borrow().iter());
        command
    }
}

/// The binary under test.
pub fn ripcord_binary() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_ripcord") {
        Some(path) => path.into(),
        None => panic!("only integration tests can run the binary"),
    }
}
