//! Merging salvage into a live database: what an engine is given, and what it says of it afterwards.
//!
//! The rule is three-way, for each row and column: *ours* is what was salvaged, *base* what the way back left in its
//! place, *theirs* what is live now. Nothing is ever guessed: what is neither ours nor base is a conflict, which stays as
//! it is and is written down.

mod became;
mod intact;
mod numbers;
mod scalar;
mod total;
mod twice;
mod undeclared;

pub use crate::ledger::{Conflict, Merged, MergedBack};
pub use became::{MergeBecame, TRANSACTION, WAS_MERGED, announce, is_kept, merged_table_name};
pub(super) use numbers::refers;
pub use numbers::{Numbers, Shown, Since, UNDECIDED};
pub use scalar::Scalar;
pub use total::{in_all, skip};
pub use twice::{Twice, twice};
pub use undeclared::{Named, Undeclared, named, undeclared};

use super::{Error, ShapeColumn, Value};
use crate::base::hash::Hashed;
use crate::catalog::{Catalog, TableName};
use crate::fingerprint::Fingerprint;
use crate::ledger::{Returned, Salvage, SalvageKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// How many conflicts an engine returns in full; all of them are in the side table.
pub const CONFLICTS_NAMED: usize = 10;

/// Why a value that was changed on both sides is a conflict.
pub const BOTH_CHANGED: &str = "changed since, and salvaged";
/// The same of a column that gives each row a value of its own: the way back may have given it that one.
pub const OWN_VALUE: &str =
    "given by the way back, which makes a value of its own for each row, or changed since";
/// Why nothing is put into a row that holds nothing of what the row of its key held.
pub const RETAKEN: &str = "another row may have taken its key";

/// Why a key is left to which foreign keys refer that give up when it changes.
pub const TAKES_ALONG: &str = "rows refer to it by a foreign key that is emptied when it changes";
/// Why nothing is put back that would refer to a row which has the key of another one now.
pub const STRANGER: &str = "the row that it refers to is not there, and its key is of another row now";
/// Why nothing is merged by a key that does not identify one row any more.
pub const AMBIGUOUS: &str = "the key is of several rows now";
/// Why rows without a key are not merged where as many as then are no longer there.
pub const NOT_AS_MANY: &str = "without a key: not as many rows are alike now as were salvaged";
/// Why rows without a key are not merged where they got one value and hold others than the way back left.
pub const ONE_WAS_WRITTEN: &str =
    "without a key: nothing says which of the rows that are alike was written to since";
/// Why rows without a key are not merged where each of several values could be anybody's.
pub const SEVERAL_VALUES: &str =
    "without a key: rows that are alike were salvaged with several values, and nothing says which is whose";
/// Why a row without a key is not inserted where such rows are.
pub const THERE_ARE_SUCH: &str =
    "without a key: such rows are there, and nobody can tell whether they are these";
/// The same where rows went, came and changed at once: any that has something of it may be it.
pub const ONE_MAY_BE: &str =
    "without a key: others came and changed when it went, and a row that is there may be this one";
/// The same where no such row is there any more: it went since, and may have been this one.
pub const ONE_WAS: &str = "without a key: the upgrade left a row that may be this one, changed, and it was deleted or changed since";
/// Why nothing is put or looked for where a text has half a character, which only UTF-16 can have: what SQLite is handed is
/// UTF-8, and it would take another text in its place.
pub const HALF: &str = "the text has half a character of UTF-16, which can only be written by hand";

/// Why values are not merged where neither a key nor a column that stayed the same tells rows apart.
pub const NOTHING_TELLS: &str =
    "without a key, and no column holds the same in the same rows: nothing says which row is which";

/// One file of salvage.
#[derive(Clone)]
pub struct Piece {
    pub salvage: Salvage,
    /// The columns of the CSV, in its order.
    pub columns: Vec<ShapeColumn>,
    /// How many rows it has.
    pub rows: u64,
    pub source: Arc<dyn Inlet>,
    /// Pieces of an earlier turn are merged, tried again and proved before those of a later one begin: what an older
    /// backup holds belongs over what a newer one puts back.
    pub turn: usize,
    /// What the data of the database looked like when it was saved; empty where that is not known.
    pub fingerprint: Arc<Fingerprint>,
    /// What the database consisted of then, where that is known.
    pub catalog: Option<Arc<Catalog>>,
    /// The folder of the snapshot that it was salvaged from, where there is one.
    pub snapshot: Option<PathBuf>,
    /// What it is about was called otherwise then; everything else here has the names of now.
    pub former: Option<Former>,
    /// The columns that the way back has made just now, with a value of its own for each row. Where an engine can tell
    /// that nobody has written to a row since, what stands there is what the way back left.
    pub made: BTreeSet<String>,
    /// The columns that the way back has made just now, and that hold something else than they did on its copy a moment before: what
    /// a clock or dice gave them. Where that is one value in all rows, it is what the way back left.
    pub momentary: BTreeSet<String>,
    /// Another file of the same backup, found by the same columns: rows that it has as well are merged by that one.
    pub beyond: Option<Arc<Piece>>,
    /// Of that one's rows it brings those alone, and no others, of which that one says that this column was not lost on the copy.
    pub not_lost: Option<String>,
    /// Whether the way back makes the table, or its key, anew: then a key of now may be of another row than the key of then.
    pub remade: bool,
    /// Files of whole rows that went since the snapshot and that a merge puts back, or has put back: such a row is the one of
    /// then, and says nothing of the numbers below its own.
    pub put_back: Arc<Vec<Piece>>,
    /// What the upgrade ended with, where that is known.
    pub ended: Option<Arc<Catalog>>,
    /// Whether its way back has run just now, so that whatever was written since was written before that.
    pub fresh: bool,
    /// Which of its rows it is about, where an engine has divided it among several tables.
    pub part: Option<Apart>,
    /// The tables of which every row holds under its key what it held when it was saved, in all that no salvage is about.
    pub untouched: Arc<BTreeSet<TableName>>,
    /// Of whole rows without a key: whether nobody has written since its upgrade ended, so that rows like them are no sign that they
    /// are there.
    pub alone: bool,
}

/// A temporary table of an engine with all rows of a file, and the number of the table that the rows of a piece are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    pub among: String,
    pub owner: u32,
}

