//! What is kept, on small tables: of any two states, everything that differs is in some keep.

use super::tests::{Values, inventory, rows, seen, table};
use super::{
    Answers, Fate, Keep, Kept, Ledger, LossKind, RowChanges, SalvageKind, Seen, draw_up, keeps, questions,
};
use crate::catalog::{Column, Table, TableName};
use crate::fingerprint::{Inventory, TableFingerprint, TableHasher};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Answers as an engine would, from the rows themselves; `names` are the two columns of the table now.
fn answers(before: &Inventory, after: &Inventory, old: &Values, new: &Values, names: [&str; 2]) -> Answers {
    let one = |question: super::Question| {
        let old_rows: BTreeMap<u64, [u64; 3]> =
            old.iter().map(|(id, a, b)| (*id, [*id, u64::from(*a), u64::from(*b)])).collect();
        let new_rows: BTreeMap<u64, [u64; 3]> =
            new.iter().map(|(id, a, b)| (*id, [*id, u64::from(*a), u64::from(*b)])).collect();
        let old_place = |name: &str| ["id", "a", "b"].iter().position(|other| *other == name).expect("there");
        let new_place =
            |name: &str| ["id", names[0], names[1]].iter().position(|other| *other == name).expect("there");
        let both: Vec<u64> = old_rows.keys().filter(|id| new_rows.contains_key(id)).copied().collect();
        let columns = question.columns.iter().map(|(one, other)| {
            let differs = |id: &&u64| old_rows[id][old_place(one)] != new_rows[id][new_place(other)];
            ((one.clone(), other.clone()), both.iter().filter(differs).count() as u64)
        });
        let columns: BTreeMap<_, _> = columns.collect();
        let own = |id: &&u64| {
            let mut own = question.columns.iter().filter(|(one, other)| one == other);
            own.any(|(one, other)| old_rows[id][old_place(one)] != new_rows[id][new_place(other)])
        };
        let changes = RowChanges {
            inserted: (new_rows.len() - both.len()) as u64,
            deleted: (old_rows.len() - both.len()) as u64,
            changed: both.iter().filter(own).count() as u64,
            columns,
            held: question.held.iter().map(|name| (name.clone(), old_rows.len() as u64)).collect(),
            found_by: question.found_by(),
            ..RowChanges::default()
        };
        (question.before, changes)
    };
    questions(before, after).into_iter().map(one).collect()
}

fn kept(old: &Values, new: &Values, dropped: &[&str]) -> Vec<Keep> {
    let before = inventory(&[("t", table(["a", "b"], old))]);
    let mut now = table(["a", "b"], new);
    now.columns.retain(|column, _| !dropped.contains(&column.as_str()));
    let back = inventory(&[("t", now)]);
    let rows = answers(&before, &back, old, new, ["a", "b"]);
    keeps(&before, (&back, &rows), Some((&back, &rows)))
}

