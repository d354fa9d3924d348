//! `restore`.

use super::Context;
use crate::cli::args::Restore;
use crate::cli::render::Ending;
use crate::cli::wiring::Assembled;
use crate::config::ConfigError;
use crate::engine::DatabaseUrl;
use crate::procedure::restore::{RestoreRequest, restore};
use crate::procedure::restore_table::{TablesRequest, restore_tables};
use crate::report::Failure;

pub(super) async fn run(context: &Context<'_>, args: &Restore) -> Result<Ending, Failure> {
    if !args.table.is_empty() {
        return tables(context, args).await;
    }
    let request = RestoreRequest {
        backup: args.backup.clone(),
        into_new: args.to.is_some(),
        of_database: args.of_database.clone(),
        policy: context.policy(args.proof),
    };
    let assembled = match &args.to {
        None => context.assemble().await?,
        Some(text) => {
            let url = DatabaseUrl::parse(text)
                .map_err(|source| Failure::refused(ConfigError::Url { from: "--to".to_string(), source }))?;
            // From here on the new database is what is spoken of, also after an interruption.
            context.output.set_context(&context.config.context.to(&url).to_string());
            Assembled::at(&context.config, &url, context.output.observer(), context.cancel, true).await?
        }
    };
    if args.to.is_none() && !context.yes && !context.output.confirms(&question(&assembled, &args.backup)) {
        return Ok(Ending::said("nothing was changed", serde_json::json!({ "restored": null })));
    }
    let report = restore(&assembled.ports(), &request).await?;
    Ok(Ending::report(&report, context.output))
}

async fn tables(context: &Context<'_>, args: &Restore) -> Result<Ending, Failure> {
    let assembled = context.assemble().await?;
    let database = assembled.database.identity();
    let what = args.table.join(", ");
    let question = format!(
        "put the rows of {what} in {database} back as backup {} has them? The present state is saved as a backup first.",
        args.backup
    );
    if !context.yes && !context.output.confirms(&question) {
        return Ok(Ending::said("nothing was changed", serde_json::json!({ "restored": null })));
    }
    let request = TablesRequest {
        backup: args.backup.clone(),
        tables: args.table.clone(),
        of_database: args.of_database.clone(),
        policy: context.policy(args.proof),
    };
    let report = restore_tables(&assembled.ports(), &request).await?;
    Ok(Ending::report(&report, context.output))
}

fn question(assembled: &Assembled, backup: &str) -> String {
    let database = assembled.database.identity();
    format!("replace {database} by backup {backup}? The present state is saved as a backup first.")
}
