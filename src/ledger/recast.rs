//! Columns that read the same in another type. A number in four bytes may be written as one in eight was, and be another one:
//! whether it is, only turning it back into its old type can say, and where there is no way back nobody else does.

use super::pairs::{self, same};
use super::{Answers, RowChanges};
use crate::catalog::TableName;
use crate::fingerprint::Inventory;

/// A column of the database as it is now, and the type that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recast {
    /// The table by its name before, and now.
    pub before: TableName,
    pub now: TableName,
    pub column: String,
    pub type_name: String,
}

/// Returns the columns whose values read the same and whose type is another one.
pub fn recasts(before: &Inventory, now: &Inventory) -> Vec<Recast> {
    let mut found = Vec::new();
    for (name, place) in pairs::tables(&before.fingerprint, &now.fingerprint) {
        let of = |inventory: &Inventory, table: &TableName| {
            let print = inventory.fingerprint.tables.get(table)?.clone();
            Some((print, inventory.catalog.tables.get(table)?.columns.clone()))
        };
        let (Some((old, was)), Some((new, is))) = (of(before, &name), of(now, &place)) else { continue };
        let retyped = was.iter().filter(|column| {
            let other = is.iter().find(|other| other.name == column.name);
            other.is_some_and(|other| other.type_name != column.type_name)
        });
        let read_the_same = retyped.filter(|column| same(&old, &column.name, &new, &column.name));
        found.extend(read_the_same.map(|column| Recast {
            before: name.clone(),
            now: place.clone(),
            column: column.name.clone(),
            type_name: column.type_name.clone(),
        }));
    }
    found
}

/// Adds to the answers how many values are others in their old type.
pub fn turned(answers: &mut Answers, asked: Vec<Recast>, counts: Vec<u64>) {
    for (recast, count) in asked.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
        let rows: &mut RowChanges = answers.entry(recast.before).or_default();
        rows.turned.insert(recast.column, count);
    }
}
