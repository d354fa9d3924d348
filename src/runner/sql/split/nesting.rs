//! Decides which semicolons end a statement and which belong to a body inside it.
//!
//! Promises to agree with the engine on texts the engine accepts. Where it must guess on a broken text it takes in too
//! much rather than too little: a body cut in two could leave its second half standing as a statement of its own.

use super::{EngineKind, Problem, lexer::Kind};

/// How many words at the start of a statement are kept; enough for `EXPLAIN QUERY PLAN CREATE TEMP TRIGGER`.
const LEADING: usize = 6;

/// What the tokens seen so far of one statement say about its shape.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// The first words, lower-cased, up to the first token that is no word.
    leading: Vec<String>,
    leading_ended: bool,
    /// Offsets of the parentheses that are open.
    parentheses: Vec<usize>,
    body: Body,
    previous: Previous,
    /// Set by `FROM STDIN` and `TO STDOUT` outside parentheses.
    through_client: bool,
}

/// A body whose semicolons belong to the statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    /// In `CREATE TRIGGER` of SQLite, which ends at `; END ;` and nowhere else (`complete.c`): a `CASE … END` inside
    /// never follows a semicolon, so nothing needs counting.
    Trigger { after_semicolon: bool, ended: bool },
    /// In `BEGIN ATOMIC … END` of PostgreSQL, which counts `CASE` against `END` as `psql` does.
    Atomic { depth: usize },
}

/// The last token that was neither space nor comment, as far as the next one depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Dot,
    Word(String),
}

impl Previous {
    fn is(&self, word: &str) -> bool {
        matches!(self, Previous::Word(previous) if previous == word)
    }
}

impl Shape {
    /// Takes the next token that is neither space nor comment nor semicolon.
    pub(super) fn take(&mut self, engine: EngineKind, kind: Kind, text: &str, at: usize) {
        let word = (kind == Kind::Word).then(|| text.to_ascii_lowercase());
        match &word {
            Some(word) if !self.leading_ended && self.leading.len() < LEADING => {
                self.leading.push(word.clone())
            }
            _ => self.leading_ended = true,
        }
        match kind {
            Kind::OpenParenthesis => self.parentheses.push(at),
            Kind::CloseParenthesis => {
                self.parentheses.pop();
            }
            _ => {}
        }
        match engine {
            EngineKind::Sqlite => self.follow_trigger(word.as_deref()),
            EngineKind::Postgresql => self.follow_postgresql(word.as_deref()),
        }
        self.previous = match word {
            Some(word) => Previous::Word(word),
            None if text == "." => Previous::Dot,
            None => Previous::Other,
        };
    }

    fn follow_trigger(&mut self, word: Option<&str>) {
        match self.body {
            Body::Trigger { after_semicolon, .. } => {
                let ended = after_semicolon && word == Some("end");
                self.body = Body::Trigger { after_semicolon: false, ended };
            }
            _ if self.creates_trigger() => self.body = Body::Trigger { after_semicolon: false, ended: false },
            _ => {}
        }
    }

    fn creates_trigger(&self) -> bool {
        let words: Vec<&str> = self.leading.iter().map(String::as_str).collect();
        let explained = match words.as_slice() {
            ["explain", "query", "plan", rest @ ..] | ["explain", rest @ ..] => rest,
            all => all,
        };
        matches!(explained, ["create", "trigger", ..] | ["create", "temp" | "temporary", "trigger", ..])
    }

    fn follow_postgresql(&mut self, word: Option<&str>) {
        let Some(word) = word else { return };
        // `SELECT a AS end` and `t.end` are names, not keywords.
        let is_name = self.previous.is("as") || self.previous == Previous::Dot;
        match self.body {
            Body::Atomic { depth } => match word {
                "case" if !is_name => self.body = Body::Atomic { depth: depth + 1 },
                "end" if !is_name && depth == 1 => self.body = Body::None,
                "end" if !is_name => self.body = Body::Atomic { depth: depth - 1 },
                _ => {}
            },
            _ if word == "atomic" && self.previous.is("begin") && self.creates_routine() => {
                self.body = Body::Atomic { depth: 1 };
            }
            _ => {}
        }
        let through =
            (word == "stdin" && self.previous.is("from")) || (word == "stdout" && self.previous.is("to"));
        self.through_client |= through && self.parentheses.is_empty();
    }

    fn creates_routine(&self) -> bool {
        let words: Vec<&str> = self.leading.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..]
                | ["create", "or", "replace", "function" | "procedure", ..]
        )
    }

    /// Takes a semicolon and says whether the statement ends before it.
    pub(super) fn semicolon_ends(&mut self, engine: EngineKind) -> bool {
        self.leading_ended = true;
        self.previous = Previous::Other;
        match &mut self.body {
            Body::None => {}
            Body::Trigger { ended: true, .. } => return true,
            Body::Trigger { after_semicolon, .. } => {
                *after_semicolon = true;
                return false;
            }
            Body::Atomic { .. } => return false,
        }
        // `CREATE RULE … DO (a; b)`. SQLite has no such thing and ends the statement whatever is open.
        engine == EngineKind::Sqlite || self.parentheses.is_empty()
    }

    /// What is still open at the end of the text, with the offset of its opening where it has one.
    pub(super) fn open_at_end(&self, engine: EngineKind) -> Option<(Option<usize>, Problem)> {
        match self.body {
            Body::Trigger { ended: false, .. } | Body::Atomic { .. } => {
                Some((None, Problem::UnterminatedBody))
            }
            _ if engine == EngineKind::Postgresql => {
                self.parentheses.first().map(|at| (Some(*at), Problem::UnclosedParenthesis))
            }
            _ => None,
        }
    }

    /// The first words, lower-cased, as far as the statement begins with words.
    pub(super) fn leading(&self) -> Vec<&str> {
        self.leading.iter().map(String::as_str).collect()
    }

    /// Whether this is `COPY … FROM STDIN` or `COPY … TO STDOUT`, whose data would have to pass through the client.
    pub(super) fn copies_through_client(&self) -> bool {
        self.through_client && self.leading.first().is_some_and(|word| word == "copy")
    }
}
