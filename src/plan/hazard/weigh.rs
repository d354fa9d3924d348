//! What was accepted, and what is still open.

use super::{Hazard, Held};
use crate::history::RevisionId;
use crate::plan::Script;
use serde::{Deserialize, Serialize};

/// A hazard that a revision's file accepts, so that it is reviewed with the migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    pub hazard: Hazard,
    pub why: String,
}

/// A hazard that was accepted, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    #[serde(flatten)]
    pub held: Held,
    pub by: AcceptedBy,
    /// The revision whose file accepts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<RevisionId>,
    /// What that file says of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// How a hazard was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptedBy {
    /// `-- ripcord:accept` in the revision's file.
    File,
    /// `--accept`.
    Flag,
    /// A person who was asked.
    Person,
}

/// Hazards sorted by whether they were accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weighed {
    pub accepted: Vec<Accepted>,
    /// Nobody has accepted these yet.
    pub open: Vec<Held>,
    /// Flags that named what the migration does not do.
    pub unneeded: Vec<Hazard>,
}

/// Returns which of the hazards the files of these scripts or the flags accept, name by name.
///
/// A file may accept what only its other direction does, so an accept of a file is never called unneeded. That nobody looked
/// is accepted by files only if every one that does something says so: one cannot speak for what another one does.
pub fn weigh(found: Vec<Held>, scripts: &[Script], flags: &[Hazard]) -> Weighed {
    let unneeded = flags.iter().filter(|flag| !found.iter().any(|held| held.hazard == **flag));
    let mut weighed = Weighed { unneeded: unneeded.cloned().collect(), ..Weighed::default() };
    weighed.unneeded.dedup();
    for held in found {
        let accept = |script: &Script| {
            let accept = script.accepts.iter().find(|accept| accept.hazard == held.hazard)?;
            Some((script.revision.clone(), accept.why.clone()))
        };
        let mut doing = scripts.iter().filter(|script| !script.statements.is_empty());
        let may_speak = held.hazard != Hazard::Opaque || doing.all(|script| accept(script).is_some());
        let of_file = scripts.iter().find_map(accept).filter(|_| may_speak);
        match of_file {
            Some((revision, why)) => weighed.accepted.push(Accepted {
                held,
                by: AcceptedBy::File,
                revision: Some(revision),
                why: Some(why),
            }),
            None if flags.contains(&held.hazard) => {
                weighed.accepted.push(Accepted { held, by: AcceptedBy::Flag, revision: None, why: None });
            }
            None => weighed.open.push(held),
        }
    }
    weighed
}

impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hazard = &self.held.hazard;
        match (self.by, &self.revision, &self.why) {
            (AcceptedBy::File, Some(revision), Some(why)) => {
                write!(f, "{hazard} accepted by revision {revision}: {why}")
            }
            (AcceptedBy::File, _, _) => write!(f, "{hazard} accepted by its revision"),
            (AcceptedBy::Flag, _, _) => write!(f, "{hazard} accepted by --accept"),
            (AcceptedBy::Person, _, _) => write!(f, "{hazard} accepted by the person who was asked"),
        }
    }
}
