//! What a stamp writes, without a database.

use super::*;
use crate::history::Revision;

/// `id <parent,parent`, divided by `;`.
fn history(text: &str) -> History {
    let revision = |group: &str| {
        let mut words = group.split_whitespace();
        let id = id(words.next().expect("an id"));
        let parents = words.next().map_or(Vec::new(), |list| ids(&list[1..].replace(',', " ")));
        let (message, place) = (String::new(), format!("{id}.sql"));
        let (depends_on, labels) = (Vec::new(), Vec::new());
        Revision { id, parents, depends_on, labels, message, created: None, irreversible: None, place }
    };
    History::new(text.split(';').map(revision).collect()).expect("a sound history")
}

fn id(text: &str) -> RevisionId {
    RevisionId::new(text).expect("a good id")
}

fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace().map(id).collect()
}

fn remembered(text: &str) -> Vec<AppliedFile> {
    let file = |revision| AppliedFile {
        revision,
        sha256: "0".repeat(64),
        applied_at: "2026-11-23T18:15:00Z".to_string(),
        operation: "an upgrade".to_string(),
    };
    ids(text).into_iter().map(file).collect()
}

fn rewrite(rows: &str, targets: &str, purge: bool, memory: &str) -> Result<Rewrite, HistoryError> {
    let targets = targets.split_whitespace().map(str::to_string).collect();
    let history = history("a; b <a; c <a; d <b; r");
    Rewrite::new(&history, &ids(rows), &remembered(memory), &StampRequest { targets, purge })
}

#[test]
fn nothing_is_written_when_the_rows_are_right_already() {
    for purge in [false, true] {
        let wanted = rewrite("b c", "b c", purge, "a b c").expect("resolved");
        assert_eq!((wanted.script(), wanted.to), (None, ids("b c")), "purge: {purge}");
    }
}

#[test]
fn a_stamp_moves_the_rows_of_its_own_lineage_only() {
    let wanted = rewrite("c r", "d", false, "").expect("resolved");
    assert_eq!((wanted.changes, wanted.to), (vec![RowChange::Insert(id("d"))], ids("c d r")));
    let wanted = rewrite("b r", "d", false, "").expect("resolved");
    assert_eq!(wanted.changes, [RowChange::Update { from: id("b"), to: id("d") }]);
}

#[test]
fn a_purge_replaces_every_row_also_an_unknown_one() {
    let wanted = rewrite("gone r", "d", true, "").expect("resolved");
    let deleted = [RowChange::Delete(id("gone")), RowChange::Delete(id("r"))];
    assert_eq!(
        (&wanted.changes[..2], &wanted.changes[2..]),
        (&deleted[..], &[RowChange::Insert(id("d"))][..])
    );
    assert!(matches!(rewrite("gone", "d", false, ""), Err(HistoryError::UnknownRow { .. })));
}

#[test]
fn a_wrong_destination_is_refused_before_anything_is_written() {
    assert!(matches!(rewrite("b", "c nowhere", true, ""), Err(HistoryError::Unknown { .. })));
    assert!(matches!(rewrite("b", "b d", true, ""), Err(HistoryError::Overlap { .. })));
    assert!(matches!(rewrite("b", "head", true, ""), Err(HistoryError::MultipleHeadsToStamp { .. })));
}

#[test]
fn files_stay_remembered_only_for_what_stays_applied() {
    // d is taken back by declaration, a and b stay applied.
    let script = rewrite("d", "b", false, "a b d").expect("resolved").script().expect("a script");
    assert_eq!((script.revision, script.direction, script.statements), (id("d"), Direction::Down, vec![]));
    // d is declared to be applied, and what is remembered of it is of another time.
    let script = rewrite("a", "d", false, "a b d").expect("resolved").script().expect("a script");
    assert_eq!(script.revision, id("d"));
    assert_eq!(script.statements[0].text, "DELETE FROM ripcord_revision WHERE revision IN ('b')");
}

#[test]
fn the_undo_command_sets_the_old_rows() {
    let history = history("a; b <a; c <a");
    let of = |rows: &str| {
        let wanted = Rewrite {
            from: ids(rows),
            to: ids("a"),
            changes: Vec::new(),
            forgotten: Vec::new(),
            named: None,
        };
        (undo(&history, &wanted), notes(&history, &wanted, "OP"))
    };
    assert_eq!(of("").0.as_deref(), Some("ripcord stamp --purge base"));
    assert_eq!(of("b c").0.as_deref(), Some("ripcord stamp --purge b c"));
    let (none, notes) = of("gone");
    assert_eq!(none, None);
    assert!(notes[0].ends_with("they are kept: ripcord log OP"), "{notes:?}");
}