fn names(keep: &Keep) -> Vec<&str> {
    keep.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn what_comes_back_is_not_kept() {
    assert!(kept(&rows(), &rows(), &[]).is_empty());
    let before = inventory(&[("t", table(["a", "b"], &rows()))]);
    let renamed = inventory(&[("u", table(["a", "c"], &rows()))]);
    let nothing = Answers::new();
    assert!(keeps(&before, (&renamed, &nothing), Some((&before, &nothing))).is_empty());
}

#[test]
fn a_column_that_does_not_come_back_is_kept_with_its_key() {
    let found = kept(&rows(), &rows(), &["b"]);
    let [keep] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((keep.what, names(keep), keep.columns[0].compared), (SalvageKind::Values, vec!["b"], false));
    assert_eq!(keep.key, [("id".to_string(), "id".to_string())]);
    assert_eq!(keep.name(), "t.values");
}

#[test]
fn a_column_that_comes_back_with_other_values_is_compared() {
    let emptied: Values = rows().into_iter().map(|(id, a, _)| (id, a, 0)).collect();
    let found = kept(&rows(), &emptied, &[]);
    let [keep] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((names(keep), keep.columns[0].compared, keep.returned), (vec!["b"], true, true));
}

#[test]
fn rows_that_do_not_come_back_are_kept_whole() {
    let found = kept(&rows(), &rows()[..1].to_vec(), &[]);
    let [keep] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((keep.what, keep.columns.len(), keep.now.is_some()), (SalvageKind::Rows, 3, true));
}

#[test]
fn a_table_that_comes_back_empty_or_not_at_all_is_kept_whole() {
    let before = inventory(&[("t", table(["a", "b"], &rows()))]);
    let nothing = Answers::new();
    for back in [inventory(&[("t", table(["a", "b"], &Vec::new()))]), inventory(&[])] {
        let found = keeps(&before, (&back, &nothing), Some((&back, &nothing)));
        let [keep] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((keep.what, keep.now.clone(), keep.columns.len()), (SalvageKind::Rows, None, 3));
    }
}

/// The same table without anything that identifies its rows.
fn keyless(rows: &Values, dropped: &[&str]) -> TableFingerprint {
    let names: Vec<String> =
        ["a", "b", "id"].into_iter().filter(|name| !dropped.contains(name)).map(str::to_string).collect();
    let mut hasher = TableHasher::new(names.len());
    for (id, a, b) in rows {
        let field = |name: &String| match name.as_str() {
            "a" => vec![*a],
            "b" => vec![*b],
            _ => id.to_be_bytes().to_vec(),
        };
        let fields: Vec<Vec<u8>> = names.iter().map(field).collect();
        hasher.add_row(&fields.concat(), &[], fields.iter().map(Vec::as_slice));
    }
    hasher.finish(&names, &[])
}

#[test]
fn without_a_key_the_columns_that_stay_the_same_identify_a_row() {
    let before = inventory(&[("t", keyless(&rows(), &[]))]);
    let back = inventory(&[("t", keyless(&rows(), &["b"]))]);
    let held = BTreeMap::from([("b".to_string(), 2)]);
    let asked = RowChanges { held, ..RowChanges::default() };
    let answers = Answers::from([(TableName::plain("t"), asked)]);
    let found = keeps(&before, (&back, &answers), Some((&back, &answers)));
    let [keep] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((keep.identity.join(" "), names(keep)), ("a id".to_string(), vec!["b"]));
    assert!(keep.key.is_empty());
}

#[test]
fn where_only_one_side_has_a_key_its_columns_identify_a_row() {
    let other: Values = vec![(1, 5, 9), (3, 0, 0)];
    let ends = [
        (table(["a", "b"], &rows()), keyless(&other, &[])),
        (keyless(&rows(), &[]), table(["a", "b"], &other)),
    ];
    for (before, back) in ends {
        let (before, back) = (inventory(&[("t", before)]), inventory(&[("t", back)]));
        let answers = answers(&before, &back, &rows(), &other, ["a", "b"]);
        for way_back in [Some((&back, &answers)), None] {
            let found = keeps(&before, (&back, &answers), way_back);
            let rows = found.iter().find(|keep| keep.what == SalvageKind::Rows).expect("row 2 is gone");
            assert_eq!(
                (rows.key.len(), rows.identity.join(" "), rows.alike.join(" ")),
                (0, "id".to_string(), "id".to_string())
            );
            let values =
                found.iter().find(|keep| keep.what == SalvageKind::Values).expect("b is another one");
            assert_eq!(names(values), ["b"]);
        }
    }
}

#[test]
fn without_a_key_columns_whose_values_changed_places_do_not_identify_a_row() {
    let turned: Values = vec![(1, 6, 7), (2, 5, 8)];
    let before = inventory(&[("t", keyless(&rows(), &[]))]);
    let back = inventory(&[("t", keyless(&turned, &[]))]);
    let asked = questions(&before, &back);
    assert_eq!(asked.len(), 1, "every column holds what it held, and the rows do not");
    assert_eq!(asked[0].alike.len(), 3);
    let answers = Answers::from([(TableName::plain("t"), RowChanges::of_whole_rows(2, 2))]);
    let found = keeps(&before, (&back, &answers), Some((&back, &answers)));
    let [keep] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((keep.identity.len(), names(keep)), (0, vec!["a", "b", "id"]));
}

#[test]
fn without_a_key_rows_that_went_are_told_apart_by_all_common_columns() {
    let before = inventory(&[("t", keyless(&rows(), &[]))]);
    let back = inventory(&[("t", keyless(&rows()[..1].to_vec(), &["b"]))]);
    let asked = RowChanges { deleted: 1, ..RowChanges::default() };
    let answers = Answers::from([(TableName::plain("t"), asked)]);
    let found = keeps(&before, (&back, &answers), Some((&back, &answers)));
    let kinds: Vec<_> = found.iter().map(|keep| (keep.what, keep.identity.join(" "))).collect();
    assert_eq!(kinds, [(SalvageKind::Rows, "a id".to_string()), (SalvageKind::Values, "a id".to_string())]);
}

#[test]
fn without_a_key_a_column_that_was_emptied_tells_no_row_apart() {
    let before = inventory(&[("t", keyless(&rows(), &[]))]);
    let emptied: Values = rows()[..1].iter().map(|(id, a, _)| (*id, *a, 0)).collect();
    let back = inventory(&[("t", keyless(&emptied, &[]))]);
    let found = |tells| {
        let told_by = vec!["id".to_string(), "a".to_string()];
        let asked = RowChanges { told_by, tells, ..RowChanges::of_whole_rows(2, 1) };
        let answers = Answers::from([(TableName::plain("t"), asked)]);
        let found = keeps(&before, (&back, &answers), Some((&back, &answers)));
        let said =
            |keep: &Keep| (keep.what, keep.identity.join(" "), keep.alike.join(" "), keep.columns.len());
        found.iter().map(said).collect::<Vec<_>>()
    };
    let own =
        |what, identity: &str, alike: &str, columns| (what, identity.to_string(), alike.to_string(), columns);
    let told = [own(SalvageKind::Rows, "a id", "a id", 3), own(SalvageKind::Values, "a id", "", 1)];
    assert_eq!(found(true), told);
    // Where several rows were alike in them, what is another row now is kept whole, and is no row to insert beside one.
    assert_eq!(found(false), [own(SalvageKind::Rows, "a b id", "a id", 3)]);
}

#[test]
fn without_a_way_back_what_is_gone_or_overwritten_is_kept_and_what_moved_is_not() {
    let before = inventory(&[("t", table(["a", "b"], &rows())), ("u", table(["a", "b"], &rows()))]);
    let changed: Values = rows().into_iter().map(|(id, a, b)| (id, a + 100, b)).collect();
    let there = inventory(&[("t", table(["a", "c"], &changed))]);
    let answers =
        answers(&inventory(&[("t", table(["a", "b"], &rows()))]), &there, &rows(), &changed, ["a", "c"]);
    let found = keeps(&before, (&there, &answers), None);
    let whole: Vec<_> = found.iter().map(|keep| (keep.name(), names(keep).join(" "))).collect();
    let expected = [("t.values", "a"), ("u.rows", "a b id")];
    assert_eq!(whole, expected.map(|(name, columns)| (name.to_string(), columns.to_string())));
    assert!(found.iter().all(|keep| !keep.returned));
}

#[test]
fn null_is_kept_where_something_else_may_stand_in_its_place() {
    let of = |compared, made_anew, nulls| {
        let kept = Kept { name: "c".to_string(), compared, made_anew, nulls };
        kept.condition("held".to_string(), || "differs".to_string(), "all")
    };
    assert_eq!([of(false, false, false), of(false, false, true)], ["held", "all"]);
    assert_eq!([of(true, false, false), of(true, true, false)], ["differs", "(held OR differs)"]);
}

#[test]
fn without_a_way_back_null_is_kept_where_it_was_written_over_or_a_default_would_fill_it() {
    for (default, not_null, filled) in
        [(Some("7"), false, true), (Some("7"), true, false), (None, false, false)]
    {
        let mut before = typed(&rows(), "integer");
        let columns = &mut before.catalog.tables.get_mut(&TableName::plain("t")).expect("there").columns;
        let b = columns.last_mut().expect("there");
        (b.default, b.not_null) = (default.map(str::to_string), not_null);
        let changed: Values = rows().into_iter().map(|(id, a, b)| (id, a + 100, b)).collect();
        let mut there = table(["a", "b"], &changed);
        there.columns.remove("b");
        let there = inventory(&[("t", there)]);
        let answers = answers(&before, &there, &rows(), &changed, ["a", "b"]);
        let found = keeps(&before, (&there, &answers), None);
        let [keep] = found.as_slice() else { panic!("{found:?}") };
        let told: Vec<_> = keep.columns.iter().map(|column| (column.name.as_str(), column.nulls)).collect();
        assert_eq!(told, [("a", true), ("b", filled)], "{default:?}");
    }
}

/// A table `t` of these rows whose column `b` has this type.
fn typed(rows: &Values, type_name: &str) -> Inventory {
    let column = |name: &str, type_name: &str| Column {
        name: name.to_string(),
        type_name: type_name.to_string(),
        ..Column::default()
    };
    let columns = vec![column("id", "bigint"), column("a", "smallint"), column("b", type_name)];
    let mut found = inventory(&[("t", table(["a", "b"], rows))]);
    found.catalog.tables.insert(TableName::plain("t"), Table { columns, ..Table::default() });
    found
}

/// The ledger of a way there and back of one table, and what is kept of it.
fn there_and_back(states: [&Inventory; 3], rows: [&Values; 3]) -> (Ledger, Vec<Keep>) {
    let [before, there, back] = states;
    let of = |end: &Inventory, now: &Values| answers(before, end, rows[0], now, ["a", "b"]);
    let (there_rows, back_rows) = (of(there, rows[1]), of(back, rows[2]));
    let back = Some((back, &back_rows));
    let found = draw_up(Seen { back, ..seen(before, there, &there_rows) });
    (found, keeps(before, (there, &there_rows), back))
}

#[test]
fn values_that_read_the_same_in_another_type_and_do_not_come_home_are_lost_by_it() {
    let (old, turned): (Values, Values) = (rows(), vec![(1, 5, 7), (2, 6, 9)]);
    let (before, there) = (typed(&old, "float8"), typed(&old, "float4"));
    let (found, kept) = there_and_back([&before, &there, &typed(&turned, "float8")], [&old, &old, &turned]);
    assert_eq!(kept.len(), 1);
    let loss = &found.lost[0];
    let types = loss.retyped.as_ref().map(|types| (types.before.as_str(), types.after.as_str()));
    assert_eq!((loss.what, loss.count, types), (LossKind::Values, Some(1), Some(("float8", "float4"))));
    // Where they come home, or no type was another one, nothing is lost on the way there.
    let (found, kept) = there_and_back([&before, &there, &before], [&old, &old, &old]);
    assert!(!found.loses() && kept.is_empty());
    assert_eq!(found.tables[0].columns["b"], Fate::Kept);
}

proptest! {
    #[test]
    fn what_is_kept_is_lost_by_name_unless_only_the_way_back_takes_it(
        old in proptest::collection::btree_map(0u64..6, (0u8..3, 0u8..3), 1..6),
        there in proptest::option::of(proptest::collection::btree_map(0u64..6, (0u8..3, 0u8..3), 0..6)),
        back in proptest::option::of(proptest::collection::btree_map(0u64..6, (0u8..3, 0u8..3), 0..6)),
        retyped in any::<bool>(),
    ) {
        let values = |map: &BTreeMap<u64, (u8, u8)>| -> Values { map.iter().map(|(id, (a, b))| (*id, *a, *b)).collect() };
        let rows = [values(&old), values(there.as_ref().unwrap_or(&old)), values(back.as_ref().unwrap_or(&old))];
        let (before, end) = (typed(&rows[0], "float8"), typed(&rows[2], "float8"));
        let middle = typed(&rows[1], if retyped { "float4" } else { "float8" });
        let (found, kept) = there_and_back([&before, &middle, &end], [&rows[0], &rows[1], &rows[2]]);
        let entry = &found.tables[0];
        let is_named = |what: &[LossKind], column: Option<&str>| {
            let mut lost = found.lost.iter().filter(|loss| loss.count != Some(0));
            lost.any(|loss| what.contains(&loss.what) && loss.column.as_deref() == column)
        };
        let rows_are_named = is_named(&[LossKind::Rows, LossKind::Table], None);
        for keep in &kept {
            if keep.what == SalvageKind::Rows {
                prop_assert!(rows_are_named || entry.deleted == 0, "{:?}", found);
                continue;
            }
            for column in names(keep) {
                let named = is_named(&[LossKind::Values, LossKind::Column], Some(column));
                let stayed = entry.columns[column] == Fate::Kept && !(retyped && column == "b");
                let held = matches!(&entry.columns[column], Fate::Transformed { held_in: Some(_), .. });
                prop_assert!(named || stayed || held, "{} of {:?}", column, found);
            }
        }
    }

    #[test]
    fn every_value_that_differs_after_there_and_back_is_in_a_keep(
        old in proptest::collection::btree_map(0u64..12, (0u8..3, 0u8..3), 1..12),
        new in proptest::collection::btree_map(0u64..12, (0u8..3, 0u8..3), 0..12),
        drops_b in any::<bool>(),
    ) {
        let values = |map: &BTreeMap<u64, (u8, u8)>| -> Values { map.iter().map(|(id, (a, b))| (*id, *a, *b)).collect() };
        let dropped: &[&str] = if drops_b { &["b"] } else { &[] };
        let found = kept(&values(&old), &values(&new), dropped);
        let of = |what| found.iter().filter(move |keep| keep.what == what);
        let columns: BTreeSet<&str> = of(SalvageKind::Values).flat_map(names).collect();
        let keeps_rows = of(SalvageKind::Rows).count() > 0;
        for (id, (a, b)) in &old {
            match new.get(id) {
                None => prop_assert!(keeps_rows, "row {} of {:?}", id, found),
                Some((x, y)) => {
                    prop_assert!(a == x || columns.contains("a") , "a of {}: {:?}", id, found);
                    prop_assert!(!(drops_b || b != y) || columns.contains("b"), "b of {}: {:?}", id, found);
                }
            }
        }
        let is_back = old.iter().all(|(id, row)| new.get(id) == Some(row));
        prop_assert_eq!(found.is_empty(), is_back && !drops_b);
    }
}
