use super::super::Progressed;
use super::super::sample::{OPERATION, begun, database, lines, story};
use super::*;
use crate::base::FixedClock;
use crate::report::{Aftermath, Step};
use std::cell::Cell;
use tempfile::TempDir;

const OTHER: &str = "20261124T090000Z-backup-0001";

fn journal(folder: &TempDir) -> Journal {
    let clock = FixedClock("2026-11-24T09:00:00Z".parse().expect("a time"));
    Journal::open(&folder.path().join("backups"), Arc::new(clock))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Puts a journal on disk as a crash would leave it.
fn leave(journal: &Journal, operation: &str, bytes: &[u8]) {
    fs::create_private_dir(&journal.folder).expect("created");
    File::create(journal.place(operation)).and_then(|mut file| file.write_all(bytes)).expect("written");
}

fn bytes_of(entries: Vec<Entry>) -> Vec<u8> {
    let text = |line: &Line| serde_json::to_string(line).expect("JSON") + "\n";
    lines(entries).iter().map(text).collect::<String>().into_bytes()
}

fn started(journal: &Journal) -> Vec<Step> {
    journal.operations().expect("read").pop().map(|state| state.started).unwrap_or_default()
}

#[test]
fn reading_journals_that_are_not_there_creates_nothing() {
    let folder = folder();
    let journal = journal(&folder);
    assert_eq!(journal.operations().expect("read"), []);
    assert_eq!(journal.unfinished(&database("database.db")).expect("read"), None);
    let missing = journal.resume(OPERATION).err();
    assert!(matches!(missing, Some(JournalError::NoSuchOperation { .. })), "{missing:?}");
    assert!(!folder.path().join("backups").exists());
}

#[test]
fn what_was_begun_is_on_disk_and_private_when_begin_returns() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let journal = journal(&folder);
    let _running = journal.begin(OPERATION, begun(OPERATION, database("database.db"))).expect("begun");
    let state = journal.operations().expect("read").pop().expect("an operation");
    assert!(state.is_unfinished());
    let mode = |path: &Path| path.metadata().expect("facts").permissions().mode() & 0o777;
    assert_eq!((mode(&journal.folder), mode(&journal.place(OPERATION))), (0o700, 0o600));
    assert!(
        journal.begin(OPERATION, begun(OPERATION, database("database.db"))).is_err(),
        "an id is used once"
    );
}

#[test]
fn an_operation_is_unfinished_until_its_last_line_and_only_for_its_own_database() {
    let folder = folder();
    let journal = journal(&folder);
    let (ours, theirs) = (database("database.db"), database("other.db"));
    let first = journal.begin(OPERATION, begun(OPERATION, ours.clone())).expect("begun");
    let second = journal.begin(OTHER, begun(OTHER, theirs.clone())).expect("begun");
    assert_eq!(journal.unfinished(&ours).expect("read").expect("one").operation, OPERATION);
    let refused = journal.refuse_unfinished(&theirs);
    assert!(matches!(refused, Err(JournalError::Unfinished { operation, .. }) if operation == OTHER));
    first.end(Aftermath::Changed, None).expect("ended");
    journal.refuse_unfinished(&ours).expect("nothing is unfinished");
    assert!(journal.refuse_unfinished(&theirs).is_err());
    second.end(Aftermath::Unchanged, Some("refused")).expect("ended");
    let ended: Vec<_> = journal.operations().expect("read").into_iter().map(|state| state.ended).collect();
    assert_eq!(ended, [Some(Aftermath::Changed), Some(Aftermath::Unchanged)]);
}

