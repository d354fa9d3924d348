use super::super::sample::{OPERATION, database, lines, revision, story};
use super::*;
use Progressed::{Failed, Finished, Started};

/// What a reader knows after so many lines of the story.
#[derive(Debug, Default, PartialEq)]
struct Known {
    step: Option<(Step, Progressed)>,
    published: bool,
    fact: bool,
    script: bool,
    statement: bool,
    changed: bool,
    ended: Option<Aftermath>,
}

impl Known {
    fn of(state: &OperationState) -> Self {
        Self {
            step: state.step,
            published: state.backup.as_deref() == Some(OPERATION),
            fact: state.facts.get("mark").is_some_and(|value| value == "17"),
            script: state.open_script == Some(revision()),
            statement: state.open_statement == Some((revision(), 0)),
            changed: state.may_have_changed(),
            ended: state.ended,
        }
    }
}

#[test]
fn every_beginning_of_a_story_says_how_far_it_got() {
    let at = |step, progressed| Known { step: Some((step, progressed)), ..Known::default() };
    let publishing = |progressed| Known { published: true, ..at(Step::Publish, progressed) };
    let migrating = |progressed| Known { published: true, changed: true, ..at(Step::Migrate, progressed) };
    let marked = || Known { fact: true, ..migrating(Started) };
    let failed = || Known { fact: true, ..migrating(Failed) };
    let expected = [
        Known::default(),
        at(Step::Snapshot, Started),
        at(Step::Snapshot, Finished),
        at(Step::Publish, Started),
        publishing(Started),
        publishing(Finished),
        migrating(Started),
        marked(),
        Known { script: true, ..marked() },
        Known { script: true, statement: true, ..marked() },
        Known { script: true, ..marked() },
        marked(),
        failed(),
        Known { ended: Some(Aftermath::PutBack), ..failed() },
    ];
    let lines = lines(story());
    assert_eq!(lines.len(), expected.len());
    for (index, expected) in expected.iter().enumerate() {
        let state = OperationState::fold(&lines[..=index]).expect("it began");
        assert_eq!(Known::of(&state), *expected, "after {:?}", lines[index].entry);
        assert_eq!(state.is_unfinished(), index + 1 < lines.len(), "after {:?}", lines[index].entry);
        assert_eq!((state.begun, state.last), (lines[0].at, lines[index].at));
    }
}

#[test]
fn the_whole_story_keeps_who_from_where_and_why() {
    let state = OperationState::fold(&lines(story())).expect("it began");
    assert_eq!((state.operation.as_str(), state.kind), (OPERATION, Kind::Upgrade));
    assert_eq!((state.who.as_str(), state.process), ("zoë@wörkshop", 4242));
    assert_eq!((state.direction, state.target.as_deref()), (Some(Direction::Up), Some("head")));
    assert_eq!((state.database, state.to), (database("database.db"), vec![revision()]));
    assert_eq!(state.error.as_deref(), Some("table café is gone"));
    assert_eq!(state.started, [Step::Snapshot, Step::Publish, Step::Migrate]);
    assert!(state.statements_by_themselves);
}

#[test]
fn nothing_began_before_the_first_line_was_on_disk() {
    assert_eq!(OperationState::fold(&[]), None);
    let headless = lines(story()).split_off(1);
    assert_eq!(OperationState::fold(&headless), None);
}

#[test]
fn only_the_steps_that_write_to_the_database_can_have_changed_it() {
    for (step, changes) in [
        (Step::Preflight, false),
        (Step::Snapshot, false),
        (Step::Prove, false),
        (Step::Publish, false),
        (Step::Stage, false),
        (Step::Migrate, true),
        (Step::Stamp, true),
        (Step::Swap, true),
        (Step::PutBack, true),
    ] {
        let mut entries = story();
        entries.truncate(1);
        entries.push(Entry::Started { step });
        let state = OperationState::fold(&lines(entries)).expect("it began");
        assert_eq!(state.may_have_changed(), changes, "{step:?}");
    }
}
