//! From revision files to a sound graph.
//!
//! Promises that a [`History`] has unique identifiers and labels, parents and dependencies that exist, and no cycle; the
//! rest of the folder walks it without looking. Alembic lets duplicates and some cycles through and trips over them later.

use std::collections::HashMap;

use super::graph::{Index, Node};
use super::{History, HistoryError, Revision, RevisionId};

/// Words that always mean themselves.
const RESERVED: [&str; 4] = ["head", "heads", "base", "current"];

impl History {
    /// Builds the graph. The order of `revisions` is the load order (files sorted by name), which breaks ties in the
    /// order of steps.
    ///
    /// Fails on a duplicate identifier, a missing parent, an unknown or ambiguous `depends_on`, a cycle, and a label
    /// that is used twice or equals an identifier.
    pub fn new(mut revisions: Vec<Revision>) -> Result<History, HistoryError> {
        for revision in &mut revisions {
            // A parent written twice is still one parent, not a merge.
            let mut seen = Vec::new();
            revision.parents.retain(|parent| {
                !seen.contains(parent) && {
                    seen.push(parent.clone());
                    true
                }
            });
        }
        let ids = identifiers(&revisions)?;
        let names = with_labels(&revisions, ids.clone())?;
        let nodes = vec![Node::default(); revisions.len()];
        let mut history = History { revisions, nodes, names };
        history.link_parents(&ids)?;
        history.link_dependencies()?;
        history.refuse_cycles()?;
        history.reduce_needs();
        history.spread_labels();
        Ok(history)
    }

    fn link_parents(&mut self, ids: &HashMap<String, Index>) -> Result<(), HistoryError> {
        for (index, revision) in self.revisions.iter().enumerate() {
            for parent in &revision.parents {
                if *parent == revision.id {
                    let place = revision.place.clone();
                    return Err(HistoryError::SelfLoop { id: revision.id.clone(), place });
                }
                let Some(&found) = ids.get(parent.as_str()) else {
                    return Err(HistoryError::MissingParent {
                        parent: parent.clone(),
                        revision: revision.id.clone(),
                        place: revision.place.clone(),
                    });
                };
                self.nodes[index].parents.push(found);
                self.nodes[found].children.push(index);
                self.nodes[found].followers.push(index);
            }
        }
        Ok(())
    }

    fn link_dependencies(&mut self) -> Result<(), HistoryError> {
        for index in 0..self.len() {
            for position in 0..self.revisions[index].depends_on.len() {
                let found = self.dependency(index, position)?;
                if self.nodes[index].dependencies.contains(&found) {
                    continue;
                }
                self.nodes[index].dependencies.push(found);
                if !self.nodes[found].followers.contains(&index) {
                    self.nodes[found].followers.push(index);
                }
            }
        }
        // Dependents were appended after all children; load order is what the rest relies on.
        self.nodes.iter_mut().for_each(|node| node.followers.sort_unstable());
        Ok(())
    }

    fn dependency(&self, index: Index, position: usize) -> Result<Index, HistoryError> {
        let revision = &self.revisions[index];
        let (id, place) = (revision.id.clone(), revision.place.clone());
        let written = &revision.depends_on[position];
        match self.lookup(written, None) {
            Ok(found) if found == index => Err(HistoryError::DependencySelfLoop { id, place }),
            Ok(found) => Ok(found),
            Err(HistoryError::Ambiguous { symbol, candidates }) => {
                Err(HistoryError::AmbiguousDependency { dependency: symbol, revision: id, place, candidates })
            }
            Err(_) => Err(HistoryError::UnknownDependency {
                near: self.near(written),
                dependency: written.clone(),
                revision: id,
                place,
            }),
        }
    }

    fn refuse_cycles(&self) -> Result<(), HistoryError> {
        // Parents first: a cycle without dependencies is the plainer fact.
        if let Some(members) = self.cycle(|node| node.parents.clone()) {
            return Err(HistoryError::Cycle { members });
        }
        let all = |node: &Node| [node.parents.as_slice(), node.dependencies.as_slice()].concat();
        match self.cycle(all) {
            None => Ok(()),
            Some(members) => Err(HistoryError::DependencyCycle { members }),
        }
    }

