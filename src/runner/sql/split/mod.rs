//! Cuts the SQL of a revision into statements by the engine's own lexical rules.
//!
//! Promises exact text: every statement is a byte range of the input, and what lies between two statements is white
//! space, comments and semicolons only. Refuses, with line and column, what cannot be cut safely or cannot be run by a
//! program that is not `psql` or `sqlite3`. Whether a statement is valid SQL is left to the engine.

mod control;
mod lexer;
mod names;
mod nesting;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, ops::Range};

use crate::base::hash::sha256_hex;
use crate::catalog::EngineKind;

use control::transaction_control;
use lexer::{Kind, Lexer, Token};
use names::Names;
use nesting::Shape;

/// One statement of a revision file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The statement as written, from its first token to its last; comments around it and its semicolon are left out.
    pub text: String,
    /// Where the text is in what was split, in bytes.
    pub range: Range<usize>,
    /// The line in the file on which it begins, from 1.
    pub line: usize,
    /// SHA-256 of `text` in hexadecimal.
    pub sha256: String,
    /// Every word and quoted name it mentions, in lower case, also inside literals and bodies. Much of it is no name at
    /// all; missing is only what exists at run time alone: names pieced together by `||` or read from the catalog.
    pub identifiers: BTreeSet<String>,
    /// The command, when this statement begins or ends a transaction (`COMMIT`); savepoints do not count.
    pub transaction_control: Option<&'static str>,
}

/// Why a text could not be cut into statements, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct SplitError {
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in that line, in characters, from 1.
    pub column: usize,
    pub problem: Problem,
}

/// What is wrong with a text that cannot be cut into statements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("this string never ends")]
    UnterminatedString,
    #[error("this quoted identifier never ends")]
    UnterminatedIdentifier,
    #[error("this comment never ends")]
    UnterminatedComment,
    #[error("the text quoted by {delimiter} never ends")]
    UnterminatedDollarQuote { delimiter: String },
    #[error("the body of this statement has no END")]
    UnterminatedBody,
    #[error("this parenthesis is never closed")]
    UnclosedParenthesis,
    #[error("{command} is a command of the client program, not SQL")]
    ClientCommand { command: String },
    #[error("COPY through the client cannot run from a revision file")]
    CopyThroughClient,
    #[error("{name} is a parameter, and a revision has no values for parameters")]
    Parameter { name: String },
    #[error("a ripcord directive must begin its own line")]
    MisplacedDirective,
    #[error("the text holds a NUL character")]
    Nul,
    #[error("turning standard_conforming_strings off would change how the rest of the file is read")]
    ChangesQuoting,
}

/// Returns the statements of `sql` in order; `first_line` is the line of the file on which `sql` begins.
///
/// # Errors
/// The first place that is ambiguous or refused: see [`Problem`]. Transaction control is reported in the statements and
/// not refused here, because it depends on the file's transaction mode.
pub fn split(sql: &str, engine: EngineKind, first_line: usize) -> Result<Vec<Statement>, SplitError> {
    let mut splitter = Splitter { sql, engine, first_line, counted: (0, first_line), statements: Vec::new() };
    if let Some(at) = sql.find('\0') {
        // Both engines' scanners take it for the end, so what follows would be dropped in silence.
        return Err(splitter.error(at, Problem::Nul));
    }
    let mut draft = None;
    for token in Lexer::new(sql, engine) {
        let token = token.map_err(|unending| splitter.error(unending.at, unending.problem))?;
        splitter.take(&mut draft, &token).map_err(|(at, problem)| splitter.error(at, problem))?;
    }
    if let Some((at, problem)) = draft.as_ref().and_then(|draft| draft.open_at_end(engine)) {
        return Err(splitter.error(at, problem));
    }
    splitter.finish(draft).map_err(|(at, problem)| splitter.error(at, problem))?;
    Ok(splitter.statements)
}

/// A refusal and its offset; the line and the column are counted only when there is one.
type Refusal = (usize, Problem);

/// The statements found so far.
struct Splitter<'a> {
    sql: &'a str,
    engine: EngineKind,
    first_line: usize,
    /// An offset and its line, so that counting lines reads the text once and not once a statement.
    counted: (usize, usize),
    statements: Vec<Statement>,
}

