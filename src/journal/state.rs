//! From the lines of a journal to what a person, or `recover`, wants to know. Pure.

use super::{Entry, Line};
use crate::catalog::DatabaseId;
use crate::history::{Direction, RevisionId};
use crate::report::{Aftermath, HalfWay, Kind, Step};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// The fact that a person ended an operation by their word: who, and where the database was.
pub const ACCEPTED: &str = "accepted-as-is";

/// The state of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationState {
    pub operation: String,
    pub kind: Kind,
    pub database: DatabaseId,
    pub direction: Option<Direction>,
    pub target: Option<String>,
    pub from: Vec<RevisionId>,
    pub to: Vec<RevisionId>,
    pub who: String,
    pub process: u32,
    pub begun: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The step that is under way or was the last one, and how far it got.
    pub step: Option<(Step, Progressed)>,
    /// Every step that ever started, in order.
    pub started: Vec<Step>,
    /// Every step that ever finished well, in order.
    pub finished: Vec<Step>,
    /// The backup that was published.
    pub backup: Option<String>,
    /// The script that was started and not finished.
    pub open_script: Option<RevisionId>,
    /// The statement of a `transaction none` script that was started and not finished.
    pub open_statement: Option<(RevisionId, usize)>,
    /// Tells whether any statement of a `transaction none` script was begun.
    pub statements_by_themselves: bool,
    /// The last statement that was begun by itself, whether it came to its end or not.
    #[serde(skip)]
    pub(super) last_by_itself: Option<(RevisionId, usize)>,
    pub facts: BTreeMap<String, String>,
    /// How it ended; `None` while it runs or when it was interrupted.
    pub ended: Option<Aftermath>,
    pub error: Option<String>,
    /// The first line of the journal that cannot be read; what it said is not part of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<JournalDamage>,
}

/// A line of a journal that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalDamage {
    pub line: usize,
    pub detail: String,
}

/// How far a step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progressed {
    Started,
    Finished,
    Failed,
}

impl OperationState {
    /// Folds the lines of one journal; `None` when it is empty: a crash before the first line was on disk, and
    /// nothing had begun.
    pub fn fold(lines: &[Line]) -> Option<Self> {
        let (first, rest) = lines.split_first()?;
        let Entry::Begun { operation, kind, database, direction, target, from, to, who, process, .. } =
            &first.entry
        else {
            return None;
        };
        let mut state = Self {
            operation: operation.clone(),
            kind: *kind,
            database: database.clone(),
            direction: *direction,
            target: target.clone(),
            from: from.clone(),
            to: to.clone(),
            who: who.clone(),
            process: *process,
            begun: first.at,
            last: first.at,
            step: None,
            started: Vec::new(),
            finished: Vec::new(),
            backup: None,
            open_script: None,
            open_statement: None,
            statements_by_themselves: false,
            last_by_itself: None,
            facts: BTreeMap::new(),
            ended: None,
            error: None,
            damage: None,
        };
        for line in rest {
            state.last = line.at;
            state.take(&line.entry);
        }
        Some(state)
    }

    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Begun { .. } => {}
            Entry::Started { step } => {
                self.step = Some((*step, Progressed::Started));
                self.started.push(*step);
            }
            Entry::Finished { step, .. } => {
                self.step = Some((*step, Progressed::Finished));
                self.finished.push(*step);
            }
            Entry::Failed { step, error } => {
                self.step = Some((*step, Progressed::Failed));
                self.error = Some(error.clone());
            }
            // The first one is the state before the operation; a later one only keeps what an undo replaces.
            Entry::Published { backup } => {
                self.backup.get_or_insert_with(|| backup.clone());
            }
            Entry::StatementStarted { revision, index, .. } => {
                self.open_statement = Some((revision.clone(), *index));
                self.last_by_itself = self.open_statement.clone();
                self.statements_by_themselves = true;
            }
            Entry::StatementFinished { .. } => self.open_statement = None,
            Entry::ScriptStarted { revision, .. } => self.open_script = Some(revision.clone()),
            Entry::ScriptFinished { .. } => self.open_script = None,
            Entry::Fact { name, value } => {
                self.facts.insert(name.clone(), value.clone());
            }
            Entry::Ended { aftermath, error } => {
                self.ended = Some(*aftermath);
                if !error.is_empty() {
                    self.error = Some(error.clone());
                }
            }
        }
    }

    /// Tells whether a person ended it by their word, whatever the database is like.
    pub fn is_accepted(&self) -> bool {
        self.facts.contains_key(ACCEPTED)
    }

    /// Returns the revision that it has left in the middle, statement by statement; none where it was put back, or where
    /// what failed was a transaction.
    pub fn half_way(&self) -> Option<HalfWay> {
        let stands = matches!(self.ended, Some(Aftermath::Changed | Aftermath::Unknown));
        let (revision, index) = self.last_by_itself.clone().filter(|_| stands)?;
        (self.open_script.as_ref() == Some(&revision)).then(|| HalfWay {
            operation: self.operation.clone(),
            revision,
            statement: index + 1,
            backup: self.backup.clone(),
        })
    }

    /// Tells whether it brought the database to a state that has a name, whatever it was like before.
    pub(super) fn settles(&self) -> bool {
        match (self.kind, self.ended) {
            (Kind::Restore, Some(Aftermath::PutBack)) => true,
            (Kind::Upgrade | Kind::Downgrade | Kind::Stamp, Some(Aftermath::Changed)) => {
                self.half_way().is_none()
            }
            _ => false,
        }
    }

    /// Tells whether the operation neither ended nor was given up.
    pub fn is_unfinished(&self) -> bool {
        self.ended.is_none()
    }

    /// Tells whether the real database can have been changed: a step that writes to it was begun.
    pub fn may_have_changed(&self) -> bool {
        self.started.iter().any(|step| {
            matches!(
                step,
                Step::Migrate
                    | Step::Stamp
                    | Step::Swap
                    | Step::PutBack
                    | Step::MergeBack
                    | Step::RestoreTables
            )
        })
    }
}

#[cfg(test)]
mod tests;
