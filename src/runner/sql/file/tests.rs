use super::*;
use EngineKind::{Postgresql, Sqlite};

const GOLDEN: &str = "\
-- Add process_rank
-- to training_metric
--
-- A longer explanation.
-- ripcord:revision    5f2c81d0a3be
-- ripcord:revises     1975ea83b712, 27c6a30d7c24
-- ripcord:created     2026-11-23T18:15:00Z
-- ripcord:labels      ranks
-- ripcord:depends-on  55af
-- ripcord:transaction none
-- ripcord:accept drops-column:a.b \"unused\"
-- ripcord:accept drops-column:a.c \"unused too\"

-- ripcord:upgrade
ALTER TABLE a ADD COLUMN b INTEGER;
UPDATE a SET b = 1;

-- ripcord:upgrade postgresql
ALTER TABLE a ADD COLUMN b bigint;

-- ripcord:downgrade
-- Nothing to undo.
";

fn parse(text: &str) -> Result<RevisionFile, FileError> {
    RevisionFile::parse(Path::new("a.sql"), text.as_bytes())
}

fn parsed(text: &str) -> RevisionFile {
    match parse(text) {
        Ok(file) => file,
        Err(error) => panic!("{error}"),
    }
}

fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(file) => panic!("{text:?} was read as {file:?}"),
        Err(error) => error.to_string(),
    }
}

/// The texts and the lines of the statements to run.
fn statements(file: &RevisionFile, direction: Direction, engine: EngineKind) -> Vec<(usize, String)> {
    let found = file.statements(direction, engine).expect("splits").expect("has a section");
    found.into_iter().map(|statement| (statement.line, statement.text)).collect()
}

#[test]
fn a_file_says_everything_about_its_revision() {
    let file = parsed(GOLDEN);
    let revision = &file.revision;
    assert_eq!(revision.id.as_str(), "5f2c81d0a3be");
    let parents: Vec<&str> = revision.parents.iter().map(RevisionId::as_str).collect();
    assert_eq!(parents, ["1975ea83b712", "27c6a30d7c24"]);
    assert_eq!(revision.created.as_deref(), Some("2026-11-23T18:15:00Z"));
    assert_eq!(
        (&revision.labels[..], &revision.depends_on[..]),
        (&["ranks".into()][..], &["55af".into()][..])
    );
    assert_eq!(revision.message, "Add process_rank to training_metric");
    assert_eq!(revision.place, "a.sql");
    assert_eq!(file.transaction, TransactionMode::None);
    let accepts: Vec<_> =
        file.accepts.iter().map(|accept| (accept.hazard.to_string(), accept.why.as_str())).collect();
    let expected = [("drops-column:a.b", "unused"), ("drops-column:a.c", "unused too")];
    assert_eq!(accepts, expected.map(|(hazard, why)| (hazard.to_string(), why)));
    assert_eq!(file.sha256, sha256_hex(GOLDEN));
}

#[test]
fn a_hazard_that_nobody_can_mean_is_an_error_with_its_line() {
    let wrong = |line: &str| {
        let text = format!(
            "-- ripcord:revision a\n-- ripcord:accept drops-table:a \"why\"\n{line}\n-- ripcord:upgrade\n"
        );
        let error = RevisionFile::parse(Path::new("a.sql"), text.as_bytes()).expect_err("a bad accept");
        error.to_string()
    };
    for (line, says) in [
        (
            "-- ripcord:accept drop-table:a \"why\"",
            "a.sql:3: ripcord:accept: \"drop-table\" is no kind of hazard",
        ),
        ("-- ripcord:accept drops-column:a \"why\"", "a.sql:3: ripcord:accept: drops-column needs a column"),
        ("-- ripcord:accept drops-table:* \"why\"", "a.sql:3: ripcord:accept: a name with '*' in it"),
        ("-- ripcord:accept drops-table:b", "a.sql:3: ripcord:accept needs a reason in double quotes"),
        ("-- ripcord:accept drops-table:b \"\"", "a.sql:3: ripcord:accept needs a reason in double quotes"),
        ("-- ripcord:accept drops-table:a \"again\"", "a.sql:3: drops-table:a is accepted on line 2 already"),
    ] {
        let error = wrong(line);
        assert!(error.starts_with(says), "{line}: {error}");
    }
}

