//! The difference between two catalogs, as a list of facts.
//!
//! Of a table that inherits columns it leaves out what no dump keeps of them, so that it never calls a restore wrong for that.

use super::{Catalog, Column, Object, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One difference between two catalogs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// What changed: `table users`, `column users.phone`, `index users.ix_phone`, `view recent`, `setting encoding`.
    pub subject: String,
    /// The table it belongs to, as `TableName` prints it, when it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

impl Change {
    /// Tells whether all that it is about is where the columns of a table stand.
    pub fn is_order(&self) -> bool {
        self.table.as_ref().is_some_and(|table| self.subject == order_of(table))
    }
}

fn order_of(table: &str) -> String {
    format!("column order of {table}")
}

/// Which way something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// Returns what differs between `before` and `after`, sorted by subject; nothing for equal catalogs.
pub fn diff(before: &Catalog, after: &Catalog) -> Vec<Change> {
    let mut found = Vec::new();
    keyed(&before.tables, &after.tables, |name, old, new| match (old, new) {
        (Some(old), Some(new)) => table(&name.to_string(), old, new, &mut found),
        (old, new) => {
            let text = name.to_string();
            found.push(change(
                format!("table {text}"),
                Some(&text),
                old.map(|_| text.clone()),
                new.map(|_| text.clone()),
            ));
        }
    });
    keyed(&before.objects, &after.objects, |name, old, new| {
        push_if_changed(&mut found, name.clone(), None, old.map(object_text), new.map(object_text));
    });
    keyed(&before.settings, &after.settings, |name, old, new| {
        push_if_changed(&mut found, format!("setting {name}"), None, old.cloned(), new.cloned());
    });
    found.sort_by(|left, right| left.subject.cmp(&right.subject));
    found
}

fn table(name: &str, before: &Table, after: &Table, found: &mut Vec<Change>) {
    let columns = |table: &Table| -> BTreeMap<String, Column> {
        table.columns.iter().map(|column| (column.name.clone(), column.clone())).collect()
    };
    let by_dump = before.is_child() && after.is_child();
    keyed(&columns(before), &columns(after), |column, old, new| {
        let subject = format!("column {name}.{column}");
        let of_parent = by_dump && [old, new].iter().flatten().all(|side| side.is_inherited());
        let text = |side: &Column| column_text(side, of_parent);
        push_if_changed(found, subject, Some(name), old.map(text), new.map(text));
    });
    let order = |table: &Table, other: &Table| -> Vec<String> {
        let kept = |column: &&Column| {
            let theirs = other.columns.iter().find(|theirs| theirs.name == column.name);
            theirs.is_some_and(|theirs| !(by_dump && column.is_inherited() && theirs.is_inherited()))
        };
        table.columns.iter().filter(kept).map(|column| column.name.clone()).collect()
    };
    let (old_order, new_order) = (order(before, after), order(after, before));
    if old_order != new_order {
        found.push(change(
            order_of(name),
            Some(name),
            Some(old_order.join(", ")),
            Some(new_order.join(", ")),
        ));
    }
    for (word, old, new) in [
        ("constraint", &before.constraints, &after.constraints),
        ("index", &before.indexes, &after.indexes),
        ("trigger", &before.triggers, &after.triggers),
        ("policy", &before.policies, &after.policies),
        ("option", &before.options, &after.options),
    ] {
        keyed(old, new, |key, old, new| {
            push_if_changed(found, format!("{word} {name}.{key}"), Some(name), old.cloned(), new.cloned());
        });
    }
    if before.kind != after.kind {
        let text = |table: &Table| Some(format!("{:?}", table.kind).to_lowercase());
        found.push(change(format!("kind of {name}"), Some(name), text(before), text(after)));
    }
}

fn keyed<K: Ord + Clone, V>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    mut visit: impl FnMut(&K, Option<&V>, Option<&V>),
) {
    let names: std::collections::BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    for name in names {
        visit(name, before.get(name), after.get(name));
    }
}

fn push_if_changed(
    found: &mut Vec<Change>,
    subject: String,
    table: Option<&str>,
    before: Option<String>,
    after: Option<String>,
) {
    if before != after {
        found.push(change(subject, table, before, after));
    }
}

fn change(subject: String, table: Option<&str>, before: Option<String>, after: Option<String>) -> Change {
    let kind = match (&before, &after) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    Change { kind, subject, table: table.map(str::to_string), before, after }
}

