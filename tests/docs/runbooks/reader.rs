//! Somebody who works through a runbook from its first command to its last.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use crate::console::{Typed, blocks, plain};
use crate::read;
use crate::support::*;

/// A runbook, open at the command that comes next. Dropping it before the end is a failure: every command is run.
pub struct Runbook<'a> {
    name: String,
    sandbox: &'a Sandbox,
    coming: VecDeque<Typed>,
    words: BTreeMap<&'static str, String>,
}

impl<'a> Runbook<'a> {
    /// Opens `runbooks/NAME.md`, with ripcord at hand.
    pub fn open(name: &str, sandbox: &'a Sandbox) -> Runbook<'a> {
        crate::on_the_path(sandbox);
        let coming = blocks(&read(format!("runbooks/{name}.md"))).into_iter().flatten().collect();
        Runbook { name: name.to_owned(), sandbox, coming, words: BTreeMap::new() }
    }

    /// Decides what is written for a word in capitals from here on.
    pub fn write(&mut self, word: &'static str, value: impl Into<String>) {
        self.words.insert(word, value.into());
    }

    /// Types the next command, which must be this one; holds what it prints against what the page shows.
    #[track_caller]
    pub fn next(&mut self, command: &str) -> Run {
        self.next_in(&self.sandbox.project(), command)
    }

    /// The same, in another folder.
    #[track_caller]
    pub fn next_in(&mut self, folder: &Path, command: &str) -> Run {
        let typed = self.turn_to(command);
        let line = format!("cd '{}' && {}", folder.display(), self.filled(command));
        let run = self.sandbox.run("sh", &["-c", &line]);
        if !typed.shown.is_empty() {
            assert_eq!(plain(&run.stdout), plain(&typed.shown), "{command}\n{run}");
        }
        run
    }

    /// Passes over the next commands, which are for the other engine.
    #[track_caller]
    pub fn not_here(&mut self, commands: &[&str]) {
        for command in commands {
            self.turn_to(command);
        }
    }

    #[track_caller]
    fn turn_to(&mut self, command: &str) -> Typed {
        let typed = self.coming.pop_front();
        let typed = typed.unwrap_or_else(|| panic!("{} has ended before {command:?}", self.name));
        assert_eq!(typed.command, command, "the next command of {} is another one", self.name);
        typed
    }

    fn filled(&self, command: &str) -> String {
        let part_of_a_word = |c: char| c.is_ascii_uppercase() || c == '_';
        let mut filled = String::new();
        let mut rest = command;
        while let Some(next) = rest.chars().next() {
            let end = match part_of_a_word(next) {
                true => rest.find(|c| !part_of_a_word(c)).unwrap_or(rest.len()),
                false => next.len_utf8(),
            };
            let (word, after) = rest.split_at(end);
            filled.push_str(self.words.get(word).map_or(word, String::as_str));
            rest = after;
        }
        filled
    }
}

impl Drop for Runbook<'_> {
    fn drop(&mut self) {
        let left: Vec<_> = self.coming.iter().map(|typed| typed.command.as_str()).collect();
        assert!(
            std::thread::panicking() || left.is_empty(),
            "{} was not followed to its end: {left:?}",
            self.name
        );
    }
}
