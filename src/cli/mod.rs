//! The command line: gathers what a command needs, calls its procedure, renders what came back.

pub mod args;
mod command;
mod exit_code;
mod render;
mod wiring;

pub use exit_code::ExitCode;

use crate::base::{Cancel, cancel, checkpoint};
use args::Cli;
use clap::Parser;
use render::Output;

/// Runs the program and returns its exit code (`docs/cli-contract.md`).
pub fn main() -> std::process::ExitCode {
    // clap prints help, the version and usage errors itself; usage errors end with 2, as the contract has it.
    let cli = Cli::parse();
    let output = Output::new(&cli.common);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.internal(&error).into(),
    };
    let code = runtime.block_on(run(&cli, &output));
    // A blocking worker that is still in a system call must not keep the program from ending.
    runtime.shutdown_background();
    code.into()
}

async fn run(cli: &Cli, output: &Output) -> ExitCode {
    // A limit on the size of files is an error like a full disk, with a report, and no sudden end. Once somebody listens to
    // the signal, the system call that met the limit fails instead.
    let limits = tokio::signal::unix::SignalKind::from_raw(libc::SIGXFSZ);
    let _listening = tokio::signal::unix::signal(limits);
    let cancel = Cancel::new();
    let signals = tokio::spawn(heed_signals(cancel.clone(), output.clone()));
    let outcome = command::run(cli, output, &cancel).await;
    signals.abort();
    output.end(cli, outcome)
}

/// Makes Ctrl-C, SIGTERM and the end of the terminal an input: the step that is under way is asked to stop and says what
/// it left behind.
async fn heed_signals(cancel: Cancel, output: Output) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    // Under nohup(1) it is to go on.
    let mut hangup = if cancel::ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
    let mut hung_up = async || match &mut hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up() => {}
        }
        output.stopping();
        cancel.cancel();
        checkpoint::heard();
    }
}
