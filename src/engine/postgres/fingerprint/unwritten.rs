//! Tables of the copy of a rehearsal that nobody has written to: their rows are not read for a fingerprint once more.
//!
//! What a table holds is known from what it held when the copy was made, where all of this is so: it lies in the same
//! file; no row of it was written since, and none is missing, which the server counts without sending anything (a row
//! that was changed is a new row to it); and its columns are of types that come with the server, which no migration can
//! make print something else. Then its rows are those of that time, and what each column holds follows from where it
//! stands in them: a column that came later is in none of them, and holds what the catalog says for such rows.

use super::sources::{Source, find};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::engine::postgres::session::Session;
use crate::engine::postgres::writes::Mark;
use crate::fingerprint::{Fingerprint, TableFingerprint};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

const DOING: &str = "looking for tables that nobody wrote to";
/// What is smaller on disk is read as fast as it is counted.
const WORTH_COUNTING: u64 = 512 * 1024;

/// What is known of the tables of a copy since it was made.
pub(in crate::engine::postgres) struct Unwritten {
    mark: Mark,
    /// The tables as they were then, by their files.
    began: BTreeMap<String, Beginning>,
    /// The fingerprints of forms that were read.
    known: Mutex<BTreeMap<Form, TableFingerprint>>,
}

/// A table when the copy was made.
struct Beginning {
    /// How many columns its rows have, those that were dropped among them.
    width: u64,
    rows: u64,
}

/// How the rows of a file are read: two forms that are equal show the same, as long as nobody writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    file: String,
    columns: BTreeMap<String, Held>,
    key: Vec<String>,
}

/// Where the values of a column are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// The type, with its modifier.
    kind: String,
    /// The place in the row; none for a column that is in no row.
    place: Option<u64>,
    /// What the column holds in rows that end before it; none is NULL.
    missing: Option<String>,
}

/// What is to be done with the tables of one look.
pub(super) struct Sifted {
    pub(super) known: BTreeMap<TableName, TableFingerprint>,
    pub(super) rest: Vec<Source>,
    /// The forms of those that have to be read although nobody wrote to them.
    forms: BTreeMap<TableName, Form>,
}

impl Unwritten {
    /// Begins with a copy that holds what `print` says; `mark` lies behind whatever filled it.
    pub(in crate::engine::postgres) async fn begin(
        session: &mut Session,
        mark: Mark,
        print: &Fingerprint,
    ) -> Result<Self, Error> {
        let sources = find(session, None).await?.sources;
        let mut began = BTreeMap::new();
        let mut known = BTreeMap::new();
        for (name, seen) in seen(session, &sources).await? {
            let Some(table) = print.tables.get(&name) else { continue };
            began.insert(seen.file.clone(), Beginning { width: seen.width, rows: table.rows });
            let form = seen.form(seen.width);
            // The names and the key belong to the fingerprint: what they are in the copy must be what they were.
            if form.key == table.key && form.columns.keys().eq(table.columns.keys()) {
                known.insert(form, table.clone());
            }
        }
        Ok(Self { mark, began, known: Mutex::new(known) })
    }

    /// Takes out the tables of which it is known what they hold.
    pub(super) async fn sift(&self, session: &mut Session, sources: Vec<Source>) -> Result<Sifted, Error> {
        let mut forms = BTreeMap::new();
        for (name, seen) in seen(session, &sources).await? {
            let Some(beginning) = self.began.get(&seen.file) else { continue };
            if self.is_unwritten(session, &name, beginning.rows).await? {
                forms.insert(name, seen.form(beginning.width));
            }
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &TableName| Some((name.clone(), known.get(forms.get(name)?)?.clone()));
        let known: BTreeMap<_, _> = sources.iter().filter_map(|source| of(&source.name)).collect();
        let rest = sources.into_iter().filter(|source| !known.contains_key(&source.name)).collect();
        forms.retain(|name, _| !known.contains_key(name));
        Ok(Sifted { known, rest, forms })
    }

    /// Remembers what was read, as of the same instant as it was sifted.
    pub(super) fn learn(
        &self,
        forms: BTreeMap<TableName, Form>,
        read: &BTreeMap<TableName, TableFingerprint>,
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(forms.into_iter().filter_map(|(name, form)| Some((form, read.get(&name)?.clone()))));
    }

    async fn is_unwritten(&self, session: &mut Session, name: &TableName, rows: u64) -> Result<bool, Error> {
        let newer = self.mark.newer();
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {newer}) FROM ONLY {}", name.sql());
        let found = session.rows(DOING, &sql).await?;
        Ok(found.first().is_some_and(|row| row.maybe(1) == Some("0") && row.number::<u64>(0) == rows))
    }
}

impl Sifted {
    /// Hands over the forms for [`Unwritten::learn`].
    pub(super) fn take_forms(&mut self) -> BTreeMap<TableName, Form> {
        std::mem::take(&mut self.forms)
    }
}

/// One table as the catalog has it.
struct Seen {
    file: String,
    width: u64,
    columns: BTreeMap<String, Held>,
    key: Vec<String>,
}

impl Seen {
    /// Returns the form, where the rows of the file have this many columns.
    fn form(&self, width: u64) -> Form {
        let held = |held: &Held| Held { place: held.place.filter(|place| *place <= width), ..held.clone() };
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), held(column))).collect();
        Form { file: self.file.clone(), columns, key: self.key.clone() }
    }
}

/// Looks at the tables that are worth it and of which it can be told what they hold.
async fn seen(session: &mut Session, sources: &[Source]) -> Result<BTreeMap<TableName, Seen>, Error> {
    // A type that came with the server has a number below 16384. A virtual column is in no row whatever its place.
    let sql = format!(
        "SELECT n.nspname, c.relname, format('%s/%s', c.reltablespace, pg_relation_filenode(c.oid)), c.relnatts, a.attname, a.attnum, \
         format('%s %s', a.atttypid, a.atttypmod), a.attmissingval::text, \
         t.oid < 16384 AND t.typtype IN ('b', 'r', 'm') AND t.typelem < 16384 AND a.attgenerated <> 'v' \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_am am ON am.oid = c.relam AND am.amname = 'heap' \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid \
         WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND pg_relation_size(c.oid) >= {WORTH_COUNTING}"
    );
    let sources: BTreeMap<&TableName, &Source> =
        sources.iter().map(|source| (&source.name, source)).collect();
    let mut tables: BTreeMap<TableName, Seen> = BTreeMap::new();
    let mut unfit = BTreeSet::new();
    for row in session.rows(DOING, &sql).await? {
        let name = TableName::qualified(row.text(0), row.text(1));
        let Some(source) = sources.get(&name) else { continue };
        if !row.is(8) {
            unfit.insert(name);
            continue;
        }
        let width = row.number(3);
        let begin = || Seen {
            file: row.text(2).to_string(),
            width,
            columns: BTreeMap::new(),
            key: source.key.clone(),
        };
        let missing = row.maybe(7).map(str::to_string);
        let held = Held { kind: row.text(6).to_string(), place: Some(row.number(5)), missing };
        tables.entry(name).or_insert_with(begin).columns.insert(row.text(4).to_string(), held);
    }
    tables.retain(|name, _| !unfit.contains(name));
    Ok(tables)
}
