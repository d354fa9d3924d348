//! Rows that are there under other keys: one that the way there replaced and the way back made anew, or that was renumbered.
//! Pure.
//!
//! By their key such rows are gone, and others are new. Kept as rows that are gone, they would be put back beside themselves.
//! So wherever rows are gone and others are new, an engine asks once more, by everything beside the key
//! ([`Question::beside_key`]): where each row of now is one of before in columns that tell all rows apart, these find the
//! rows ([`Question::by`]), and the key is a value that changed.
//!
//! A key that the way back made anew may be the same numbers in another order: then no row is gone by it, and each is another
//! one ([`Question::is_remade`]). Each row may also have got the one that it had, because the numbers were given out in the same
//! order: in the real run, where users have deleted a row, all that come after it get others ([`Question::may_be_luck`]). So as
//! soon as rows are found otherwise, what they had as their key counts as lost in every row, also where it is the same on the copy.

use super::fates::Look;
use super::keep::seen;
use super::questions::questions_and;
use super::{Answers, Question, RowChanges};
use crate::catalog::TableName;
use crate::fingerprint::Inventory;

/// Returns what has to be asked at the end of the way back, with what there was at the end of the way there.
pub fn questions_back(before: &Inventory, there: (&Inventory, &Answers), back: &Inventory) -> Vec<Question> {
    let nothing = Answers::new();
    let seen = seen(before, there, Some((back, &nothing)));
    let look = Look::new(&seen);
    let key_of = |table: &TableName| before.fingerprint.tables.get(table).map(|old| old.key.as_slice());
    // Where anything else is lost its rows are found by their numbers, which is known to be doubtful at the time of a merge.
    let is_whole = |table: &TableName| {
        let both = (before.fingerprint.tables.get(table), back.fingerprint.tables.get(table));
        matches!(both, (Some(old), Some(new)) if old.columns == new.columns)
    };
    let may_be_luck = |table: &TableName| {
        is_whole(table)
            && key_of(table).is_some_and(|key| matches!(key, [part] if look.is_held_nowhere(table, part)))
    };
    let mut asked = questions_and(before, back, &may_be_luck);
    for question in &mut asked {
        let mut key = question.key.iter().map(|(old, _)| old);
        let table = &question.before;
        question.is_remade =
            key.any(|old| look.is_gone_meanwhile(table, old) || look.was_replaced(table, old));
        question.may_be_luck = !question.key.is_empty() && may_be_luck(table);
    }
    asked
}

impl Question {
    /// Returns the same question without the key, where that left rows open: as whole rows of all other columns.
    pub fn beside_key(&self, found: &RowChanges) -> Option<Self> {
        let is_open = found.deleted > 0 && found.inserted > 0;
        if self.key.is_empty() || !(is_open || found.is_count || (self.is_remade && found.changed > 0)) {
            return None;
        }
        let is_key = |name: &String| self.key.iter().any(|(old, new)| name == old || name == new);
        let columns = self.columns.iter().filter(|(one, other)| one == other && !is_key(one));
        let columns: Vec<(String, String)> = columns.cloned().collect();
        (!columns.is_empty()).then(|| Self {
            key: Vec::new(),
            is_open: false,
            is_nullable: false,
            is_remade: false,
            may_be_luck: false,
            is_beside_key: true,
            alike: columns.clone(),
            columns,
            held: Vec::new(),
            uniform: Vec::new(),
            tree: None,
            ..self.clone()
        })
    }