#[test]
fn the_section_for_an_engine_wins_over_the_plain_one() {
    let file = parsed(GOLDEN);
    let plain = [(15, "ALTER TABLE a ADD COLUMN b INTEGER".into()), (16, "UPDATE a SET b = 1".into())];
    assert_eq!(statements(&file, Direction::Up, Sqlite), plain);
    assert_eq!(
        statements(&file, Direction::Up, Postgresql),
        [(19, "ALTER TABLE a ADD COLUMN b bigint".into())]
    );
}

#[test]
fn an_empty_section_is_told_from_a_missing_one() {
    let empty = parsed(GOLDEN);
    assert!(empty.section(Direction::Down, Sqlite).expect("a section").is_empty());
    assert!(!empty.section(Direction::Up, Sqlite).expect("a section").is_empty());
    let missing = parsed(
        "-- ripcord:revision a\n-- ripcord:irreversible \"it merges rows\"\n-- ripcord:upgrade\nSELECT 1",
    );
    assert_eq!(missing.section(Direction::Down, Sqlite), None);
    assert_eq!(missing.statements(Direction::Down, Sqlite).expect("no error"), None);
    assert_eq!(missing.revision.irreversible.as_deref(), Some("it merges rows"));
    let other = parsed("-- ripcord:revision a\n-- ripcord:upgrade sqlite\nSELECT 1");
    assert_eq!(other.section(Direction::Up, Postgresql), None);
}

#[test]
fn line_endings_and_a_byte_order_mark_change_neither_lines_nor_names() {
    let windows = format!("\u{feff}{}", GOLDEN.replace('\n', "\r\n"));
    let (unix, windows) = (parsed(GOLDEN), parsed(&windows));
    assert_eq!(windows.revision, unix.revision);
    assert_eq!(windows.accepts, unix.accepts);
    for engine in [Sqlite, Postgresql] {
        assert_eq!(statements(&windows, Direction::Up, engine), statements(&unix, Direction::Up, engine));
    }
    assert_ne!(windows.sha256, unix.sha256, "the hash is of the bytes");
}