/// The names of then of a table and of columns that were renamed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    pub table: TableName,
    /// By the name of now.
    pub columns: BTreeMap<String, String>,
}

/// Hands out the rows of a file, as often as it is asked.
pub trait Inlet: Send + Sync {
    /// Fails where the file is not there, or is not as it was written.
    fn check(&self, hashed: &mut Hashed) -> Result<(), Error>;

    /// Opens it as CSV in PostgreSQL's dialect, header first.
    fn open(&self) -> Result<Box<dyn Read + Send>, Error>;

    /// Hands over the values of each row, in order, as SQLite stores them. Stops at the first error of the taker.
    fn each(&self, take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>) -> Result<(), Error>;

    /// Reads a field as a value that SQLite stores; `None` when it is none.
    fn value(&self, text: &str, quoted: bool) -> Option<Scalar>;
}

/// What is known of the value that the way back left.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// The same in all rows: as text (`None` is NULL), and whether that is a text value and not a number.
    Constant(Option<(String, bool)>),
    /// Column of the CSV, by its place.
    Column(usize),
    Unknown,
}

impl Piece {
    /// Of a file of which nothing is known but what it says itself.
    pub fn new(salvage: Salvage, columns: Vec<ShapeColumn>, rows: u64, source: Arc<dyn Inlet>) -> Self {
        Self {
            salvage,
            columns,
            rows,
            source,
            turn: 0,
            fingerprint: Arc::default(),
            catalog: None,
            snapshot: None,
            former: None,
            made: BTreeSet::new(),
            momentary: BTreeSet::new(),
            beyond: None,
            not_lost: None,
            remade: false,
            put_back: Arc::default(),
            ended: None,
            fresh: false,
            part: None,
            untouched: Arc::default(),
            alone: false,
        }
    }

