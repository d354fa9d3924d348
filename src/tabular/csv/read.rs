//! From bytes to records, and to the values that SQLite stores.

use crate::engine::Scalar;
use std::io::{self, BufRead};

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Without the quotes around it, doubled ones made single.
    pub bytes: Vec<u8>,
    pub quoted: bool,
}

/// Why a file is not CSV of this dialect.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error("record {record}: {what}")]
    Malformed { record: u64, what: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads records one by one; memory holds one of them.
pub struct Reader<R> {
    input: R,
    record: u64,
}

/// Where in a field the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first of two.
    Quote,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R) -> Self {
        Self { input, record: 0 }
    }

    /// Returns the next record, the header among them; an empty line is one field that is NULL.
    pub fn record(&mut self) -> Result<Option<Vec<Field>>, CsvError> {
        let mut fields = Vec::new();
        let mut field = Field::default();
        let mut at = At::Start;
        self.record += 1;
        loop {
            let Some(byte) = self.byte()? else {
                let whole = at == At::Start && fields.is_empty();
                return if whole { Ok(None) } else { Err(self.malformed("it is cut off")) };
            };
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => keep(&mut field, byte, At::Quoted),
                (At::Quote, b'"') => keep(&mut field, byte, At::Quoted),
                (_, b',') => {
                    fields.push(std::mem::take(&mut field));
                    At::Start
                }
                (_, b'\n') => {
                    fields.push(field);
                    return Ok(Some(fields));
                }
                (At::Quote, _) => return Err(self.malformed("something follows a closing quote")),
                (At::Start, b'"') => {
                    field.quoted = true;
                    At::Quoted
                }
                (_, b'"') => return Err(self.malformed("a quote stands within a field without quotes")),
                (_, _) => keep(&mut field, byte, At::Plain),
            };
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let Some(byte) = self.input.fill_buf()?.first().copied() else { return Ok(None) };
        self.input.consume(1);
        Ok(Some(byte))
    }

    fn malformed(&self, what: &'static str) -> CsvError {
        CsvError::Malformed { record: self.record, what }
    }
}

fn keep(field: &mut Field, byte: u8, at: At) -> At {
    field.bytes.push(byte);
    at
}

impl Field {
    /// Reads what the export of a SQLite database wrote; `None` when it cannot have been written by one.
    pub fn into_scalar(self) -> Option<Scalar> {
        if self.quoted {
            return Some(Scalar::Text(self.bytes));
        }
        let text = std::str::from_utf8(&self.bytes).ok()?;
        if text.is_empty() {
            return Some(Scalar::Null);
        }
        if let Some(digits) = text.strip_prefix("\\x") {
            return from_hex(digits).map(Scalar::Blob);
        }
        match text.parse() {
            Ok(number) => Some(Scalar::Integer(number)),
            Err(_) => text.parse().ok().map(Scalar::Real),
        }
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2))
        .collect()
}