    /// Finds one cycle by walking down, depth first, without recursion: a history may be thousands of revisions deep.
    fn cycle(&self, below: impl Fn(&Node) -> Vec<Index>) -> Option<Vec<RevisionId>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Visit {
            Never,
            OnPath,
            Done,
        }
        let mut visits = vec![Visit::Never; self.len()];
        for start in 0..self.len() {
            let mut path: Vec<(Index, Vec<Index>)> = Vec::new();
            let mut next = (visits[start] == Visit::Never).then_some(start);
            loop {
                if let Some(index) = next.take() {
                    visits[index] = Visit::OnPath;
                    path.push((index, below(&self.nodes[index])));
                }
                let Some((index, rest)) = path.last_mut() else { break };
                match rest.pop() {
                    None => {
                        visits[*index] = Visit::Done;
                        path.pop();
                    }
                    Some(found) if visits[found] == Visit::OnPath => {
                        let members =
                            path.iter().map(|(index, _)| *index).skip_while(|index| *index != found);
                        return Some(sorted(self.ids(members)));
                    }
                    Some(found) if visits[found] == Visit::Never => next = Some(found),
                    Some(_) => {}
                }
            }
        }
        None
    }

    /// Drops a dependency where an ancestor by parents already declares it: that ancestor is what needs it.
    fn reduce_needs(&mut self) {
        for index in 0..self.len() {
            let mut needs = self.nodes[index].parents.clone();
            if !self.nodes[index].dependencies.is_empty() {
                let mut below = self.marks_below([index]);
                below.remove(index);
                let declared: Vec<Index> = below
                    .iter()
                    .flat_map(|ancestor| self.nodes[ancestor].dependencies.iter().copied())
                    .collect();
                for dependency in &self.nodes[index].dependencies {
                    if !declared.contains(dependency) && !needs.contains(dependency) {
                        needs.push(*dependency);
                    }
                }
            }
            self.nodes[index].needs = needs;
        }
    }
}

fn identifiers(revisions: &[Revision]) -> Result<HashMap<String, Index>, HistoryError> {
    let mut ids: HashMap<String, Index> = HashMap::with_capacity(revisions.len());
    for (index, revision) in revisions.iter().enumerate() {
        refuse_reserved(revision.id.as_str(), revision)?;
        if let Some(first) = ids.insert(revision.id.to_string(), index) {
            return Err(HistoryError::DuplicateId {
                id: revision.id.clone(),
                first: revisions[first].place.clone(),
                second: revision.place.clone(),
            });
        }
    }
    Ok(ids)
}

fn with_labels(
    revisions: &[Revision],
    mut names: HashMap<String, Index>,
) -> Result<HashMap<String, Index>, HistoryError> {
    for (index, revision) in revisions.iter().enumerate() {
        for label in &revision.labels {
            refuse_reserved(label, revision)?;
            if let Some(other) = names.insert(label.clone(), index) {
                return Err(HistoryError::LabelReused {
                    label: label.clone(),
                    revision: revision.id.clone(),
                    used_by: revisions[other].id.clone(),
                    place: revision.place.clone(),
                });
            }
        }
    }
    Ok(names)
}

fn refuse_reserved(name: &str, revision: &Revision) -> Result<(), HistoryError> {
    if RESERVED.contains(&name) {
        return Err(HistoryError::ReservedName { name: name.to_owned(), place: revision.place.clone() });
    }
    Ok(())
}