    /// Gives it the names of now: `columns` has those of its columns that are others, by the names of then.
    pub fn renamed(mut self, table: TableName, columns: &BTreeMap<String, String>) -> Self {
        let now = |name: &mut String| {
            if let Some(found) = columns.get(name) {
                name.clone_from(found);
            }
        };
        let Salvage { key, identity, columns: salvaged, returned, .. } = &mut self.salvage;
        key.iter_mut().chain(identity).chain(salvaged).for_each(now);
        self.columns.iter_mut().for_each(|column| now(&mut column.name));
        let left = std::mem::take(returned).into_iter();
        returned.extend(left.map(|(name, value)| (columns.get(&name).cloned().unwrap_or(name), value)));
        let back = columns.iter().map(|(then, now)| (now.clone(), then.clone()));
        self.not_lost = self.not_lost.map(|name| columns.get(&name).cloned().unwrap_or(name));
        self.beyond =
            self.beyond.map(|other| Arc::new(other.as_ref().clone().renamed(table.clone(), columns)));
        let then = std::mem::replace(&mut self.salvage.table, table);
        self.former = Some(Former { table: then, columns: back.collect() });
        self
    }

    /// Returns what the table was called in the snapshot.
    pub fn table_then(&self) -> &TableName {
        self.former.as_ref().map_or(&self.salvage.table, |former| &former.table)
    }

    /// Returns what a column was called in the snapshot.
    pub fn column_then<'p>(&'p self, column: &'p str) -> &'p str {
        self.former.as_ref().and_then(|former| former.columns.get(column)).map_or(column, String::as_str)
    }

    /// Returns the files of whole rows of a table that may have been put back, with the place of the key in each.
    pub fn put_back(&self, table: &TableName, key: &str) -> impl Iterator<Item = (&Piece, usize)> {
        let of_table = self
            .put_back
            .iter()
            .filter(move |rows| rows.salvage.table == *table || rows.table_then() == table);
        of_table.filter_map(move |rows| Some((rows, rows.place_of(key)?)))
    }

    /// Tells whether rows are found by a column, or its values are salvaged, by its name of now or of then.
    pub fn is_about(&self, column: &str) -> bool {
        let mut own = self.salvage.key.iter().chain(&self.salvage.columns);
        own.any(|name| name == column || self.column_then(name) == column)
    }

    /// Tells whether it puts keys back as values: rows are found by something else.
    pub fn is_rekeying(&self) -> bool {
        self.salvage.columns.iter().any(|column| self.puts_key(column))
    }

    /// Tells whether a column is one of the key that comes back as a value.
    pub fn puts_key(&self, column: &str) -> bool {
        let then = self.catalog.as_ref().and_then(|catalog| catalog.tables.get(self.table_then()));
        let is_key = then.is_some_and(|then| then.key.iter().any(|part| part == self.column_then(column)));
        is_key && self.salvage.what == SalvageKind::Values && self.salvage.key.is_empty()
    }

    /// Tells whether it is merged otherwise because nobody wrote up to a look.
    pub fn relies_on_a_look(&self) -> bool {
        self.alone || !self.momentary.is_empty()
    }

    /// Forgets that, because somebody may have written between the look and the merge.
    pub fn written_since(&mut self) {
        self.alone = false;
        self.momentary.clear();
    }

