//! What checks find at the end of the way there, and of the way back, and did not find before: a sequence that begins at 1
//! again loses nothing, and the next row that is inserted fails all the same.

use super::Seen;
use crate::catalog::{Finding, Severity, TableName};
use crate::fingerprint::Inventory;
use serde::{Deserialize, Serialize};

/// A finding that was not there at the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appeared {
    pub after: End,
    #[serde(flatten)]
    pub finding: Finding,
}

/// The end of which way it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    There,
    Back,
}

pub(super) fn appeared(seen: &Seen<'_>) -> Vec<Appeared> {
    let ends = [(End::There, Some(seen.there)), (End::Back, seen.back.map(|(back, _)| back))];
    let each = ends.into_iter().filter_map(|(after, end)| Some((after, end?)));
    let found = each.flat_map(|(after, end)| {
        new_findings(seen.before, end).into_iter().map(move |finding| Appeared { after, finding })
    });
    found.collect()
}

fn new_findings(before: &Inventory, end: &Inventory) -> Vec<Finding> {
    let is_known = |found: &&Finding| {
        before.findings.iter().any(|known| {
            (&known.code, &known.subject, &known.detail) == (&found.code, &found.subject, &found.detail)
        })
    };
    let mut found: Vec<Finding> = end.findings.iter().filter(|found| !is_known(found)).cloned().collect();
    for (name, old) in &before.fingerprint.sequences {
        // SQLite has no counter for a table that was made anew, or whose counter was deleted: it counts from the rows.
        let stays = end.catalog.tables.contains_key(&TableName::plain(name.clone()));
        let now = end.fingerprint.sequences.get(name).copied().or(stays.then_some(0));
        let is_told =
            found.iter().any(|finding| finding.code == "sequence-behind" && finding.subject == *name);
        if let Some(now) = now.filter(|now| now < old && !is_told) {
            found.push(Finding {
                severity: Severity::Warning,
                code: "sequence-went-back".to_string(),
                subject: name.clone(),
                detail: format!("it had given out {old}, and goes on after {now}"),
            });
        }
    }
    found
}
