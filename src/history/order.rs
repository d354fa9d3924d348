//! The order in which revisions are undone; applied, it is the reverse.
//!
//! Promises Alembic's own order, not just any topological one, so that ripcord and Alembic run the same history in the
//! same order on every machine. Load order breaks ties.

use super::History;
use super::graph::{Index, Marks};

impl History {
    /// Returns the revisions of `todo` that are reachable from `heads`, newest first.
    ///
    /// A branch is followed down as far as possible before the one loaded before it gets its turn.
    pub(super) fn newest_first(&self, mut todo: Marks, heads: &[Index]) -> Vec<Index> {
        let mut heads: Vec<Index> = heads.iter().copied().filter(|head| todo.has(*head)).collect();
        heads.sort_unstable();
        heads.dedup();
        let mut below: Vec<Marks> = heads.iter().map(|head| self.marks_needed([*head])).collect();
        let mut output = Vec::new();
        let mut at = 0;
        while !heads.is_empty() {
            let candidate = heads[at];
            // Whatever needs the candidate comes first.
            let blocking = (0..heads.len()).find(|other| *other != at && below[*other].has(candidate));
            if let Some(other) = blocking {
                at = other;
                continue;
            }
            if todo.has(candidate) {
                output.push(candidate);
                todo.remove(candidate);
            }
            let next: Vec<Index> = self.nodes[candidate]
                .needs
                .iter()
                .copied()
                .filter(|need| todo.has(*need) && !heads.contains(need))
                .collect();
            match next.split_first() {
                None => {
                    heads.remove(at);
                    below.remove(at);
                    at = at.saturating_sub(1);
                }
                Some((first, rest)) => {
                    heads[at] = *first;
                    if self.nodes[candidate].needs.len() == 1 {
                        // On a plain line what lies below the next is what lay below the candidate, less itself.
                        below[at].remove(candidate);
                    } else {
                        below[at] = self.marks_needed([*first]);
                    }
                    heads.extend(rest);
                    below.extend(rest.iter().map(|head| self.marks_needed([*head])));
                }
            }
        }
        debug_assert!(todo.is_empty(), "the heads must reach all that is to be ordered");
        output
    }
}
