//! Columns that refer to keys which are put back, without a foreign key that says so. Pure.
//!
//! A way back that makes keys anew makes what referred to them as well, by a join; that it did so shows in the salvage. Where each
//! value that it gave a column in the place of another one is what it gave a row in the place of that key, the column refers to
//! these rows. Such a column is treated like a foreign key: it follows its rows, and is never led to another one. So is one that
//! nothing changed, where its name says what it refers to and the snapshot that it held nothing but keys.

use super::{Base, Piece, Scalar, refers};
use crate::catalog::{Table, TableKind, TableName};
use crate::engine::{Error, Value};
use crate::ledger::SalvageKind;
use std::collections::BTreeSet;

/// So many different changes of a column are compared with those of a key: what agrees in all of them is no accident.
const SAMPLE: usize = 1024;

/// A column of one table that holds the keys of another one, or of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undeclared {
    pub table: TableName,
    pub column: String,
    pub parent: TableName,
    pub key: String,
}

/// A column that by its name refers to keys which a piece puts back, while nothing of it was salvaged. Whether it does only the
/// snapshot can say.
pub struct Named<'p> {
    pub what: Undeclared,
    pub piece: &'p Piece,
    /// The table and its column by their names of then, and those that they refer to.
    pub own: (&'p TableName, &'p str),
    pub key: (&'p TableName, &'p str),
}

/// What a value was, and what the way back left in its place.
type Change = (Vec<u8>, Vec<u8>);

/// One column of a file, by its place.
struct Column<'p> {
    piece: &'p Piece,
    name: &'p String,
    place: usize,
    left: Left,
}

enum Left {
    In(usize),
    One(Scalar),
}

/// Returns what refers to the keys that pieces put back, as far as what was salvaged with them shows it. Without such keys nothing
/// is read.
pub fn undeclared(pieces: &[Piece]) -> Result<Vec<Undeclared>, Error> {
    let columns: Vec<Column<'_>> = pieces.iter().flat_map(Column::of).collect();
    let keys: Vec<&Column<'_>> = columns.iter().filter(|column| column.is_sole_key()).collect();
    let mut found = BTreeSet::new();
    for column in &columns {
        let of_turn = || keys.iter().filter(|key| key.piece.turn == column.piece.turn);
        if column.piece.puts_key(column.name) || of_turn().next().is_none() {
            continue;
        }
        let changes = column.changes()?;
        let mut parents = Vec::new();
        for key in of_turn() {
            if key.explains(&changes)? && (changes.len() > 1 || column.is_named_after(key)) {
                parents.push(*key);
            }
        }
        // Of several tables that were numbered alike the name says which one it is; where it says nothing, nobody knows.
        if parents.len() > 1 {
            parents.retain(|key| column.is_named_after(key));
        }
        if let [key] = parents.as_slice() {
            found.insert(Undeclared {
                table: column.piece.salvage.table.clone(),
                column: column.name.clone(),
                parent: key.piece.salvage.table.clone(),
                key: key.name.clone(),
            });
        }
    }
    Ok(found.into_iter().collect())
}

/// Returns which columns to ask the snapshot about.
pub fn named(pieces: &[Piece]) -> Vec<Named<'_>> {
    let columns = pieces.iter().flat_map(Column::of).filter(Column::is_sole_key).collect::<Vec<_>>();
    columns.iter().flat_map(|key| key.namesakes(pieces)).collect()
}

