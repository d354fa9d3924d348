//! One file a command: gather, call, render.

mod backup;
mod change;
mod log;
mod offline;
mod recover;
mod rehearse;
mod restore;
mod revisions;
mod shell;
mod verify;

use super::args::{Cli, Command, Proof};
use super::render::{Ending, Output};
use super::wiring::Assembled;
use crate::base::Cancel;
use crate::config::{Config, Flags};
use crate::engine::ProofLevel;
use crate::procedure::SnapshotPolicy;
use crate::report::{Event, Failure};

/// Runs the command that was typed.
pub(super) async fn run(cli: &Cli, output: &Output, cancel: &Cancel) -> Result<Ending, Failure> {
    match &cli.command {
        Command::Completions(args) => return shell::completions(args),
        Command::Man => return shell::man(),
        _ => {}
    }
    let flags = Flags { database_url: cli.common.database_url.clone(), config: cli.common.config.clone() };
    let config = Config::load(&flags).map_err(Failure::refused)?;
    output.set_context(&config.context.to_string());
    let context = Context { config, output, cancel, yes: cli.common.yes };
    match &cli.command {
        Command::Init(args) => revisions::init::run(&context, args),
        Command::Revision(args) => revisions::revision::run(&context, args).await,
        Command::Merge(args) => revisions::merge::run(&context, args),
        Command::Current(args) => revisions::current::run(&context, args).await,
        Command::Heads(args) => revisions::heads::run(&context, args),
        Command::Branches => revisions::branches::run(&context),
        Command::History(args) => revisions::history::run(&context, args).await,
        Command::Show(args) => revisions::show::run(&context, args).await,
        Command::Stamp(args) => revisions::stamp::run(&context, args).await,
        Command::Edit(args) => revisions::edit::run(&context, args).await,
        Command::Upgrade(args) => change::upgrade(&context, args).await,
        Command::Downgrade(args) => change::downgrade(&context, args).await,
        Command::Rehearse(args) => rehearse::run(&context, args).await,
        Command::Backup(args) => backup::run(&context, args).await,
        Command::Restore(args) => restore::run(&context, args).await,
        Command::Verify(args) => verify::run(&context, args).await,
        Command::Recover(args) => recover::run(&context, args).await,
        Command::Log(args) => log::run(&context, args).await,
        Command::Completions(_) | Command::Man => Ok(Ending::said("", serde_json::Value::Null)),
    }
}

/// What every command has at hand.
pub(super) struct Context<'a> {
    pub config: Config,
    pub output: &'a Output,
    pub cancel: &'a Cancel,
    pub yes: bool,
}

impl Context<'_> {
    /// Puts the adapters together and says which database is meant.
    async fn assemble(&self) -> Result<Assembled, Failure> {
        self.assemble_with(false).await
    }

    /// The same for a command that may begin with a database that is not there yet.
    async fn assemble_with(&self, may_create: bool) -> Result<Assembled, Failure> {
        let assembled = Assembled::new(&self.config, self.output.observer(), self.cancel, may_create).await?;
        let database = assembled.database.identity().clone();
        assembled.observer.event(&Event::Target { database, source: self.config.database_source.clone() });
        Ok(assembled)
    }

    /// The same without a word: for commands whose only output is their answer.
    async fn assemble_quietly(&self) -> Result<Assembled, Failure> {
        Assembled::new(&self.config, std::sync::Arc::new(crate::report::Silent), self.cancel, false).await
    }

    /// A proof that is asked for by name is done whatever the size.
    fn policy(&self, asked: Option<Proof>) -> SnapshotPolicy {
        match asked {
            Some(proof) => SnapshotPolicy { proof: level(proof), max_size: None },
            None => SnapshotPolicy { proof: self.config.proof, max_size: self.config.max_size },
        }
    }
}

fn level(proof: Proof) -> ProofLevel {
    match proof {
        Proof::Full => ProofLevel::Full,
        Proof::Schema => ProofLevel::Schema,
        Proof::None => ProofLevel::None,
    }
}