fn sorted(mut ids: Vec<RevisionId>) -> Vec<RevisionId> {
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, id, ids, names, refused};
    use super::*;

    #[test]
    fn a_duplicate_identifier_names_both_files() {
        let mut revisions = super::super::sample::revisions("a; b <a; a");
        revisions[2].place = "second.sql".to_owned();
        let error = History::new(revisions).unwrap_err();
        assert_eq!(error.to_string(), "Revision a is present more than once: in a.sql and in second.sql");
    }

    #[test]
    fn what_is_referred_to_must_exist() {
        let error = refused("a; b <gone");
        assert_eq!(error.to_string(), "Revision gone referenced from b (b.sql) is not present");
        let error = refused("accounts1; b +accounts2");
        assert_eq!(
            error.to_string(),
            "Revision accounts2 that b (b.sql) depends on is not present; did you mean 'accounts1'?"
        );
        // A parent is written in full; only a dependency may be shortened.
        assert!(matches!(refused("abcdef; b <abcd"), HistoryError::MissingParent { .. }));
    }

    #[test]
    fn a_dependency_may_be_an_identifier_a_label_or_a_unique_prefix() {
        for written in ["abcdef", "net", "abc", "networ"] {
            let history = history(&format!("abcdef #net,networking; b +{written}; xyz0"));
            assert_eq!(names(&history.dependencies(&id("b"))), "abcdef", "{written}");
            assert_eq!(names(&history.effective_heads()), "abcdef", "{written}");
        }
        let error = refused("abcd1; abcd2; b +abcd");
        assert_eq!(error.to_string(), "Revision abcd that b (b.sql) depends on could be 'abcd1' or 'abcd2'");
    }

    #[test]
    fn cycles_are_refused_with_their_members() {
        let cases = [
            ("a <a", "Self-loop is detected in revisions (a)"),
            ("a #x +x", "Dependency self-loop is detected in revisions (a)"),
            ("a <c; b <a; c <b", "Cycle is detected in revisions (a, b, c)"),
            // A base above and a head below: Alembic does not see this one.
            ("a; b <a,c; c <b; d <c", "Cycle is detected in revisions (b, c)"),
            ("a; b <a +d; c <b; d +c", "Dependency cycle is detected in revisions (b, c, d)"),
        ];
        for (graph, text) in cases {
            assert_eq!(refused(graph).to_string(), text, "{graph}");
        }
    }

    #[test]
    fn a_label_is_unique_and_no_identifier() {
        let text = "Branch name 'x' in revision b already used by revision a";
        assert_eq!(refused("a #x; b <a #x").to_string(), text);
        assert_eq!(
            refused("a #b; b").to_string(),
            "Branch name 'b' in revision a already used by revision b"
        );
        assert!(matches!(refused("a #x,x"), HistoryError::LabelReused { .. }));
    }

    #[test]
    fn words_of_the_grammar_name_nothing_else() {
        for word in RESERVED {
            assert!(matches!(refused(word), HistoryError::ReservedName { .. }), "{word}");
            assert!(matches!(refused(&format!("a #{word}")), HistoryError::ReservedName { .. }), "{word}");
        }
    }

    #[test]
    fn a_parent_written_twice_is_one_parent() {
        let history = history("a; b <a,a");
        assert!(!history.is_merge_point(&id("b")));
        assert_eq!(history.get(&id("b")).unwrap().parents, ids("a"));
    }

    #[test]
    fn a_dependency_that_an_ancestor_declares_is_needed_by_that_ancestor_alone() {
        let history = history("y; a +y; b <a +y; c <b +y,z; z; d +y <y");
        let needs: Vec<String> =
            history.nodes.iter().map(|node| names(&history.named(node.needs.clone()))).collect();
        assert_eq!(needs, ["", "y", "a", "b z", "", "y"]);
    }

    #[test]
    fn a_long_line_of_revisions_is_no_trouble() {
        let mut graph = "r0".to_owned();
        for next in 1..5000 {
            graph.push_str(&format!("; r{next} <r{}", next - 1));
        }
        let history = history(&graph);
        assert_eq!(history.upgrade_steps(&[], "head").unwrap().len(), 5000);
        assert_eq!(history.downgrade_steps(&ids("r4999"), "base").unwrap().len(), 5000);
    }
}
