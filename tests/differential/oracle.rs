//! One long-lived Python process that answers with real Alembic.
#![expect(clippy::disallowed_methods, reason = "this module owns the child process")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

/// A history and what to do with it.
#[derive(Serialize)]
pub struct Asked<'a> {
    pub revisions: &'a [ripcord::history::Revision],
    pub questions: &'a [Question],
}

#[derive(Debug, Clone, Serialize)]
pub struct Question {
    pub command: Verb,
    pub rows: Vec<String>,
    pub targets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Upgrade,
    Downgrade,
    Stamp,
    /// `history -r`.
    History,
}

#[derive(Debug, Deserialize)]
pub struct Answered {
    /// Why the history was not accepted.
    pub failure: Option<Failed>,
    pub facts: Option<Facts>,
    pub answers: Vec<Answer>,
}

/// What Alembic says of the graph.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Facts {
    pub heads: Vec<String>,
    pub real_heads: Vec<String>,
    pub bases: Vec<String>,
    pub branch_points: Vec<String>,
    pub merge_points: Vec<String>,
    pub labels: std::collections::BTreeMap<String, Vec<String>>,
    pub history: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The revisions in the order in which they would run or are listed; none for a stamp or when there was no plan.
    pub planned: Option<Vec<String>>,
    /// The rows after each step, as far as Alembic came.
    pub steps: Vec<Vec<String>>,
    pub failure: Option<Failed>,
}

#[derive(Debug, Deserialize)]
pub struct Failed {
    /// False when Alembic did not refuse but stopped with a traceback.
    pub refused: bool,
    pub text: String,
}

pub struct Oracle {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts Python; panics with what to do when there is none with Alembic.
    pub fn start() -> Oracle {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/oracle.py");
        let python = python();
        let mut child = Command::new(&python)
            .arg(script)
            // Otherwise the order of Python's sets would change from run to run.
            .env("PYTHONHASHSEED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} does not start ({error}); run scripts/test", python.display())
            });
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Oracle { child, questions, answers }
    }

    pub fn ask(&mut self, asked: &Asked<'_>) -> Answered {
        let mut line = serde_json::to_string(asked).unwrap();
        line.push('\n');
        let told = self.questions.as_mut().unwrap().write_all(line.as_bytes());
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        assert!(
            told.is_ok() && read.is_ok() && !answer.is_empty(),
            "Alembic does not answer: this test needs a Python with alembic 1.20; run scripts/test, which installs it"
        );
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input is what ends it.
        self.questions = None;
        let _ = self.child.wait();
    }
}

fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("RIPCORD_ALEMBIC_PYTHON") {
        return PathBuf::from(named);
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(
        own.exists(),
        "no Python with Alembic: run scripts/test, which makes .venv, or name one in RIPCORD_ALEMBIC_PYTHON"
    );
    own
}
