//! From what people write to revisions: `head`, `heads`, `base`, `current`, prefixes, labels, `label@…`, offsets.
//!
//! Promises that a name means exactly one thing or is refused with what it could have meant. Candidates of a prefix are
//! identifiers and labels of at least four characters; an exact match wins. Leaves to `upgrade` and `downgrade` what an
//! offset without a name means there.

use super::graph::{History, Index};
use super::symbol::Symbol;
use super::walk::Place;
use super::{HistoryError, Revision, RevisionId};

/// Shorter names are matched exactly only.
const SHORTEST_CANDIDATE: usize = 4;

impl History {
    /// Resolves what must be one revision; none is the empty state, `base`.
    ///
    /// `rows` are what the database is at, for `current` and `+N`. As in Alembic's `show`, a bare `-N` counts down from
    /// the heads. Fails when the symbol names several revisions, none, or more than one could be meant.
    pub fn resolve_one(&self, symbol: &str, rows: &[RevisionId]) -> Result<Option<&Revision>, HistoryError> {
        let mut found = self.resolve_many(symbol, rows)?;
        if found.len() > 1 {
            let heads = found.iter().map(|revision| revision.id.clone()).collect();
            return Err(HistoryError::MultipleHeads { argument: symbol.to_owned(), heads });
        }
        Ok(found.pop())
    }

    /// Resolves what may be any number of revisions: `heads`, `label@heads`, `current`; nothing for `base`.
    pub fn resolve_many(&self, symbol: &str, rows: &[RevisionId]) -> Result<Vec<&Revision>, HistoryError> {
        if symbol == "current" {
            return Ok(self.named(self.row_indices(rows)?));
        }
        let parsed = self.parse(symbol);
        let indices = match (parsed.offset, parsed.name) {
            (None, _) => self.resolve_absolute(&parsed)?,
            (Some(offset), None) if offset.steps < 0 => self.down_from_heads(&parsed)?,
            _ => self.upgrade_targets(&self.row_indices(rows)?, symbol)?,
        };
        Ok(self.named(indices))
    }

