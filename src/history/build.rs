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
