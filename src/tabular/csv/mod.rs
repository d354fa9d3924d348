//! The dialect of exports, which is PostgreSQL's (<https://www.postgresql.org/docs/current/sql-copy.html>, CSV format):
//! RFC 4180 with a header, records ended by a line feed, NULL an empty field without quotes.
//!
//! Whether a field stands in quotes is part of its value: text always does, numbers, NULL and `\x…` never do. That is
//! what tells the text `\x00` from one zero byte and the text `1` from the integer.

mod read;
mod write;

pub use read::{CsvError, Field, Reader};
pub use write::{push_header, push_value};

#[cfg(test)]
mod properties;
