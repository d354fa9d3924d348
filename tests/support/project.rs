//! Revision files for the sandbox's project, in the native runner's format.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use super::{CLOCK, Sandbox, tools};

/// One revision file in the making.
#[derive(Debug, Clone)]
pub struct Revision {
    id: String,
    parents: Vec<String>,
    message: String,
    directives: Vec<(String, String)>,
    sections: Vec<(String, String)>,
}

impl Revision {
    /// A revision without parents and without statements.
    pub fn new(id: &str) -> Revision {
        Revision {
            id: id.to_owned(),
            parents: Vec::new(),
            message: format!("Revision {id}"),
            directives: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Names a parent; a merge names several.
    pub fn revises(mut self, parent: &str) -> Revision {
        self.parents.push(parent.to_owned());
        self
    }

    pub fn message(mut self, message: &str) -> Revision {
        self.message = message.to_owned();
        self
    }

    /// Adds a directive to the header, such as `transaction` with `none`.
    pub fn directive(mut self, name: &str, value: &str) -> Revision {
        self.directives.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn upgrade(self, sql: &str) -> Revision {
        self.section("upgrade", sql)
    }

    pub fn downgrade(self, sql: &str) -> Revision {
        self.section("downgrade", sql)
    }

    /// The upgrade for one engine, `sqlite` or `postgresql`.
    pub fn upgrade_on(self, engine: &str, sql: &str) -> Revision {
        self.section(&format!("upgrade {engine}"), sql)
    }

    /// The downgrade for one engine, `sqlite` or `postgresql`.
    pub fn downgrade_on(self, engine: &str, sql: &str) -> Revision {
        self.section(&format!("downgrade {engine}"), sql)
    }

    fn section(mut self, heading: &str, sql: &str) -> Revision {
        self.sections.push((heading.to_owned(), sql.trim().to_owned()));
        self
    }

    /// The revision's identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!("-- {}\n--\n-- ripcord:revision    {}\n", self.message, self.id);
        if !self.parents.is_empty() {
            writeln!(text, "-- ripcord:revises     {}", self.parents.join(" ")).expect("a string takes all");
        }
        writeln!(text, "-- ripcord:created     {CLOCK}").expect("a string takes all");
        for (name, value) in &self.directives {
            writeln!(text, "-- ripcord:{name} {value}").expect("a string takes all");
        }
        for (heading, sql) in &self.sections {
            write!(text, "\n-- ripcord:{heading}\n{sql}\n").expect("a string takes all");
        }
        text
    }

    /// The name of the file: the identifier and the message in lower case with underscores.
    pub fn file_name(&self) -> String {
        let words = self.message.to_lowercase();
        let words: Vec<_> =
            words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        format!("{}_{}.sql", self.id, words.join("_"))
    }
}

impl Sandbox {
    /// Writes a revision file with both directions.
    pub fn revision(&self, id: &str, parents: &[&str], upgrade: &str, downgrade: &str) -> PathBuf {
        let revision = parents.iter().fold(Revision::new(id), |revision, parent| revision.revises(parent));
        self.add(&revision.upgrade(upgrade).downgrade(downgrade))
    }

    /// Writes a revision file.
    pub fn add(&self, revision: &Revision) -> PathBuf {
        self.write(format!("migrations/versions/{}", revision.file_name()), revision.text())
    }

    /// Copies the repository's sample project: `migrations/`, with the tables `training_config` and `training_metric`.
    pub fn sample(&self) -> &Sandbox {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        capture_copy(source, self.path("migrations"));
        self
    }
}

fn capture_copy(from: &str, to: PathBuf) {
    tools::capture(Command::new("cp").arg("-R").arg(from).arg(to), "");
}
