//! What is held against a change, and what is not.

use super::*;
use crate::catalog::{Catalog, Column, EngineKind, Table};
use crate::fingerprint::{Digest, Fingerprint, TableFingerprint};
use std::collections::BTreeSet;

fn inventory(tables: &[(&str, u64)]) -> Inventory {
    let mut fingerprint = Fingerprint::new();
    let mut catalog = Catalog::default();
    for (name, rows) in tables {
        let name = TableName::plain(*name);
        let print = TableFingerprint { rows: *rows, digest: Digest(*rows as u128), ..Default::default() };
        fingerprint.tables.insert(name.clone(), print);
        let column = Column { name: "id".into(), ..Column::default() };
        catalog.tables.insert(name, Table { columns: vec![column], ..Table::default() });
    }
    Inventory {
        engine: EngineKind::Sqlite,
        version: "1".into(),
        facts: BTreeMap::new(),
        catalog,
        fingerprint,
        findings: Vec::new(),
    }
}

fn names(names: &[&str]) -> Touches {
    Touches::Names(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
}

fn judged(before: &Inventory, after: &Inventory, applied: &Applied, others: &OtherWrites) -> Check {
    let touches = names(&["users"]);
    judge(
        before,
        after,
        &Circumstances {
            touches: &touches,
            applied,
            others,
            rows_expected: &[],
            rows_found: &[],
            rehearsed: None,
        },
    )
}

fn codes(check: &Check) -> Vec<&str> {
    check.wrong.iter().map(|wrong| wrong.code.as_str()).collect()
}

fn somebody() -> OtherWrites {
    OtherWrites::Somebody
}

#[test]
fn a_table_that_the_migration_names_may_change() {
    let check = judged(
        &inventory(&[("users", 2)]),
        &inventory(&[("users", 3)]),
        &Applied::default(),
        &OtherWrites::Nobody,
    );
    assert_eq!(codes(&check), [""; 0]);
}

#[test]
fn a_table_that_no_migration_names_must_not_change_when_nobody_else_wrote() {
    let (before, after) =
        (inventory(&[("users", 2), ("orders", 5)]), inventory(&[("users", 2), ("orders", 0)]));
    let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
    assert_eq!(codes(&check), ["untouched-table-changed"]);
    assert_eq!(check.wrong[0].detail, "no migration names it, and it has 0 rows, before 5");
}

#[test]
fn rows_of_other_sessions_are_told_apart_from_those_of_the_migration() {
    let (before, after) = (inventory(&[("orders", 5)]), inventory(&[("orders", 6)]));
    let wrote = |rows| Applied {
        rows_written: Some(BTreeMap::from([(TableName::plain("orders"), rows)])),
        ..Applied::default()
    };
    assert_eq!(codes(&judged(&before, &after, &wrote(1), &somebody())), ["untouched-table-changed"]);
    let check = judged(&before, &after, &Applied::nothing(), &somebody());
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
    assert!(check.unsure[0].contains("written by other sessions"), "{:?}", check.unsure);
}

#[test]
fn what_cannot_be_told_is_said() {
    let (before, after) = (inventory(&[("orders", 5)]), inventory(&[("orders", 6)]));
    let check = judged(&before, &after, &Applied::default(), &somebody());
    assert!(check.wrong.is_empty() && check.unsure[0].contains("it cannot be told"), "{check:?}");
}

#[test]
fn a_dropped_table_that_no_migration_names_is_wrong() {
    let check =
        judged(&inventory(&[("orders", 5)]), &inventory(&[]), &Applied::default(), &OtherWrites::Nobody);
    assert_eq!(codes(&check), ["untouched-table-removed"]);
}

#[test]
fn a_changed_definition_is_wrong_unless_it_speaks_of_what_the_migration_names() {
    let before = inventory(&[("orders", 5)]);
    let mut renamed = before.clone();
    let mut dropped = before.clone();
    let orders = |inventory: &mut Inventory, text: &str| {
        let table = inventory.catalog.tables.get_mut(&TableName::plain("orders")).expect("there");
        table.constraints.insert("fk".into(), text.into());
    };
    orders(&mut renamed, "FOREIGN KEY (user_id) REFERENCES users(id)");
    orders(&mut dropped, "CHECK (amount > 0)");
    let nobody = &OtherWrites::Nobody;
    assert_eq!(codes(&judged(&before, &renamed, &Applied::default(), nobody)), [""; 0]);
    assert_eq!(codes(&judged(&before, &dropped, &Applied::default(), nobody)), ["untouched-table-schema"]);
}

#[test]
fn a_partition_changes_with_its_parent() {
    let mut before = inventory(&[("users_2026", 5)]);
    let table = before.catalog.tables.get_mut(&TableName::plain("users_2026")).expect("there");
    table.options.insert("partition of".into(), "public.users FOR VALUES IN (2026)".into());
    let mut after = before.clone();
    if let Some(print) = after.fingerprint.tables.get_mut(&TableName::plain("users_2026")) {
        print.digest = Digest(77);
    }
    assert_eq!(codes(&judged(&before, &after, &Applied::default(), &OtherWrites::Nobody)), [""; 0]);
}

#[test]
fn a_partition_of_a_partition_changes_with_the_first_ancestor() {
    let mut before = inventory(&[("users", 0), ("users_2026", 0), ("users_2026_01", 5)]);
    for (child, parent) in [("users_2026", "users"), ("users_2026_01", "users_2026")] {
        let table = before.catalog.tables.get_mut(&TableName::plain(child)).expect("there");
        table.options.insert("inherits".into(), parent.into());
    }
    let mut after = before.clone();
    if let Some(print) = after.fingerprint.tables.get_mut(&TableName::plain("users_2026_01")) {
        print.digest = Digest(77);
    }
    assert_eq!(codes(&judged(&before, &after, &Applied::default(), &OtherWrites::Nobody)), [""; 0]);
}

#[test]
fn a_shadow_table_changes_with_its_virtual_table() {
    let mut before = inventory(&[("users", 0), ("users_data", 5), ("orders_data", 5)]);
    for (name, table) in &mut before.catalog.tables {
        table.kind = if name.name == "users" { TableKind::Virtual } else { TableKind::Shadow };
    }
    let mut after = before.clone();
    for print in after.fingerprint.tables.values_mut() {
        print.digest = Digest(77);
    }
    let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
    let subjects: Vec<_> = check.wrong.iter().map(|wrong| wrong.subject.as_str()).collect();
    assert_eq!(subjects, ["orders_data"]);
}

#[test]
fn a_table_that_is_gone_is_never_laid_to_other_sessions() {
    let check = judged(&inventory(&[("orders", 5)]), &inventory(&[]), &Applied::nothing(), &somebody());
    assert_eq!(codes(&check), [""; 0]);
    assert!(check.unsure[0].contains("it cannot be told"), "{:?}", check.unsure);
}

#[test]
fn only_findings_that_were_not_there_before_count() {
    let finding = |subject: &str| Finding {
        severity: Severity::Error,
        code: "foreign-key".into(),
        subject: subject.into(),
        detail: "points nowhere".into(),
    };
    let mut before = inventory(&[]);
    before.findings.push(finding("old"));
    let mut after = before.clone();
    after.findings.push(finding("new"));
    let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
    assert_eq!((check.new_findings.len(), codes(&check)), (1, vec!["new-finding"]));
}

#[test]
fn version_rows_other_than_the_planned_ones_are_wrong() {
    let row = [RevisionId::new("abcd").expect("an id")];
    let (touches, applied) = (names(&[]), Applied::default());
    let around = Circumstances {
        touches: &touches,
        applied: &applied,
        others: &OtherWrites::Nobody,
        rows_expected: &row,
        rows_found: &[],
        rehearsed: None,
    };
    assert_eq!(codes(&judge(&inventory(&[]), &inventory(&[]), &around)), ["version-rows"]);
}

/// A ledger of a rehearsal that kept every column of `users`, and whose second run ended as the first.
fn kept(before: &Inventory) -> crate::ledger::Ledger {
    let nothing = crate::ledger::Answers::new();
    crate::ledger::draw_up(crate::ledger::Seen {
        direction: crate::history::Direction::Up,
        from: &[],
        to: &[],
        rows_seen: true,
        unseen: Vec::new(),
        before,
        there: before,
        rows: &nothing,
        back: Some((before, &nothing)),
        again: Some(Ok(before)),
        back_failed: None,
        back_failed_at: None,
        empty: Vec::new(),
        irreversible: Vec::new(),
        chance: Vec::new(),
        chance_back: Vec::new(),
        revisions: Vec::new(),
        ways_back: Vec::new(),
    })
}

/// Judges a real run against a rehearsal that changed nothing.
fn held(before: &Inventory, after: &Inventory, names_too: &[&str], others: &OtherWrites) -> Check {
    let ledger = kept(before);
    let touches = names(&[&["users"], names_too].concat());
    let around = Circumstances {
        touches: &touches,
        applied: &Applied::default(),
        others,
        rows_expected: &[],
        rows_found: &[],
        rehearsed: Some(Rehearsed { ledger: &ledger, copy: Some((&before.catalog, before)) }),
    };
    judge(before, after, &around)
}

/// A table of two rows with these values in its column `name`.
fn users(values: u128) -> Inventory {
    let mut found = inventory(&[("users", 2)]);
    let print = found.fingerprint.tables.get_mut(&TableName::plain("users")).expect("there");
    print.digest = Digest(values);
    print.key = vec!["id".into()];
    print.columns = BTreeMap::from([("id".into(), Digest(1)), ("name".into(), Digest(values))]);
    found
}

#[test]
fn what_ends_as_rehearsed_is_not_held_against_a_migration() {
    let check = held(&users(7), &users(7), &[], &OtherWrites::Nobody);
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 0));
}

