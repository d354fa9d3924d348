//! How a branch label reaches revisions that do not carry it.
//!
//! Promises Alembic's spread: to all descendants by parents, and to ancestors as far as (not including) the nearest
//! branch or merge point. It rises only when nothing above it branches or merges either, because Alembic starts its walk
//! down at the tip of the branch, not at the carrier.

use super::History;
use super::graph::Index;

impl History {
    pub(super) fn spread_labels(&mut self) {
        for carrier in 0..self.len() {
            let labels = self.revisions[carrier].labels.clone();
            if labels.is_empty() {
                continue;
            }
            let above: Vec<Index> = self.marks_above([carrier]).iter().collect();
            let mut reached = above.clone();
            if above.iter().all(|index| self.is_plain(*index)) {
                reached.extend(self.plain_line_below(carrier));
            }
            for index in reached {
                self.nodes[index].labels.extend(labels.iter().cloned());
            }
        }
    }

    fn plain_line_below(&self, carrier: Index) -> Vec<Index> {
        let mut line = Vec::new();
        let mut at = self.nodes[carrier].parents.first();
        while let Some(&index) = at.filter(|index| self.is_plain(**index)) {
            line.push(index);
            at = self.nodes[index].parents.first();
        }
        line
    }

    /// Neither a branch point, dependents counted too, nor a merge point.
    fn is_plain(&self, index: Index) -> bool {
        self.nodes[index].followers.len() <= 1 && self.nodes[index].parents.len() <= 1
    }
}
