//! What must not be left when everything is over.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Backend;
use super::scene::Scene;

/// Longer than any session takes to end whose client has gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// No draft, side database, bar, session, passfile or temporary file.
pub fn nothing_is_left(scene: &Scene) {
    in_the_backups(scene);
    let tmp = scene.sandbox.project().with_file_name("tmp");
    assert_eq!(tree(&tmp), "", "left in the temporary folder");
    match scene.db.backend() {
        Backend::Sqlite => beside_the_file(scene),
        Backend::Postgres => on_the_server(scene),
    }
}

/// The folders of the backups that are published.
pub fn published(scene: &Scene) -> Vec<PathBuf> {
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    scene.sandbox.backups().into_iter().filter(|path| !hidden(path)).collect()
}

/// Everything below a folder: path, mode and content, sorted; nothing when there is no such folder.
pub fn tree(folder: &Path) -> String {
    let mut lines = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let (path, metadata) = (entry.path(), entry.metadata().expect("nobody removes it"));
            let name = path.strip_prefix(folder).expect("it is below").display().to_string();
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                lines.push(format!("{name}/ {mode:o}\n"));
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("it can be read");
                lines.push(format!("{name} {mode:o} {} {}\n", bytes.len(), checksum(&bytes)));
            }
        }
    }
    lines.sort();
    lines.concat()
}

/// The names of everything below a folder, with sizes and without content.
pub fn names(folder: &Path) -> String {
    let short = |line: &str| line.rsplit_once(' ').map(|(short, _)| format!("{short}\n")).unwrap_or_default();
    tree(folder).lines().map(short).collect()
}

/// Enough to notice a change: FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn in_the_backups(scene: &Scene) {
    let tree = tree(&scene.sandbox.path("backups"));
    for line in tree.lines() {
        let (name, mode) = line.split_once(' ').expect("a name and a mode");
        let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let known = [".operations", ".gitignore", ".work"].contains(&last) || !last.starts_with('.');
        assert!(known, "{name} is left in the backups\n{tree}");
        assert!(!name.starts_with(".work/") || name == ".work/", "{name} is left in the backups\n{tree}");
        let private = if name.ends_with('/') || last == "RESTORE.sh" { "700" } else { "600" };
        assert!(mode.starts_with(private), "{name} is not private\n{tree}");
    }
}

fn beside_the_file(scene: &Scene) {
    let tree = tree(scene.folder());
    // A file that was no database is kept when a restore takes its place.
    let is_kept = |name: &str| {
        let bytes = std::fs::read(scene.folder().join(name)).expect("it can be read");
        name.starts_with("app.db.pre-restore-") && !bytes.starts_with(b"SQLite format 3\0")
    };
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    // Who was killed leaves the file of its lock, and `recover` removes it.
    let strange: Vec<_> = names.filter(|name| *name != "app.db" && !is_kept(name)).collect();
    assert!(strange.is_empty(), "{strange:?} is left beside the database");
}

fn on_the_server(scene: &Scene) {
    let strange = scene.server(
        "SELECT datname, datallowconn, datconnlimit FROM pg_database
WHERE NOT datistemplate AND datname NOT IN ('app', 'kept', 'origin', 'postgres') AND datname NOT LIKE 'app\\_old\\_%'
    OR datname = 'app' AND (NOT datallowconn OR datconnlimit <> -1) ORDER BY 1;",
    );
    assert_eq!(strange, "", "databases are left, or the live one is barred");
    let begun = Instant::now();
    loop {
        // A session ends a moment after its client; its advisory lock with it.
        let sessions = scene.server(
            "SELECT application_name, state, query FROM pg_stat_activity WHERE application_name LIKE 'ripcord%'
UNION ALL SELECT 'advisory lock', NULL, pid::text FROM pg_locks WHERE locktype = 'advisory';",
        );
        if sessions.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "sessions are left:\n{sessions}");
    }
}