#[test]
fn an_operation_of_a_file_that_was_moved_is_found_by_its_name_unless_it_was_to_make_the_file() {
    let folder = folder();
    let journal = journal(&folder);
    let moved = DatabaseId { place: "/srv/renamed/database.db".to_string(), ..database("database.db") };
    let mut into_new = begun(OTHER, database("database.db"));
    if let Entry::Begun { kind, .. } = &mut into_new {
        *kind = Kind::Restore;
    }
    let _restore = journal.begin(OTHER, into_new).expect("begun");
    journal.refuse_unfinished(&moved).expect("it may be another one");
    let _upgrade = journal.begin(OPERATION, begun(OPERATION, database("database.db"))).expect("begun");
    let refused = journal.refuse_unfinished(&moved);
    assert!(matches!(refused, Err(JournalError::Unfinished { operation, .. }) if operation == OPERATION));
    let of_another = DatabaseId { name: "other.db".to_string(), ..moved };
    journal.refuse_unfinished(&of_another).expect("it has another name");
}

/// Cuts a journal at every byte, in the middle of letters too, as a power cut may.
#[test]
fn a_torn_last_line_never_happened_wherever_it_was_torn() {
    let folder = folder();
    let journal = journal(&folder);
    let whole = bytes_of(story());
    for cut in 0..=whole.len() {
        leave(&journal, OPERATION, &whole[..cut]);
        let count = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let expected = OperationState::fold(&lines(story())[..count]);
        assert_eq!(journal.operations().expect("read").pop(), expected, "cut at byte {cut}");
    }
}

#[test]
fn what_a_power_cut_leaves_behind_the_last_line_need_not_be_text() {
    let folder = folder();
    let journal = journal(&folder);
    let mut entries = story();
    entries.truncate(2);
    let mut bytes = bytes_of(entries);
    bytes.extend([0; 512]);
    bytes.push(0xff);
    leave(&journal, OPERATION, &bytes);
    assert_eq!(started(&journal), [Step::Snapshot]);
}

#[test]
fn an_operation_that_is_resumed_goes_on_behind_its_last_whole_line() {
    let whole = bytes_of(story());
    let second_line = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for cut in [second_line, second_line + 1, second_line + 40, whole.len() - 1, whole.len()] {
        let folder = folder();
        let journal = journal(&folder);
        leave(&journal, OPERATION, &whole[..cut]);
        let before = journal.operations().expect("read").pop().expect("an operation").started;
        let resumed = journal.resume(OPERATION).expect("resumed");
        resumed.write(Entry::Started { step: Step::PutBack }).expect("written");
        resumed.end(Aftermath::PutBack, None).expect("ended");
        let expected: Vec<_> = before.into_iter().chain([Step::PutBack]).collect();
        assert_eq!(started(&journal), expected, "cut at byte {cut}");
        journal.refuse_unfinished(&database("database.db")).expect("it has ended");
    }
}

/// Leaves the story of an operation with its second line, or with its first, unreadable.
fn leave_damaged(journal: &Journal, entries: Vec<Entry>, word: &str) {
    let text = String::from_utf8(bytes_of(entries)).expect("text");
    leave(journal, OPERATION, text.replacen(&format!("\"{word}\""), "\"startled\"", 1).as_bytes());
}

fn unfinished_story() -> Vec<Entry> {
    story().into_iter().filter(|entry| !matches!(entry, Entry::Ended { .. })).collect()
}

#[test]
fn a_damaged_line_of_an_operation_that_ended_keeps_nobody_from_working() {
    for word in ["started", "begun"] {
        let folder = folder();
        let journal = journal(&folder);
        leave_damaged(&journal, story(), word);
        journal.refuse_unfinished(&database("database.db")).expect("it has ended");
        let named = journal.operations().expect("read").len() + journal.unreadable().expect("read").len();
        assert_eq!(named, 1, "{word}: it is still told of");
    }
}

#[test]
fn a_damaged_line_of_an_operation_that_did_not_end_is_named_and_nothing_new_begins_on_that_database() {
    let folder = folder();
    let journal = journal(&folder);
    leave_damaged(&journal, unfinished_story(), "started");
    let refused = journal.refuse_unfinished(&database("database.db"));
    assert!(
        matches!(&refused, Err(JournalError::Damaged { line: 2, operation: Some(id), .. }) if id == OPERATION),
        "{refused:?}"
    );
    journal.refuse_unfinished(&database("other.db")).expect("it is not of this one");
    let waiting = journal.unfinished_damaged_too(&database("database.db")).expect("read").expect("one");
    assert_eq!(waiting.damage.map(|damage| damage.line), Some(2));
    journal.resume(OPERATION).expect("resumed").end(Aftermath::Unknown, None).expect("ended");
    journal.refuse_unfinished(&database("database.db")).expect("it has ended");
}