impl Splitter<'_> {
    fn take(&mut self, draft: &mut Option<Draft>, token: &Token) -> Result<(), Refusal> {
        let text = &self.sql[token.range.clone()];
        let at = token.range.start;
        match token.kind {
            Kind::Space => Ok(()),
            Kind::Comment => refuse_directive(text).map_err(|problem| (at, problem)),
            Kind::Semicolon => {
                if let Some(open) = draft
                    && !open.shape.semicolon_ends(self.engine)
                {
                    open.end = token.range.end;
                    return Ok(());
                }
                // Refused here and not at the end of the text: the data lines of a COPY are no SQL.
                self.finish(draft.take())
            }
            _ => {
                let draft = draft.get_or_insert_with(|| Draft::at(at));
                draft.take(self.sql, token, self.engine).map_err(|problem| (at, problem))
            }
        }
    }

    /// Turns the draft, if there is one, into a statement or a refusal.
    fn finish(&mut self, draft: Option<Draft>) -> Result<(), Refusal> {
        let Some(draft) = draft else { return Ok(()) };
        let text = &self.sql[draft.start..draft.end];
        if self.engine == EngineKind::Postgresql {
            if draft.shape.copies_through_client() {
                return Err((draft.start, Problem::CopyThroughClient));
            }
            if changes_quoting(&draft.shape.leading(), text) {
                return Err((draft.start, Problem::ChangesQuoting));
            }
        }
        let (counted, line) = self.counted;
        self.counted = (draft.start, line + self.sql[counted..draft.start].matches('\n').count());
        self.statements.push(Statement {
            text: text.to_owned(),
            range: draft.start..draft.end,
            line: self.counted.1,
            sha256: sha256_hex(text.as_bytes()),
            identifiers: draft.names.into_set(),
            transaction_control: transaction_control(&draft.shape.leading()),
        });
        Ok(())
    }

    fn error(&self, at: usize, problem: Problem) -> SplitError {
        let before = &self.sql[..at];
        let line_start = before.rfind('\n').map_or(0, |found| found + 1);
        SplitError {
            line: self.first_line + before.matches('\n').count(),
            column: before[line_start..].chars().count() + 1,
            problem,
        }
    }
}

/// A statement whose end has not come yet.
struct Draft {
    start: usize,
    end: usize,
    shape: Shape,
    names: Names,
}

impl Draft {
    fn at(start: usize) -> Self {
        Draft { start, end: start, shape: Shape::default(), names: Names::default() }
    }

    fn take(&mut self, sql: &str, token: &Token, engine: EngineKind) -> Result<(), Problem> {
        let text = &sql[token.range.clone()];
        match token.kind {
            Kind::Backslash => {
                return Err(Problem::ClientCommand { command: command_at(sql, token.range.start) });
            }
            // No SQL begins with a dot; the `sqlite3` program's own commands do.
            Kind::Other if text == "." && self.start == token.range.start => {
                return Err(Problem::ClientCommand { command: command_at(sql, token.range.start) });
            }
            // SQLite would bind NULL without a word. PostgreSQL reports it, and has `$1` in function bodies.
            Kind::Parameter if engine == EngineKind::Sqlite => {
                return Err(Problem::Parameter { name: text.to_owned() });
            }
            _ => {}
        }
        self.end = token.range.end;
        self.shape.take(engine, token.kind, text, token.range.start);
        self.names.take(sql, token);
        Ok(())
    }

    fn open_at_end(&self, engine: EngineKind) -> Option<(usize, Problem)> {
        self.shape.open_at_end(engine).map(|(at, problem)| (at.unwrap_or(self.start), problem))
    }
}

/// A directive that shares its line with SQL, or hides in a block comment, would be overlooked: the statements of the
/// downgrade would then run with the upgrade.
fn refuse_directive(comment: &str) -> Result<(), Problem> {
    let words = comment.trim_start_matches(['-', '/', '*', ' ', '\t', '\r', '\n']);
    let is_directive = words.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("ripcord:"));
    if is_directive { Err(Problem::MisplacedDirective) } else { Ok(()) }
}

/// Whether the statement is `SET standard_conforming_strings` to anything but on. The whole text was cut on the
/// assumption that it is on, the default since PostgreSQL 9.1.
fn changes_quoting(leading: &[&str], text: &str) -> bool {
    let sets = matches!(
        leading,
        ["set", "standard_conforming_strings", ..]
            | ["set", "local" | "session", "standard_conforming_strings", ..]
    );
    let value = text.rsplit([' ', '=', '\t', '\n', '\r']).next().unwrap_or_default().trim_matches('\'');
    sets && !["on", "true", "1", "yes", "default"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

/// The command that begins at `at`, up to the next white space: `\copy`, `.read`.
fn command_at(sql: &str, at: usize) -> String {
    sql[at..].split_whitespace().next().unwrap_or_default().chars().take(40).collect()
}
