//! Cuts SQL text into tokens by the lexical rules of one engine.
//!
//! Promises that the tokens follow each other without a gap, so that joining them gives the text back, and that every
//! boundary is a character boundary. It knows nothing of statements, and it judges only what makes the rest of the
//! text ambiguous: a literal, a comment or a quoted identifier that never ends.
//!
//! Sources: SQLite's `tokenize.c`; PostgreSQL's `scan.l` and the manual's chapter "Lexical Structure".

use std::ops::Range;

use super::{EngineKind, Problem};

/// What a token is, as far as splitting and naming need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space.
    Space,
    /// `-- …` or `/* … */`.
    Comment,
    /// An unquoted identifier or a keyword.
    Word,
    /// `"…"`, and in SQLite `[…]` and `` `…` ``; in PostgreSQL `U&"…"` as well.
    QuotedIdentifier,
    /// `'…'`, `E'…'`, `U&'…'`.
    Literal,
    /// `$tag$ … $tag$`; only PostgreSQL has it.
    DollarQuoted,
    /// `?1`, `:name`, `@name`, `#name`, `$name` in SQLite; `$1` in PostgreSQL.
    Parameter,
    Number,
    Semicolon,
    OpenParenthesis,
    CloseParenthesis,
    Backslash,
    /// One character of an operator, or one the engine will refuse by itself.
    Other,
}

/// A token and the bytes it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// A token that cannot end: what it is and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unending {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

