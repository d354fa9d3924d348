//! The shapes, letter by letter.

use super::*;

/// `id <parent,parent +dependency #label`, one a line, with the message after `|`.
fn project(text: &str) -> History {
    let revision = |line: &str| {
        let (head, message) = line.split_once('|').expect("a message");
        let mut words = head.split_whitespace();
        let id = RevisionId::new(words.next().expect("an id")).expect("a good id");
        let mut revision = Revision {
            place: format!("migrations/versions/{id}.sql"),
            id,
            parents: Vec::new(),
            depends_on: Vec::new(),
            labels: Vec::new(),
            message: message.trim().to_string(),
            created: None,
            irreversible: None,
        };
        for word in words {
            let list = || word[1..].split(',').map(str::to_string);
            match &word[..1] {
                "<" => revision.parents = list().map(|id| RevisionId::new(id).expect("a good id")).collect(),
                "+" => revision.depends_on = list().collect(),
                _ => revision.labels = list().collect(),
            }
        }
        revision
    };
    History::new(text.lines().map(revision).collect()).expect("a sound history")
}

/// The example of Alembic's documentation of branches, with a merge at the end of one of them.
fn shop() -> History {
    project(
        "1975ea83b712 | create account table
27c6a30d7c24 <1975ea83b712 #shoppingcart | add shopping cart table
2a95102259be <29f859a13ea0 #networking +55af2cb1c267 | add ip account table
29f859a13ea0 | create ip table
55af2cb1c267 <ae1027a6acf0 | add another account column
ae1027a6acf0 <1975ea83b712 | add a column",
    )
}

fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace().map(|id| RevisionId::new(id).expect("a good id")).collect()
}

#[test]
fn current_lists_the_rows_and_the_tips_that_they_imply() {
    let history = shop();
    let rows = ids("2a95102259be");
    let tips = history.applied_tips(&rows).expect("known rows");
    let tips = Entry::all(&history, &tips, Some(&rows));
    assert_eq!(current(&tips), "2a95102259be (head)\n55af2cb1c267 (effective head)");
}

#[test]
fn current_marks_branch_points_and_merge_points_and_no_labels() {
    let history = project("aaaa | a\nbbbb <aaaa #net | b\ncccc <aaaa | c\ndddd <bbbb,cccc | d");
    let rows = ids("aaaa dddd");
    let entries: Vec<_> = rows.iter().map(|id| history.get(id).expect("there")).collect();
    let entries = Entry::all(&history, &entries, Some(&rows));
    assert_eq!(current(&entries), "aaaa (branchpoint)\ndddd (head) (mergepoint)");
}

#[test]
fn current_says_nothing_of_a_database_at_base() {
    assert_eq!(current(&[]), "");
    assert_eq!(
        current_in_full("sqlite:///database.db", &[]),
        "Current revision(s) for sqlite:///database.db:"
    );
}

#[test]
fn heads_carry_their_labels_and_no_marks_of_the_tree() {
    let history = shop();
    let entries = Entry::all(&history, &history.heads(), None);
    assert_eq!(
        heads(&entries),
        "27c6a30d7c24 (shoppingcart) (head)\n2a95102259be (networking) (head)\n55af2cb1c267 (effective head)"
    );
}

#[test]
fn history_has_one_line_a_revision_newest_first() {
    let history_of = shop();
    let entries = Entry::all(&history_of, &history_of.all(), None);
    assert_eq!(
        history(&entries),
        "\
1975ea83b712 -> 27c6a30d7c24 (shoppingcart) (head), add shopping cart table
29f859a13ea0 (55af2cb1c267) -> 2a95102259be (networking) (head), add ip account table
<base> -> 29f859a13ea0 (networking), create ip table
ae1027a6acf0 -> 55af2cb1c267 (effective head), add another account column
1975ea83b712 -> ae1027a6acf0, add a column
<base> -> 1975ea83b712 (branchpoint), create account table"
    );
}

