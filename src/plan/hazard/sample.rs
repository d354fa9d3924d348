//! What is asked of a rehearsal copy about one hazard: how much it holds, and the first few.

use super::{Hazard, Held, found};
use crate::base::visible;
use crate::catalog::TableName;
use crate::fingerprint::Inventory;
use crate::ledger::{Answers, Fate, Ledger, Loss, RowChanges};

/// So many examples are shown at most.
pub const EXAMPLES: usize = 3;
/// So many columns of a row are shown at most, besides its key.
const SHOWN_COLUMNS: usize = 4;
/// So many characters of a value are shown at most.
pub const SHOWN_CHARACTERS: usize = 40;

/// A question about the table as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// As the engine names it.
    pub table: TableName,
    /// The columns that identify a row and order the examples; empty when nothing does.
    pub key: Vec<String>,
    /// Whether the table has no such key, or one that can be NULL, and these columns were seen to tell its rows apart: they may
    /// be NULL.
    pub is_found: bool,
    /// The columns that are lost: one, or all of the table.
    pub columns: Vec<String>,
    pub which: Which,
}

/// Which rows it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those in which the column is not NULL.
    Filled,
    /// Those whose key is not in the table of now.
    Gone {
        now: TableName,
    },
    /// Those that are there more often than in the table of now, by the columns that were found to tell them apart, or by all:
    /// nothing else identifies them.
    GoneWhole {
        now: TableName,
    },
    /// Those whose value is another one in the table of now, under the same key.
    Differing {
        now: TableName,
    },
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The length of the columns as text, in bytes.
    pub bytes: u64,
    /// The first rows by key: the key, then the columns; a value as text, cut after [`SHOWN_CHARACTERS`] and one more, so
    /// that it shows that it was cut. None is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Returns what to ask about a hazard; `None` where rows cannot be told apart. `now` is what the migrated side of the copy
/// holds, which the rows of before are compared with, and what comparing them gave.
pub fn sample(
    held: &Held,
    ledger: &Ledger,
    before: &Inventory,
    now: Option<(&Inventory, &Answers)>,
) -> Option<Sample> {
    let loss = ledger.lost.iter().find(|loss| {
        found::of_loss(loss).is_some_and(|hazard| hazard.within(before.engine) == held.hazard)
    })?;
    let print = before.fingerprint.tables.get(&loss.table)?;
    // In the order of the table: what comes first there is mostly what tells a row from others.
    let declared = before.catalog.tables.get(&loss.table).map(|table| table.columns.iter());
    let declared = declared.into_iter().flatten().map(|column| &column.name);
    let all: Vec<String> = declared.filter(|name| print.columns.contains_key(*name)).cloned().collect();
    let entries = || ledger.tables.iter().filter(|entry| entry.table == loss.table);
    let place_by = |key: &[String], column| place(ledger, loss, key, column, now?.0);
    let (own, column) = (print.key.clone(), loss.column.clone());
    let told = now.and_then(|(_, rows)| rows.get(&loss.table)).map(RowChanges::told_apart_by);
    let told = told.filter(|told| own.is_empty() && !told.is_empty()).map(<[String]>::to_vec);
    let key = told.clone().unwrap_or_else(|| own.clone());
    let now = |column| place_by(&key, column);
    let (which, columns) = match &held.hazard {
        Hazard::DropsTable { .. } => (Which::All, all),
        Hazard::DropsColumn { .. } => (Which::Filled, vec![column?]),
        // One that changed would be taken for one that is gone.
        Hazard::DeletesRows { .. } if own.is_empty() && entries().any(|entry| entry.changed > 0) => {
            told.as_ref()?;
            (Which::GoneWhole { now: now(None)? }, all)
        }
        Hazard::DeletesRows { .. } if own.is_empty() => {
            (Which::GoneWhole { now: place_by(&all, None)? }, all)
        }
        Hazard::DeletesRows { .. } => (Which::Gone { now: now(None)? }, all),
        // Of a key no row is found whose value differs.
        Hazard::NarrowsType { .. } | Hazard::OverwritesValues { .. }
            if column.as_ref().is_some_and(|column| key.contains(column)) =>
        {
            if told.is_some() {
                return None;
            }
            (Which::Filled, vec![column?])
        }
        Hazard::NarrowsType { .. } | Hazard::OverwritesValues { .. } => {
            (Which::Differing { now: now(loss.column.as_ref())? }, vec![column?])
        }
        Hazard::Irreversible { .. } | Hazard::Opaque => return None,
    };
    // Where rows are in others of its tree, the table alone does not say which of them are gone, or differ.
    let is_told = which == Which::Filled || entries().all(|entry| entry.moved == 0);
    // One that can be NULL names rows as well, and finds none.
    let nullable = before.catalog.tables.get(&loss.table).map(|table| table.nullable_key.clone());
    let key = if key.is_empty() { nullable.unwrap_or_default() } else { key };
    is_told.then(|| Sample { table: loss.table.clone(), key, is_found: told.is_some(), columns, which })
}