#[test]
fn a_column_that_the_rehearsal_kept_must_hold_what_it_held_also_in_a_table_that_the_migration_names() {
    let check = held(&users(7), &users(8), &["random"], &OtherWrites::Nobody);
    assert_eq!(codes(&check), ["kept-column-changed"], "chance is no excuse for it");
    let check = held(&users(7), &users(8), &[], &somebody());
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
    assert!(check.unsure[0].contains("it cannot be told"), "{:?}", check.unsure);
}

#[test]
fn fewer_rows_than_at_the_end_of_the_rehearsal_are_wrong() {
    let (before, after) = (inventory(&[("users", 2)]), inventory(&[("users", 1)]));
    assert_eq!(codes(&held(&before, &after, &[], &OtherWrites::Nobody)), ["more-lost-than-rehearsed"]);
}

#[test]
fn other_rows_than_rehearsed_are_wrong_unless_time_or_chance_can_have_made_them() {
    let (before, after) = (inventory(&[("users", 2)]), inventory(&[("users", 3)]));
    assert_eq!(codes(&held(&before, &after, &[], &OtherWrites::Nobody)), ["not-as-rehearsed"]);
    let check = held(&before, &after, &["now"], &OtherWrites::Nobody);
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
    let mut default = after.clone();
    let table = default.catalog.tables.get_mut(&TableName::plain("users")).expect("there");
    table.columns[0].default = Some("nextval('users_id_seq')".into());
    let mut before = before;
    before.catalog = default.catalog.clone();
    assert!(codes(&held(&before, &default, &[], &OtherWrites::Nobody)).is_empty());
}