    /// Returns the same question with these columns as its key; whether they tell all rows apart has to be seen.
    pub fn by(&self, told: &[String]) -> Self {
        let key = told.iter().map(|name| (name.clone(), name.clone())).collect();
        Self { key, is_open: true, is_nullable: false, alike: Vec::new(), ..self.clone() }
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

    /// Returns the changes where rows were found by the key of the question, by which some are gone or others, and once more by
    /// columns that tell all of them apart. A key that was made anew says nothing against these, unless more values differ; nor
    /// does one that only counted the rows, before and now.
    pub fn or_found(self, question: &Question, otherwise: Self) -> Self {
        let differing = |rows: &Self| -> u64 {
            let own = rows.columns.iter().filter(|((one, other), _)| one == other);
            own.map(|(_, count)| count).sum()
        };
        let moved =
            question.key.iter().any(|part| otherwise.columns.get(part).is_some_and(|count| *count > 0));
        let others =
            question.is_remade && (moved || self.is_count) && differing(&otherwise) <= differing(&self);
        let otherwise = Self { is_count: self.is_count, ..otherwise };
        if otherwise.deleted < self.deleted || (others && otherwise.deleted == self.deleted) {
            otherwise
        } else {
            self
        }
    }

    /// Returns how many values of a column differ where rows were not found by the key under which digests compare them.
    pub(super) fn counted_otherwise(&self, column: &str) -> Option<u64> {
        let pair = (column.to_string(), column.to_string());
        self.columns.get(&pair).copied().filter(|_| !self.found_by.is_empty())
    }

    /// Returns the changes where rows were found by the key of the question, by which some are gone, and beside it in groups.
    /// That counts as long as the columns in which these are alike say as much as all columns beside the key: otherwise a
    /// new row is soon like some old one.
    pub fn or_grouped(self, question: &Question, beside_key: &Question, groups: Self) -> Self {
        let is_open = self.deleted > 0 && self.inserted > 0;
        let told = groups.told(beside_key);
        let tells = groups.tells || groups.changed == 0;
        let is_same = |rows: &Self| rows.changed == 0 && rows.deleted == 0 && rows.inserted == 0;
        let is_luck = self.is_count && is_same(&self) && is_same(&groups) && !told.is_empty();
        if !(is_open || is_luck) {
            return self;
        }
        if is_open && (told.is_empty() || !tells || groups.deleted >= self.deleted) {
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
            is_count: self.is_count,
            ..Self::default()
        }
    }

    /// Tells whether rows that are gone by their key are there under new ones: each row of now, the new ones among them, is one of
    /// before in all columns that were kept, `kept`. Where several are alike in these nothing says which is which.
    pub(super) fn is_shuffled<'a>(&self, mut kept: impl Iterator<Item = &'a String>) -> bool {
        !self.perhaps_by.is_empty() && kept.all(|column| self.perhaps_by.contains(column))
    }

