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

#[cfg(test)]
mod tests {
    use super::super::sample::{history, id};

    /// Which revisions a label reaches, and what keeps it from others.
    #[test]
    fn a_label_reaches_descendants_and_the_plain_line_below() {
        let cases = [
            ("up and down a plain line", "a; b <a; c <b #x; d <c", "a b c d"),
            ("down as far as a branch point", "a; b <a; c <b #x; e <a", "b c"),
            ("down as far as a merge point", "a; b; m <a,b; c <m #x", "c"),
            ("not down when the branch splits above", "a; b <a #x; c <b; d <b", "b c d"),
            ("not down when it is merged above", "a; b <a #x; o; m <b,o", "b m"),
            ("a dependent makes a branch point too", "a; b <a; c <b #x; d +a", "b c"),
            ("dependents are not on the branch", "a #x; b +a", "a"),
        ];
        for (what, graph, reached) in cases {
            let history = history(graph);
            let labelled: Vec<&str> = history
                .in_load_order()
                .iter()
                .filter(|revision| !history.labels_of(&revision.id).is_empty())
                .map(|revision| revision.id.as_str())
                .collect();
            assert_eq!(labelled.join(" "), reached, "{what}: {graph}");
        }
    }

    #[test]
    fn several_labels_are_sorted() {
        let history = history("a #zoo; b <a #ant,bee");
        assert_eq!(history.labels_of(&id("b")), ["ant", "bee", "zoo"]);
    }
}