/// Returns a column in words; one of a parent's without its compression.
fn column_text(column: &Column, of_parent: bool) -> String {
    let mut text = column.type_name.clone();
    if column.not_null {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some(expression) = &column.generated {
        text.push_str(&format!(" GENERATED {expression}"));
    }
    let mut options = column.options.clone();
    options.retain(|name, _| !(of_parent && name == "compression"));
    text + &options_text(&options)
}

fn object_text(object: &Object) -> String {
    object.definition.clone() + &options_text(&object.options)
}

fn options_text(options: &BTreeMap<String, String>) -> String {
    options.iter().map(|(name, value)| format!(" [{name}: {value}]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;

    fn with_column(type_name: &str) -> Catalog {
        let column = Column { name: "phone".into(), type_name: type_name.into(), ..Column::default() };
        let table = Table { columns: vec![column], ..Table::default() };
        Catalog { tables: BTreeMap::from([(TableName::plain("users"), table)]), ..Catalog::default() }
    }

    #[test]
    fn equal_catalogs_have_no_difference_and_the_same_digest() {
        assert_eq!(diff(&with_column("TEXT"), &with_column("TEXT")), []);
        assert_eq!(with_column("TEXT").sha256(), with_column("TEXT").sha256());
    }

    #[test]
    fn a_changed_type_is_named_with_both_types() {
        let found = diff(&with_column("TEXT"), &with_column("INTEGER"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].subject.as_str()), (ChangeKind::Changed, "column users.phone"));
        assert_eq!((found[0].before.as_deref(), found[0].after.as_deref()), (Some("TEXT"), Some("INTEGER")));
    }

    #[test]
    fn a_column_that_moved_to_the_end_is_a_change_of_order() {
        let order = |names: [&str; 2]| {
            let columns = names.map(|name| Column { name: name.into(), ..Column::default() }).to_vec();
            let table = Table { columns, ..Table::default() };
            Catalog { tables: BTreeMap::from([(TableName::plain("t"), table)]), ..Catalog::default() }
        };
        let found = diff(&order(["a", "b"]), &order(["b", "a"]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].subject.as_str(), found[0].is_order()), ("column order of t", true));
        assert!(diff(&with_column("TEXT"), &with_column("INTEGER")).iter().all(|change| !change.is_order()));
    }

    /// A catalog of one child: its columns, those that it inherits marked with a star.
    fn child(columns: &[&str], options: &[(&str, &str)]) -> Catalog {
        let text = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let column = |name: &&str| {
            let inherited = name.strip_prefix('*').map(|_| ("inherited".to_string(), "yes".to_string()));
            let name = name.trim_start_matches('*').to_string();
            Column { name, options: inherited.into_iter().collect(), ..Column::default() }
        };
        let columns = columns.iter().map(column).collect();
        let table = Table { columns, options: options.iter().map(text).collect(), ..Table::default() };
        Catalog { tables: BTreeMap::from([(TableName::plain("t"), table)]), ..Catalog::default() }
    }

    #[test]
    fn where_the_inherited_columns_of_a_child_stand_is_no_difference_and_the_order_of_its_own_is_one() {
        let inherits = [("inherits", "public.par")];
        let live = child(&["*id", "y", "z", "*x"], &inherits);
        assert_eq!(diff(&live, &child(&["*id", "*x", "y", "z"], &inherits)), []);
        assert_eq!(diff(&live, &child(&["*x", "*id", "y", "z"], &inherits)), []);
        assert_eq!(diff(&live, &child(&["*id", "*x", "z", "y"], &inherits)).len(), 1);
        let no_longer = diff(&live, &child(&["*id", "*x", "y", "z"], &[]));
        assert!(no_longer.iter().any(|change| change.subject == "column order of t"), "{no_longer:?}");
        let part = [("inherits", "public.par"), ("partition", "DEFAULT")];
        assert_eq!(diff(&child(&["*id", "*x"], &part), &child(&["*x", "*id"], &part)).len(), 1);
    }

    #[test]
    fn the_compression_of_an_inherited_column_is_no_difference_and_that_of_an_own_one_is() {
        let with = |column: &str, options: &[(&str, &str)]| {
            let mut catalog = child(&[column], options);
            for column in catalog.tables.values_mut().flat_map(|table| &mut table.columns) {
                column.options.insert("compression".into(), "pglz".into());
            }
            catalog
        };
        let inherits = [("inherits", "public.par")];
        assert_eq!(diff(&with("*d", &inherits), &child(&["*d"], &inherits)), []);
        assert_eq!(diff(&with("d", &inherits), &child(&["d"], &inherits)).len(), 1);
        assert_eq!(diff(&with("d", &[]), &child(&["d"], &[])).len(), 1);
    }

    #[test]
    fn a_dropped_table_is_removed_and_its_columns_are_not_listed_again() {
        let found = diff(&with_column("TEXT"), &Catalog::default());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].subject.as_str()), (ChangeKind::Removed, "table users"));
    }
}