    /// Tells whether a part of the key is what it was in no row but by chance: rows were found by something else.
    pub(super) fn is_by_chance(&self, part: &str) -> bool {
        let is_found_otherwise =
            self.is_rekeyed || !(self.found_by.is_empty() || self.found_by.iter().any(|own| own == part));
        let differing = self.columns.get(&(part.to_string(), part.to_string()));
        is_found_otherwise && differing.is_some_and(|count| *count > 0 || self.is_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn pair(name: &str) -> (String, String) {
        (name.to_string(), name.to_string())
    }

    fn question() -> Question {
        Question {
            before: TableName::plain("t"),
            after: Some(TableName::plain("t")),
            key: vec![pair("id")],
            is_open: false,
            is_nullable: false,
            is_remade: false,
            may_be_luck: false,
            is_beside_key: false,
            columns: vec![pair("id"), pair("email"), pair("name"), ("gone".to_string(), "fresh".to_string())],
            alike: Vec::new(),
            held: vec!["gone".to_string()],
            uniform: Vec::new(),
            tree: None,
        }
    }

    fn rows(deleted: u64, inserted: u64) -> RowChanges {
        RowChanges { deleted, inserted, ..RowChanges::default() }
    }

    #[test]
    fn only_where_rows_are_gone_and_others_are_new_is_anything_asked_beside_the_key() {
        assert_eq!(question().beside_key(&rows(3, 0)), None);
        assert_eq!(question().beside_key(&rows(0, 3)), None);
        let asked = question().beside_key(&rows(3, 3)).expect("a question");
        assert_eq!(asked.columns, [pair("email"), pair("name")]);
        assert_eq!((asked.key, asked.alike, asked.held), (Vec::new(), asked.columns, Vec::new()));
        let only_key = Question { columns: vec![pair("id")], ..question() };
        assert_eq!(only_key.beside_key(&rows(3, 3)), None);
    }

    #[test]
    fn rows_are_there_under_new_numbers_where_each_row_of_now_is_one_of_before() {
        let (name, price) = ("name".to_string(), "price".to_string());
        let rows = |told: &[&String]| RowChanges {
            perhaps_by: told.iter().map(|name| (*name).clone()).collect(),
            ..rows(3, 3)
        };
        assert!(rows(&[&name, &price]).is_shuffled([&name, &price].into_iter()));
        // Some rows of now are nobody's of before.
        assert!(!rows(&[&price]).is_shuffled([&name, &price].into_iter()));
        assert!(!rows(&[]).is_shuffled([].into_iter()));
    }

    #[test]
    fn rows_are_found_by_other_columns_only_where_these_find_more() {
        let otherwise = RowChanges { changed: 2, ..rows(1, 0) };
        assert_eq!(rows(3, 2).or_found(&question(), otherwise.clone()), otherwise);
        assert_eq!(rows(1, 1).or_found(&question(), otherwise), rows(1, 1));
    }

    #[test]
    fn by_a_key_that_was_made_anew_rows_are_others_where_no_more_differs_beside_it() {
        let found = |id, name| RowChanges {
            changed: id + name,
            columns: BTreeMap::from([(pair("id"), id), (pair("name"), name)]),
            ..rows(0, 0)
        };
        let remade = Question { is_remade: true, ..question() };
        assert_eq!(question().beside_key(&found(0, 2)), None);
        assert!(remade.beside_key(&found(0, 2)).is_some());
        assert_eq!(remade.beside_key(&found(0, 0)), None);
        assert_eq!(found(0, 2).or_found(&remade, found(2, 0)), found(2, 0));
        assert_eq!(found(0, 2).or_found(&question(), found(2, 0)), found(0, 2));
        assert_eq!(found(0, 2).or_found(&remade, found(2, 1)), found(0, 2));
        // Where the key is what it was, it is the key all the same.
        assert_eq!(found(0, 2).or_found(&remade, found(0, 1)), found(0, 2));
    }

    #[test]
    fn in_groups_the_key_is_a_value_that_changed_in_every_row_that_was_not_found_by_it() {
        let beside = question().beside_key(&rows(3, 3)).expect("a question");
        let alike = BTreeMap::from([(pair("email"), 0), (pair("name"), 0)]);
        let found = rows(3, 3).or_grouped(&question(), &beside, RowChanges { columns: alike, ..rows(0, 0) });
        assert_eq!((found.is_rekeyed, found.deleted, found.changed), (true, 0, 3));
        assert_eq!((found.columns[&pair("id")], found.columns[&pair("name")]), (3, 0));
        assert_eq!(found.told_by, ["email", "name"]);
    }

    #[test]
    fn what_tells_less_than_all_columns_says_only_perhaps() {
        let beside = question().beside_key(&rows(3, 3)).expect("a question");
        let groups = || RowChanges { changed: 2, told_by: vec!["name".to_string()], ..rows(0, 0) };
        let found = rows(3, 3).or_grouped(&question(), &beside, groups());
        assert_eq!((found.is_rekeyed, found.deleted, found.perhaps_by), (false, 3, vec!["name".to_string()]));
        let telling = RowChanges { tells: true, ..groups() };
        assert!(rows(3, 3).or_grouped(&question(), &beside, telling.clone()).is_rekeyed);
        // Where no more rows are found that way, the key says more.
        let fewer = RowChanges { deleted: 3, ..telling };
        assert!(!rows(3, 3).or_grouped(&question(), &beside, fewer).is_rekeyed);
        let nothing = RowChanges { changed: 2, ..rows(0, 0) };
        assert_eq!(rows(3, 3).or_grouped(&question(), &beside, nothing), rows(3, 3));
    }
}