    /// Returns where a column stands in the CSV.
    pub fn place_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|other| other.name == column)
    }

    /// Tells whether nothing says which row is which, where there is something to tell apart.
    pub fn is_lost_for_rows(&self) -> bool {
        self.matched_by().is_empty() && self.rows > 1 && self.salvage.columns.len() > 1
    }

    /// Tells whether it is known what the way back left in all the columns.
    pub fn is_base_known(&self) -> bool {
        self.salvage.columns.iter().all(|column| self.base(column) != Base::Unknown)
    }

    /// Returns what the way back left in a column.
    pub fn base(&self, column: &str) -> Base {
        match self.salvage.returned.get(column) {
            Some(Returned::In(name)) => self.place_of(name).map_or(Base::Unknown, Base::Column),
            Some(constant @ Returned::Constant(_)) => Base::Constant(constant.text()),
            None => Base::Unknown,
        }
    }

    /// Returns the rows of the other file of its backup that count here, with the places of what was salvaged there and of what the
    /// way back left, where only those count in which both are the same.
    pub fn other_file(&self) -> Option<(&Piece, Option<(usize, usize)>)> {
        let other = self.beyond.as_deref()?;
        let same = self.not_lost.as_ref().and_then(|column| match other.base(column) {
            Base::Column(left) => Some((other.place_of(column)?, left)),
            _ => None,
        });
        Some((other, same))
    }

    /// Returns the columns by which rows are found again: the key, or without one what was the same on both sides; of
    /// whole rows without a key, all of them.
    pub fn matched_by(&self) -> &[String] {
        match (&self.salvage.key, self.salvage.what) {
            (key, _) if !key.is_empty() => key,
            (_, SalvageKind::Values) => &self.salvage.identity,
            (_, SalvageKind::Rows) => &self.salvage.columns,
        }
    }

    /// Returns the columns in which a live row must differ from a whole row without a key for that one to be inserted; for
    /// everything else those by which rows are found.
    pub fn told_by(&self) -> &[String] {
        match self.matched_by() {
            _ if self.salvage.key.is_empty() && !self.salvage.identity.is_empty() => &self.salvage.identity,
            found => found,
        }
    }

    /// Returns where the CSV says of a whole row that what the way back left may have been this one.
    pub fn doubt(&self) -> Option<usize> {
        self.place_of(self.salvage.doubt.as_ref()?)
    }

    /// Returns why a whole row without a key, of which so many columns would be put back, is not inserted beside one that may be
    /// it, and whether that one is the same in all of these.
    pub fn why_not_beside(&self, columns: usize) -> (&'static str, bool) {
        match self.salvage.in_any {
            true => (ONE_MAY_BE, false),
            false => (THERE_ARE_SUCH, self.told_by().len() == columns),
        }
    }
}

/// Tells whether a conflict for this reason leaves open what is there, where it names nothing: several rows could be meant, or the
/// row cannot be looked for.
pub fn leaves_theirs_open(reason: &str) -> bool {
    [AMBIGUOUS, NOT_AS_MANY, ONE_WAS_WRITTEN, SEVERAL_VALUES, NOTHING_TELLS, HALF].contains(&reason)
}

/// Whether a merge is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeMode {
    Write,
    /// Does everything in a transaction that is undone: the answer says what a merge would do now.
    Look,
}

/// What is to be done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Theirs is what the way back left: nobody wrote since.
    Put,
    /// Theirs is ours.
    Already,
    Conflict,
}

/// Decides by the three values; `base_matches` says whether theirs is the base.
pub fn decide(base_matches: bool, ours: Value<'_>, theirs: Value<'_>) -> Decision {
    if ours.is_same(theirs) {
        Decision::Already
    } else if base_matches {
        Decision::Put
    } else {
        Decision::Conflict
    }
}

/// Orders the pieces of each turn so that whole rows come first, parents before their children, and values afterwards; but
/// before all of them keys, which other rows may have to give up.
/// `parents` are the tables that a table refers to. A circle is cut where it is entered.
pub fn in_order(pieces: &[Piece], parents: &BTreeMap<TableName, Vec<TableName>>) -> Vec<Vec<usize>> {
    fn visit(
        table: &TableName,
        parents: &BTreeMap<TableName, Vec<TableName>>,
        seen: &mut Vec<TableName>,
        order: &mut Vec<TableName>,
    ) {
        if seen.contains(table) {
            return;
        }
        seen.push(table.clone());
        for parent in parents.get(table).into_iter().flatten() {
            visit(parent, parents, seen, order);
        }
        order.push(table.clone());
    }
    let (mut seen, mut order) = (Vec::new(), Vec::new());
    for piece in pieces {
        visit(&piece.salvage.table, parents, &mut seen, &mut order);
    }
    let rank = |index: &usize| {
        let salvage = &pieces[*index].salvage;
        let table = order.iter().position(|table| *table == salvage.table);
        (!pieces[*index].is_rekeying(), salvage.what == SalvageKind::Values, table, *index)
    };
    let mut places: Vec<usize> = (0..pieces.len()).collect();
    places.sort_by_key(rank);
    let mut turns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in places {
        turns.entry(pieces[place].turn).or_default().push(place);
    }
    turns.into_values().collect()
}

