//! For programs: one event a line, a report object last (`docs/cli-contract.md`).

use super::{Output, advice, hazards, words};
use crate::cli::exit_code::ExitCode;
use crate::report::{Event, Failure, Observer};
use serde_json::{Value, json};

/// Prints each event as a line.
pub(super) struct Lines;

impl Observer for Lines {
    fn event(&self, event: &Event) {
        super::say_event(event);
    }
}

/// Returns the last line of a command that ended well.
pub(super) fn report(command: &str, exit: ExitCode, body: Value) -> String {
    json!({ "event": "report", "command": command, "exit": exit as u8, "result": body }).to_string()
}

/// Returns the last line of a command that failed.
pub(super) fn failure(command: &str, exit: ExitCode, failure: &Failure, output: &Output) -> String {
    let next: Vec<String> = next(failure).iter().map(|command| output.command(command)).collect();
    let mut line = json!({
        "event": "report",
        "command": command,
        "exit": exit as u8,
        "error": {
            "fact": failure.source.to_string(),
            "during_put_back": failure.during_put_back.as_ref().map(ToString::to_string),
            "step": failure.step,
            "operation": failure.operation,
            "aftermath": words::true_now(failure),
            "version_rows": failure.rows,
            "backup": failure.backup,
            "check": failure.check,
            "merge": failure.merge,
            "half_way": failure.half_way,
            "hazards": hazards::refused(failure),
            "next": next,
        },
    });
    if let Some(legs) = &failure.legs {
        line["error"]["legs"] = json!(legs);
    }
    line.to_string()
}

/// The commands to run next: those that the procedure knows, else the hint for the cause. Before them the one that ends
/// what an earlier operation left in the middle.
pub(super) fn next(failure: &Failure) -> Vec<String> {
    let mut next = match failure.next.is_empty() {
        true => advice::hints(failure.source.as_ref()),
        false => failure.next.clone(),
    };
    let left = failure.half_way.as_ref().and_then(|left| left.backup.as_ref());
    if let Some(back) = left.map(|backup| format!("ripcord restore {backup}")) {
        next.retain(|command| *command != back);
        next.insert(0, back);
    }
    next.extend(failure.otherwise.clone());
    if let Some(legs) = &failure.legs {
        // With a relative target the same command would go further than was meant.
        let again = |text: &String| text.replace("run the same command again", "go on as said below");
        next = next.iter().map(again).collect();
        let is_left = legs.stand.len() < legs.of;
        if is_left && !next.iter().any(|command| command.starts_with(&legs.go_on)) {
            let when = if legs.merge_first { "when that merge is done, go on" } else { "to go on" };
            next.push(format!("{when} with what is left: {}", legs.go_on));
        }
        next.extend(legs.undo.iter().map(|undo| format!("or undo the steps that stand: {undo}")));
    }
    next
}
