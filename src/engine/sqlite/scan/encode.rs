//! From values to the bytes that a fingerprint hashes. Specified in `docs/format.md`, section "Fingerprint".
//!
//! A value is a tag (0 NULL, 1 integer, 2 real, 3 text, 4 blob) and what it holds: integers as 8 bytes and reals as the
//! 8 bytes of their IEEE 754 bits, little-endian; text and blobs as their length in 8 bytes, little-endian, and their
//! bytes, text in the encoding of the database. No value is the beginning of another one, so values can be joined to rows
//! and keys without anything between them: different rows give different bytes.

use super::super::raw::Cursor;
use crate::engine::Value;
use std::ops::Range;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

/// One row as bytes: built anew for each row, in memory that stays.
#[derive(Default)]
pub(in super::super) struct Row {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
    key: Vec<u8>,
}

impl Row {
    /// Takes `count` columns from `first` on.
    pub(super) fn fill(&mut self, cursor: &Cursor<'_>, first: i32, count: i32) {
        self.clear();
        for column in first..first + count {
            self.push(cursor.value(column));
        }
    }

    /// Begins a row.
    pub(in super::super) fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
    }

    /// Takes the next value.
    pub(in super::super) fn push(&mut self, value: Value<'_>) {
        let start = self.bytes.len();
        push(&mut self.bytes, value);
        self.values.push(start..self.bytes.len());
    }

    /// Returns all values.
    pub(in super::super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the values one by one.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(|range| &self.bytes[range.clone()])
    }

    /// Joins some values, given by their places: those of the key, or all in another order.
    pub(in super::super) fn join_key(&mut self, places: &[usize]) {
        self.key.clear();
        for place in places {
            self.key.extend_from_slice(&self.bytes[self.values[*place].clone()]);
        }
    }

    /// Returns what [`Row::join_key`] joined.
    pub(in super::super) fn key(&self) -> &[u8] {
        &self.key
    }
}

fn push(bytes: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => bytes.push(NULL),
        Value::Integer(number) => fixed(bytes, INTEGER, number.to_le_bytes()),
        Value::Real(number) => fixed(bytes, REAL, number.to_bits().to_le_bytes()),
        Value::Text(text) => variable(bytes, TEXT, text),
        Value::Blob(blob) => variable(bytes, BLOB, blob),
    }
}

fn fixed(bytes: &mut Vec<u8>, tag: u8, value: [u8; 8]) {
    let mut both = [tag; 9];
    both[1..].copy_from_slice(&value);
    bytes.extend_from_slice(&both);
}

fn variable(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    fixed(bytes, tag, (value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: Value<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, value);
        bytes
    }

    /// The figures of `docs/format.md`.
    #[test]
    fn values_are_encoded_as_the_format_says() {
        assert_eq!(encoded(Value::Null), [0]);
        assert_eq!(encoded(Value::Integer(-2)), [1, 254, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(encoded(Value::Real(1.0)), [2, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(encoded(Value::Text(b"ab")), [3, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(encoded(Value::Blob(b"")), [4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn values_that_look_alike_differ() {
        let alike = [Value::Null, Value::Integer(0), Value::Real(0.0), Value::Text(b""), Value::Blob(b"")];
        for (index, one) in alike.iter().enumerate() {
            for other in &alike[index + 1..] {
                assert_ne!(encoded(*one), encoded(*other));
            }
        }
    }
}
