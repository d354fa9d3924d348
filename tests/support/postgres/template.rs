//! A prepared data folder for each version, made once and copied for every server: `initdb` takes longer than a test.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Installation;
use crate::support::tools;

/// Changed whenever what follows is changed, so that an older template is not taken for a good one.
const EDITION: u32 = 2;

/// Settings of a server whose data nobody will miss. Its shared memory lies in the data folder, so that even a killed
/// server leaves nothing elsewhere.
const CONFIGURATION: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 50
max_wal_size = 256MB
jit = off
dynamic_shared_memory_type = mmap
listen_addresses = ''
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
";

/// Single-user mode takes one statement a line.
const CONTENT: &str = "CREATE ROLE app LOGIN CREATEDB PASSWORD 'app'\nCREATE DATABASE app OWNER app\n";

/// Returns the prepared data folder of a version; makes it if it is not there yet.
pub fn prepared(installation: &Installation) -> PathBuf {
    let cache = tools::cache_folder();
    let version = installation.version().split_whitespace().next().unwrap_or_default().to_owned();
    let folder = cache.join(format!("postgres-template-{version}-{EDITION}"));
    // Tests are separate processes that start at the same moment: the first one makes the template, the others wait.
    let lock = File::create(folder.with_extension("lock")).expect("the cache folder is writable");
    lock.lock().expect("the cache folder can be locked");
    if !folder.exists() {
        make(installation, &folder);
    }
    folder
}

fn make(installation: &Installation, folder: &Path) {
    let workshop = tools::short_temporary_folder("ripcord-initdb-");
    let data = workshop.path().join("data");
    let password = workshop.path().join("password");
    std::fs::write(&password, super::SUPERUSER).expect("the temporary folder is writable");
    tools::give_to_unprivileged(workshop.path());

    let mut initdb = tools::unprivileged(&installation.bin_dir.join("initdb"));
    initdb.args(["--username", super::SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]);
    // Small log segments: they are most of what has to be copied for a server.
    initdb.args(["--no-sync", "--wal-segsize", "1"]).arg("--pwfile").arg(&password).arg("-D").arg(&data);
    tools::capture(&mut initdb, "");

    let configuration = data.join("postgresql.conf");
    let written =
        std::fs::read_to_string(&configuration).expect("initdb wrote its configuration") + CONFIGURATION;
    std::fs::write(&configuration, written).expect("the configuration is writable");
    let mut single = tools::unprivileged(&installation.bin_dir.join("postgres"));
    tools::capture(single.args(["--single", "-j", "-D"]).arg(&data).arg("postgres"), &content());

    // Copied under another name first: a template that is there is a whole one.
    let partial = folder.with_extension("partial");
    drop(std::fs::remove_dir_all(&partial));
    tools::copy_folder(&data, &partial);
    std::fs::rename(&partial, folder).expect("the template moves to its place");
}

/// With `-j` a statement ends at a semicolon and an empty line, in every version alike.
fn content() -> String {
    CONTENT.lines().map(|statement| format!("{statement};\n\n")).collect()
}
