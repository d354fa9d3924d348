//! Which PostgreSQL versions are on this machine, and which one the tests run on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools;

/// The programs of one PostgreSQL version: server and clients.
#[derive(Debug, Clone)]
pub struct Installation {
    pub major: u32,
    pub bin_dir: PathBuf,
}

impl Installation {
    /// The version that `RIPCORD_TEST_POSTGRES` names, else the newest of the system, else the newest of all.
    pub fn chosen() -> Installation {
        let Ok(wanted) = std::env::var("RIPCORD_TEST_POSTGRES") else {
            let newest =
                Installation::all().into_iter().max_by_key(|each| (each.is_of_the_system(), each.major));
            return newest.expect("no PostgreSQL server is installed: run scripts/test, it installs one");
        };
        let major = wanted
            .parse()
            .unwrap_or_else(|_| panic!("RIPCORD_TEST_POSTGRES={wanted} is not a major version"));
        Installation::find(major)
            .unwrap_or_else(|| panic!("PostgreSQL {major} is not installed: run scripts/test"))
    }

    /// One version, if it is there.
    pub fn find(major: u32) -> Option<Installation> {
        Installation::all().into_iter().find(|each| each.major == major)
    }

    /// All versions, oldest first; one of the system before one of the same major version that `scripts/test` brought.
    pub fn all() -> Vec<Installation> {
        let system = in_folder(Path::new(SYSTEM));
        let brought = in_folder(&tools::target_folder().join("postgres"));
        let mut all: Vec<_> = system.into_iter().chain(brought).collect();
        all.sort_by_key(|each| (each.major, !each.is_of_the_system()));
        all
    }

    /// The exact version as the server prints it, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn version(&self) -> String {
        let line = tools::capture(Command::new(self.bin_dir.join("postgres")).arg("--version"), "");
        line.trim().trim_start_matches("postgres (PostgreSQL) ").to_owned()
    }

    fn is_of_the_system(&self) -> bool {
        self.bin_dir.starts_with(SYSTEM)
    }
}

/// Where Debian and Ubuntu put each major version.
const SYSTEM: &str = "/usr/lib/postgresql";

fn in_folder(parent: &Path) -> Vec<Installation> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let versions = entries.flatten().filter_map(|entry| {
        let major = entry.file_name().to_str()?.parse().ok()?;
        // Resolved, since the checkout that holds the link may be closed to the user that the server runs as.
        let bin_dir = entry.path().join("bin").canonicalize().ok()?;
        // Debian installs the clients of a version without its server, too.
        bin_dir.join("postgres").is_file().then_some(Installation { major, bin_dir })
    });
    versions.collect()
}