impl<'p> Column<'p> {
    /// Returns the columns of other tables that were named after this one then, of its type, and neither salvaged nor a foreign key:
    /// of tables whose rows are found by their keys, so that it shows which of them hold what they held then.
    fn namesakes(&self, pieces: &'p [Piece]) -> Vec<Named<'p>> {
        let (piece, parent) = (self.piece, self.piece.table_then());
        let key = (parent, piece.column_then(self.name));
        let Some(catalog) = piece.catalog.as_deref() else { return Vec::new() };
        let own = catalog.tables.get(parent).map(|table| &table.columns);
        let Some(own) = own.and_then(|columns| columns.iter().find(|column| column.name == key.1)) else {
            return Vec::new();
        };
        let is_found = |(name, table): &(&TableName, &Table)| {
            table.kind == TableKind::Ordinary && !table.key.is_empty() && *name != parent
        };
        let columns = catalog.tables.iter().filter(is_found);
        let columns =
            columns.flat_map(|(name, table)| table.columns.iter().map(move |column| (name, column)));
        let asked = columns.filter(|(name, column)| {
            column.type_name == own.type_name
                && column.generated.is_none()
                && is_named_after(&column.name, parent, false)
                && !refers(catalog, (*name, &column.name))
        });
        let asked = asked.filter_map(|(name, column)| {
            let what = Undeclared {
                table: self.kept_in(pieces, (name, &column.name))?,
                column: column.name.clone(),
                parent: piece.salvage.table.clone(),
                key: self.name.clone(),
            };
            Some(Named { what, piece, own: (name, &column.name), key })
        });
        asked.collect()
    }

    /// Returns what the table of a column is called now; none where its values or the keys of its rows were salvaged.
    fn kept_in(&self, pieces: &[Piece], (table, column): (&TableName, &str)) -> Option<TableName> {
        let own =
            || pieces.iter().filter(|other| other.turn == self.piece.turn && other.table_then() == table);
        let is_lost = |other: &Piece| {
            let mut columns = other.salvage.columns.iter();
            let is_in_it = columns.any(|salvaged| other.column_then(salvaged) == column);
            other.is_rekeying() || (other.salvage.what == SalvageKind::Values && is_in_it)
        };
        (!own().any(is_lost)).then(|| own().next().map_or(table, |other| &other.salvage.table).clone())
    }

    /// Returns the columns of a file of values of which it is known what the way back left.
    fn of(piece: &'p Piece) -> Vec<Self> {
        let columns = piece.salvage.columns.iter().filter(|_| piece.salvage.what == SalvageKind::Values);
        let known = |name: &'p String| {
            let left = match piece.base(name) {
                Base::Column(place) => Left::In(place),
                Base::Constant(Some((text, quoted))) => Left::One(piece.source.value(&text, quoted)?),
                Base::Constant(None) | Base::Unknown => return None,
            };
            Some(Self { piece, name, place: piece.place_of(name)?, left })
        };
        columns.filter_map(known).collect()
    }

    /// Tells whether it is all of a key that comes back as a value.
    fn is_sole_key(&self) -> bool {
        let then = self.piece.catalog.as_ref();
        let then = then.and_then(|catalog| catalog.tables.get(self.piece.table_then()));
        self.piece.puts_key(self.name) && then.is_some_and(|then| then.key.len() == 1)
    }

    fn each(&self, take: &mut dyn FnMut(Change)) -> Result<(), Error> {
        self.piece.source.each(&mut |values| {
            let ours = values.get(self.place).copied().and_then(bytes);
            let left = match &self.left {
                Left::In(place) => values.get(*place).copied().and_then(bytes),
                Left::One(value) => bytes(value.as_value()),
            };
            if let Some(change) = ours.zip(left) {
                take(change);
            }
            Ok(())
        })
    }

    /// Returns in which ways the way back changed it.
    fn changes(&self) -> Result<BTreeSet<Change>, Error> {
        let mut changes = BTreeSet::new();
        self.each(&mut |change| {
            if change.0 != change.1 && changes.len() < SAMPLE {
                changes.insert(change);
            }
        })?;
        Ok(changes)
    }

    /// Tells whether there are such changes, and each is one of this key.
    fn explains(&self, changes: &BTreeSet<Change>) -> Result<bool, Error> {
        let mut left = changes.clone();
        if !left.is_empty() {
            self.each(&mut |change| {
                left.remove(&change);
            })?;
        }
        Ok(left.is_empty() && !changes.is_empty())
    }

    fn is_named_after(&self, key: &Column<'_>) -> bool {
        let parent = &key.piece.salvage.table;
        is_named_after(self.name, parent, self.piece.salvage.table == *parent)
    }
}

/// Tells whether a name says what a column refers to: `customer_id` a customer, `parent_id` a row of its own table.
fn is_named_after(column: &str, parent: &TableName, is_own: bool) -> bool {
    let (name, table) = (column.to_lowercase(), parent.name.to_lowercase());
    let singular = match table.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => table.strip_suffix('s').unwrap_or(&table).to_string(),
    };
    name.contains(&table) || name.contains(&singular) || (is_own && name.contains("parent"))
}

