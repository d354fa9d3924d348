//! What holds for every history, on random graphs: bases, branches, merges and dependencies.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index as Choice;

use super::sample::id;
use super::{Direction, History, MigrationStep, Revision, RevisionId, RowChange};

/// One revision as chance has it: what it builds on among those before it, and whether it is labelled.
type Seedling = (Vec<Choice>, Vec<Choice>, bool);

fn histories() -> impl Strategy<Value = History> {
    let parents = prop_oneof![
        1 => Just(0..=0usize), 6 => Just(1..=1), 2 => Just(2..=3)
    ]
    .prop_flat_map(|count| prop::collection::vec(any::<Choice>(), count));
    let dependencies = prop_oneof![4 => Just(0..=0usize), 1 => Just(1..=2)]
        .prop_flat_map(|count| prop::collection::vec(any::<Choice>(), count));
    let seedlings = prop::collection::vec((parents, dependencies, prop::bool::weighted(0.2)), 1..14);
    // The load order is another than the order of growth.
    seedlings.prop_map(grown).prop_shuffle().prop_map(|revisions| History::new(revisions).unwrap())
}

fn grown(seedlings: Vec<Seedling>) -> Vec<Revision> {
    let mut revisions: Vec<Revision> = Vec::new();
    for (number, (parents, dependencies, labelled)) in seedlings.into_iter().enumerate() {
        let before = |choices: Vec<Choice>| -> Vec<RevisionId> {
            let chosen = choices.iter().filter(|_| number > 0);
            chosen.map(|choice| revisions[choice.index(number)].id.clone()).collect()
        };
        revisions.push(Revision {
            id: id(&format!("r{number:03}")),
            parents: before(parents),
            depends_on: before(dependencies).iter().map(ToString::to_string).collect(),
            labels: if labelled { vec![format!("label{number}")] } else { Vec::new() },
            message: String::new(),
            created: None,
            irreversible: None,
            place: format!("{number}.sql"),
        });
    }
    revisions
}

/// Whether to go up, and to which revision.
fn moves() -> impl Strategy<Value = Vec<(bool, Choice)>> {
    prop::collection::vec(any::<(bool, Choice)>(), 1..8)
}

/// Runs a chain of commands, and hands each plan to `look`. A refused one leaves the rows as they are.
fn run(
    history: &History,
    moves: &[(bool, Choice)],
    mut look: impl FnMut(&[RevisionId], &[MigrationStep]),
) -> Vec<RevisionId> {
    let mut rows = Vec::new();
    for (up, choice) in moves {
        let target = choice.get(history.in_load_order()).id.to_string();
        let steps =
            if *up { history.upgrade_steps(&rows, &target) } else { history.downgrade_steps(&rows, &target) };
        let Ok(steps) = steps else { continue };
        look(&rows, &steps);
        if let Some(last) = steps.last() {
            rows = last.rows_after.clone();
        }
    }
    rows
}

/// Makes the changes as a version table would, where each must find exactly its row.
fn table_after(mut table: BTreeSet<RevisionId>, changes: &[RowChange]) -> BTreeSet<RevisionId> {
    for change in changes {
        match change {
            RowChange::Insert(row) => assert!(table.insert(row.clone()), "{row} is there already"),
            RowChange::Delete(row) => assert!(table.remove(row), "{row} is not there"),
            RowChange::Update { from, to } => {
                assert!(table.remove(from), "{from} is not there");
                assert!(table.insert(to.clone()), "{to} is there already");
            }
        }
    }
    table
}

