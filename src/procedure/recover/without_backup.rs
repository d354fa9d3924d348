//! The backup of the interrupted operation is gone or damaged. Version rows and journal still tell much; where they leave
//! it open, a person's word ends the operation: there must be a way out that needs no backup.

use super::{RecoverRequest, report, saved, stopped_at};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::{ACCEPTED, Entry, Operation, OperationState};
use crate::procedure::snapshot::read_inventory;
use crate::procedure::{Ports, Refusal, merge, refused, rows_text, settle, verify};
use crate::report::{Aftermath, Failure, Kind, Report, Step};
use crate::store::{self, Listed};

/// Returns the backup for want of which a look failed.
pub(super) fn lost(failure: &Failure) -> Option<String> {
    match (failure.source.downcast_ref::<store::Error>(), failure.source.downcast_ref::<Refusal>()) {
        (Some(store::Error::NotFound { asked: id } | store::Error::Unusable { id, .. }), _)
        | (_, Some(Refusal::DamagedBackup { backup: id, .. } | Refusal::Unreadable { backup: id, .. })) => {
            Some(id.clone())
        }
        _ => None,
    }
}

/// Ends what can be named without that backup; otherwise says what is known, and every way out.
pub(super) async fn look(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    request: &RecoverRequest,
    (lost, why): (&str, &Failure),
) -> Result<Report, Failure> {
    let rows = ports.database.version_rows().await;
    let told = match &rows {
        Ok(rows) => told(state, rows, request.undo),
        Err(_) => None,
    };
    let told = match told {
        None if state.kind == Kind::Restore && !request.undo => after_swap(ports, state).await,
        told => told,
    };
    let at = match rows {
        Ok(rows) => rows,
        Err(error) => return Err(no_way_on(ports, state, (lost, why), &error.to_string()).await),
    };
    let Some(aftermath) = told else {
        let at = format!("the database is at {}", rows_text(&at));
        return Err(no_way_on(ports, state, (lost, why), &at).await);
    };
    let mut notes =
        vec![format!("nothing was compared, because {why}; the version rows and the journal tell it")];
    if (state.kind, aftermath) == (Kind::Downgrade, Aftermath::Changed) {
        notes.extend(of_merge(ports, op, state).await?);
    }
    Ok(Report { aftermath, to: at, notes, ..report(ports, state) })
}

/// Says whether a downgrade had merged salvage before the crash, and how to do it where it had not.
async fn of_merge(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
) -> Result<Vec<String>, Failure> {
    let waits = merge::waiting::of_downgrade(ports, state).await;
    Ok(match merge::was_merged(ports, state).await? {
        merge::Was::Merged(_) => merge::settled_without_backup(ports, op, state).await?,
        merge::Was::Untold(why) => waits.iter().map(|id| merge::untold(&why, id)).collect(),
        merge::Was::NotMerged if waits.is_empty() => vec![
            "salvage was not merged back; find the backup of the upgrade that was undone with \"ripcord backup list\", \
             then: ripcord backup merge-back BACKUP"
                .to_string(),
        ],
        merge::Was::NotMerged => {
            let later = |id| format!("salvage was not merged back; later: ripcord backup merge-back {id}");
            waits.iter().map(later).collect()
        }
    })
}

/// What version rows and journal tell by themselves; `None` where they leave it open. Pure.
fn told(state: &OperationState, rows: &[RevisionId], undo: bool) -> Option<Aftermath> {
    let finished = |step| state.finished.contains(&step);
    if state.started.contains(&Step::PutBack) {
        let is_back = finished(Step::PutBack) || state.facts.contains_key(settle::IS_BACK);
        return is_back.then_some(Aftermath::PutBack);
    }
    match state.kind {
        // A script in a transaction is over together with its version rows.
        Kind::Upgrade | Kind::Downgrade
            if settle::same(rows, &state.from) && !state.statements_by_themselves =>
        {
            Some(Aftermath::Unchanged)
        }
        _ if undo => None,
        Kind::Upgrade | Kind::Downgrade if settle::same(rows, &state.to) => Some(Aftermath::Changed),
        Kind::Restore if finished(Step::Swap) => Some(Aftermath::PutBack),
        Kind::RestoreTable if finished(Step::RestoreTables) => Some(Aftermath::Changed),
        Kind::MergeBack if finished(Step::MergeBack) => Some(Aftermath::Changed),
        _ => None,
    }
}

/// Of the two backups of a restore one may be left: a database that is exactly as that one has it tells.
async fn after_swap(ports: &Ports<'_>, state: &OperationState) -> Option<Aftermath> {
    let now = ports.database.inventory(&ports.progress(Step::Verify)).await.ok()?;
    let is = |side: &Inventory| verify::strict(side, &now).wrong.is_empty();
    let restored = super::super::restore::whole(ports, state.facts.get("restores")?).await;
    if restored.is_ok_and(|backup| read_inventory(&backup, "before.json").is_ok_and(|side| is(&side))) {
        return Some(Aftermath::PutBack);
    }
    let replaced = saved(ports, state).await.ok()?;
    is(&replaced.inventory).then_some(Aftermath::Unchanged)
}

/// Nothing that is left can tell: the facts, and every way out.
async fn no_way_on(
    ports: &Ports<'_>,
    state: &OperationState,
    (lost, why): (&str, &Failure),
    at: &str,
) -> Failure {
    let mut next = vec![
        format!(
            "put a whole copy of backup {lost} into {} and run recover again",
            ports.store.place().display()
        ),
        "ripcord recover --accept-as-is".to_string(),
    ];
    let whole = ports.store.list().await.unwrap_or_default().into_iter().rev().filter_map(Listed::whole);
    let others = whole.filter(|backup| backup.manifest.database.is_same(ports.identity()));
    if let Some(other) = others.map(|backup| backup.manifest.id).find(|id| id != lost) {
        next.push(format!(
            "or accept it as it is, and then put another backup back: ripcord restore {other}"
        ));
    }
    let (operation, at) = (state.operation.clone(), format!("{at}; it stopped {}", stopped_at(state)));
    let refusal = Refusal::WithoutBackup { operation, why: why.to_string(), at };
    Failure {
        operation: Some(state.operation.clone()),
        aftermath: Aftermath::Unknown,
        next,
        ..refused(refusal)
    }
}

/// Ends the operation by a person's word. The database is left as it is; who said it, and where the database was then, is
/// in the journal.
pub(super) async fn accepted(
    ports: &Ports<'_>,
    op: &Operation,
    state: &OperationState,
    tidied: Vec<String>,
) -> Result<Report, Failure> {
    let rows = ports.database.version_rows().await;
    let at = match &rows {
        Ok(rows) => format!("the database is at {}", rows_text(rows)),
        Err(error) => format!("where the database is cannot be read: {error}"),
    };
    let said = format!("ended as it is, by the word of {}; {at}", ports.who);
    let value = format!("{}; {at}", ports.who);
    let unknown = |failure: Failure| Failure { aftermath: Aftermath::Unknown, ..failure };
    let written = op
        .write(Entry::Fact { name: ACCEPTED.to_string(), value })
        .and_then(|()| op.end(Aftermath::Unknown, Some(&said)));
    written.map_err(refused).map_err(unknown)?;
    Ok(Report {
        aftermath: Aftermath::Unknown,
        to: rows.unwrap_or_default(),
        notes: std::iter::once(said).chain(tidied).collect(),
        ..report(ports, state)
    })
}