/// Returns where the rows are now, if they and the column can be found there by their names.
fn place(
    ledger: &Ledger,
    loss: &Loss,
    key: &[String],
    column: Option<&String>,
    now: &Inventory,
) -> Option<TableName> {
    let moved = ledger.tables.iter().find(|entry| entry.table == loss.table).and_then(|entry| {
        let Fate::Moved { to } = &entry.fate else { return None };
        TableName::parse(to)
    });
    let mut places = [Some(loss.table.clone()), moved].into_iter().flatten();
    let place = places.find(|place| now.fingerprint.tables.contains_key(place))?;
    let columns = &now.fingerprint.tables.get(&place)?.columns;
    (!key.is_empty() && key.iter().chain(column).all(|name| columns.contains_key(name))).then_some(place)
}

impl Sample {
    /// Returns the columns by which rows are compared whole.
    pub fn identity(&self) -> &[String] {
        if self.is_found { &self.key } else { &self.columns }
    }
}

impl Held {
    /// Returns the same with what a copy answered.
    pub fn sampled(mut self, asked: &Sample, found: Sampled) -> Self {
        self.bytes = Some(found.bytes);
        self.examples = found.rows.iter().map(|row| example(asked, row)).collect();
        self
    }
}

/// Puts a row into words: `id=7: 3` for a column, `id=7, name=x` for a row.
fn example(asked: &Sample, row: &[Option<String>]) -> String {
    let value = |value: &Option<String>| match value {
        Some(text) if text.chars().count() > SHOWN_CHARACTERS => {
            let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
            format!("{}…", visible(&cut))
        }
        Some(text) => visible(text),
        None => "NULL".to_string(),
    };
    let named = |(name, text): (&String, &Option<String>)| format!("{name}={}", value(text));
    let (key, rest) = row.split_at(asked.key.len().min(row.len()));
    let mut key: Vec<String> = asked.key.iter().zip(key).map(named).collect();
    if asked.is_found {
        shorten(&mut key);
    }
    if asked.columns.len() == 1
        && !matches!(asked.which, Which::All | Which::Gone { .. } | Which::GoneWhole { .. })
    {
        let text = rest.first().map(value).unwrap_or_default();
        return if key.is_empty() { text } else { format!("{}: {text}", key.join(", ")) };
    }
    let columns = asked.columns.iter().zip(rest).filter(|(name, _)| !asked.key.contains(name));
    let mut columns: Vec<String> = columns.map(named).collect();
    shorten(&mut columns);
    [key, columns].concat().join(", ")
}

fn shorten(columns: &mut Vec<String>) {
    if columns.len() > SHOWN_COLUMNS {
        columns.truncate(SHOWN_COLUMNS);
        columns.push("…".to_string());
    }
}