/// The tips of a set of applied revisions, found without any of the planning: those that no other one of it needs.
fn tips(history: &History, applied: &BTreeSet<RevisionId>) -> Vec<RevisionId> {
    let needed: BTreeSet<&RevisionId> =
        applied.iter().flat_map(|one| history.ancestors_with_dependencies(one)).map(|one| &one.id).collect();
    applied.iter().filter(|one| !needed.contains(one)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_the_tips_of_what_is_applied_after_any_commands(history in histories(), moves in moves()) {
        let mut applied = BTreeSet::new();
        run(&history, &moves, |_, steps| {
            for step in steps {
                match step.direction {
                    Direction::Up => assert!(applied.insert(step.revision.clone()), "applied twice"),
                    Direction::Down => assert!(applied.remove(&step.revision), "undone twice"),
                }
                assert_eq!(step.rows_after, tips(&history, &applied));
                assert_eq!(history.check_rows(&step.rows_after), Ok(()));
            }
        });
    }

    #[test]
    fn nothing_runs_before_what_it_needs_or_is_undone_before_what_needs_it(history in histories(), moves in moves()) {
        let mut applied: BTreeSet<RevisionId> = BTreeSet::new();
        run(&history, &moves, |_, steps| {
            for step in steps {
                let (needs, followers) = (
                    history.ancestors_with_dependencies(&step.revision),
                    history.descendants_with_dependencies(&step.revision),
                );
                match step.direction {
                    Direction::Up => {
                        assert!(needs.iter().all(|one| applied.contains(&one.id)));
                        applied.insert(step.revision.clone());
                    }
                    Direction::Down => {
                        assert!(followers.iter().all(|one| !applied.contains(&one.id)));
                        applied.remove(&step.revision);
                    }
                }
            }
        });
    }

    #[test]
    fn steps_chain_and_their_changes_fit_the_table(history in histories(), moves in moves()) {
        run(&history, &moves, |rows, steps| {
            let mut before = rows.to_vec();
            for step in steps {
                assert_eq!(step.rows_before, before);
                let table = table_after(step.rows_before.iter().cloned().collect(), &step.changes);
                assert_eq!(table, step.rows_after.iter().cloned().collect());
                before.clone_from(&step.rows_after);
            }
        });
    }

    #[test]
    fn each_step_back_returns_the_rows_before_the_step_up(
        history in histories(), moves in moves(), choice in any::<Choice>()
    ) {
        let rows = run(&history, &moves, |_, _| ());
        let target = choice.get(history.in_load_order()).id.to_string();
        let up = history.upgrade_steps(&rows, &target).unwrap();
        for step in up.iter().rev() {
            let current = history.row_indices(&step.rows_after).unwrap();
            let back = history.steps(&current, vec![history.find(&step.revision).unwrap()], Direction::Down);
            prop_assert_eq!(&back[0].rows_after, &step.rows_before);
        }
    }

    #[test]
    fn up_from_base_and_down_again_leaves_no_row(history in histories(), choice in any::<Choice>()) {
        let target = choice.get(history.in_load_order()).id.to_string();
        for target in [target.as_str(), "heads"] {
            let up = history.upgrade_steps(&[], target).unwrap();
            let rows = up.last().unwrap().rows_after.clone();
            let down = history.downgrade_steps(&rows, "base").unwrap();
            prop_assert_eq!(down.len(), up.len());
            prop_assert!(down.last().unwrap().rows_after.is_empty());
        }
    }

    #[test]
    fn a_branch_grown_on_the_tips_comes_off_again(history in histories(), count in 1..4usize) {
        // New revisions, one on each of some real heads: what a deployment adds and a rollback takes away.
        let rows: Vec<RevisionId> = history.real_heads().iter().map(|one| one.id.clone()).collect();
        let mut revisions = history.in_load_order().to_vec();
        for (number, row) in rows.iter().take(count).enumerate() {
            let mut next = revisions[0].clone();
            next.id = id(&format!("new{number}"));
            next.parents = vec![row.clone()];
            (next.depends_on, next.labels) = (Vec::new(), Vec::new());
            revisions.push(next);
        }
        let history = History::new(revisions).unwrap();
        let mut sorted = rows.clone();
        sorted.sort();
        let mut now = history.upgrade_steps(&rows, "heads").unwrap().pop().unwrap().rows_after;
        for row in rows.iter().take(count) {
            now = history.downgrade_steps(&now, row.as_str()).unwrap().pop().unwrap().rows_after;
        }
        prop_assert_eq!(now, sorted);
    }

    #[test]
    fn a_stamp_of_known_revisions_keeps_rows_apart(history in histories(), moves in moves(), choice in any::<Choice>()) {
        let rows = run(&history, &moves, |_, _| ());
        let target = choice.get(history.in_load_order()).id.clone();
        let steps = history.stamp_steps(&rows, &[target.as_str()]).unwrap();
        let after = steps.last().map_or(&rows, |last| &last.rows_after);
        prop_assert!(after.contains(&target));
        prop_assert_eq!(history.check_rows(after), Ok(()));
    }
}
