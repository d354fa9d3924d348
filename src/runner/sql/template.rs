//! The text and the name of a new revision file.
//!
//! Promises that `file` reads back what was asked for, and that the name is one component of a path. The identifier and
//! the time are handed in. Names follow Alembic's `%(rev)s_%(slug)s` with two differences: no trailing `_`, and without
//! a message the file is `<revision>.sql`, where Alembic writes `<revision>_.py`.

use chrono::{DateTime, SecondsFormat, Utc};

use super::directive;
use crate::history::RevisionId;

/// Alembic's `truncate_slug_length`.
const LONGEST_SLUG: usize = 40;

/// What a new revision file says.
#[derive(Debug, Clone)]
pub struct NewRevision {
    pub id: RevisionId,
    /// None for a base, several for a merge.
    pub parents: Vec<RevisionId>,
    /// `None` or a blank text gives Alembic's "empty message".
    pub message: Option<String>,
    pub created: DateTime<Utc>,
    pub labels: Vec<String>,
    pub depends_on: Vec<String>,
}

impl NewRevision {
    /// The message on one line: line breaks and other white space become single spaces, control characters are left out.
    pub fn message(&self) -> String {
        let text = self.message.as_deref().unwrap_or_default();
        let visible: String =
            text.chars().filter(|letter| letter.is_whitespace() || !letter.is_control()).collect();
        let words: Vec<&str> = visible.split_whitespace().collect();
        let line = words.join(" ");
        match directive::read(&format!("-- {line}")) {
            _ if line.is_empty() => "empty message".to_owned(),
            Ok(None) => line,
            // It would be read as a directive, or as a misspelt one.
            _ => format!("Message: {line}"),
        }
    }

    /// The name of the file: `5f2c81d0a3be_add_process_rank.sql`.
    pub fn file_name(&self) -> String {
        match slug(self.message.as_deref().unwrap_or_default()) {
            slug if slug.is_empty() => format!("{}.sql", self.id),
            slug => format!("{}_{slug}.sql", self.id),
        }
    }

    /// The text of the file, with both sections empty.
    pub fn text(&self) -> String {
        let parents: Vec<&str> = self.parents.iter().map(RevisionId::as_str).collect();
        let mut header = vec![
            ("revision", self.id.to_string()),
            ("revises", parents.join(", ")),
            ("created", self.created.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ];
        for (name, values) in [("labels", &self.labels), ("depends-on", &self.depends_on)] {
            if !values.is_empty() {
                header.push((name, values.join(", ")));
            }
        }
        let lines: Vec<String> = header
            .iter()
            .map(|(name, value)| format!("-- ripcord:{name:<11} {value}").trim_end().to_owned())
            .collect();
        format!(
            "-- {}\n--\n{}\n\n-- ripcord:upgrade\n\n-- ripcord:downgrade\n",
            self.message(),
            lines.join("\n")
        )
    }
}

/// The message as part of a file name: its words in lower case joined by `_`, at most 40 characters, cut back to the
/// last `_` when longer. A word is what `\w+` matches in Python: letters, digits and `_` of any script.
pub fn slug(message: &str) -> String {
    let words: Vec<&str> = message
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let slug = words.join("_").to_lowercase();
    let cut: String = slug.chars().take(LONGEST_SLUG).collect();
    let kept = match cut.rfind('_') {
        Some(end) if cut.len() < slug.len() => &cut[..end],
        _ => &cut,
    };
    kept.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::runner::sql::file::RevisionFile;

    fn id(text: &str) -> RevisionId {
        RevisionId::new(text).expect("an identifier")
    }

    fn revision(message: Option<&str>) -> NewRevision {
        NewRevision {
            id: id("5f2c81d0a3be"),
            parents: vec![id("1975ea83b712")],
            message: message.map(str::to_owned),
            created: "2026-11-23T18:15:00Z".parse().expect("a time"),
            labels: vec![],
            depends_on: vec![],
        }
    }

    #[test]
    fn a_new_file_has_a_header_and_two_empty_sections() {
        let expected = "\
-- Add process_rank
--
-- ripcord:revision    5f2c81d0a3be
-- ripcord:revises     1975ea83b712
-- ripcord:created     2026-11-23T18:15:00Z

-- ripcord:upgrade

-- ripcord:downgrade
";
        assert_eq!(revision(Some("Add process_rank")).text(), expected);
    }

    #[test]
    fn a_base_a_merge_and_a_branch_are_read_back_as_they_were_asked_for() {
        let base = NewRevision { parents: vec![], labels: vec!["net".into()], ..revision(None) };
        let merge = NewRevision {
            parents: vec![id("aaaa"), id("bbbb")],
            depends_on: vec!["cccc".into(), "shop".into()],
            ..revision(Some("merge"))
        };
        for new in [base, merge] {
            let file = RevisionFile::parse(Path::new("a.sql"), new.text().as_bytes()).expect("reads");
            assert_eq!(file.revision.parents, new.parents);
            assert_eq!(file.revision.labels, new.labels);
            assert_eq!(file.revision.depends_on, new.depends_on);
            assert!(file.sections.iter().all(|section| section.is_empty()));
            assert_eq!(file.sections.len(), 2);
        }
        assert!(revision(None).text().starts_with("-- empty message\n"));
    }

    #[test]
    fn file_names_are_alembics_without_the_trailing_underscore() {
        for (message, expected) in [
            ("Add process_rank to training_metric", "add_process_rank_to_training_metric"),
            ("it's  50% -- done!", "it_s_50_done"),
            ("a very long message that goes on and on for ever", "a_very_long_message_that_goes_on_and_on"),
            ("exactly forty characters are not cut off", "exactly_forty_characters_are_not_cut_off"),
            (&"x".repeat(50), &"x".repeat(40)),
            ("_private_", "_private"),
            ("Größe ändern", "größe_ändern"),
            ("../../etc/passwd", "etc_passwd"),
            ("", ""),
            ("!?", ""),
        ] {
            assert_eq!(slug(message), expected, "{message:?}");
        }
        assert_eq!(revision(Some("Add a")).file_name(), "5f2c81d0a3be_add_a.sql");
        assert_eq!(revision(None).file_name(), "5f2c81d0a3be.sql");
        assert_eq!(revision(Some("--")).file_name(), "5f2c81d0a3be.sql");
    }

    #[test]
    fn a_message_that_looks_like_a_directive_stays_a_message() {
        for message in
            ["ripcord:downgrade", "ripcrod: upgrade", "ripcord upgrade", "-- ripcord:revision x", "-"]
        {
            let file = RevisionFile::parse(Path::new("a.sql"), revision(Some(message)).text().as_bytes());
            let file = file.unwrap_or_else(|error| panic!("{message:?}: {error}"));
            assert_eq!(file.revision.id.as_str(), "5f2c81d0a3be", "{message:?}");
            assert_eq!(file.sections.len(), 2);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_message_the_file_reads_back_and_its_name_is_one_component(message in any::<String>()) {
            let new = revision(Some(&message));
            let file = RevisionFile::parse(Path::new("a.sql"), new.text().as_bytes())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&file.revision.id, &new.id);
            prop_assert_eq!(&file.revision.parents, &new.parents);
            let name = new.file_name();
            prop_assert!(!name.contains(['/', '\\', '\0', '\n']) && name.len() <= 255 && name.ends_with(".sql"));
        }
    }
}