/// Returns the name of a table of an operation, short enough for every engine.
fn table_name(beginning: &str, operation: &str) -> String {
    let plain = |next: char| if next.is_ascii_alphanumeric() { next.to_ascii_lowercase() } else { '_' };
    let suffix: String = operation.chars().map(plain).take(40).collect();
    format!("{beginning}{suffix}")
}

/// Returns the name of the side table of an operation, as both engines keep it.
pub fn side_table_name(operation: &str) -> String {
    table_name(crate::catalog::SIDE_TABLES, operation)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    struct Nothing;

    impl Inlet for Nothing {
        fn check(&self, _: &mut Hashed) -> Result<(), Error> {
            Ok(())
        }

        fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
            Ok(Box::new(std::io::empty()))
        }

        fn each(&self, _: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>) -> Result<(), Error> {
            Ok(())
        }

        fn value(&self, _: &str, _: bool) -> Option<Scalar> {
            None
        }
    }

    /// A file without rows and columns.
    pub(crate) fn piece(table: &str, what: SalvageKind) -> Piece {
        let salvage = Salvage {
            what,
            table: TableName::plain(table),
            key: Vec::new(),
            identity: Vec::new(),
            in_any: false,
            doubt: None,
            columns: Vec::new(),
            returned: BTreeMap::new(),
            in_tree: false,
        };
        Piece::new(salvage, Vec::new(), 0, Arc::new(Nothing))
    }

    #[test]
    fn what_is_neither_ours_nor_what_the_way_back_left_is_a_conflict() {
        let (one, two) = (Value::Integer(1), Value::Integer(2));
        assert_eq!(decide(true, one, Value::Null), Decision::Put);
        assert_eq!(decide(false, one, one), Decision::Already);
        assert_eq!(decide(true, one, one), Decision::Already);
        assert_eq!(decide(false, one, two), Decision::Conflict);
        assert_eq!(decide(false, one, Value::Real(1.0)), Decision::Conflict);
        assert_eq!(decide(false, Value::Real(0.0), Value::Real(-0.0)), Decision::Conflict);
    }

    #[test]
    fn whole_rows_come_before_values_and_parents_before_children() {
        let table = TableName::plain;
        let parents = BTreeMap::from([
            (table("line"), vec![table("order")]),
            (table("order"), vec![table("customer"), table("line")]),
        ]);
        let pieces = [
            piece("customer", SalvageKind::Values),
            piece("line", SalvageKind::Rows),
            piece("order", SalvageKind::Rows),
            piece("customer", SalvageKind::Rows),
        ];
        assert_eq!(in_order(&pieces, &parents), [[3, 2, 1, 0]]);
    }

    #[test]
    fn a_turn_is_over_before_the_next_begins() {
        let of = |turn, what| Piece { turn, ..piece("customer", what) };
        let pieces = [of(1, SalvageKind::Rows), of(0, SalvageKind::Values), of(0, SalvageKind::Rows)];
        assert_eq!(in_order(&pieces, &BTreeMap::new()), [vec![2, 1], vec![0]]);
    }

    #[test]
    fn the_name_of_a_side_table_is_short_enough_for_every_engine() {
        assert!(side_table_name(&"x".repeat(200)).len() <= 63);
        assert_eq!(
            side_table_name("20261123T181500Z-downgrade-5f2c"),
            "ripcord_conflicts_20261123t181500z_downgrade_5f2c"
        );
    }
}
