//! Reads revision files: one revision a file, both directions in it.
//!
//! ```sql
//! -- What it does, in the author's words, up to the first empty line.
//! --
//! -- ripcord:revision     5f2c81d0a3be
//! -- ripcord:revises      1975ea83b712
//! -- ripcord:created      2026-11-23T18:15:00Z
//!
//! -- ripcord:upgrade
//! ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;
//!
//! -- ripcord:downgrade
//! ALTER TABLE training_metric DROP COLUMN process_rank;
//! ```
//!
//! Optional in the header: `labels`, `depends-on`, `transaction one|none`, `irreversible "why"` and any number of
//! `accept HAZARD "why"`, which accepts what either direction destroys. A section may be for one engine (`-- ripcord:upgrade sqlite`), and then wins over the plain one.
//!
//! Promises that a file is either understood completely or refused with path and line. Whether its statements can be cut
//! is seen when they are asked for, since a section may be written for one engine only.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::directive::{self, Directive, DirectiveProblem};
use super::split::{self, Problem, Statement, split};
use crate::base::hash::sha256_hex;
use crate::catalog::EngineKind;
use crate::history::{Direction, Revision, RevisionId};
use crate::plan::{Accept, Hazard, TransactionMode};

/// One revision file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFile {
    pub path: PathBuf,
    /// SHA-256 of the bytes of the file, in hexadecimal.
    pub sha256: String,
    pub revision: Revision,
    pub transaction: TransactionMode,
    pub accepts: Vec<Accept>,
    pub sections: Vec<Section>,
}

/// The SQL of one direction, for one engine or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub direction: Direction,
    /// `None` when it is for every engine without a section of its own.
    pub engine: Option<EngineKind>,
    /// The line of the text's beginning, from 1; its marker stands on the line before.
    pub line: usize,
    pub text: String,
}

/// What is wrong with a revision file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", self.place())]
pub struct FileError {
    pub path: PathBuf,
    /// From 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    pub problem: Box<FileProblem>,
}

