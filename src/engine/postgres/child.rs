//! Child programs that connect to a server: where it is by variables, the password by a private file, never by an
//! argument (every user of the machine can read those).

use super::names;
use super::private::{PASSFILE, PrivateFolder};
use super::server::Server;
use super::tools::Tools;
use crate::base::{Secret, Tool, fs};
use crate::engine::Error;
use std::path::Path;

/// What child programs of one operation share: the folder with their passfile, removed with this value.
pub(super) struct Children<'a> {
    server: &'a Server,
    tools: &'a Tools,
    name: &'a str,
    folder: Option<PrivateFolder>,
}

impl<'a> Children<'a> {
    /// Prepares for child programs that reach `server`; `name` is what their sessions are called. The passfile lies in
    /// a folder (0700) of its own below `work_dir` and is readable by the owner only (0600): libpq ignores another.
    pub(super) fn new(
        server: &'a Server,
        tools: &'a Tools,
        work_dir: &Path,
        name: &'a str,
    ) -> Result<Self, Error> {
        let write = |password| write_passfile(work_dir, names::operation(name), password);
        let folder = server.password().map(write).transpose()?;
        Ok(Self { server, tools, name, folder })
    }

    /// Prepares one program for a database; its environment holds what it needs and nothing else.
    pub(super) fn tool(&self, program: &str, database: &str) -> Tool {
        let mut tool = Tool::new(self.tools.program(program));
        for (variable, value) in self.server.variables(database, self.name) {
            tool = tool.env(variable, value);
        }
        if let Some(options) = self.server.server_options() {
            tool = tool.env("PGOPTIONS", options);
        }
        match &self.folder {
            Some(folder) => tool.env("PGPASSFILE", folder.path().join("pgpass")),
            None => tool,
        }
    }
}

fn write_passfile(work_dir: &Path, operation: &str, password: &Secret) -> Result<PrivateFolder, Error> {
    let failed =
        |source| Error::Io { place: work_dir.to_path_buf(), doing: "written for a passfile", source };
    let folder = PrivateFolder::new(work_dir, PASSFILE, operation).map_err(failed)?;
    fs::write_durable(&folder.path().join("pgpass"), passfile_line(password).as_bytes()).map_err(failed)?;
    Ok(folder)
}

/// One line for any host, port, database and user: the file serves one operation only, and matching a host name here
/// would have to repeat libpq's own rules for sockets.
/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
fn passfile_line(password: &Secret) -> String {
    let escaped = password.reveal().replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_with_colons_and_backslashes_is_escaped() {
        assert_eq!(passfile_line(&Secret::new("a:b\\c")), "*:*:*:*:a\\:b\\\\c\n");
    }

    #[test]
    fn the_passfile_is_private_and_gone_afterwards() {
        let work_dir = tempfile::tempdir().expect("a folder");
        let folder = write_passfile(work_dir.path(), "one", &Secret::new("hunter2")).expect("written");
        let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("pgpass")), 0o600);
        drop(folder);
        assert_eq!(std::fs::read_dir(work_dir.path()).expect("list").count(), 0);
    }
}
