//! Where a piece goes: the live table, as far as it still has what the piece is about.

use super::super::scan::rowid_name;
use super::super::session::Session;
use super::new_keys::NewKeys;
use super::rekey::Undecided;
use super::renumbered::Moved;
use super::rows::RowHand;
use super::side::Side;
use super::strangers::Guard;
use super::together::all_keys;
use super::values::ValueHand;
use super::{DOING, Written, recycled, references};
use crate::catalog::{Catalog, Column, EngineKind, Table, TableKind, TableName, quote};
use crate::engine::{BOTH_CHANGED, Base, Error, Merged, OWN_VALUE, Piece, Recycled, Scalar, Value};
use crate::ledger::{ROWID, SalvageKind};
use std::collections::BTreeMap;

/// The live table of a piece.
pub(super) struct Target<'p> {
    pub piece: &'p Piece,
    /// The place of the piece, for names of temporary tables.
    pub index: usize,
    pub table: TableName,
    /// How a row is found: a condition with parameters from `?1` on, and the places of their values.
    pub condition: String,
    pub found_by: Vec<usize>,
    /// How many values each row of the feed has.
    pub width: usize,
    pub columns: Vec<TargetColumn>,
    /// Whether every column of the live table is put back, computed, or one by which rows are found.
    pub is_whole: bool,
    /// A name of its rowid, if it has one.
    pub rowid: Option<String>,
    /// The place among the columns of the one that is the rowid itself, where rows are found by that: a row to which it is put back
    /// is found by another one from then on.
    pub own_rowid: Option<usize>,
    /// Whether a foreign key is checked only at the commit, so that each row must be asked about.
    pub deferred: bool,
    /// Which keys may be of other rows now.
    pub recycled: Recycled,
    /// Tells of a row whether another one has its key now.
    pub moved: Option<Guard>,
    /// The keys that rows have now, where users changed them.
    pub new_keys: Option<NewKeys>,
    /// What must not be put back because it would refer to rows that are others now.
    pub guards: Vec<Guard>,
    /// The columns whose keys moved, each with the temporary table that has them.
    pub moves: Vec<(String, String)>,
    /// Which keys must not be put back, by the place of their column among those that are.
    pub undecided: BTreeMap<usize, Undecided>,
    /// In which columns rows got what others had: such a row is put back as a whole or not at all.
    pub renumbered: Vec<Moved>,
    /// Whether its rows were numbered anew and somebody has written since, so that all of it stays as it is.
    pub broken: bool,
    /// Whether the database stores text as UTF-16.
    pub wide: bool,
    /// In which round the rows were refused that still are.
    pub round: u32,
}

/// A column that is put back.
pub(super) struct TargetColumn {
    pub name: String,
    /// Its place in the CSV.
    pub place: usize,
    pub base: Known,
    /// Why theirs is left, where it is neither ours nor what the way back left.
    pub changed: &'static str,
    /// Whether other rows refer to it and lose what they refer to when it changes (`ON UPDATE SET NULL`, `SET DEFAULT`).
    pub would_take_along: bool,
    /// Whether each row gets a value of its own where nobody names one.
    pub makes_its_own: bool,
    /// Whether the live column has another type than the salvaged one had, so that it may turn a value into another.
    pub retyped: bool,
    /// The table of the keys that moved, where it refers to them: what the way back left in it has followed these.
    pub followed: Option<String>,
}

/// The value that the way back left.
pub(super) enum Known {
    Constant(Scalar),
    Column(usize),
    /// Not known: NULL counts, and the default of the column if it is a constant.
    Unknown(Option<Scalar>),
}

impl Known {
    pub(super) fn matches(&self, theirs: Value<'_>, row: &[Value<'_>]) -> bool {
        match self {
            Self::Constant(value) => value.as_value().is_same(theirs),
            Self::Column(place) => row.get(*place).is_some_and(|base| base.is_same(theirs)),
            Self::Unknown(default) => {
                let is_default = default.as_ref().is_some_and(|value| value.as_value().is_same(theirs));
                matches!(theirs, Value::Null) || is_default
            }
        }
    }

    /// Tells whether ours is what the way back left: then nothing is lost, whatever was written since.
    pub(super) fn keeps(&self, ours: Value<'_>, row: &[Value<'_>]) -> bool {
        matches!(self, Self::Column(_)) && self.value(row).is_same(ours)
    }

    /// Returns it as an expression over a loaded row; none where it is not known.
    pub(super) fn expression(&self, loaded: &str) -> Option<String> {
        Some(match self {
            Self::Column(place) => format!("{loaded}.v{place}"),
            Self::Constant(Scalar::Null) => "NULL".to_string(),
            Self::Constant(Scalar::Integer(number)) => number.to_string(),
            Self::Constant(Scalar::Text(text)) => {
                let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))?;
                format!("'{}'", text.replace('\'', "''"))
            }
            Self::Constant(_) | Self::Unknown(_) => return None,
        })
    }

    /// Returns what stood there at the end of the way there and back, where theirs is there now.
    pub(super) fn left<'v>(&'v self, theirs: Value<'v>, row: &[Value<'v>]) -> Value<'v> {
        match self {
            Self::Unknown(_) => theirs,
            known => known.value(row),
        }
    }

    pub(super) fn value<'v>(&'v self, row: &[Value<'v>]) -> Value<'v> {
        match self {
            Self::Constant(value) => value.as_value(),
            Self::Column(place) => row.get(*place).copied().unwrap_or(Value::Null),
            Self::Unknown(_) => Value::Null,
        }
    }
}

