//! Reading rows of one table out of a dump, without a server: in the directory format the rows of each table are one file
//! of `COPY` text, which has the number that the table of contents gives them.
//! <https://www.postgresql.org/docs/current/app-pgdump.html>, `--format=directory`

use super::PostgresDatabase;
use crate::base::{Cancel, Tool};
use crate::catalog::TableName;
use crate::engine::Error;
use flate2::read::MultiGzDecoder;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const BLOCK: usize = 256 << 10;
/// How often is looked whether to go on.
const LINES: u64 = 1 << 14;

impl PostgresDatabase {
    /// Returns the file with the rows of a table, where the contents name exactly one.
    pub(super) async fn dumped_rows(
        &self,
        folder: &Path,
        table: &TableName,
    ) -> Result<Option<PathBuf>, Error> {
        let dump = folder.join("dump");
        let tool = Tool::new(self.tools().await?.program("pg_restore")).arg("--list").arg(&dump);
        let listed = tool.run(&self.options.cancel).await?.stdout;
        let mut numbers = listed.lines().filter_map(|line| number_of(line, table));
        let (Some(number), None) = (numbers.next(), numbers.next()) else { return Ok(None) };
        let names = [format!("{number}.dat.gz"), format!("{number}.dat")];
        Ok(names.map(|name| dump.join(name)).into_iter().find(|place| place.exists()))
    }
}

/// Returns the number of the rows of a table, if a line of the contents is about them: `3217; 0 16386 TABLE DATA public t
/// owner`. Names stand there as they are, so that a line may be about a longer one.
fn number_of(line: &str, table: &TableName) -> Option<u64> {
    let (number, rest) = line.split_once("; ")?;
    let entry = rest.splitn(3, ' ').nth(2)?.strip_prefix("TABLE DATA ")?;
    let plain = |name: &str| name.replace(['\n', '\r'], " ");
    let schema = table.schema.as_deref().map(plain).unwrap_or_default();
    entry.starts_with(&format!("{schema} {} ", plain(&table.name))).then(|| number.parse().ok())?
}

/// The rows in a file, a few fields of each.
pub(super) struct DumpedRows {
    from: Box<dyn BufRead + Send>,
    /// Which fields, the key first.
    fields: Vec<usize>,
    /// How many a row has.
    width: usize,
    line: Vec<u8>,
    /// Where the fields of the line end.
    ends: Vec<usize>,
    lines: u64,
    cancel: Cancel,
    /// What is read, but not yet handed out.
    rest: io::Cursor<Vec<u8>>,
}

impl DumpedRows {
    pub(super) fn open(place: &Path, fields: Vec<usize>, width: usize, cancel: Cancel) -> io::Result<Self> {
        let file = BufReader::with_capacity(BLOCK, File::open(place)?);
        let from: Box<dyn BufRead + Send> = match place.extension().is_some_and(|end| end == "gz") {
            true => Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Self {
            from,
            fields,
            width,
            line: Vec::new(),
            ends: Vec::new(),
            lines: 0,
            cancel,
            rest: io::Cursor::default(),
        })
    }

    /// Adds the fields of the next row as a line of `COPY` text, and returns its key; none at the end.
    fn next(&mut self, into: &mut Vec<u8>) -> io::Result<Option<i64>> {
        let start = into.len();
        if !self.line(into)? {
            return Ok(None);
        }
        let key = into[start..].split(|byte| b"\t\n".contains(byte)).next();
        let key = key.and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
        key.map(Some).ok_or_else(|| wrong("a key in the dump is no number"))
    }