#[test]
fn history_marks_what_is_current_between_head_and_branchpoint() {
    let shown = project("aaaa | a\nbbbb <aaaa | b\ncccc <aaaa | c\ndddd <bbbb,cccc | d\neeee <bbbb | ");
    let rows = ids("aaaa");
    assert_eq!(
        history(&Entry::all(&shown, &shown.all(), Some(&rows))),
        "\
bbbb, cccc -> dddd (head) (mergepoint), d
bbbb -> eeee (head)
aaaa -> bbbb (branchpoint), b
aaaa -> cccc, c
<base> -> aaaa (current) (branchpoint), a"
    );
}

#[test]
fn branches_point_at_what_leaves_them() {
    let history = shop();
    let all = history.all();
    let points: Vec<_> = all.into_iter().filter(|revision| history.is_branch_point(&revision.id)).collect();
    let points = Entry::all(&history, &points, None);
    let child = |id: &RevisionId| history.get(id).map(|revision| Entry::of(&history, revision, None));
    assert_eq!(
        branches(&points, false, child),
        "\
1975ea83b712 (branchpoint)
             -> 27c6a30d7c24 (shoppingcart) (head)
             -> ae1027a6acf0
"
    );
    assert_eq!(
        branches(&points, true, child),
        "\
Rev: 1975ea83b712 (branchpoint)
Parent: <base>
Branches into: 27c6a30d7c24, ae1027a6acf0
Path: migrations/versions/1975ea83b712.sql

    create account table

             -> 27c6a30d7c24 (shoppingcart) (head), add shopping cart table
             -> ae1027a6acf0, add a column
"
    );
}

#[test]
fn the_long_form_has_each_fact_on_a_line() {
    let mut revisions = shop().in_load_order().to_vec();
    revisions[2].created = Some("2026-11-23T18:15:00Z".to_string());
    revisions[2].irreversible = Some("it drops a table".to_string());
    let history = History::new(revisions).expect("sound");
    let rows = ids("2a95102259be");
    let entries: Vec<_> = ["2a95102259be", "29f859a13ea0"]
        .map(|id| history.get(&ids(id)[0]).expect("there"))
        .map(|revision| Entry::of(&history, revision, Some(&rows)))
        .into();
    assert_eq!(
        in_full(&entries),
        "\
Rev: 2a95102259be (head) (current)
Parent: 29f859a13ea0
Also depends on: 55af2cb1c267
Branch names: networking
Path: migrations/versions/2a95102259be.sql

    add ip account table

    Create Date: 2026-11-23T18:15:00Z
    Irreversible: it drops a table

Rev: 29f859a13ea0
Parent: <base>
Branch names: networking
Path: migrations/versions/29f859a13ea0.sql

    create ip table
"
    );
}

#[test]
fn the_long_form_of_a_merge_names_what_it_merges() {
    let history = project("aaaa | a\nbbbb | b\ndddd <aaaa,bbbb | d");
    let merge = history.get(&ids("dddd")[0]).expect("there");
    let text = in_full(&[Entry::of(&history, merge, None)]);
    assert!(text.starts_with("Rev: dddd (head) (mergepoint)\nMerges: aaaa, bbbb\nPath: "), "{text}");
}

#[test]
fn json_has_the_facts_as_fields() {
    let history = shop();
    let revision = history.get(&ids("1975ea83b712")[0]).expect("there");
    let json = serde_json::to_value(Entry::of(&history, revision, Some(&[]))).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "id": "1975ea83b712",
            "parents": [],
            "depends_on": [],
            "labels": [],
            "message": "create account table",
            "created": null,
            "irreversible": null,
            "place": "migrations/versions/1975ea83b712.sql",
            "children": ["27c6a30d7c24", "ae1027a6acf0"],
            "head": false,
            "effective_head": false,
            "branch_point": true,
            "merge_point": false,
            "current": false,
        })
    );
}