/// What is wrong with a revision file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error(transparent)]
    Directive(#[from] DirectiveProblem),
    #[error("there is no ripcord:revision directive")]
    NoRevision,
    #[error("ripcord:{directive} is on line {first} already")]
    Duplicate { directive: &'static str, first: usize },
    #[error("{hazard} is accepted on line {first} already")]
    AcceptedTwice { hazard: String, first: usize },
    #[error("this section begins on line {first} already")]
    DuplicateSection { first: usize },
    #[error("ripcord:{directive} belongs above the first section")]
    AfterSection { directive: &'static str },
    #[error("there is text above the first section")]
    BeforeSection,
    #[error("the revision is declared irreversible and has a downgrade")]
    IrreversibleWithDowngrade,
    #[error(transparent)]
    Sql(#[from] Problem),
    #[error(
        "ripcord owns the transaction, so {command} is not allowed unless the file says ripcord:transaction none"
    )]
    TransactionControl { command: &'static str },
}

impl FileError {
    /// `path`, `path:line` or `path:line:column`, as far as they are known.
    pub fn place(&self) -> String {
        let numbers = self.line.into_iter().chain(self.column).map(|number| format!(":{number}"));
        std::iter::once(self.path.display().to_string()).chain(numbers).collect()
    }
}

impl RevisionFile {
    /// Reads the revision from the bytes of a file; `path` is for messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<RevisionFile, FileError> {
        let fail = |line, problem| FileError {
            path: path.to_owned(),
            line,
            column: None,
            problem: Box::new(problem),
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| fail(Some(line_at(bytes, error.valid_up_to())), FileProblem::NotUtf8))?;
        if let Some(at) = text.find('\0') {
            return Err(fail(Some(line_at(bytes, at)), FileProblem::Sql(Problem::Nul)));
        }
        let mut draft = Draft::default();
        for (index, line) in text.trim_start_matches('\u{feff}').split_inclusive('\n').enumerate() {
            draft.take(index + 1, line).map_err(|problem| fail(Some(index + 1), problem))?;
        }
        draft.finish(path, sha256_hex(bytes)).map_err(|(line, problem)| fail(line, problem))
    }

    /// Returns the section to run on this engine: its own, or else the plain one.
    pub fn section(&self, direction: Direction, engine: EngineKind) -> Option<&Section> {
        let of = |wanted: Option<EngineKind>| {
            self.sections
                .iter()
                .find(move |section| section.direction == direction && section.engine == wanted)
        };
        of(Some(engine)).or_else(|| of(None))
    }

    /// Returns the statements to run in this direction on this engine, or `None` when the file has no section for them.
    ///
    /// # Errors
    /// A place where the SQL cannot be cut safely, and transaction control in a file whose transaction is ripcord's.
    pub fn statements(
        &self,
        direction: Direction,
        engine: EngineKind,
    ) -> Result<Option<Vec<Statement>>, FileError> {
        let Some(section) = self.section(direction, engine) else { return Ok(None) };
        let fail = |line, column, problem| FileError {
            path: self.path.clone(),
            line: Some(line),
            column,
            problem: Box::new(problem),
        };
        let statements = split(&section.text, engine, section.line)
            .map_err(|error| fail(error.line, Some(error.column), error.problem.into()))?;
        for statement in &statements {
            if let (TransactionMode::One, Some(command)) = (self.transaction, statement.transaction_control) {
                return Err(fail(statement.line, None, FileProblem::TransactionControl { command }));
            }
        }
        Ok(Some(statements))
    }
}

impl RevisionFile {
    /// Whether both have the same place in the history and run the same statements up on this engine, whatever their ways
    /// down are.
    pub fn leads_up_as(&self, other: &RevisionFile, engine: EngineKind) -> bool {
        let place = |file: &RevisionFile| {
            let Revision { id, parents, depends_on, labels, .. } = file.revision.clone();
            (id, parents, depends_on, labels)
        };
        let statements = |file: &RevisionFile| {
            let found = file.statements(Direction::Up, engine).ok()??;
            Some(found.into_iter().map(|statement| statement.sha256).collect::<Vec<_>>())
        };
        let up = statements(self);
        place(self) == place(other) && up.is_some() && up == statements(other)
    }
}

impl Section {
    /// Whether there is nothing to run in it: only white space, comments and semicolons.
    pub fn is_empty(&self) -> bool {
        let engines = match self.engine {
            Some(engine) => vec![engine],
            None => vec![EngineKind::Sqlite, EngineKind::Postgresql],
        };
        engines
            .into_iter()
            .all(|engine| split::split(&self.text, engine, 1).is_ok_and(|found| found.is_empty()))
    }
}

/// Reads the revision files of a project: every `*.sql` in `<folder>/versions`, in the order of their names. What
/// editors leave beside a file (`.name.sql.swp`, `.#name.sql`, `name.sql~`, `#name.sql#`) is passed over.
///
/// # Errors
/// The first file that is not understood, or the folder when it cannot be listed.
pub fn load_directory(folder: &Path) -> Result<Vec<RevisionFile>, FileError> {
    let versions = folder.join("versions");
    let unreadable = |path: &Path, error| FileError {
        path: path.to_owned(),
        line: None,
        column: None,
        problem: Box::new(FileProblem::Unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&versions).map_err(|error| unreadable(&versions, error))? {
        let path = entry.map_err(|error| unreadable(&versions, error))?.path();
        if is_revision_file(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
            RevisionFile::parse(path, &bytes)
        })
        .collect()
}

fn is_revision_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let sql = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    sql && !hidden && !path.is_dir()
}

/// The line, from 1, in which the byte at this offset is.
fn line_at(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What the lines read so far say.
#[derive(Default)]
struct Draft {
    /// The line of each directive that may stand only once.
    seen: BTreeMap<&'static str, usize>,
    revision: Option<RevisionId>,
    revises: Vec<RevisionId>,
    created: Option<String>,
    labels: Vec<String>,
    depends_on: Vec<String>,
    transaction: TransactionMode,
    irreversible: Option<String>,
    accepts: Vec<Accept>,
    /// The line of each of them.
    accepted: Vec<(usize, Hazard)>,
    message: Vec<String>,
    message_ended: bool,
    sections: Vec<Section>,
}

impl Draft {
    fn take(&mut self, number: usize, line: &str) -> Result<(), FileProblem> {
        match directive::read(line)? {
            Some(Directive::Section { direction, engine }) => self.begin_section(number, direction, engine),
            Some(directive) => self.header(number, directive),
            None => match self.sections.last_mut() {
                Some(section) => {
                    section.text.push_str(line);
                    Ok(())
                }
                None => self.above_sections(line),
            },
        }
    }

    fn begin_section(
        &mut self,
        number: usize,
        direction: Direction,
        engine: Option<EngineKind>,
    ) -> Result<(), FileProblem> {
        let same = |section: &&Section| section.direction == direction && section.engine == engine;
        if let Some(first) = self.sections.iter().find(same) {
            return Err(FileProblem::DuplicateSection { first: first.line - 1 });
        }
        self.sections.push(Section { direction, engine, line: number + 1, text: String::new() });
        Ok(())
    }

    fn header(&mut self, number: usize, directive: Directive) -> Result<(), FileProblem> {
        self.message_ended |= !self.message.is_empty();
        let name = directive.name();
        if !self.sections.is_empty() {
            return Err(FileProblem::AfterSection { directive: name });
        }
        if !matches!(directive, Directive::Accept(_))
            && let Some(first) = self.seen.insert(name, number)
        {
            return Err(FileProblem::Duplicate { directive: name, first });
        }
        match directive {
            Directive::Revision(id) => self.revision = Some(id),
            Directive::Revises(parents) => self.revises = parents,
            Directive::Created(time) => self.created = Some(time),
            Directive::Labels(labels) => self.labels = labels,
            Directive::DependsOn(revisions) => self.depends_on = revisions,
            Directive::Transaction(mode) => self.transaction = mode,
            Directive::Irreversible(why) => self.irreversible = Some(why),
            Directive::Accept(accept) => {
                if let Some((first, hazard)) =
                    self.accepted.iter().find(|(_, hazard)| *hazard == accept.hazard)
                {
                    return Err(FileProblem::AcceptedTwice { hazard: hazard.to_string(), first: *first });
                }
                self.accepted.push((number, accept.hazard.clone()));
                self.accepts.push(accept);
            }
            Directive::Section { .. } => {}
        }
        Ok(())
    }

    /// A line of the header that is no directive: the message, a further comment, or nothing.
    fn above_sections(&mut self, line: &str) -> Result<(), FileProblem> {
        match directive::comment(line) {
            Some(words) if !words.is_empty() => {
                if !self.message_ended {
                    self.message.push(words.to_owned());
                }
            }
            None if !line.trim().is_empty() => return Err(FileProblem::BeforeSection),
            _ => self.message_ended |= !self.message.is_empty(),
        }
        Ok(())
    }

    fn finish(self, path: &Path, sha256: String) -> Result<RevisionFile, (Option<usize>, FileProblem)> {
        let id = self.revision.ok_or((None, FileProblem::NoRevision))?;
        let downgrade = self.sections.iter().any(|section| section.direction == Direction::Down);
        if let (true, Some(line)) = (downgrade, self.seen.get("irreversible")) {
            return Err((Some(*line), FileProblem::IrreversibleWithDowngrade));
        }
        let revision = Revision {
            id,
            parents: self.revises,
            depends_on: self.depends_on,
            labels: self.labels,
            message: self.message.join(" "),
            created: self.created,
            irreversible: self.irreversible,
            place: path.display().to_string(),
        };
        let (transaction, accepts, sections) = (self.transaction, self.accepts, self.sections);
        Ok(RevisionFile { path: path.to_owned(), sha256, revision, transaction, accepts, sections })
    }
}

#[cfg(test)]
mod tests;