    /// Adds the fields of the next row, whatever its key is; returns whether there was one.
    fn line(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        self.lines += 1;
        if self.lines.is_multiple_of(LINES) && self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        loop {
            self.line.clear();
            if self.from.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(false);
            }
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            // What stands behind the rows.
            if line.is_empty() || line == b"\\." {
                continue;
            }
            self.ends.clear();
            let tabs = line.iter().enumerate().filter(|(_, byte)| **byte == b'\t').map(|(at, _)| at);
            self.ends.extend(tabs.chain([line.len()]));
            if self.ends.len() != self.width {
                return Err(wrong("a row of the dump has another number of fields"));
            }
            let field =
                |at: usize| &line[at.checked_sub(1).map_or(0, |before| self.ends[before] + 1)..self.ends[at]];
            for (at, place) in self.fields.iter().enumerate() {
                into.extend_from_slice(if at == 0 { b"" } else { b"\t" });
                into.extend_from_slice(field(*place));
            }
            into.push(b'\n');
            return Ok(true);
        }
    }

    /// Returns all rows where they are no more than so many, with no more bytes, and otherwise those with the largest keys, no more
    /// than the end is to have and hardly more bytes than that; and whether there are others.
    pub(super) fn last(mut self, all: (usize, usize), end: (usize, usize)) -> io::Result<(Vec<u8>, bool)> {
        let mut kept: BinaryHeap<Reverse<(i64, Vec<u8>)>> = BinaryHeap::new();
        let (mut held, mut more) = (0, false);
        let (mut rows, mut bytes) = all;
        let mut line = Vec::new();
        while let Some(key) = self.next(&mut line)? {
            if more && kept.peek().is_some_and(|Reverse((least, _))| *least > key) {
                line.clear();
                continue;
            }
            held += line.len();
            kept.push(Reverse((key, std::mem::take(&mut line))));
            while kept.len() > 1 && (kept.len() > rows || held > bytes) {
                (more, rows, bytes) = (true, end.0, end.1);
                let Some(Reverse((_, least))) = kept.pop() else { break };
                held -= least.len();
                // Its room is taken for the next one: there may be many millions.
                line = least;
                line.clear();
            }
        }
        Ok((kept.into_iter().flat_map(|Reverse((_, line))| line).collect(), more))
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// All rows, whatever their keys are.
impl Read for DumpedRows {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.position() == self.rest.get_ref().len() as u64 {
            let mut block = std::mem::take(&mut self.rest).into_inner();
            block.clear();
            while block.len() < BLOCK && self.line(&mut block)? {}
            self.rest = io::Cursor::new(block);
        }
        self.rest.read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> DumpedRows {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("1.dat");
        std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&place)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .expect("written");
        DumpedRows::open(&place, vec![1, 0], 3, Cancel::new()).expect("opened")
    }

    const THREE: &str = "a\\tb\t7\tx\nc\t9\t\\N\nd\t-1\ty\n\\.\n\n\n";

    #[test]
    fn the_rows_of_a_table_are_found_by_its_whole_name() {
        let line = "3217; 0 16386 TABLE DATA public a b app";
        assert_eq!(number_of(line, &TableName::qualified("public", "a b")), Some(3217));
        // It may be the rows of `a`, of an owner with a space: then there are two such lines.
        assert_eq!(number_of(line, &TableName::qualified("public", "a")), Some(3217));
        assert_eq!(number_of(line, &TableName::qualified("public", "b")), None);
        assert_eq!(
            number_of("215; 1259 16386 TABLE public a app", &TableName::qualified("public", "a")),
            None
        );
        assert_eq!(number_of(";     Archive created at", &TableName::qualified("public", "a")), None);
    }

    #[test]
    fn a_few_fields_of_all_rows_are_read() {
        let mut text = String::new();
        rows(THREE).read_to_string(&mut text).expect("read");
        assert_eq!(text, "7\ta\\tb\n9\tc\n-1\td\n");
    }

    #[test]
    fn the_last_rows_are_those_with_the_largest_keys() {
        let last = |count, bytes| {
            let (text, more) = rows(THREE).last((count, bytes), (count, bytes)).expect("read");
            let mut lines: Vec<String> =
                String::from_utf8(text).expect("text").lines().map(str::to_string).collect();
            lines.sort();
            (lines.join(" "), more)
        };
        assert_eq!(last(2, 1000), ("7\ta\\tb 9\tc".to_string(), true));
        assert_eq!(last(3, 1000), ("-1\td 7\ta\\tb 9\tc".to_string(), false));
        assert_eq!(last(3, 1), ("9\tc".to_string(), true));
        let (text, more) = rows(THREE).last((2, 1000), (1, 1000)).expect("read");
        assert_eq!((text, more), (b"9\tc\n".to_vec(), true));
    }

    #[test]
    fn rows_of_another_shape_are_no_rows_of_the_table() {
        let read = |text| rows(text).last((9, 1000), (9, 1000)).map(|_| ()).expect_err("no rows").to_string();
        assert_eq!(read("1\t2\n"), "a row of the dump has another number of fields");
        assert_eq!(read("1\tx\t3\n"), "a key in the dump is no number");
    }
}