/// Returns a value that a key may hold, with its type.
fn bytes(value: Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Integer(number) => Some([b"i", number.to_be_bytes().as_slice()].concat()),
        Value::Text(text) => Some([b"t", text].concat()),
        Value::Blob(bytes) => Some([b"b", bytes].concat()),
        Value::Null | Value::Real(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Hashed;
    use crate::catalog::{Catalog, Table};
    use crate::engine::{Inlet, ShapeColumn, empty_piece};
    use crate::ledger::Returned;
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::sync::Arc;

    /// Rows of what a value was, and what the way back left in its place.
    struct Rows(Vec<(i64, i64)>);

    impl Inlet for Rows {
        fn check(&self, _: &mut Hashed) -> Result<(), Error> {
            Ok(())
        }

        fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
            Ok(Box::new(std::io::empty()))
        }

        fn each(&self, take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>) -> Result<(), Error> {
            self.0.iter().try_for_each(|(ours, left)| take(&[Value::Integer(*ours), Value::Integer(*left)]))
        }

        fn value(&self, text: &str, _: bool) -> Option<Scalar> {
            text.parse().ok().map(Scalar::Integer)
        }
    }

    fn piece(table: &str, column: &str, rows: &[(i64, i64)]) -> Piece {
        let mut piece = empty_piece(table, SalvageKind::Values);
        let own = |name: &str| ShapeColumn { name: name.to_string(), type_name: "INTEGER".to_string() };
        piece.columns = vec![own(column), own("left")];
        piece.salvage.columns = vec![column.to_string()];
        piece.salvage.identity = vec!["mail".to_string()];
        piece.salvage.returned = BTreeMap::from([(column.to_string(), Returned::In("left".to_string()))]);
        let then = Table { key: vec!["id".to_string()], ..Table::default() };
        let tables = BTreeMap::from([(TableName::plain(table), then)]);
        piece.catalog = Some(Arc::new(Catalog { tables, ..Catalog::default() }));
        piece.source = Arc::new(Rows(rows.to_vec()));
        piece
    }

    fn found(pieces: &[Piece]) -> Vec<(String, String)> {
        let found = undeclared(pieces).expect("it can be read");
        found.into_iter().map(|one| (one.column, one.parent.to_string())).collect()
    }

    fn pair(column: &str, parent: &str) -> (String, String) {
        (column.to_string(), parent.to_string())
    }

    #[test]
    fn a_column_that_changed_as_a_key_did_refers_to_it() {
        let customers = piece("customers", "id", &[(11, 1), (12, 2), (13, 3)]);
        let of = |column: &str, rows: &[(i64, i64)]| found(&[customers.clone(), piece("doc", column, rows)]);
        assert_eq!(of("owner", &[(11, 1), (13, 3), (11, 1), (7, 7)]), [pair("owner", "customers")]);
        assert_eq!(of("owner", &[(11, 1), (12, 3)]), []);
        assert_eq!(of("owner", &[(7, 7)]), []);
        assert_eq!(found(&[piece("doc", "owner", &[(11, 1), (13, 3)])]), []);
        assert_eq!(
            found(&[Piece { turn: 1, ..customers.clone() }, piece("doc", "owner", &[(11, 1), (13, 3)])]),
            []
        );
    }

    #[test]
    fn one_change_alone_may_be_an_accident_unless_the_name_says_what_it_is() {
        let customers = piece("customers", "id", &[(11, 1), (12, 2)]);
        let of = |column: &str| found(&[customers.clone(), piece("doc", column, &[(11, 1)])]);
        assert_eq!(of("amount"), []);
        assert_eq!(of("customer_id"), [pair("customer_id", "customers")]);
    }

    #[test]
    fn of_two_tables_that_were_numbered_alike_the_name_says_which_it_is() {
        let of = |table: &str| piece(table, "id", &[(11, 1), (12, 2)]);
        let with =
            |column: &str| found(&[of("customers"), of("cities"), piece("doc", column, &[(11, 1), (12, 2)])]);
        assert_eq!(with("city_id"), [pair("city_id", "cities")]);
        assert_eq!(with("other"), []);
    }

    #[test]
    fn of_what_was_not_salvaged_names_and_types_say_what_to_ask_the_snapshot_about() {
        let column = |(name, type_name): &(&str, &str)| crate::catalog::Column {
            name: (*name).to_string(),
            type_name: (*type_name).to_string(),
            ..crate::catalog::Column::default()
        };
        let table = |key: &str, columns: &[(&str, &str)]| Table {
            key: [key].iter().filter(|key| !key.is_empty()).map(|key| (*key).to_string()).collect(),
            columns: columns.iter().map(column).collect(),
            ..Table::default()
        };
        let doc =
            [("id", "INTEGER"), ("customer_id", "INTEGER"), ("customer_name", "TEXT"), ("pages", "INTEGER")];
        let tables = BTreeMap::from([
            (TableName::plain("customers"), table("id", &[("id", "INTEGER"), ("customer_id", "INTEGER")])),
            (TableName::plain("doc"), table("id", &doc)),
            (TableName::plain("log"), table("", &doc)),
        ]);
        let mut customers = piece("customers", "id", &[(11, 1)]);
        customers.catalog = Some(Arc::new(Catalog { tables, ..Catalog::default() }));
        let asked = |pieces: &[Piece]| -> Vec<String> {
            named(pieces).into_iter().map(|one| format!("{}.{}", one.what.table, one.what.column)).collect()
        };
        assert_eq!(asked(std::slice::from_ref(&customers)), ["doc.customer_id"]);
        assert_eq!(asked(&[customers, piece("doc", "customer_id", &[(11, 1)])]), [""; 0]);
    }
}