#[test]
fn a_journal_of_an_unknown_database_that_did_not_end_is_named_and_nothing_new_begins() {
    let folder = folder();
    let journal = journal(&folder);
    leave_damaged(&journal, unfinished_story(), "begun");
    let refused = journal.refuse_unfinished(&database("other.db"));
    assert!(matches!(&refused, Err(JournalError::Damaged { line: 1, operation: None, .. })), "{refused:?}");
    let unreadable = journal.unreadable().expect("read");
    assert_eq!((unreadable.len(), unreadable[0].ended), (1, false));
}

/// Returns a writer whose file cannot be written to.
fn writer_that_fails(journal: &Journal) -> Writer {
    leave(journal, OPERATION, &bytes_of(vec![begun(OPERATION, database("database.db"))]));
    let place = journal.place(OPERATION);
    let file = File::open(&place).expect("opened for reading only");
    let whole = file.metadata().expect("facts").len();
    journal.writer(file, &place, whole)
}

#[tokio::test]
async fn an_intention_that_cannot_be_recorded_does_not_begin() {
    let folder = folder();
    let journal = journal(&folder);
    let mut operation = Operation::new(OPERATION.to_string(), writer_that_fails(&journal));
    operation.set_aftermath(Aftermath::Unchanged);
    let began = Cell::new(false);
    let work = async {
        began.set(true);
        Ok::<(), io::Error>(())
    };
    let failure = operation.step(Step::Migrate, work).await.expect_err("it cannot be recorded");
    assert!(!began.get(), "the migration ran without a trace");
    assert_eq!((failure.step, failure.aftermath), (Some(Step::Migrate), Aftermath::Unchanged));
    assert!(failure.to_string().contains("could not be written"), "{failure}");
    assert_eq!(started(&journal), []);
}

#[tokio::test]
async fn a_step_is_written_down_before_it_runs_and_after_it_ended() {
    let folder = folder();
    let journal = journal(&folder);
    let mut operation = journal.begin(OPERATION, begun(OPERATION, database("database.db"))).expect("begun");
    let step_now = || journal.operations().expect("read").pop().and_then(|state| state.step);
    let work = async {
        assert_eq!(step_now(), Some((Step::Snapshot, Progressed::Started)));
        Ok::<(), io::Error>(())
    };
    operation.step(Step::Snapshot, work).await.expect("done");
    assert_eq!(step_now(), Some((Step::Snapshot, Progressed::Finished)));
    operation.set_aftermath(Aftermath::Unknown);
    let work = async { Err::<(), _>(io::Error::other("no room")) };
    let failure = operation.step(Step::Migrate, work).await.expect_err("it failed");
    assert_eq!(step_now(), Some((Step::Migrate, Progressed::Failed)));
    assert_eq!((failure.aftermath, failure.operation.as_deref()), (Aftermath::Unknown, Some(OPERATION)));
    assert_eq!(failure.source.to_string(), "no room");
}

#[test]
fn half_a_line_that_a_full_disk_left_is_cut_off_before_the_next_one() {
    let folder = folder();
    let journal = journal(&folder);
    let mut writer = writer_that_fails(&journal);
    assert!(writer.append(Entry::Started { step: Step::Snapshot }).is_err());
    // The disk took a part of the line; then there is room again, for a shorter one.
    writer.file = File::options().append(true).open(&writer.place).expect("opened");
    writer
        .file
        .write_all(b"{\"at\":\"2026-11-24T09:00:00Z\",\"event\":\"started\",\"st")
        .expect("half a line");
    writer.append(Entry::Started { step: Step::Prove }).expect("written");
    assert_eq!(started(&journal), [Step::Prove]);
}
