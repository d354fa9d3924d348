//! `backup create`, `list`, `show`, `verify`, `merge-back`, `export`.

use super::Context;
use crate::cli::args::Backup;
use crate::cli::exit_code::ExitCode;
use crate::cli::render::{self, Ending};
use crate::cli::wiring;
use crate::engine::Selection;
use crate::procedure::merge::{MergeRequest, merge_back};
use crate::procedure::{backup, export, salvage};
use crate::report::{Failure, Progress, Step};
use crate::store::{BackupStore, Damage, Listed};
use serde_json::json;
use std::path::Path;

pub(super) async fn run(context: &Context<'_>, args: &Backup) -> Result<Ending, Failure> {
    match args {
        Backup::Create { proof } => {
            let assembled = context.assemble().await?;
            let report = backup::create(&assembled.ports(), &context.policy(*proof)).await?;
            Ok(Ending::report(&report, context.output))
        }
        Backup::List => {
            let all =
                wiring::store(&context.config, context.cancel).list().await.map_err(Failure::refused)?;
            Ok(Ending::said(render::backups(&all), json!({ "backups": all })))
        }
        Backup::Show { backup } => {
            let store = wiring::store(&context.config, context.cancel);
            let backup = store.open(backup).await.map_err(Failure::refused)?;
            let salvage = salvage::of(&backup);
            let human = render::show_backup(&backup, &salvage);
            Ok(Ending::said(human, json!({ "backup": backup, "salvage": salvage })))
        }
        Backup::Verify { backup, chain } => verify(context, backup.as_deref(), *chain).await,
        Backup::MergeBack { backup, table, dry_run, of_database, proof } => {
            let request = MergeRequest {
                backup: backup.clone(),
                tables: table.clone(),
                look: *dry_run,
                of_database: of_database.clone(),
                policy: context.policy(*proof),
            };
            let assembled = context.assemble().await?;
            let report = merge_back(&assembled.ports(), &request).await?;
            Ok(Ending::report(&report, context.output))
        }
        Backup::Export { tables, query, out } => export_to(context, tables, query, out).await,
    }
}

async fn export_to(
    context: &Context<'_>,
    tables: &[String],
    queries: &[(String, String)],
    folder: &Path,
) -> Result<Ending, Failure> {
    let assembled = context.assemble().await?;
    let tables = tables.iter().cloned().map(Selection::Table);
    let queries = queries.iter().cloned().map(|(name, sql)| Selection::Query { name, sql });
    let selections: Vec<Selection> = tables.chain(queries).collect();
    let exports = export::export(&assembled.ports(), &selections, folder).await?;
    Ok(Ending::said(render::exports(&exports), json!({ "exports": exports })))
}

/// Needs no database: a backup must be checkable where its database no longer is.
async fn verify(context: &Context<'_>, asked: Option<&str>, chain: bool) -> Result<Ending, Failure> {
    let store = wiring::store(&context.config, context.cancel);
    let progress = Progress::new(context.output.observer(), Step::Verify);
    let mut found: Vec<(String, Vec<Damage>)> = Vec::new();
    match asked {
        Some(id) => found.push(one(&store, id, &progress).await?),
        None => {
            for listed in store.list().await.map_err(Failure::refused)? {
                let id = match listed {
                    Listed::Whole { backup } => backup.manifest.id,
                    Listed::Damaged { id, .. } => id,
                };
                // A damaged one too: the list names the first damage it sees, this names all.
                found.push(one(&store, &id, &progress).await?);
            }
        }
    }
    if chain {
        for (id, damage) in store.verify_chain().await.map_err(Failure::refused)? {
            found.push((id, vec![damage]));
        }
    }
    let damaged = found.iter().any(|(_, damage)| !damage.is_empty());
    let lines: Vec<String> = found
        .iter()
        .map(|(id, damage)| match damage.as_slice() {
            [] => format!("{id}  ok"),
            _ => {
                let reasons: Vec<String> = damage.iter().map(ToString::to_string).collect();
                format!("{id}  DAMAGED: {}", reasons.join("; "))
            }
        })
        .collect();
    let human = if lines.is_empty() { "there are no backups".to_string() } else { lines.join("\n") };
    let results: Vec<_> =
        found.iter().map(|(id, damage)| json!({ "backup": id, "damage": damage })).collect();
    let exit = if damaged { ExitCode::Difference } else { ExitCode::Done };
    Ok(Ending { exit, ..Ending::said(human, json!({ "backups": results })) })
}

async fn one(
    store: &dyn BackupStore,
    id: &str,
    progress: &Progress,
) -> Result<(String, Vec<Damage>), Failure> {
    match store.open(id).await {
        Ok(backup) => {
            let damage = store.verify(&backup, progress).await.map_err(Failure::refused)?;
            Ok((backup.manifest.id, damage))
        }
        Err(crate::store::Error::Unusable { id, damage }) => Ok((id, vec![damage])),
        Err(error) => Err(Failure::refused(error)),
    }
}