#[test]
fn a_definition_that_did_not_end_as_rehearsed_is_wrong() {
    let before = inventory(&[("users", 2)]);
    let mut after = before.clone();
    let table = after.catalog.tables.get_mut(&TableName::plain("users")).expect("there");
    table.indexes.insert("ix".into(), "CREATE INDEX ix ON users (id)".into());
    assert_eq!(codes(&held(&before, &after, &[], &OtherWrites::Nobody)), ["not-as-rehearsed"]);
    assert_eq!(codes(&held(&before, &after, &[], &somebody())), ["not-as-rehearsed"]);
    let mut other = before.clone();
    other.catalog.tables.insert(TableName::plain("fresh"), Table::default());
    let check = held(&before, &other, &[], &somebody());
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1), "it may be of somebody else: {check:?}");
}

#[test]
fn a_definition_that_others_may_have_changed_is_told_apart_by_the_locks_of_the_migration() {
    let before = inventory(&[("orders", 5)]);
    let mut after = before.clone();
    let table = after.catalog.tables.get_mut(&TableName::plain("orders")).expect("there");
    table.constraints.insert("fk".into(), "CHECK (amount > 0)".into());
    let held = |mode: Option<&str>| {
        let mode = mode.map(|mode| (TableName::plain("orders"), mode.to_string()));
        Applied { locks: Some(mode.into_iter().collect()), ..Applied::default() }
    };
    for weak in [None, Some("RowExclusiveLock")] {
        let check = judged(&before, &after, &held(weak), &somebody());
        assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
        assert!(check.unsure[0].contains("other sessions did that"), "{:?}", check.unsure);
    }
    let check = judged(&before, &after, &held(Some("AccessExclusiveLock")), &somebody());
    assert_eq!(codes(&check), ["untouched-table-schema"]);
    let check = judged(&before, &after, &Applied::default(), &OtherWrites::Unknown("a reason".into()));
    assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
    assert!(check.unsure[0].contains("it cannot be told"), "{:?}", check.unsure);
}