/// Yields the tokens of a text in order, and stops after the first that never ends.
pub(super) struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
    engine: EngineKind,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, engine: EngineKind) -> Self {
        Lexer { sql, bytes: sql.as_bytes(), at: 0, engine }
    }

    fn byte(&self, at: usize) -> u8 {
        // NUL stands for the end, as in both engines' own scanners; the caller refuses a NUL in the text.
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn is_sqlite(&self) -> bool {
        self.engine == EngineKind::Sqlite
    }

    /// The first position at or after `from` whose byte does not satisfy `keep`.
    fn skip(&self, from: usize, keep: impl Fn(u8) -> bool) -> usize {
        self.bytes[from..].iter().position(|byte| !keep(*byte)).map_or(self.bytes.len(), |found| from + found)
    }

    /// Says what begins at `start` and where it ends.
    fn token_at(&self, start: usize) -> Result<(Kind, usize), Problem> {
        let (first, second) = (self.byte(start), self.byte(start + 1));
        match first {
            _ if is_space(first) => Ok((Kind::Space, self.skip(start, is_space))),
            // SQLite takes a byte order mark anywhere for white space; PostgreSQL takes it for a letter.
            0xEF if self.is_sqlite() && self.sql[start..].starts_with('\u{feff}') => {
                Ok((Kind::Space, start + 3))
            }
            b'-' if second == b'-' => Ok((Kind::Comment, self.line_comment(start))),
            b'/' if second == b'*' => self.block_comment(start).map(|end| (Kind::Comment, end)),
            b'\'' => self.literal(start, false).map(|end| (Kind::Literal, end)),
            b'"' => self.quoted_identifier(start, b'"'),
            b'`' if self.is_sqlite() => self.quoted_identifier(start, b'`'),
            b'[' if self.is_sqlite() => self.bracketed_identifier(start),
            b'$' if !self.is_sqlite() => self.dollar(start),
            b'$' | b'@' | b'#' | b':' | b'?' if self.is_sqlite() => Ok(self.sqlite_parameter(start)),
            b'0'..=b'9' => Ok((Kind::Number, self.number(start))),
            b';' => Ok((Kind::Semicolon, start + 1)),
            b'(' => Ok((Kind::OpenParenthesis, start + 1)),
            b')' => Ok((Kind::CloseParenthesis, start + 1)),
            b'\\' => Ok((Kind::Backslash, start + 1)),
            _ if begins_word(first) => self.word_or_prefixed(start),
            _ => Ok((Kind::Other, start + 1)),
        }
    }

    /// PostgreSQL ends a line comment at a carriage return too; SQLite only at a line feed. The difference decides
    /// whether `-- note\rDROP TABLE t` drops a table.
    fn line_comment(&self, start: usize) -> usize {
        let sqlite = self.is_sqlite();
        self.skip(start, |byte| byte != b'\n' && (sqlite || byte != b'\r'))
    }

    /// PostgreSQL's comments nest, SQLite's do not.
    fn block_comment(&self, start: usize) -> Result<usize, Problem> {
        let mut depth = 1;
        let mut at = start + 2;
        while at < self.bytes.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Ok(at);
                    }
                }
                (b'/', b'*') if !self.is_sqlite() => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        Err(Problem::UnterminatedComment)
    }

    /// The end of the string whose opening quote is at `quote`. In an escape string a backslash hides the next
    /// character.
    fn literal(&self, quote: usize, escapes: bool) -> Result<usize, Problem> {
        let mut at = quote + 1;
        while at < self.bytes.len() {
            match self.byte(at) {
                b'\\' if escapes => at += 2,
                b'\'' if self.byte(at + 1) == b'\'' => at += 2,
                b'\'' => match self.continuation(at + 1) {
                    Some(quote) => at = quote + 1,
                    None => return Ok(at + 1),
                },
                _ => at += 1,
            }
        }
        Err(Problem::UnterminatedString)
    }

    /// Where PostgreSQL goes on with a literal that was closed before `from`: strings parted by nothing but white
    /// space with a line break, and line comments, are one string. What matters is that the second part of an escape
    /// string still has escapes.
    fn continuation(&self, from: usize) -> Option<usize> {
        if self.is_sqlite() {
            return None;
        }
        let mut at = from;
        let mut broken = false;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                (b'\n' | b'\r', _) => {
                    broken = true;
                    at += 1;
                }
                (b' ' | b'\t' | b'\x0c' | b'\x0b', _) => at += 1,
                (b'-', b'-') => at = self.line_comment(at),
                (b'\'', _) if broken => return Some(at),
                _ => return None,
            }
        }
    }

    fn quoted_identifier(&self, start: usize, quote: u8) -> Result<(Kind, usize), Problem> {
        let mut at = start + 1;
        while at < self.bytes.len() {
            at += match (self.byte(at) == quote, self.byte(at + 1) == quote) {
                (true, true) => 2,
                (true, false) => return Ok((Kind::QuotedIdentifier, at + 1)),
                (false, _) => 1,
            };
        }
        Err(Problem::UnterminatedIdentifier)
    }

    /// `[…]` has no way to write a closing bracket inside.
    fn bracketed_identifier(&self, start: usize) -> Result<(Kind, usize), Problem> {
        let close = self.sql[start..].find(']').ok_or(Problem::UnterminatedIdentifier)?;
        Ok((Kind::QuotedIdentifier, start + close + 1))
    }

    /// `$1`, `$$ … $$` or `$tag$ … $tag$`. A dollar sign inside a word never comes here: the word took it.
    fn dollar(&self, start: usize) -> Result<(Kind, usize), Problem> {
        if self.byte(start + 1).is_ascii_digit() {
            return Ok((Kind::Parameter, self.skip(start + 1, |byte| byte.is_ascii_digit())));
        }
        let mut end = start + 1;
        if begins_word(self.byte(end)) {
            end = self.skip(end, |byte| begins_word(byte) || byte.is_ascii_digit());
        }
        if self.byte(end) != b'$' {
            return Ok((Kind::Other, start + 1));
        }
        let delimiter = &self.sql[start..=end];
        match self.sql[end + 1..].find(delimiter) {
            Some(body) => Ok((Kind::DollarQuoted, end + 1 + body + delimiter.len())),
            None => Err(Problem::UnterminatedDollarQuote { delimiter: delimiter.to_owned() }),
        }
    }

    /// SQLite's parameters, with the suffixes that its Tcl interface brought: `$name::space(index)`.
    fn sqlite_parameter(&self, start: usize) -> (Kind, usize) {
        if self.byte(start) == b'?' {
            return (Kind::Parameter, self.skip(start + 1, |byte| byte.is_ascii_digit()));
        }
        let mut at = start + 1;
        let mut named = false;
        loop {
            match self.byte(at) {
                byte if continues_word(byte) => {
                    named = true;
                    at += 1;
                }
                b'(' if named => {
                    let close = self.skip(at + 1, |byte| byte != b')' && !is_space(byte));
                    // Without its parenthesis the suffix is an illegal token, which SQLite reports by itself.
                    at = if self.byte(close) == b')' { close + 1 } else { close };
                    break;
                }
                b':' if self.byte(at + 1) == b':' => at += 2,
                _ => break,
            }
        }
        if named { (Kind::Parameter, at) } else { (Kind::Other, start + 1) }
    }

    /// Digits and dots. An exponent or a hexadecimal tail comes out as a word of its own, which changes neither where
    /// a statement ends nor what it names. A dollar sign is left out: after `1` it may open a dollar quote.
    fn number(&self, start: usize) -> usize {
        self.skip(start, |byte| byte.is_ascii_digit() || byte == b'.')
    }

    fn word_or_prefixed(&self, start: usize) -> Result<(Kind, usize), Problem> {
        if !self.is_sqlite() {
            match (self.byte(start) | 0x20, self.byte(start + 1), self.byte(start + 2)) {
                (b'e', b'\'', _) => return self.literal(start + 1, true).map(|end| (Kind::Literal, end)),
                (b'u', b'&', b'\'') => return self.literal(start + 2, false).map(|end| (Kind::Literal, end)),
                (b'u', b'&', b'"') => return self.quoted_identifier(start + 2, b'"'),
                _ => {}
            }
        }
        Ok((Kind::Word, self.skip(start, continues_word)))
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, Unending>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        Some(match self.token_at(start) {
            Ok((kind, end)) => {
                self.at = end.min(self.bytes.len());
                Ok(Token { kind, range: start..self.at })
            }
            Err(problem) => {
                self.at = self.bytes.len();
                Err(Unending { at: start, problem })
            }
        })
    }
}

/// The union of both engines' white space; the vertical tab is PostgreSQL's, from version 16 on.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c')
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}
