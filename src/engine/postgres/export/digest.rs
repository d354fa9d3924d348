//! The digest of rows that come as CSV: that of the lines which `COPY` sends in text format for the same rows, so that it
//! is the one of the fingerprint.

use crate::engine::Error;
use crate::fingerprint::TableHasher;
use std::ops::Range;

/// Reads blocks of whole rows.
pub(super) struct Lines {
    /// The columns in the order of their names, by their places.
    by_name: Vec<usize>,
    is_sorted: bool,
    hasher: TableHasher,
    /// The fields of the present row in text format, in the order of the CSV, a tab between them.
    line: Vec<u8>,
    fields: Vec<Range<usize>>,
    /// The same in the order of their names.
    sorted: Vec<u8>,
}

impl Lines {
    pub(super) fn new(by_name: Vec<usize>) -> Self {
        Self {
            is_sorted: by_name.iter().enumerate().all(|(place, column)| place == *column),
            by_name,
            hasher: TableHasher::new(0),
            line: Vec::new(),
            fields: Vec::new(),
            sorted: Vec::new(),
        }
    }

    /// Adds the rows of a block; fails unless it ends where a row ends.
    pub(super) fn add(&mut self, mut rows: &[u8]) -> Result<(), Error> {
        while !rows.is_empty() {
            rows = self.add_row(rows).ok_or_else(|| Error::Driver {
                doing: "reading rows".to_string(),
                detail: "the server sent CSV that ends within a row, or has other columns".to_string(),
            })?;
        }
        Ok(())
    }

    /// Adds the first row and returns what follows it.
    fn add_row<'b>(&mut self, mut rest: &'b [u8]) -> Option<&'b [u8]> {
        self.line.clear();
        self.fields.clear();
        if self.by_name.is_empty() {
            rest = rest.strip_prefix(b"\n")?;
        } else {
            for place in 1..=self.by_name.len() {
                let begin = self.line.len();
                let after = push_field(&mut self.line, rest)?;
                self.fields.push(begin..self.line.len());
                let end = if place == self.by_name.len() { b'\n' } else { b',' };
                rest = after.strip_prefix(&[end])?;
                self.line.push(b'\t');
            }
            // The tab behind the last field.
            self.line.pop();
        }
        if self.is_sorted {
            self.hasher.add_row(&self.line, &[], std::iter::empty());
        } else {
            self.sorted.clear();
            for (index, place) in self.by_name.iter().enumerate() {
                if index > 0 {
                    self.sorted.push(b'\t');
                }
                self.sorted.extend_from_slice(&self.line[self.fields[*place].clone()]);
            }
            self.hasher.add_row(&self.sorted, &[], std::iter::empty());
        }
        Some(rest)
    }

    pub(super) fn finish(self) -> TableHasher {
        self.hasher
    }
}

/// Appends the first field in text format; returns what follows it, which begins with what ended it.
fn push_field<'b>(line: &mut Vec<u8>, rest: &'b [u8]) -> Option<&'b [u8]> {
    let Some(mut rest) = rest.strip_prefix(b"\"") else {
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'\n'))?;
        if end == 0 {
            line.extend_from_slice(b"\\N");
        } else {
            push_escaped(line, &rest[..end]);
        }
        return Some(&rest[end..]);
    };
    loop {
        let quote = rest.iter().position(|byte| *byte == b'"')?;
        push_escaped(line, &rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix(b"\"") {
            Some(after) => {
                line.push(b'"');
                rest = after;
            }
            None => return Some(rest),
        }
    }
}

/// Appends what `COPY` makes of these bytes in text format
/// (<https://www.postgresql.org/docs/current/sql-copy.html>, File Formats).
fn push_escaped(line: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: &u8| *byte != b'\\' && !(0x08..=0x0d).contains(byte);
    if text.iter().all(is_plain) {
        line.extend_from_slice(text);
        return;
    }
    for byte in text {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            0x08..=0x0d => line.extend_from_slice(&[b'\\', b"btnvfr"[usize::from(byte - 0x08)]]),
            _ => line.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    fn digest(by_name: &[usize], csv: &[u8]) -> (u64, u128) {
        let mut lines = Lines::new(by_name.to_vec());
        lines.add(csv).expect("whole rows");
        let print = lines.finish().finish(&[], &[]);
        (print.rows, print.digest.0)
    }

    #[test]
    fn a_row_has_the_digest_of_its_line_in_text_format() {
        let csv = b"1,,\"\",\"a\"\"b,\n\t\\.\x08\x0b\x0c\r\x01\",\\x00\n";
        let line = b"1\t\\N\t\ta\"b,\\n\\t\\\\.\\b\\v\\f\\r\x01\t\\\\x00";
        assert_eq!(digest(&[0, 1, 2, 3, 4], csv), (1, xxh3_128(line)));
    }

    #[test]
    fn columns_go_in_by_their_names() {
        assert_eq!(digest(&[1, 0], b"1,2\n"), (1, xxh3_128(b"2\t1")));
    }

    #[test]
    fn an_empty_line_is_a_null_or_a_row_without_columns() {
        assert_eq!(digest(&[0], b"\n"), (1, xxh3_128(b"\\N")));
        assert_eq!(digest(&[], b"\n\n").0, 2);
    }

    #[test]
    fn a_block_that_ends_within_a_row_is_noticed() {
        for torn in [&b"1,\"a"[..], b"1", b"1,2", b"1,\"a\"x\n", b"1,2,3\n"] {
            assert!(Lines::new(vec![0, 1]).add(torn).is_err(), "{torn:?}");
        }
    }
}
