//! The rules, on small tables whose digests are computed as an engine would.

use super::*;
use crate::catalog::{Catalog, EngineKind};
use crate::fingerprint::{Fingerprint, Inventory, TableFingerprint, TableHasher};
use proptest::prelude::*;

pub(super) type Values = Vec<(u64, u8, u8)>;

/// A table with the key `id` and two columns of these names.
pub(super) fn table(names: [&str; 2], rows: &Values) -> TableFingerprint {
    let mut order = [("id", 0), (names[0], 1), (names[1], 2)];
    order.sort_unstable();
    let mut hasher = TableHasher::new(3);
    for (id, one, other) in rows {
        let fields = [id.to_be_bytes().to_vec(), vec![*one], vec![*other]];
        let sorted: Vec<&[u8]> = order.iter().map(|(_, place)| fields[*place].as_slice()).collect();
        hasher.add_row(&sorted.concat(), &fields[0], sorted.iter().copied());
    }
    let names: Vec<String> = order.iter().map(|(name, _)| name.to_string()).collect();
    hasher.finish(&names, &["id".to_string()])
}

pub(super) fn inventory(tables: &[(&str, TableFingerprint)]) -> Inventory {
    let mut fingerprint = Fingerprint::new();
    fingerprint.tables.extend(tables.iter().map(|(name, table)| (TableName::plain(*name), table.clone())));
    Inventory {
        engine: EngineKind::Sqlite,
        version: String::new(),
        facts: BTreeMap::new(),
        catalog: Catalog::default(),
        fingerprint,
        findings: Vec::new(),
    }
}

pub(super) fn seen<'a>(before: &'a Inventory, there: &'a Inventory, rows: &'a Answers) -> Seen<'a> {
    Seen {
        direction: Direction::Up,
        from: &[],
        to: &[],
        rows_seen: true,
        unseen: Vec::new(),
        before,
        there,
        rows,
        back: None,
        again: None,
        back_failed: None,
        back_failed_at: None,
        empty: Vec::new(),
        irreversible: Vec::new(),
        chance: Vec::new(),
        chance_back: Vec::new(),
        revisions: Vec::new(),
        ways_back: Vec::new(),
    }
}

/// The ledger of a way there without a way back, all questions answered with nothing but counts of held values.
fn ledger(before: &Inventory, there: &Inventory) -> Ledger {
    let mut answers = Answers::new();
    for question in questions(before, there) {
        let rows = before.fingerprint.tables[&question.before].rows;
        let held = question.held.iter().map(|column| (column.clone(), rows)).collect();
        answers.insert(question.before, RowChanges { held, ..RowChanges::default() });
    }
    draw_up(seen(before, there, &answers))
}

pub(super) fn rows() -> Values {
    vec![(1, 5, 7), (2, 6, 8)]
}

#[test]
fn a_dropped_column_is_lost_with_the_number_of_its_values() {
    let before = inventory(&[("t", table(["a", "b"], &rows()))]);
    let mut rest = table(["a", "b"], &rows());
    rest.columns.remove("b");
    let found = ledger(&before, &inventory(&[("t", rest)]));
    assert_eq!(found.lost.len(), 1);
    let loss = &found.lost[0];
    assert_eq!((loss.what, loss.column.as_deref(), loss.count), (LossKind::Column, Some("b"), Some(2)));
}

/// An inventory of one table with the columns `id` and these, of these types.
fn typed(columns: [(&str, &str); 2], rows: &Values) -> Inventory {
    let mut made = inventory(&[("t", table(columns.map(|(name, _)| name), rows))]);
    let each = [("id", "integer")].into_iter().chain(columns);
    let each = each.map(|(name, type_name)| crate::catalog::Column {
        name: name.to_string(),
        type_name: type_name.to_string(),
        ..crate::catalog::Column::default()
    });
    let defined = crate::catalog::Table { columns: each.collect(), ..crate::catalog::Table::default() };
    made.catalog.tables.insert(TableName::plain("t"), defined);
    made
}

