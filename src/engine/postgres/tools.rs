//! Finding `pg_dump`, `pg_restore` and `psql`, and choosing the version that fits the server.
#![expect(clippy::disallowed_methods, reason = "PATH says where programs are")]

use crate::base::{Cancel, Tool};
use crate::engine::Error;
use crate::store::ToolFact;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where distributions put each major version, beside `PATH`: Debian and Ubuntu, then Red Hat and its kin.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// A program that cannot say its version within this time is none.
const ANSWER: Duration = Duration::from_secs(10);

/// The programs of one version, from one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tools {
    folder: PathBuf,
    /// As it prints it: `15.18 (Debian 15.18-0+deb12u1)`.
    version: String,
    pub(super) major: u32,
}

/// Returns the folders to look in: those that are configured, and nothing else, when there are any; else `PATH` and
/// the places where distributions put each major version.
pub fn tool_folders(configured: &[PathBuf]) -> Vec<PathBuf> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in VERSIONED {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let mut found: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let major = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((major, entry.path().join("bin")))
            })
            .collect();
        found.sort();
        folders.extend(found.into_iter().map(|(_, folder)| folder));
    }
    folders
}

impl Tools {
    /// Chooses the programs for a server of this major version among those in `folders`: the same version before a
    /// newer one, the nearest newer one before others, the first folder among equals.
    ///
    /// The same version is best, because a newer `pg_restore` writes settings that an older server does not know. An
    /// older one refuses the server, so it is no choice: [`Error::ToolTooOld`]. None at all: [`Error::ToolMissing`].
    pub(super) async fn choose(folders: &[PathBuf], server: u32, cancel: &Cancel) -> Result<Self, Error> {
        let mut found: Vec<Self> = Vec::new();
        for folder in folders {
            let both = ["pg_dump", "pg_restore"].iter().all(|name| folder.join(name).is_file());
            if both && !found.iter().any(|tools| tools.folder == *folder) {
                found.extend(Self::ask(folder, cancel).await?);
            }
            // There is no better one.
            if found.last().is_some_and(|tools| tools.major == server) {
                break;
            }
        }
        let fitting = found.iter().filter(|tools| tools.major >= server).min_by_key(|tools| tools.major);
        match (fitting, found.iter().max_by_key(|tools| tools.major)) {
            (Some(tools), _) => Ok(tools.clone()),
            (None, Some(newest)) => Err(Error::ToolTooOld {
                tool: newest.program("pg_dump").display().to_string(),
                found: newest.version.clone(),
                server: server.to_string(),
            }),
            (None, None) => {
                let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                Err(Error::ToolMissing {
                    tool: "pg_dump with pg_restore".to_string(),
                    looked: looked.join(":"),
                })
            }
        }
    }

    async fn ask(folder: &Path, cancel: &Cancel) -> Result<Option<Self>, Error> {
        let asked = Tool::new(folder.join("pg_dump")).arg("--version").timeout(ANSWER).run(cancel).await;
        match asked {
            Ok(output) => Ok(read_version(&output.stdout).map(|(version, major)| Self {
                folder: folder.to_path_buf(),
                version,
                major,
            })),
            Err(_) if cancel.is_cancelled() => Err(Error::Interrupted),
            // Not a program of this machine, or a broken one: another folder may have a good one.
            Err(_) => Ok(None),
        }
    }

    /// Returns the path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns what a manifest says of the programs.
    pub(super) fn facts(&self) -> Vec<ToolFact> {
        let fact = |name: &str| ToolFact {
            name: name.to_string(),
            version: self.version.clone(),
            path: self.program(name).display().to_string(),
        };
        vec![fact("pg_dump"), fact("pg_restore")]
    }
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn read_version(line: &str) -> Option<(String, u32)> {
    let version = line.trim().strip_prefix("pg_dump (PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_string(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::{create_private_dir, write_durable_mode};

    /// A folder with a `pg_dump` and a `pg_restore` that say this version.
    fn installed(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        create_private_dir(&folder).expect("a folder");
        for tool in ["pg_dump", "pg_restore"] {
            let script = format!("#!/bin/sh\necho '{tool} (PostgreSQL) {version}'\n");
            write_durable_mode(&folder.join(tool), script.as_bytes(), 0o700).expect("a script");
        }
        folder
    }

    #[test]
    fn the_version_is_read_with_what_a_distribution_adds() {
        let read = read_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n");
        assert_eq!(read, Some(("15.18 (Debian 15.18-0+deb12u1)".to_string(), 15)));
        assert_eq!(read_version("pg_dump (PostgreSQL) 19devel").map(|found| found.1), Some(19));
        assert_eq!(read_version("something else"), None);
    }

    #[tokio::test]
    async fn the_servers_own_version_is_chosen_before_newer_ones() {
        let parent = tempfile::tempdir().expect("a folder");
        let folders = [("a", "18.1"), ("b", "14.2"), ("c", "16.3"), ("d", "16.4")]
            .map(|(name, version)| installed(parent.path(), name, version));
        let chosen = |server| {
            let folders = folders.clone();
            async move { Tools::choose(&folders, server, &Cancel::new()).await.map(|tools| tools.version) }
        };
        assert_eq!(chosen(16).await.expect("the first of the same version"), "16.3");
        assert_eq!(chosen(15).await.expect("the nearest newer one"), "16.3");
        assert_eq!(chosen(17).await.expect("the nearest newer one"), "18.1");
        let error = chosen(19).await.expect_err("all are older");
        assert!(matches!(&error, Error::ToolTooOld { found, .. } if found == "18.1"), "{error}");
    }

    #[tokio::test]
    async fn where_no_programs_are_the_folders_are_named() {
        let empty = tempfile::tempdir().expect("a folder");
        let folders = [empty.path().to_path_buf()];
        let error = Tools::choose(&folders, 15, &Cancel::new()).await.expect_err("none");
        assert!(error.to_string().contains(&empty.path().display().to_string()), "{error}");
    }
}
