//! Everything that ripcord says. Nothing else in the program prints.

mod advice;
mod hazards;
mod human;
mod json;
mod ledger;
mod lists;
mod merge;
mod progress;
pub mod revisions;
mod words;

pub use human::{legs_text, plan_text};
pub use lists::{backups, exports, log_lines, log_of, show_backup};

use super::args::{Cli, Common, Format};
use super::exit_code::ExitCode;
use crate::base::visible_lines;
use crate::procedure::rehearse::Rehearsed;
use crate::report::{Event, Failure, Observer, Report};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};

/// How a command ended well: what to print, and the exit code, which is 0 unless a check found something.
pub struct Ending {
    pub exit: ExitCode,
    /// For people, without a final line break; empty for nothing.
    pub human: String,
    /// The body of the report object.
    pub json: serde_json::Value,
}

impl Ending {
    /// An ending that says something.
    pub fn said(human: impl Into<String>, json: serde_json::Value) -> Self {
        Self { exit: ExitCode::Done, human: human.into(), json }
    }

    /// The ending of a rehearsal.
    pub fn rehearsed(rehearsed: &Rehearsed, output: &Output) -> Self {
        let json = serde_json::to_value(rehearsed).unwrap_or_default();
        Self { exit: ExitCode::Done, human: visible_lines(&ledger::text(rehearsed, output)), json }
    }

    /// The ending of a guarded operation.
    pub fn report(report: &Report, output: &Output) -> Self {
        let json = serde_json::to_value(report).unwrap_or_default();
        Self { exit: ExitCode::Done, human: human::report(report, output), json }
    }
}

/// Where and how to speak.
#[derive(Clone, Debug)]
pub struct Output {
    pub format: Format,
    pub quiet: bool,
    pub verbose: bool,
    bars: bool,
    colours: bool,
    /// The flags that printed commands must carry; known once the configuration is read.
    context: Arc<Mutex<String>>,
}

impl Output {
    pub fn new(common: &Common) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            format: common.format,
            quiet: common.quiet,
            verbose: common.verbose,
            bars: terminal && !common.no_progress && !common.quiet && common.format == Format::Human,
            colours: std::io::stdout().is_terminal() && terminal && crate::config::colours_allowed(),
            context: Arc::default(),
        }
    }

    /// Sets the flags that commands printed as advice must carry.
    pub fn set_context(&self, context: &str) {
        *self.context.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = context.to_string();
    }

    /// Returns a command as the user must type it to mean the same database; also one at the end of a sentence, or of a
    /// part of it: `or go back: ripcord restore B; the present state is saved first`.
    pub fn command(&self, text: &str) -> String {
        let context = self.context.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if text.starts_with("ripcord ") {
            return format!("{text}{context}");
        }
        let Some(at) = text.find(": ripcord ") else { return text.to_string() };
        let end = text[at + 2..].find("; ").map_or(text.len(), |end| at + 2 + end);
        format!("{}{context}{}", &text[..end], &text[end..])
    }

    /// Returns who listens to events.
    pub fn observer(&self) -> Arc<dyn Observer> {
        match self.format {
            Format::Json => Arc::new(json::Lines),
            Format::Human => Arc::new(human::Story::new(self.clone(), self.bars)),
        }
    }

    /// Prints the end and returns the exit code.
    pub fn end(&self, cli: &Cli, outcome: Result<Ending, Failure>) -> ExitCode {
        let command = cli.command.word();
        match (outcome, self.format) {
            (Ok(ending), Format::Human) => {
                if !ending.human.is_empty() {
                    say(&ending.human);
                }
                ending.exit
            }
            (Ok(ending), Format::Json) => {
                say(&json::report(command, ending.exit, ending.json));
                ending.exit
            }
            (Err(failure), format) => {
                let exit = ExitCode::of(&failure);
                match format {
                    Format::Human => complain(&human::failure(&failure, exit, self)),
                    Format::Json => say(&json::failure(command, exit, &failure, self)),
                }
                exit
            }
        }
    }

    /// Asks a question on a terminal and returns the answer. Where nobody can answer, typing the command was the answer:
    /// what it does is said by its name, and it is undone by the backup it takes.
    pub fn confirms(&self, question: &str) -> bool {
        !self.can_ask() || asked(question)
    }

    /// Tells whether a person is there to answer.
    fn can_ask(&self) -> bool {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        terminal && self.format == Format::Human
    }

    /// Says that a wish to stop was heard.
    pub fn stopping(&self) {
        if self.format == Format::Human {
            complain("stopping: the step under way is brought to a safe end …");
        }
    }

    /// Reports something that cannot happen unless the machine or ripcord is broken.
    pub fn internal(&self, error: &dyn std::error::Error) -> ExitCode {
        complain(&format!("error: ripcord could not start: {error}"));
        ExitCode::Bug
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// Asks a question and waits for the answer.
fn asked(question: &str) -> bool {
    // What was typed before the question was no answer to it.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Prints one text to standard output. A reader that went away (`| head`) is no error of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an event as one line of JSON.
fn say_event(event: &Event) {
    if let Ok(text) = serde_json::to_string(event) {
        say(&text);
    }
}