#[test]
fn the_message_ends_at_the_first_empty_line() {
    for (header, message) in [
        ("-- One\n-- ripcord:revision a\n", "One"),
        ("\n\n--  One \n-- two\n--\n-- three\n-- ripcord:revision a\n", "One two"),
        ("-- One\n\n-- two\n-- ripcord:revision a\n", "One"),
        ("-- ripcord:revision a\n-- One\n-- ripcord:labels b\n-- two\n", "One"),
        ("-- ripcord:revision a\n", ""),
    ] {
        assert_eq!(parsed(header).revision.message, message, "{header:?}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let header = "-- ripcord:revision a\n";
    for (text, expected) in [
        (String::new(), "a.sql: there is no ripcord:revision directive"),
        ("-- ripcord:upgrade\nSELECT 1".into(), "a.sql: there is no ripcord:revision directive"),
        (
            format!("{header}-- ripcord:upgrad\n"),
            "a.sql:2: unknown directive ripcord:upgrad; the nearest known one is upgrade",
        ),
        (format!("{header}{header}"), "a.sql:2: ripcord:revision is on line 1 already"),
        (
            format!("{header}-- ripcord:downgrade\nSELECT 1;\n-- ripcord:downgrade"),
            "a.sql:4: this section begins on line 2 already",
        ),
        (format!("{header}SELECT 1;\n-- ripcord:upgrade"), "a.sql:2: there is text above the first section"),
        (
            format!("{header}-- ripcord:upgrade\n-- ripcord:transaction none"),
            "a.sql:3: ripcord:transaction belongs above the first section",
        ),
        (
            format!("{header}-- ripcord:irreversible \"why\"\n-- ripcord:downgrade"),
            "a.sql:2: the revision is declared irreversible and has a downgrade",
        ),
        (format!("{header}-- \0"), "a.sql:2: the text holds a NUL character"),
        (
            "-- ripcord:revision 012345678901234567890123456789012".into(),
            "a.sql:1: the revision identifier \"012345678901234567890123456789012\" has 33 characters, and the version table holds 32",
        ),
        ("-- ripcord:revision a-b".into(), "a.sql:1: '-' is not allowed in \"a-b\""),
    ] {
        assert_eq!(refusal(&text), expected, "{text:?}");
    }
    let latin =
        RevisionFile::parse(Path::new("a.sql"), b"-- One\n-- caf\xe9").expect_err("refused").to_string();
    assert_eq!(latin, "a.sql:2: it is not UTF-8");
}

#[test]
fn sql_that_cannot_be_cut_is_told_with_line_and_column_in_the_file() {
    let file = parsed(
        "-- ripcord:revision a\n-- ripcord:upgrade\nSELECT 1;\n\nSELECT 'a;\n-- ripcord:downgrade\nSELECT ''';",
    );
    let error = |direction| file.statements(direction, Sqlite).expect_err("refused").to_string();
    assert_eq!(error(Direction::Up), "a.sql:5:8: this string never ends");
    assert_eq!(error(Direction::Down), "a.sql:7:8: this string never ends");
}

#[test]
fn transaction_control_is_allowed_only_where_the_file_owns_it() {
    for command in
        ["BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "START TRANSACTION", "PREPARE TRANSACTION 'x'"]
    {
        let text = format!("-- ripcord:revision a\n-- ripcord:upgrade\nSELECT 1;\n{command};");
        let refused = parsed(&text).statements(Direction::Up, Postgresql).expect_err("refused").to_string();
        let name = command.trim_end_matches(" 'x'");
        assert_eq!(
            refused,
            format!(
                "a.sql:4: ripcord owns the transaction, so {name} is not allowed unless the file says ripcord:transaction none"
            )
        );
        let own = text.replacen('\n', "\n-- ripcord:transaction none\n", 1);
        assert_eq!(statements(&parsed(&own), Direction::Up, Postgresql).len(), 2);
    }
    let savepoints = "-- ripcord:revision a\n-- ripcord:upgrade\nSAVEPOINT s; ROLLBACK TO s; RELEASE s;";
    assert_eq!(statements(&parsed(savepoints), Direction::Up, Sqlite).len(), 3);
}

#[test]
fn revision_files_are_read_in_the_order_of_their_names_and_editors_leftovers_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let versions = folder.path().join("versions");
    std::fs::create_dir_all(versions.join("folder.sql")).expect("made");
    for (name, id) in [("b.sql", "b"), ("a.SQL", "a"), ("c_c.sql", "c")] {
        write(&versions.join(name), &format!("-- ripcord:revision {id}\n"));
    }
    for leftover in [".a.sql.swp", ".#b.sql", "b.sql~", "#b.sql#", "README.md", ".hidden.sql"] {
        write(&versions.join(leftover), "not a revision");
    }
    let files = load_directory(folder.path()).expect("loads");
    let ids: Vec<&str> = files.iter().map(|file| file.revision.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_folder_without_versions_is_not_an_empty_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = load_directory(folder.path()).expect_err("refused");
    assert!(
        matches!(*error.problem, FileProblem::Unreadable(source) if source.kind() == io::ErrorKind::NotFound)
    );
    assert_eq!(error.path, folder.path().join("versions"));
}

fn write(path: &Path, text: &str) {
    crate::base::fs::write_durable(path, text.as_bytes()).expect("written");
}
