//! What is promised after any death.

use std::collections::BTreeSet;

use crate::story::{Death, Ends, Story, died};
use crate::support::Run;
use crate::support::leftovers;
use crate::support::scene::{Scene, masked};

/// How `recover` may end: done; failed with the data as before; needs a person.
const ENDS: [i32; 3] = [0, 4, 5];
/// What it may say of the data then.
const STATES: [&str; 3] = ["unchanged", "changed", "put-back"];

/// Looks at every promise after one death.
pub fn look(story: &Story, ends: &Ends, seen: &mut BTreeSet<String>, death: &Death) {
    let scene = &story.scene;
    let begun = has_unfinished(scene);
    if story.readable {
        reading_works(scene);
    }
    if begun {
        guarded_commands_are_refused(story, death);
        recovery_dies_and_runs_again(scene, death);
    }
    let state = recovered(scene, begun);

    let folder = leftovers::tree(&scene.sandbox.path("backups"));
    scene.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    let again = leftovers::tree(&scene.sandbox.path("backups"));
    assert_eq!(again, folder, "a second recovery changed the backups");

    // Looked at after the second recovery, which must not have changed it either.
    let found = scene.content();
    let is_end = [Some(&ends.before), Some(&ends.after), ends.may_stand.as_ref()].contains(&Some(&found));
    let (before, after) = (&ends.before, &ends.after);
    assert!(is_end, "neither before nor after\n--- found\n{found}--- before\n{before}--- after\n{after}");
    if state == Some("unchanged") {
        assert_eq!(&found, before, "it was said that nothing changed");
    }

    leftovers::nothing_is_left(scene);
    backups_verify(scene);
    // Where the end is one that was gone on from before, going on would be the same again.
    if seen.insert(found + &masked(&leftovers::names(&scene.sandbox.path("backups")))) {
        work_goes_on(story);
    }
}

/// The lock is free, and the next guarded command does its work; where there is no database yet, that is the one that died.
fn work_goes_on(story: &Story) {
    let again = (story.command.clone(), story.code);
    let (next, code) = if story.scene.is_open() { &story.next } else { &again };
    story.scene.ripcord(next).expect_code(*code);
}

/// Whether the journal knows of an operation that has not ended.
fn has_unfinished(scene: &Scene) -> bool {
    scene.ripcord(&["log"]).expect_code(0).stdout.contains("UNFINISHED")
}

/// Reading needs no recovery.
fn reading_works(scene: &Scene) {
    scene.ripcord(&["backup", "list"]).expect_code(0);
    if scene.is_open() {
        scene.ripcord(&["current"]).expect_code(0);
    }
}

/// Nothing else may touch the database now, whichever command it is.
fn guarded_commands_are_refused(story: &Story, death: &Death) {
    let mut others: Vec<&[&str]> = vec![&["upgrade"], &["backup", "create"], &["downgrade"]];
    if story.command.first() != Some(&"recover") {
        others.push(&story.command);
    }
    let refused = others[usize::try_from(death.number).unwrap_or_default() % others.len()];
    story.scene.ripcord(refused).expect_code(8).stderr_has("ripcord recover");
}

/// Recovery can die as well: each death of the procedure tries another place.
fn recovery_dies_and_runs_again(scene: &Scene, death: &Death) {
    let run = scene.die_at(1 + death.number % 11, &["recover"]);
    if !died(&run) {
        assert!(ENDS.contains(&run.code), "{run}");
    }
}

/// Recovers, and undoes where recovery leaves that to a person. Returns what it said of the data.
fn recovered(scene: &Scene, begun: bool) -> Option<&'static str> {
    let run = scene.ripcord(&["--format", "json", "recover"]);
    let report = run.json().pop().unwrap_or_default();
    if report["result"].get("recovered").is_some() {
        run.expect_code(0);
        return None;
    }
    assert!(begun, "recovered something that had not begun\n{run}");
    assert!(ENDS.contains(&run.code), "{run}");
    if offers_undo(&report) {
        run.expect_code(5);
        let undone = scene.ripcord(&["--format", "json", "recover", "--undo"]);
        undone.expect_code(0);
        return Some(state(&undone));
    }
    Some(state(&run))
}

fn offers_undo(report: &serde_json::Value) -> bool {
    let next = report["error"]["next"].as_array().cloned().unwrap_or_default();
    next.iter().any(|command| command.as_str().is_some_and(|command| command.contains("recover --undo")))
}

fn state(run: &Run) -> &'static str {
    let report = run.json().pop().unwrap_or_default();
    let said = [&report["result"], &report["error"]]
        .map(|part| part["aftermath"].as_str().unwrap_or_default().to_owned());
    let named = STATES.into_iter().find(|state| said.iter().any(|said| said == state));
    named.unwrap_or_else(|| panic!("no known state of the data is named\n{run}"))
}

/// Every backup that is listed is whole, for ripcord and for the stock tool.
fn backups_verify(scene: &Scene) {
    let backups = leftovers::published(scene);
    if backups.is_empty() {
        return;
    }
    scene.ripcord(&["backup", "verify"]).expect_code(0);
    for backup in backups {
        let script = format!("cd '{}' && sha256sum --quiet -c SHA256SUMS", backup.display());
        scene.sandbox.run("sh", &["-c", &script]).expect_code(0);
    }
}
