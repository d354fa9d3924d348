//! Collects every name a statement mentions, quoted, unquoted or inside a literal.
//!
//! Promises over-inclusion: each name that the engine could read out of the text is in the set, in lower case, along
//! with much that is no name at all. It leaves out what only exists at run time: a name pieced together by `||`, or
//! read from the catalog.

use std::collections::BTreeSet;

use super::lexer::{Kind, Token};

/// No engine has identifiers nearly this long; it bounds the work on a megabyte of quotes or one huge literal.
const LONGEST_NAME: usize = 1024;

/// PostgreSQL cuts longer identifiers to this many bytes (`NAMEDATALEN - 1`).
const POSTGRESQL_NAME_BYTES: usize = 63;

/// The names one statement mentions, filled token by token.
#[derive(Debug, Default)]
pub(super) struct Names {
    found: BTreeSet<String>,
    /// The last Unicode-escaped token, in case `UESCAPE` follows it.
    unicode: Option<String>,
    after_uescape: bool,
}

impl Names {
    pub(super) fn into_set(self) -> BTreeSet<String> {
        self.found
    }

    /// Takes the next token that is neither space nor comment.
    pub(super) fn take(&mut self, sql: &str, token: &Token) {
        let text = &sql[token.range.clone()];
        match token.kind {
            Kind::Word => {
                self.insert(text);
                self.after_uescape = self.unicode.is_some() && text.eq_ignore_ascii_case("uescape");
                return;
            }
            Kind::QuotedIdentifier | Kind::Literal => self.quoted(text),
            Kind::DollarQuoted => self.words_inside(dollar_body(text)),
            _ => {}
        }
        self.after_uescape = false;
    }

    fn quoted(&mut self, text: &str) {
        if self.after_uescape {
            self.escaped_by(text);
        }
        // What stands before the quote is `E`, `U&` or nothing.
        let open = text.find(['\'', '"', '`', '[']).unwrap_or(0);
        let inside = text.get(open + 1..text.len() - 1).unwrap_or_default();
        self.unicode = (open == 2).then(|| inside.to_owned());
        match &text[open..open + 1] {
            "[" => self.words_inside(inside),
            quote => self.words_inside(&inside.replace(&quote.repeat(2), quote)),
        }
        if inside.contains('\'') && inside.contains(['\n', '\r']) {
            // A literal that goes on after a line break may cut a name in two.
            let joined: String = inside.split('\'').filter(|part| !part.trim().is_empty()).collect();
            self.words_inside(&joined);
        }
    }

    /// Reads the token before `UESCAPE` again, with the escape character it names.
    fn escaped_by(&mut self, literal: &str) {
        let escape = literal.trim_matches('\'');
        if let Some(before) = self.unicode.take().filter(|_| escape.chars().count() == 1) {
            self.words_inside(&before.replace(escape, "\\"));
        }
    }

    /// Adds the whole text as a name, and the words and quoted names in it, also as they read once backslash escapes
    /// are resolved: `E'\ntraining'` names `training` and not `ntraining`.
    fn words_inside(&mut self, text: &str) {
        self.plain_words_inside(text);
        if text.contains('\\') {
            self.plain_words_inside(&unescape(text, Escapes::Backslash));
            self.plain_words_inside(&unescape(text, Escapes::Unicode));
        }
    }

    fn plain_words_inside(&mut self, text: &str) {
        if text.len() <= LONGEST_NAME {
            self.insert(text);
        }
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii();
        for word in text.split(|letter| !is_part(letter) && letter != '$') {
            self.insert(word);
            self.dollar_parts(word);
        }
        self.quoted_names_inside(text);
    }

    /// After its first letter a dollar sign is part of a word; in `$quote$name$quote$` it is not. Adds every run of a few
    /// parts, so that `a$b` is found in `$quote$a$b$quote$`.
    fn dollar_parts(&mut self, word: &str) {
        let ends: Vec<usize> = word.match_indices('$').map(|(at, _)| at).chain([word.len()]).collect();
        let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
        for (index, start) in starts.enumerate().take(ends.len()) {
            for end in ends[index..].iter().take(4) {
                self.insert(&word[start..*end]);
            }
        }
    }

