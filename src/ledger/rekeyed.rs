//! Rows that are there under other keys: one that the way there replaced and the way back made anew, or that was renumbered.
//! Pure.
//!
//! By their key such rows are gone, and others are new. Kept as rows that are gone, they would be put back beside themselves.
//! So wherever rows are gone and others are new, an engine asks once more, by everything beside the key
//! ([`Question::beside_key`]): where each row of now is one of before in columns that tell all rows apart, these find the
//! rows ([`Question::by`]), and the key is a value that changed.

use super::{Question, RowChanges};

impl Question {
    /// Returns the same question without the key, where that left rows open: as whole rows of all other columns.
    pub fn beside_key(&self, found: &RowChanges) -> Option<Self> {
        if self.key.is_empty() || found.deleted == 0 || found.inserted == 0 {
            return None;
        }
        let is_key = |name: &String| self.key.iter().any(|(old, new)| name == old || name == new);
        let columns = self.columns.iter().filter(|(one, other)| one == other && !is_key(one));
        let columns: Vec<(String, String)> = columns.cloned().collect();
        (!columns.is_empty()).then(|| Self {
            key: Vec::new(),
            is_open: false,
            alike: columns.clone(),
            columns,
            held: Vec::new(),
            uniform: Vec::new(),
            ..self.clone()
        })
    }

    /// Returns the same question with these columns as its key; whether they tell all rows apart has to be seen.
    pub fn by(&self, told: &[String]) -> Self {
        let key = told.iter().map(|name| (name.clone(), name.clone())).collect();
        Self { key, is_open: true, alike: Vec::new(), ..self.clone() }
    }
}

impl RowChanges {
    /// Returns of rows that were compared without their key the columns in which each row of now is one of before.
    pub fn told(&self, beside_key: &Question) -> Vec<String> {
        match self.changed {
            0 => beside_key.columns.iter().map(|(name, _)| name.clone()).collect(),
            _ => self.told_by.clone(),
        }
    }

    /// Returns the changes where rows were found by their key, by which some are gone, and once more by columns that tell all
    /// of them apart.
    pub fn or_found(self, otherwise: Self) -> Self {
        if otherwise.deleted < self.deleted { otherwise } else { self }
    }

    /// Returns the changes where rows were found by the key of the question, by which some are gone, and beside it in groups.
    /// That counts as long as the columns in which these are alike say as much as all columns beside the key: otherwise a
    /// new row is soon like some old one.
    pub fn or_grouped(self, question: &Question, beside_key: &Question, groups: Self) -> Self {
        let told = groups.told(beside_key);
        let tells = groups.tells || groups.changed == 0;
        if told.is_empty() || !tells || groups.deleted >= self.deleted {
            return Self { perhaps_by: told, ..self };
        }
        let mut columns = groups.columns;
        columns.extend(question.key.iter().map(|part| (part.clone(), self.deleted)));
        Self {
            inserted: groups.inserted,
            deleted: groups.deleted,
            changed: groups.changed.max(self.deleted - groups.deleted),
            columns,
            told_by: told,
            tells: true,
            is_rekeyed: true,
            ..Self::default()
        }
    }
}