    /// Takes a symbol apart, unless it is the exact name of a label that only looks like one with an offset.
    pub(super) fn parse<'a>(&self, text: &'a str) -> Symbol<'a> {
        if self.names.contains_key(text) {
            return Symbol { text, label: None, name: Some(text), offset: None };
        }
        Symbol::parse(text)
    }

    /// Resolves `[label@]name`.
    pub(super) fn resolve_absolute(&self, symbol: &Symbol<'_>) -> Result<Vec<Index>, HistoryError> {
        let branch = symbol.label.map(|label| self.lookup(label, None)).transpose()?;
        let on_branch = |index: &Index| branch.is_none_or(|branch| self.share_lineage(*index, branch));
        match symbol.name.unwrap_or_default() {
            "base" => Ok(Vec::new()),
            "heads" if branch.is_none() => Ok(self.real_head_indices()),
            "heads" => Ok(self.head_indices().into_iter().filter(on_branch).collect()),
            "head" => {
                let heads: Vec<Index> = self.head_indices().into_iter().filter(on_branch).collect();
                self.at_most_one(symbol, heads)
            }
            name => Ok(vec![self.lookup(name, symbol.label.zip(branch))?]),
        }
    }

    /// Resolves `[label@]name` to one place; several heads are refused.
    pub(super) fn resolve_place(&self, symbol: &Symbol<'_>) -> Result<Place, HistoryError> {
        let found = self.resolve_absolute(symbol)?;
        let found = self.at_most_one(symbol, found)?;
        Ok(found.first().map_or(Place::Base, |index| Place::At(*index)))
    }

    fn at_most_one(&self, symbol: &Symbol<'_>, found: Vec<Index>) -> Result<Vec<Index>, HistoryError> {
        if found.len() < 2 {
            return Ok(found);
        }
        Err(HistoryError::MultipleHeads { argument: symbol.text.to_owned(), heads: self.ids(found) })
    }

    fn down_from_heads(&self, symbol: &Symbol<'_>) -> Result<Vec<Index>, HistoryError> {
        let branch = symbol.label.map(|label| self.lookup(label, None)).transpose()?;
        let steps = symbol.offset.map_or(0, |offset| offset.steps);
        let mut found = Vec::new();
        for head in self.real_head_indices() {
            if branch.is_some_and(|branch| !self.share_lineage(head, branch)) {
                continue;
            }
            match self.walk(Place::At(head), steps, None)? {
                Some(Place::At(index)) => found.push(index),
                _ => return Err(HistoryError::WalkedTooFar { symbol: symbol.text.to_owned() }),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Finds an identifier, a label, or a unique prefix of either; `on` restricts to the lineage of a branch.
    pub(super) fn lookup(&self, name: &str, on: Option<(&str, Index)>) -> Result<Index, HistoryError> {
        let found = match self.names.get(name) {
            Some(index) => *index,
            None => self.by_prefix(name, on.map(|(_, branch)| branch))?,
        };
        match on {
            Some((label, branch)) if !self.share_lineage(found, branch) => Err(HistoryError::NotOnBranch {
                symbol: name.to_owned(),
                revision: self.id(found).clone(),
                branch: label.to_owned(),
            }),
            _ => Ok(found),
        }
    }

    fn by_prefix(&self, prefix: &str, branch: Option<Index>) -> Result<Index, HistoryError> {
        let mut candidates: Vec<(&String, Index)> = Vec::new();
        if !prefix.is_empty() {
            let long = |name: &str| name.chars().count() >= SHORTEST_CANDIDATE;
            let named = self.names.iter().filter(|(name, _)| long(name) && name.starts_with(prefix));
            candidates.extend(named.map(|(name, index)| (name, *index)));
        }
        if let Some(branch) = branch {
            candidates.retain(|(_, index)| self.share_lineage(*index, branch));
        }
        candidates.sort_unstable();
        match candidates.as_slice() {
            [(_, index)] => Ok(*index),
            [] => Err(HistoryError::Unknown { symbol: prefix.to_owned(), near: self.near(prefix) }),
            several => Err(HistoryError::Ambiguous {
                symbol: prefix.to_owned(),
                candidates: several.iter().map(|(name, _)| (*name).clone()).collect(),
            }),
        }
    }

    /// Names that a mistyped one may have meant, best first, at most three.
    pub(super) fn near(&self, written: &str) -> Vec<String> {
        const ALIKE: f64 = 0.8;
        let words = ["head", "heads", "base", "current"];
        let names = self.names.keys().map(String::as_str).chain(words);
        let mut near: Vec<(f64, &str)> = names
            .map(|name| (strsim::jaro_winkler(written, name), name))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .collect();
        near.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, ids, names};
    use super::*;

    fn sample() -> History {
        history(
            "1975ea83 #root; 27c6a30d <1975ea83 #shoppingcart; ae1027a6 <1975ea83; 55af2cb1; 2a951022 <55af2cb1 #networking +27c6a30d; abc #tiny",
        )
    }

    fn resolved(symbol: &str) -> Result<String, String> {
        let history = sample();
        let rows = ids("ae1027a6 55af2cb1");
        history.resolve_many(symbol, &rows).map(|found| names(&found)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_the_grammar_finds_its_revisions() {
        let cases = [
            ("1975ea83", "1975ea83"),
            ("1975", "1975ea83"),
            ("5", "55af2cb1"),
            ("abc", "abc"),
            ("shoppingcart", "27c6a30d"),
            ("shopp", "27c6a30d"),
            ("networking", "2a951022"),
            ("heads", "ae1027a6 2a951022 abc"),
            ("base", ""),
            ("current", "ae1027a6 55af2cb1"),
            ("shoppingcart@head", "27c6a30d"),
            ("root@heads", "27c6a30d ae1027a6"),
            ("networking@base", ""),
            ("networking@55af", "55af2cb1"),
            ("1975@ae10", "ae1027a6"),
            ("root@2", "27c6a30d"),
            ("networking-1", "55af2cb1"),
            ("networking@head-1", "55af2cb1"),
            ("55af2cb1+1", "2a951022"),
            ("shoppingcart@base+2", "27c6a30d"),
            ("networking@+1", "2a951022"),
            ("networking@-1", "55af2cb1"),
        ];
        for (symbol, expected) in cases {
            assert_eq!(resolved(symbol).as_deref(), Ok(expected), "{symbol}");
        }
    }

    #[test]
    fn what_cannot_be_found_says_why() {
        let cases = [
            ("nothing", "Can't locate revision identified by 'nothing'"),
            ("27c6a30e", "Can't locate revision identified by '27c6a30e'; did you mean '27c6a30d'?"),
            ("2", "Can't locate revision identified by '2': it could be '27c6a30d' or '2a951022'"),
            // Identifiers shorter than four characters are no candidates.
            ("ab", "Can't locate revision identified by 'ab'"),
            ("", "Can't locate revision identified by ''"),
            ("root@", "Can't locate revision identified by ''"),
            ("oops@base", "Can't locate revision identified by 'oops'"),
            (
                "root@55af2cb1",
                "Can't locate revision identified by '55af2cb1': 55af2cb1 is not a member of branch 'root'",
            ),
            ("1975ea83+1junk", "Can't locate revision identified by '1975ea83+1junk'"),
            ("1975ea83+1", "Ambiguous walk: 1975ea83 leads to 27c6a30d, ae1027a6"),
            ("networking+1", "Walked too far: 'networking+1' leaves the history"),
            ("+1", "Ambiguous upgrade from multiple current revisions: ae1027a6, 55af2cb1"),
            ("networking@-2", "Walked too far: 'networking@-2' leaves the history"),
        ];
        for (symbol, expected) in cases {
            let error = resolved(symbol).unwrap_err();
            assert!(error.starts_with(expected), "{symbol}: {error}");
        }
    }

    #[test]
    fn head_counts_effective_heads_too() {
        let error = sample().resolve_one("head", &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "Multiple head revisions are present for given argument 'head'; please specify a specific target revision, \
             '<branchname>@head' to narrow to a specific head, or 'heads' for all heads (the heads are 27c6a30d, \
             ae1027a6, 2a951022, abc)"
        );
        // Joined by a dependency only: `heads` is one revision, `head` is still two.
        let history = history("aaaa; bbbb +aaaa");
        assert_eq!(names(&history.resolve_many("heads", &[]).unwrap()), "bbbb");
        assert!(matches!(history.resolve_one("head", &[]), Err(HistoryError::MultipleHeads { .. })));
    }

    #[test]
    fn one_revision_is_one_or_the_empty_state() {
        let history = sample();
        assert_eq!(history.resolve_one("base", &[]), Ok(None));
        assert_eq!(history.resolve_one("tiny", &[]).unwrap().unwrap().id.as_str(), "abc");
        assert!(matches!(history.resolve_one("heads", &[]), Err(HistoryError::MultipleHeads { .. })));
        assert_eq!(super::super::sample::history("").resolve_one("head", &[]), Ok(None));
    }

    #[test]
    fn a_bare_minus_counts_down_from_the_heads() {
        let history = history("aaaa; bbbb <aaaa; cccc <bbbb");
        assert_eq!(names(&history.resolve_many("-1", &ids("aaaa")).unwrap()), "bbbb");
        assert_eq!(names(&history.resolve_many("+1", &ids("aaaa")).unwrap()), "bbbb");
    }

    #[test]
    fn a_label_wins_over_the_offset_it_looks_like() {
        let history = history("aaaa; bbbb <aaaa #aaaa-1");
        assert_eq!(names(&history.resolve_many("aaaa-1", &[]).unwrap()), "bbbb");
    }

    #[test]
    fn an_exact_name_wins_over_longer_ones() {
        let history = history("abcd; abcdef <abcd; abcdefgh <abcdef");
        assert_eq!(names(&history.resolve_many("abcdef", &[]).unwrap()), "abcdef");
    }

    #[test]
    fn a_row_without_a_file_is_named() {
        let error = sample().resolve_many("current", &ids("27c6a30e")).unwrap_err().to_string();
        assert_eq!(
            error,
            "Can't locate revision identified by '27c6a30e': the database is at it, but it is not in the history; did \
             you mean '27c6a30d'?"
        );
    }
}