#[test]
fn a_new_column_is_compared_with_those_of_its_type_only_where_digests_say_nothing() {
    let more: Values = vec![(1, 5, 7), (2, 6, 8), (3, 6, 8)];
    let asked = |new: &str, now: &Values| {
        let before = typed([("a", "text"), ("c", "integer")], &rows());
        let there = typed([("a", "text"), ("b", new)], now);
        let asked = questions(&before, &there).remove(0).columns.into_iter();
        asked.filter(|(one, other)| one != other && one != "c").collect::<Vec<_>>()
    };
    let pair = |one: &str| (one.to_string(), "b".to_string());
    assert_eq!(asked("text", &more), [pair("a")]);
    assert_eq!(asked("integer", &more), [pair("id")]);
    assert_eq!(asked("text", &rows()), []);
}

#[test]
fn a_copy_is_told_by_rows_of_both_sides_that_are_not_all_alike() {
    let more: Values = vec![(1, 5, 5), (2, 6, 6), (3, 6, 8)];
    let before = typed([("a", "text"), ("c", "text")], &rows());
    let there = typed([("a", "text"), ("b", "text")], &more);
    let copy_of = |deleted, differing, uniform: &[&str]| {
        let columns = BTreeMap::from([(("a".to_string(), "b".to_string()), differing)]);
        let uniform = uniform.iter().map(|name| name.to_string()).collect();
        let asked = RowChanges { inserted: 1, deleted, columns, uniform, ..RowChanges::default() };
        let answers = Answers::from([(TableName::plain("t"), asked)]);
        match &draw_up(seen(&before, &there, &answers)).tables[0].columns["b"] {
            Fate::Added { copy_of } => copy_of.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(copy_of(0, 0, &[]).as_deref(), Some("t.a"));
    assert_eq!(copy_of(1, 0, &[]).as_deref(), Some("t.a"));
    assert_eq!(copy_of(0, 1, &[]), None);
    assert_eq!(copy_of(0, 0, &["a"]), None);
    assert_eq!(copy_of(2, 0, &[]), None, "no row is on both sides");
}

#[test]
fn values_that_were_overwritten_are_lost_although_a_copy_of_them_was_made_beside_rows_that_went() {
    let before = typed([("a", "text"), ("c", "text")], &vec![(1, 5, 5), (2, 6, 6), (3, 7, 7)]);
    let there = typed([("a", "text"), ("b", "text")], &vec![(1, 0, 5), (2, 0, 6)]);
    let pair = |now: &str| ("a".to_string(), now.to_string());
    let columns = BTreeMap::from([(pair("a"), 2), (pair("b"), 0)]);
    let asked = RowChanges { deleted: 1, changed: 2, columns, ..RowChanges::default() };
    let answers = Answers::from([(TableName::plain("t"), asked)]);
    let found = draw_up(seen(&before, &there, &answers));
    let overwritten = Fate::Transformed { count: Some(2), back: false, held_in: None };
    assert_eq!(found.tables[0].columns["a"], overwritten);
    assert!(found.lost.iter().any(|loss| loss.what == LossKind::Values));
}

#[test]
fn a_dropped_table_without_rows_loses_nothing() {
    let before = inventory(&[("t", table(["a", "b"], &Vec::new()))]);
    let found = ledger(&before, &inventory(&[]));
    assert_eq!(found.tables[0].fate, Fate::Lost { count: Some(0) });
    assert!(!found.loses());
}

#[test]
fn on_an_empty_copy_a_dropped_table_counts_as_lost() {
    let before = inventory(&[("t", table(["a", "b"], &Vec::new()))]);
    let (there, answers) = (inventory(&[]), Answers::new());
    let found = draw_up(Seen { rows_seen: false, ..seen(&before, &there, &answers) });
    assert_eq!(found.tables[0].fate, Fate::Lost { count: None });
    assert!(found.loses() && !found.cannot_see.is_empty());
}

#[test]
fn two_columns_that_always_held_the_same_are_no_copies_of_each_other() {
    let twins: Values = vec![(1, 0, 0), (2, 0, 0)];
    let before = inventory(&[("t", table(["a", "b"], &twins))]);
    let mut rest = table(["a", "b"], &twins);
    rest.columns.remove("b");
    assert!(ledger(&before, &inventory(&[("t", rest)])).loses());
}

#[test]
fn values_that_the_way_back_brings_back_are_not_lost() {
    let (old, new): (Values, Values) =
        (rows(), rows().into_iter().map(|(id, a, b)| (id, a, b + 100)).collect());
    let before = inventory(&[("t", table(["a", "b"], &old))]);
    let there = inventory(&[("t", table(["a", "b"], &new))]);
    let pair = |column: &str| (column.to_string(), column.to_string());
    let columns = BTreeMap::from([(pair("id"), 0), (pair("a"), 0), (pair("b"), 2)]);
    let asked = RowChanges { changed: 2, columns, ..RowChanges::default() };
    let answers = Answers::from([(TableName::plain("t"), asked)]);
    let nothing = Answers::new();
    let b = |found: &Ledger| found.tables[0].columns["b"].clone();

    let found = draw_up(Seen { back: Some((&before, &nothing)), ..seen(&before, &there, &answers) });
    assert_eq!(b(&found), Fate::Transformed { count: Some(2), back: true, held_in: None });
    assert!(!found.loses() && found.dishonest.is_empty());

    let found = draw_up(Seen { back: Some((&there, &answers)), ..seen(&before, &there, &answers) });
    assert_eq!(b(&found), Fate::Transformed { count: Some(2), back: false, held_in: None });
    assert_eq!(found.lost[0].what, LossKind::Values);
    let named = Dishonest::OtherValues { column: "t.b".to_string(), count: Some(2) };
    assert_eq!(found.dishonest, [named]);
}

#[test]
fn a_second_end_that_differs_is_blamed_on_chance_only_where_the_beginning_was_the_same() {
    let begin = inventory(&[("t", table(["a", "b"], &rows()))]);
    let one = inventory(&[("t", table(["a", "b"], &vec![(1, 5, 1), (2, 6, 2)]))]);
    let other = inventory(&[("t", table(["a", "b"], &vec![(1, 5, 3), (2, 6, 4)]))]);
    let nothing = Answers::new();
    let again = |back: &Inventory| {
        let seen = seen(&begin, &one, &nothing);
        draw_up(Seen { back: Some((back, &nothing)), again: Some(Ok(&other)), ..seen }).again
    };
    assert_eq!(again(&begin), Again::NotDeterministic { differs: vec!["t.b".to_string()] });
    assert_eq!(again(&one), Again::Differs { differs: vec!["t.b".to_string()] });
}

#[test]
fn a_second_run_under_another_definition_began_otherwise() {
    let begin = inventory(&[("t", table(["a", "b"], &rows()))]);
    let mut back = begin.clone();
    back.catalog.tables.insert(TableName::plain("t"), crate::catalog::Table::default());
    let other = inventory(&[("t", table(["a", "b"], &vec![(1, 5, 3), (2, 6, 4)]))]);
    let nothing = Answers::new();
    let seen = seen(&begin, &begin, &nothing);
    let found = draw_up(Seen { back: Some((&back, &nothing)), again: Some(Ok(&other)), ..seen });
    assert!(matches!(found.again, Again::Differs { .. }), "{:?}", found.again);
}

#[test]
fn what_speaks_of_the_time_is_named_where_two_runs_ended_the_same() {
    let begin = inventory(&[("t", table(["a", "b"], &rows()))]);
    let nothing = Answers::new();
    let chance = vec!["CURRENT_TIMESTAMP".to_string()];
    let found = draw_up(Seen { again: Some(Ok(&begin)), chance, ..seen(&begin, &begin, &nothing) });
    assert!(found.cannot_see[0].ends_with("it says CURRENT_TIMESTAMP"), "{:?}", found.cannot_see);
}

#[test]
fn a_downgrade_that_leaves_out_what_was_dropped_is_dishonest() {
    let before = inventory(&[("t", table(["a", "b"], &rows())), ("u", table(["a", "b"], &rows()))]);
    let mut rest = table(["a", "b"], &rows());
    rest.columns.remove("b");
    let there = inventory(&[("t", rest)]);
    let held = BTreeMap::from([("b".to_string(), 2)]);
    let answers = Answers::from([(TableName::plain("t"), RowChanges { held, ..RowChanges::default() })]);
    let found = draw_up(Seen { back: Some((&there, &answers)), ..seen(&before, &there, &answers) });
    let expected = [
        Dishonest::WithoutColumn { column: "t.b".to_string(), count: Some(2) },
        Dishonest::WithoutTable { table: TableName::plain("u"), count: Some(2) },
    ];
    assert_eq!(found.dishonest, expected);
}

#[test]
fn rows_that_were_compared_whole_are_changed_as_far_as_they_pair_up() {
    let found = RowChanges::of_whole_rows(5, 3);
    assert_eq!((found.deleted, found.inserted, found.changed), (2, 0, 3));
}

proptest! {
    #[test]
    fn a_rename_of_columns_and_table_is_moved_and_never_lost(
        values in proptest::collection::btree_map(any::<u64>(), any::<(u8, u8)>(), 1..20),
        renamed in any::<bool>(),
    ) {
        // Of two columns that hold the same nobody can say which one went where.
        prop_assume!(values.values().any(|(a, b)| a != b));
        let rows: Values = values.into_iter().map(|(id, (a, b))| (id, a, b)).collect();
        let before = inventory(&[("t", table(["a", "b"], &rows))]);
        let name = if renamed { "u" } else { "t" };
        let found = ledger(&before, &inventory(&[(name, table(["a", "c"], &rows))]));
        prop_assert!(!found.loses(), "{:?}", found);
        let entry = &found.tables[0];
        prop_assert_eq!(matches!(&entry.fate, Fate::Moved { .. }), renamed);
        prop_assert_eq!(&entry.columns["b"], &Fate::Moved { to: format!("{name}.c") });
        prop_assert_eq!(&entry.columns["a"], &Fate::Kept);
    }

    #[test]
    fn the_order_of_columns_and_rows_does_not_matter(
        values in proptest::collection::btree_map(any::<u64>(), any::<(u8, u8)>(), 0..20),
    ) {
        let rows: Values = values.into_iter().map(|(id, (a, b))| (id, a, b)).collect();
        let turned: Values = rows.iter().rev().map(|(id, a, b)| (*id, *b, *a)).collect();
        let before = inventory(&[("t", table(["a", "b"], &rows))]);
        let there = inventory(&[("t", table(["b", "a"], &turned))]);
        prop_assert!(questions(&before, &there).is_empty());
        let found = ledger(&before, &there);
        prop_assert!(found.tables[0].columns.values().all(|fate| *fate == Fate::Kept));
    }

    #[test]
    fn a_column_that_goes_and_is_nowhere_else_is_always_named(
        values in proptest::collection::btree_map(any::<u64>(), any::<(u8, u8)>(), 1..20),
    ) {
        let rows: Values = values.into_iter().map(|(id, (a, b))| (id, a, b)).collect();
        let before = inventory(&[("t", table(["a", "b"], &rows))]);
        // The new column has the same values under other keys, or others: moved by one row.
        let shifted: Values = rows.iter().map(|(id, a, b)| (*id, *a, b.wrapping_add(1))).collect();
        let found = ledger(&before, &inventory(&[("t", table(["a", "c"], &shifted))]));
        prop_assert_eq!(found.lost.len(), 1);
        prop_assert_eq!(found.lost[0].column.as_deref(), Some("b"));
    }
}