/// Judges a real run whose migration names nothing against a rehearsal that ended like this.
fn after_rehearsal(before: &Inventory, end: &Inventory, after: &Inventory, keeps_end: bool) -> Check {
    let nothing = crate::ledger::Answers::new();
    let ledger = crate::ledger::draw_up(crate::ledger::Seen {
        direction: crate::history::Direction::Up,
        from: &[],
        to: &[],
        rows_seen: true,
        unseen: Vec::new(),
        before,
        there: end,
        rows: &nothing,
        back: None,
        again: None,
        back_failed: None,
        back_failed_at: None,
        empty: Vec::new(),
        irreversible: Vec::new(),
        revisions: Vec::new(),
        ways_back: Vec::new(),
        chance: Vec::new(),
        chance_back: Vec::new(),
    });
    let touches = names(&[]);
    let around = Circumstances {
        touches: &touches,
        applied: &Applied::default(),
        others: &OtherWrites::Nobody,
        rows_expected: &[],
        rows_found: &[],
        rehearsed: Some(Rehearsed { ledger: &ledger, copy: keeps_end.then_some((&before.catalog, end)) }),
    };
    judge(before, after, &around)
}

#[test]
fn what_changed_on_the_copy_as_well_is_expected_and_nothing_more() {
    let (two, three, four) = (users(7), inventory(&[("users", 3)]), inventory(&[("users", 4)]));
    for keeps_end in [true, false] {
        let check = after_rehearsal(&two, &three, &three, keeps_end);
        assert_eq!((codes(&check).len(), check.unsure.len(), check.expected.len()), (0, 0, 1), "{check:?}");
        assert!(check.expected[0].starts_with("changed on the copy as well: table users, "), "{check:?}");
    }
    assert_eq!(codes(&after_rehearsal(&two, &three, &four, true)), ["not-as-rehearsed"]);
    assert_eq!(codes(&after_rehearsal(&two, &three, &four, false)), ["untouched-table-changed"]);
    assert_eq!(codes(&after_rehearsal(&two, &two, &three, true)), ["untouched-table-changed"]);
}
