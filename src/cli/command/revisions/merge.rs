//! `merge`.

use super::super::Context;
use super::revision::{id_or_random, written};
use super::{project, read_history, refused};
use crate::cli::args::Merge;
use crate::cli::render::Ending;
use crate::history::{History, HistoryError, RevisionId};
use crate::report::Failure;
use crate::runner;
use crate::runner::sql::template::NewRevision as Draft;
use crate::runner::sql::{Request, absolute};

pub(in super::super) fn run(context: &Context<'_>, args: &Merge) -> Result<Ending, Failure> {
    if args.revisions.is_empty() {
        let mut failure = usage("a merge needs the revisions that it joins".to_string());
        failure.next = vec!["ripcord merge heads".to_string()];
        return Err(failure);
    }
    let parents = parents(context, args)?;
    let id = id_or_random(args.rev_id.as_deref())?;
    let request = Request {
        heads: parents,
        splice: args.splice,
        revision: Draft {
            id: id.clone(),
            parents: Vec::new(),
            message: args.message.clone(),
            created: context.config.clock.now(),
            labels: args.branch_label.clone(),
            depends_on: Vec::new(),
        },
    };
    let path = project(context).add(request).map_err(Failure::refused)?;
    Ok(written(&id, &path))
}

/// Returns the revisions to join. Alembic takes one as well and writes an ordinary revision, or a new root for `base`:
/// no merge at all.
fn parents(context: &Context<'_>, args: &Merge) -> Result<Vec<String>, Failure> {
    let history = read_history(context)?;
    let mut ids = Vec::new();
    for symbol in &args.revisions {
        for found in absolute(&history, symbol).map_err(refused)? {
            if ids.contains(&found.id) {
                let detail = format!("Duplicate head revisions specified: {}", found.id);
                return Err(usage(detail));
            }
            ids.push(found.id.clone());
        }
    }
    if let [] | [_] = ids.as_slice() {
        let named = ids.first().map_or_else(|| "none".to_string(), |id| format!("one, {id}"));
        return Err(usage(format!(
            "a merge joins two revisions or more, and '{}' names {named}",
            args.revisions.join(" ")
        )));
    }
    refuse_overlap(&history, &ids)?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

/// Refuses to join a revision with what it continues already. What it only depends on may be joined: the two are
/// branches all the same.
fn refuse_overlap(history: &History, ids: &[RevisionId]) -> Result<(), Failure> {
    for id in ids {
        let below = history.ancestors(id);
        let others: Vec<_> =
            below.iter().map(|other| other.id.clone()).filter(|other| ids.contains(other)).collect();
        if !others.is_empty() {
            return Err(refused(HistoryError::Overlap { revision: id.clone(), others }));
        }
    }
    Ok(())
}

fn usage(detail: String) -> Failure {
    Failure::refused(runner::Error::Usage { detail })
}
