//! Holding a restore in place against the snapshot before its commit: `psql` tells, out of its transaction, what the
//! database would be defined like, and commits only when it is told to. Without a word from us, as after a crash, it
//! undoes everything.

use super::catalog;
use super::session::{PINNED, Row, Session};
use crate::base::checkpoint;
use crate::catalog::{Catalog, diff};
use crate::engine::Error;
use std::io::{PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether `psql` has come to its end.
const LOOK: Duration = Duration::from_millis(5);
/// The file that is there when all answers are.
const TOLD: &str = "told";
/// The variable whose being set is the word to commit.
const GO: &str = "go";

/// What waits for the moment before the commit.
pub(super) struct Verdict {
    /// Opened beforehand: by then the database may let nobody in any more.
    session: Session,
    queries: Vec<String>,
    expected: Option<Catalog>,
    /// Where the answers are written.
    folder: PathBuf,
    word: PipeWriter,
}

impl Verdict {
    /// Prepares it; without an expectation the word is given unseen. `folder` is a private one.
    pub(super) async fn new(
        mut session: Session,
        expected: Option<Catalog>,
        folder: &Path,
        word: PipeWriter,
    ) -> Result<Self, Error> {
        session.record();
        catalog::read(&mut session).await?;
        let queries = session.recorded();
        Ok(Self { session, queries, expected, folder: folder.to_path_buf(), word })
    }

    /// Returns the script that asks, for the end of the transaction.
    pub(super) fn asking(&self) -> String {
        let pinned = PINNED.map(|(name, value)| format!("set_config('{name}', '{value}', false)")).join(", ");
        let mut script =
            format!("SELECT pg_catalog.{};\n", pinned.replace(", set_config(", ", pg_catalog.set_config("));
        for (number, query) in self.queries.iter().enumerate() {
            script.push_str(&format!("\\o {}\nCOPY ({query}) TO STDOUT;\n", quoted(&self.place(number))));
        }
        // Whatever was written before is whole when this one is opened.
        script.push_str(&format!("\\o {}\n\\o /dev/null\n", quoted(&self.folder.join(TOLD))));
        script
    }

    /// Returns the script that follows on our word and undoes everything without it.
    pub(super) fn deciding() -> String {
        // Not in PL/pgSQL, which a database need not have.
        format!("\\if :{{?{GO}}}\n\\else\nSELECT 'not confirmed'::pg_catalog.int4;\n\\endif\n")
    }

    fn place(&self, number: usize) -> PathBuf {
        self.folder.join(format!("answer-{number}"))
    }

    /// Waits for the answers and returns what differs; says the word when nothing does.
    pub(super) async fn given(mut self) -> Result<Vec<String>, Error> {
        while !self.folder.join(TOLD).exists() {
            tokio::time::sleep(LOOK).await;
        }
        let differences = self.differences().await;
        self.session.close().await;
        if differences.as_ref().is_ok_and(Vec::is_empty) {
            checkpoint::reached("before the commit of a restore in place");
            // Whoever does not hear it any more says so by how he ends.
            let _ = writeln!(self.word, "\\set {GO} yes");
        }
        differences
    }

    async fn differences(&mut self) -> Result<Vec<String>, Error> {
        let Some(expected) = &self.expected else { return Ok(Vec::new()) };
        let mut answers = Vec::new();
        for number in 0..self.queries.len() {
            let place = self.place(number);
            let text = std::fs::read_to_string(&place);
            let text = text.map_err(|source| Error::Io { place, doing: "read", source })?;
            answers.push(text.lines().map(Row::of_copy).collect());
        }
        self.session.play(answers);
        let found = catalog::read(&mut self.session).await?;
        // What is true of the database as a whole may need more rights than the user has; it is looked at afterwards.
        let [expected, found] =
            [expected, &found].map(|catalog| Catalog { settings: Default::default(), ..catalog.clone() });
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_string());
        let changes = diff(&expected, &found);
        let told = changes.iter();
        Ok(told
            .map(|one| format!("{}: {} became {}", one.subject, side(&one.before), side(&one.after)))
            .collect())
    }
}

/// Returns a path as an argument of psql's own commands.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_copy_are_read_as_they_were() {
        let row = Row::of_copy("a\\tb\\\\n\t\\N\t\tx\\ny");
        let values = [row.maybe(0), row.maybe(1), row.maybe(2), row.maybe(3)];
        assert_eq!(values, [Some("a\tb\\n"), None, Some(""), Some("x\ny")]);
    }

    #[test]
    fn a_path_is_one_argument() {
        assert_eq!(quoted(Path::new("/a b/it's\\x")), r"'/a b/it''s\\x'");
    }
}
