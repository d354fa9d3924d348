//! SHA-256 of bytes and files, in the lower-case hexadecimal that `sha256sum` prints.

use super::Cancel;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the SHA-256 of `bytes` as 64 hexadecimal digits.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// Returns bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the size in bytes and the SHA-256 of a file, read once in blocks of 256 KiB.
///
/// Never call this for a SQLite database that this process has open: closing the file would drop SQLite's POSIX
/// locks (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
pub fn file_sha256(path: &Path) -> io::Result<(u64, String)> {
    file_sha256_until(path, &Cancel::new())
}

/// Like [`file_sha256`], and ends with [`io::ErrorKind::Interrupted`] soon after the flag is raised.
pub fn file_sha256_until(path: &Path, cancel: &Cancel) -> io::Result<(u64, String)> {
    file_sha256_told(path, cancel, |_| ())
}

/// Like [`file_sha256_until`], and tells how many bytes each block has added, which is a few hundred thousand.
pub fn file_sha256_told(
    path: &Path,
    cancel: &Cancel,
    mut tell: impl FnMut(u64),
) -> io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let read = match file.read(&mut block) {
            // A signal came in between: nothing was read, nothing is lost.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        hasher.update(&block[..read]);
        size += read as u64;
        tell(read as u64);
    }
}

/// Files that were hashed: one that is asked for again is not read again, unless something was written to it since or
/// another one is in its place.
#[derive(Debug, Default)]
pub struct Hashed(BTreeMap<PathBuf, (Stamp, (u64, String))>);

/// What changes whenever a file is written to or replaced: device, inode, size, and the times of its content and of itself.
type Stamp = [i64; 7];

impl Hashed {
    /// Returns the size and the SHA-256 of a file, as [`file_sha256`] does.
    pub fn file_sha256(&mut self, path: &Path) -> io::Result<(u64, String)> {
        // Before it is read: what is written meanwhile counts as written since.
        let now = stamp(&path.metadata()?);
        if let Some((then, known)) = self.0.get(path)
            && *then == now
        {
            return Ok(known.clone());
        }
        let found = file_sha256(path)?;
        self.0.insert(path.to_path_buf(), (now, found.clone()));
        Ok(found)
    }
}

fn stamp(found: &Metadata) -> Stamp {
    let (content, own) = ([found.mtime(), found.mtime_nsec()], [found.ctime(), found.ctime_nsec()]);
    let file = [found.dev().cast_signed(), found.ino().cast_signed(), found.size().cast_signed()];
    [file[0], file[1], file[2], content[0], content[1], own[0], own[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_where_it_is_another_or_was_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let write = |text: &[u8]| crate::base::fs::write_durable(&path, text).expect("written");
        let mut hashed = Hashed::default();
        write(b"abc");
        assert_eq!(hashed.file_sha256(&path).expect("read"), (3, sha256_hex("abc")));
        // Only what is known can say this of a file that holds something else.
        hashed.0.values_mut().for_each(|(_, found)| found.1 = "known".to_string());
        assert_eq!(hashed.file_sha256(&path).expect("known"), (3, "known".to_string()));
        // Of the same length, under the same name.
        write(b"abd");
        assert_eq!(hashed.file_sha256(&path).expect("read"), (3, sha256_hex("abd")));
    }

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex("abc"), abc);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc");
        crate::base::fs::write_durable(&path, b"abc").expect("written");
        assert_eq!(file_sha256(&path).expect("read"), (3, abc.to_string()));
    }
}
