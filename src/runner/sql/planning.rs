//! From revision files and the state of a database to a plan. Pure.
//!
//! Promises that a plan which was made can be run: every step has its section, every section can be cut, and the way up in
//! no applied file was edited. The way down may be mended: it is yet to run, and one that fails must not stay for ever.

use std::collections::HashMap;

use super::file::RevisionFile;
use super::project::history_of;
use super::split;
use crate::catalog::EngineKind;
use crate::engine::AppliedFile;
use crate::history::{Direction, History, HistoryError, MigrationStep, RevisionId};
use crate::plan::{Accept, Plan, Script, Statement, Touches};
use crate::runner::Error;

/// Where a database is.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) engine: EngineKind,
    /// The version rows.
    pub(super) rows: Vec<RevisionId>,
    /// What ripcord remembers of the files it applied.
    pub(super) applied: Vec<AppliedFile>,
    /// Applied files as they were, of those that are other ones now, as far as a backup has them.
    pub(super) originals: Vec<RevisionFile>,
}

impl State {
    /// The state of a database at these version rows of which nothing is remembered.
    pub(super) fn at(engine: EngineKind, rows: Vec<RevisionId>) -> State {
        State { engine, rows, applied: Vec::new(), originals: Vec::new() }
    }
}

/// Returns the scripts that lead from the state to the target, or the reason why they must not run.
pub(super) fn make(
    files: &[RevisionFile],
    state: &State,
    direction: Direction,
    target: &str,
) -> Result<Plan, Error> {
    let history = history_of(files)?;
    let by_id: HashMap<&RevisionId, &RevisionFile> =
        files.iter().map(|file| (&file.revision.id, file)).collect();
    history.check_rows(&state.rows)?;
    // Before the steps: an edited file makes any plan doubtful, also one that does not run it.
    refuse_edited(&by_id, &history, state)?;
    let steps = match direction {
        Direction::Up => history.upgrade_steps(&state.rows, target)?,
        Direction::Down => history.downgrade_steps(&state.rows, target)?,
    };
    let mut from = state.rows.clone();
    from.sort();
    let to = steps.last().map_or_else(|| from.clone(), |step| step.rows_after.clone());
    let scripts = steps.into_iter().map(|step| {
        let unknown = || HistoryError::Unknown { symbol: step.revision.to_string(), near: Vec::new() };
        let file = by_id.get(&step.revision).ok_or_else(unknown)?;
        script(file, step, state.engine)
    });
    let scripts = scripts.collect::<Result<Vec<_>, Error>>()?;
    Ok(Plan { direction, target: target.to_owned(), from, to, schema: None, scripts, accepted: Vec::new() })
}

/// Returns what is remembered of files that are other ones now.
pub(super) fn edited<'a>(files: &[RevisionFile], applied: &'a [AppliedFile]) -> Vec<&'a AppliedFile> {
    let is_other = |was: &&AppliedFile| {
        files.iter().any(|file| file.revision.id == was.revision && file.sha256 != was.sha256)
    };
    applied.iter().filter(is_other).collect()
}

/// Refuses a file whose way up is not what was applied. A memory of a revision that is not applied any more does not count:
/// another tool may have undone it, and then its file may change.
fn refuse_edited(
    files: &HashMap<&RevisionId, &RevisionFile>,
    history: &History,
    state: &State,
) -> Result<(), Error> {
    for revision in history.applied(&state.rows)? {
        let Some(file) = files.get(&revision.id) else { continue };
        let edited =
            |applied: &&AppliedFile| applied.revision == revision.id && applied.sha256 != file.sha256;
        let Some(applied) = state.applied.iter().find(edited) else { continue };
        let original = state.originals.iter().find(|original| original.sha256 == applied.sha256);
        if original.is_some_and(|original| original.leads_up_as(file, state.engine)) {
            continue;
        }
        return Err(Error::EditedAfterApplied {
            revision: revision.id.clone(),
            place: revision.place.clone(),
            applied_sha256: applied.sha256.clone(),
            found_sha256: file.sha256.clone(),
            original: original.map(|original| original.path.clone()),
        });
    }
    Ok(())
}

pub(super) fn script(file: &RevisionFile, step: MigrationStep, engine: EngineKind) -> Result<Script, Error> {
    let revision = &file.revision;
    let Some(statements) = file.statements(step.direction, engine)? else {
        let direction = match step.direction {
            Direction::Up => "upgrade",
            Direction::Down => "downgrade",
        };
        return Err(Error::NoSection {
            revision: revision.id.clone(),
            direction,
            engine: engine.to_string(),
            place: revision.place.clone(),
            why: revision.irreversible.clone(),
        });
    };
    Ok(Script {
        revision: step.revision,
        direction: step.direction,
        message: revision.message.clone(),
        place: revision.place.clone(),
        sha256: file.sha256.clone(),
        transaction: file.transaction,
        statements: statements.into_iter().map(statement).collect(),
        accepts: file.accepts.iter().cloned().map(|accept| within(accept, engine)).collect(),
        rows: step.changes,
        rows_after: step.rows_after,
    })
}

fn within(accept: Accept, engine: EngineKind) -> Accept {
    Accept { hazard: accept.hazard.within(engine), ..accept }
}

fn statement(found: split::Statement) -> Statement {
    Statement {
        text: found.text,
        line: found.line,
        sha256: found.sha256,
        touches: Touches::Names(found.identifiers),
    }
}
