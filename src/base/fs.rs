//! Files that are on disk when the call returns, private to the user, and never seen half written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Creates a folder that only its owner may enter (0700), and its missing parents.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a new folder that only its owner may enter (0700); fails if it exists or has no parent.
pub fn create_new_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Creates a new file that only its owner may read (0600); fails if it exists.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file for appending (0600), creating it if need be.
pub fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Writes a file so that a reader sees the old content or the new one, never a part, and a power cut keeps one of
/// the two: temporary file beside it, fsync, rename, fsync of the folder. Mode 0600.
pub fn write_durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_durable_mode(path, bytes, 0o600)
}

/// Like [`write_durable`], with the given mode (a script needs 0700).
pub fn write_durable_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = parent(path);
    let mut temporary = tempfile::Builder::new()
        .prefix(".ripcord-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        .tempfile_in(&folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failed| failed.error)?;
    sync_dir(&folder)
}

/// Makes new names, renames and removals in a folder survive a power cut.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives every regular file below `from` a second name below `to`, which must be a folder, or a copy of it where the file
/// system knows no second names.
pub fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, place) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            create_private_dir(&place)?;
            link_tree(&entry.path(), &place)?;
        } else if kind.is_file() && std::fs::hard_link(entry.path(), &place).is_err() {
            io::copy(&mut File::open(entry.path())?, &mut create_private_file(&place)?)?;
        }
    }
    Ok(())
}

/// Syncs every regular file and every folder below `path`, deepest first, then `path` itself.
pub fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(path)
}

/// Renames `from` to `to` and makes the rename durable. The caller has synced the content before: a rename that
/// reaches the disk ahead of the data would publish an empty file.
pub fn publish(from: &Path, to: &Path) -> io::Result<()> {
    rename_to_new(from, to)?;
    sync_dir(&parent(to))
}

/// Renames `from` to `to` and never replaces anything: fails with [`io::ErrorKind::AlreadyExists`] when `to` is there.
/// Where the file system can, looking and renaming are one.
pub fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot do it at once.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            outcome => return Ok(outcome?),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())));
    }
    std::fs::rename(from, to)
}

/// Returns the folder that holds `path`; `.` for a bare name.
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Returns the bytes that an unprivileged user can still write to the file system that holds `path`
/// (the nearest existing folder of it).
pub fn free_space(path: &Path) -> io::Result<u64> {
    let mut place = path.to_path_buf();
    while !place.exists() {
        place = parent(&place);
    }
    let facts = rustix::fs::statvfs(&place)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_durable_write_replaces_the_old_content_and_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("manifest.json");
        write_durable(&path, b"old").expect("first");
        write_durable(&path, b"new").expect("second");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        let mode = path.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file stays");
    }

    #[test]
    fn publishing_never_replaces_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        create_private_dir(&from).expect("a");
        create_private_dir(&to).expect("b");
        assert_eq!(publish(&from, &to).expect_err("refused").kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_dir(&to).expect("removed");
        publish(&from, &to).expect("published");
        assert!(to.is_dir() && !from.exists());
    }
}
