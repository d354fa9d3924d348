//! Hazards: what each of them holds, and the question that is asked of a person.

use super::{Output, asked, words};
use crate::base::visible;
use crate::plan::hazard::{EXAMPLES, Held};
use crate::plan::{Accepted, Hazard};
use crate::procedure::Refusal;
use crate::procedure::consent::Person;
use crate::report::Failure;
use async_trait::async_trait;

/// Returns the hazards that were not accepted, if they are why it was refused.
pub(super) fn refused(failure: &Failure) -> Option<&[Held]> {
    match failure.source.downcast_ref() {
        Some(Refusal::Hazards { open, .. }) => Some(open),
        _ => None,
    }
}

/// Returns a hazard with what it holds: `drops-column:t.c: 7 values, 12 B: id=1: a; id=2: b; id=3: c; …`
pub(super) fn line(held: &Held) -> String {
    match holds(held) {
        text if text.is_empty() => held.hazard.to_string(),
        text => format!("{}: {text}", held.hazard),
    }
}

/// Returns a hazard that was accepted, with what it holds and by what it was accepted.
pub(super) fn accepted(accepted: &Accepted) -> String {
    match counted(&accepted.held) {
        Some(count) => format!("{accepted} ({count})"),
        None => accepted.to_string(),
    }
}

fn counted(held: &Held) -> Option<String> {
    let (unit, count) = (held.unit()?, held.count?);
    Some(words::count(usize::try_from(count).unwrap_or(usize::MAX), unit))
}

fn holds(held: &Held) -> String {
    let mut parts: Vec<String> = match (held.unit(), held.count) {
        (Some(unit), None) => vec![format!("nobody can say how many {unit}s")],
        _ => counted(held).into_iter().collect(),
    };
    parts.extend(held.bytes.map(words::bytes));
    let mut text = parts.join(", ");
    if let Some(detail) = &held.detail {
        text = if text.is_empty() { detail.clone() } else { format!("{text}; {detail}") };
    }
    if !held.examples.is_empty() {
        let shown = held.examples.len();
        let more = held.count.map_or(shown == EXAMPLES, |count| count > shown as u64);
        let more = if more { "; …" } else { "" };
        text.push_str(&format!(": {}{more}", held.examples.join("; ")));
    }
    text
}

/// Returns what is asked about a hazard: not by each of them something is lost.
fn asked_for(hazard: &Hazard) -> &'static str {
    match hazard {
        Hazard::Irreversible { .. } => "is this to run without a way back",
        Hazard::Opaque => "is this to run although nobody saw what it does",
        _ => "is this to be lost",
    }
}

#[async_trait]
impl Person for Output {
    async fn accepts(&self, held: &Held) -> Option<bool> {
        if !self.can_ask() {
            return None;
        }
        let question = format!(
            "{}\n{}, accept {}?",
            visible(&line(held)),
            asked_for(&held.hazard),
            visible(&held.hazard.to_string())
        );
        // Reading a terminal cannot be interrupted, so it has a thread of its own, and Ctrl-C need not wait for it.
        let (sender, answer) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || sender.send(asked(&question)));
        Some(answer.await.unwrap_or(false))
    }
}