/// Writes rows of a piece, one by one.
pub(super) trait Hand {
    /// Decides and writes; counts what is decided.
    fn row(
        &mut self,
        values: &[Value<'_>],
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<Written, Error>;

    /// Puts something in the place of the values that are to be put back, so that they are in nobody's way.
    fn vacate(&mut self, values: &[Value<'_>], place: u64) -> Result<Written, Error>;

    /// Writes the row, or the values whose places were vacated; counts.
    fn place(&mut self, values: &[Value<'_>], place: u64, merged: &mut [Merged]) -> Result<Written, Error>;

    /// Writes down as conflicts the values that are others than the salvaged ones.
    fn differing(&mut self, values: &[Value<'_>], side: &mut Side<'_>) -> Result<(), Error>;

    /// Writes down as a conflict what a constraint refuses for good.
    fn give_up(
        &mut self,
        values: &[Value<'_>],
        why: &str,
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<(), Error>;
}

impl<'p> Target<'p> {
    /// Finds what there is to merge into; and what is skipped, and why.
    pub(super) fn of(
        session: &Session,
        catalog: &Catalog,
        pieces: &'p [Piece],
        index: usize,
    ) -> Result<(Option<Self>, Vec<Merged>), Error> {
        let piece = &pieces[index];
        let skip = |why: &str| Ok((None, vec![Merged::skipped(&piece.salvage, None, why)]));
        let name = &piece.salvage.table;
        let Some(found) = catalog.tables.get(name) else { return skip("there is no such table now") };
        let mut table = found.clone();
        if table.kind == TableKind::Virtual {
            if !table.has_own_rows() || piece.salvage.key != [ROWID] {
                return skip("it is a virtual table: its rows are put back by hand, by INSERT");
            }
            table.columns.push(Column {
                name: ROWID.to_string(),
                type_name: piece
                    .place_of(ROWID)
                    .map(|place| piece.columns[place].type_name.clone())
                    .unwrap_or_default(),
                ..Column::default()
            });
        }
        if table.kind == TableKind::Shadow {
            return skip("there is no such table now");
        }
        // A virtual table finds a row by `=` alone.
        let equals = if table.kind == TableKind::Ordinary { "IS" } else { "=" };
        let find = |wanted: &str| table.columns.iter().find(|column| column.name == wanted);
        let lacks = |wanted: &&String| find(wanted).is_none_or(|column| column.generated.is_some());
        if !piece.salvage.key.is_empty() || piece.salvage.what == SalvageKind::Values {
            if let Some(gone) = piece.matched_by().iter().find(|wanted| find(wanted).is_none()) {
                return skip(&format!("column {gone}, by which rows are found, is not there now"));
            }
        } else if let Some(gone) = piece.salvage.columns.iter().find(lacks) {
            return skip(&format!("column {gone}, by which rows are compared, is not there now"));
        }
        let refer = references::references(session, catalog, name)?;
        let mut skipped = Vec::new();
        let mut columns = Vec::new();
        for wanted in &piece.salvage.columns {
            let Some(place) = piece.place_of(wanted) else { continue };
            match find(wanted) {
                None => {
                    skipped.push(Merged::skipped(&piece.salvage, Some(wanted), "there is no such column now"))
                }
                Some(column) if column.generated.is_some() => {
                    skipped.push(Merged::skipped(
                        &piece.salvage,
                        Some(wanted),
                        "the column is generated now",
                    ));
                }
                Some(column) => columns.push(TargetColumn {
                    name: wanted.clone(),
                    place,
                    base: known(session, piece, column)?,
                    makes_its_own: column.makes_its_own(&table, EngineKind::Sqlite),
                    changed: match column.makes_its_own(&table, EngineKind::Sqlite) {
                        true => OWN_VALUE,
                        false => BOTH_CHANGED,
                    },
                    would_take_along: references::would_lose(session, catalog, &refer, wanted)?,
                    retyped: is_retyped(piece, column),
                    followed: None,
                }),
            }
        }
        if columns.is_empty() {
            return Ok((None, skipped));
        }
        let matched = piece.matched_by();
        let is_known = |column: &Column| {
            column.generated.is_some()
                || columns.iter().any(|put| put.name == column.name)
                || matched.contains(&column.name)
        };
        let is_whole = table.columns.iter().all(is_known);
        let collated = match piece.salvage.key.is_empty() {
            true => BTreeMap::new(),
            false => collations(session, name, matched)?,
        };
        // By its bytes: a collation would take the key `a` for `A`, unless a key of the table does so itself. What comes first
        // is there for an index.
        let same = |at: usize, name: &str| match (table.kind, collated.get(name), quote(name)) {
            (TableKind::Ordinary, Some(collation), name) => format!("{name} COLLATE {collation} IS ?{at}"),
            (TableKind::Ordinary, None, name) => {
                format!("{name} {equals} ?{at} AND {name} COLLATE BINARY IS ?{at}")
            }
            (_, _, name) => format!("{name} {equals} ?{at}"),
        };
        // A number that a text would become in a column of another type is not the key that this text is.
        let spelled = |at: usize, name: &str| match find(name).filter(|column| is_retyped(piece, column)) {
            Some(_) => format!(
                " AND (typeof(?{at}) <> 'text' OR typeof({0}) = 'text' OR CAST({0} AS TEXT) = ?{at})",
                quote(name)
            ),
            None => String::new(),
        };
        let is = |(at, name): (usize, &String)| format!("{}{}", same(at, name), spelled(at, name));
        let conditions: Vec<String> = (1..).zip(matched).map(is).collect();
        let target = Self {
            piece,
            index,
            table: name.clone(),
            condition: conditions.join(" AND "),
            found_by: matched.iter().filter_map(|name| piece.place_of(name)).collect(),
            width: piece.columns.len(),
            columns,
            is_whole,
            rowid: rowid_name(&table),
            own_rowid: None,
            deferred: has_deferred_keys(&table),
            recycled: recycled::look(session, piece, pieces, &table)?,
            moved: None,
            new_keys: None,
            guards: Vec::new(),
            undecided: BTreeMap::new(),
            moves: Vec::new(),
            renumbered: Vec::new(),
            broken: false,
            wide: session.is_wide()?,
            round: 0,
        };
        Ok((Some(target), skipped))
    }

    /// Notes which columns refer to keys that moved, of these tables.
    pub(super) fn follow(
        &mut self,
        session: &Session,
        moved: &[(&TableName, &Vec<(String, String)>)],
    ) -> Result<(), Error> {
        if moved.iter().all(|(_, moves)| moves.is_empty()) {
            return Ok(());
        }
        for (parent, pairs) in all_keys(session, &self.table)? {
            let of_parent = moved.iter().filter(|(table, _)| table.name.eq_ignore_ascii_case(&parent));
            for (name, table) in of_parent.flat_map(|(_, moves)| moves.iter()) {
                let refers = pairs.iter().filter(|(_, other)| other.eq_ignore_ascii_case(name));
                for (own, _) in refers {
                    let mut columns = self.columns.iter_mut();
                    if let Some(column) = columns.find(|column| column.name.eq_ignore_ascii_case(own)) {
                        column.followed = Some(table.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the hand that writes its rows.
    pub(super) fn hand<'s>(&'s self, session: &'s Session) -> Result<Box<dyn Hand + 's>, Error> {
        Ok(match self.piece.salvage.what {
            SalvageKind::Values => Box::new(ValueHand::new(session, self)?),
            SalvageKind::Rows => Box::new(RowHand::new(session, self)?),
        })
    }

    /// Tells whether a row that was written can turn out to be refused.
    pub(super) fn needs_savepoint(&self) -> bool {
        self.deferred || self.columns.iter().any(|column| column.retyped)
    }

    /// Tells whether a value is a text of which SQLite would make another one.
    pub(super) fn is_half(&self, value: Value<'_>) -> bool {
        self.wide && matches!(value, Value::Text(text) if std::str::from_utf8(text).is_err())
    }

    /// Tells whether the row cannot be found because of such a text.
    pub(super) fn is_found_by_half(&self, values: &[Value<'_>]) -> bool {
        self.found(values).any(|value| self.is_half(value))
    }

    /// Returns the columns in which the way back did not leave the same in all rows.
    pub(super) fn left_in_each(&self) -> impl Iterator<Item = &TargetColumn> {
        self.columns.iter().filter(|column| !matches!(column.base, Known::Constant(_)))
    }

    /// Tells whether another row may have the key by which this one is found.
    pub(super) fn is_retaken(&self, session: &Session, values: &[Value<'_>]) -> Result<bool, Error> {
        let key = self.found_by.first().and_then(|place| values.get(*place));
        if matches!(key, Some(Value::Integer(key)) if self.recycled.holds(*key)) {
            return Ok(true);
        }
        self.moved.as_ref().map_or(Ok(false), |moved| moved.is_met(session, values))
    }

    /// Tells whether nobody knows whether rows mean the one that has the key of this column now, so that it stays.
    pub(super) fn is_undecided(
        &self,
        session: &Session,
        index: usize,
        values: &[Value<'_>],
    ) -> Result<bool, Error> {
        match self.undecided.get(&index) {
            None => Ok(false),
            Some(Undecided::All) => Ok(true),
            Some(Undecided::These(keys)) => keys.is_met(session, values),
        }
    }

    /// Returns the values by which the row is found.
    pub(super) fn found<'v>(&self, values: &[Value<'v>]) -> impl Iterator<Item = Value<'v>> {
        self.found_by.iter().map(|place| values.get(*place).copied().unwrap_or(Value::Null))
    }
}

fn has_deferred_keys(table: &Table) -> bool {
    table.constraints.values().any(|text| text.to_ascii_uppercase().contains("DEFERRED"))
}

/// Returns the collations under which a key of the table lets each row be found by these columns, where these take different
/// texts for the same; empty where no key does.
fn collations(
    session: &Session,
    table: &TableName,
    key: &[String],
) -> Result<BTreeMap<String, String>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql =
        "SELECT l.name, x.name, upper(x.coll) FROM pragma_index_list(?1) l, pragma_index_xinfo(l.name) x
        WHERE l.\"unique\" AND NOT l.partial AND x.key ORDER BY l.name, x.seqno";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([&table.name]).map_err(failed)?;
    let mut indexes: BTreeMap<String, Vec<(Option<String>, String)>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        // The name is NULL for an expression.
        let part = (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        indexes.entry(row.get(0).map_err(failed)?).or_default().push(part);
    }
    let is_over_key = |parts: &BTreeMap<String, String>| {
        parts.len() == key.len() && key.iter().all(|name| parts.contains_key(name))
    };
    // Any other is one of a program's own, which nobody here knows.
    let is_known = |collation: &String| ["BINARY", "NOCASE", "RTRIM"].contains(&collation.as_str());
    let named = indexes.into_values().filter_map(|parts| {
        parts
            .into_iter()
            .map(|(name, collation)| Some((name?, collation)))
            .collect::<Option<BTreeMap<_, _>>>()
    });
    let mut usable = named.filter(|parts| is_over_key(parts) && parts.values().all(is_known));
    Ok(usable.find(|parts| parts.values().any(|collation| collation != "BINARY")).unwrap_or_default())
}

/// Returns what is known of what the way back left in a column.
pub(super) fn known(session: &Session, piece: &Piece, column: &Column) -> Result<Known, Error> {
    Ok(match piece.base(&column.name) {
        Base::Column(place) => Known::Column(place),
        Base::Constant(None) => Known::Constant(Scalar::Null),
        Base::Constant(Some((text, quoted))) => match piece.source.value(&text, quoted) {
            Some(value) => Known::Constant(value),
            None => Known::Unknown(None),
        },
        Base::Unknown => Known::Unknown(default(session, column)?),
    })
}

fn is_retyped(piece: &Piece, column: &Column) -> bool {
    let before = piece.place_of(&column.name).map(|place| &piece.columns[place].type_name);
    before.is_some_and(|before| !before.eq_ignore_ascii_case(&column.type_name))
}

/// Returns the default of a column as it would be stored; none when it is an expression.
fn default(session: &Session, column: &Column) -> Result<Option<Scalar>, Error> {
    let Some(text) = column.default.as_deref() else { return Ok(None) };
    if text.to_ascii_uppercase().starts_with("CURRENT_") {
        return Ok(None);
    }
    // A column of the same type turns the text into what is stored.
    let table = "temp.ripcord_default";
    let make = format!("CREATE TABLE {table} (c {} DEFAULT {text}, d)", quote(&column.type_name));
    match session.execute(&make, []) {
        Ok(_) => {}
        // The text of an expression comes without its parentheses, and only a literal may stand without them.
        Err(rusqlite::Error::SqlInputError { .. }) => return Ok(None),
        Err(error) => return Err(session.failed(DOING, error)),
    }
    session.run(DOING, &format!("INSERT INTO {table} (d) VALUES (1)"))?;
    let value = session
        .query_row(&format!("SELECT c FROM {table}"), [], |row| {
            row.get_ref(0).map(|value| super::feed::value(value).to_scalar())
        })
        .map_err(|error| session.failed(DOING, error))?;
    session.run(DOING, &format!("DROP TABLE {table}"))?;
    Ok(Some(value))
}