    /// Takes each quote in turn for an opening one, because inside a literal nobody knows which ones are.
    fn quoted_names_inside(&mut self, text: &str) {
        for (at, open) in text.char_indices() {
            let close = match open {
                '"' | '`' => open,
                '[' => ']',
                _ => continue,
            };
            if let Some(name) = quoted_name(&text[at + 1..], close) {
                self.insert(&name);
            }
        }
    }

    fn insert(&mut self, name: &str) {
        if !name.is_empty() {
            self.found.insert(name.to_lowercase());
            self.found.insert(cut_to(name, POSTGRESQL_NAME_BYTES).to_lowercase());
        }
    }
}

/// The name up to its closing quote, with doubled quotes resolved, or `None` when none closes within reach.
fn quoted_name(text: &str, close: char) -> Option<String> {
    let mut name = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == close {
            if close == ']' || letters.peek() != Some(&close) {
                return Some(name);
            }
            letters.next();
        }
        name.push(letter);
        if name.len() > LONGEST_NAME {
            return None;
        }
    }
    None
}

fn dollar_body(text: &str) -> &str {
    let delimiter = text[1..].find('$').map_or(1, |end| end + 2);
    text.get(delimiter..text.len() - delimiter).unwrap_or_default()
}

fn cut_to(name: &str, bytes: usize) -> &str {
    let mut end = bytes.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Which of PostgreSQL's two families of escapes to read; inside a body nobody knows which one a literal has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// `E'\n\x41\101\u0041\U00000041'`.
    Backslash,
    /// `U&'\0041\+000041'`.
    Unicode,
}

/// Resolves escapes. A backslash that begins none is left out; a control character is left as the word boundary it is.
fn unescape(text: &str, escapes: Escapes) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut high = None;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else { break };
        let (value, used) = match (escapes, letter) {
            (Escapes::Backslash, 'n' | 't' | 'r' | 'b' | 'f') => (Value::Byte(b'\n'), 1),
            (Escapes::Backslash, 'x') => digits(rest, 1, 2, 16).byte(),
            (Escapes::Backslash, '0'..='7') => digits(rest, 0, 3, 8).byte(),
            (Escapes::Backslash, 'u') => digits(rest, 1, 4, 16).code(),
            (Escapes::Backslash, 'U') => digits(rest, 1, 8, 16).code(),
            (Escapes::Unicode, '+') => digits(rest, 1, 6, 16).code(),
            (Escapes::Unicode, letter) if letter.is_ascii_hexdigit() => digits(rest, 0, 4, 16).code(),
            _ => (Value::Code(u32::from(letter)), letter.len_utf8()),
        };
        value.append(&mut out, &mut high);
        rest = &rest[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// What one escape stands for: a byte of the encoded text, or a character or half of a surrogate pair.
enum Value {
    Byte(u8),
    Code(u32),
}

impl Value {
    fn append(self, out: &mut Vec<u8>, high: &mut Option<u32>) {
        let before = high.take();
        let code = match (self, before) {
            (Value::Byte(byte), _) => return out.push(byte),
            (Value::Code(high_half @ 0xD800..0xDC00), _) => {
                *high = Some(high_half);
                return;
            }
            (Value::Code(low @ 0xDC00..0xE000), Some(high)) => {
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            (Value::Code(code), _) => code,
        };
        if let Some(letter) = char::from_u32(code) {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// The number that up to `most` digits after `skip` bytes make, and how many bytes that took in all.
struct Digits {
    number: u32,
    used: usize,
}

impl Digits {
    fn byte(self) -> (Value, usize) {
        // Octal reaches 511; the server keeps the low byte as well.
        (Value::Byte((self.number & 0xFF) as u8), self.used)
    }

    fn code(self) -> (Value, usize) {
        (Value::Code(self.number), self.used)
    }
}

fn digits(text: &str, skip: usize, most: usize, radix: u32) -> Digits {
    let count = text[skip..].chars().take(most).take_while(|letter| letter.is_digit(radix)).count();
    let number = u32::from_str_radix(&text[skip..skip + count], radix).unwrap_or_default();
    Digits { number, used: skip + count }
}
