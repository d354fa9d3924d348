//! The difference between two catalogs, as a list of facts.

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
    keyed(&columns(before), &columns(after), |column, old, new| {
        let subject = format!("column {name}.{column}");
        push_if_changed(found, subject, Some(name), old.map(column_text), new.map(column_text));
    });
    let order = |table: &Table, other: &Table| -> Vec<String> {
        let kept = |column: &&Column| other.columns.iter().any(|theirs| theirs.name == column.name);
        table.columns.iter().filter(kept).map(|column| column.name.clone()).collect()
    };
    let (old_order, new_order) = (order(before, after), order(after, before));
    if old_order != new_order {
        let subject = format!("column order of {name}");
        found.push(change(subject, Some(name), Some(old_order.join(", ")), Some(new_order.join(", "))));
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

fn column_text(column: &Column) -> String {
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
    text + &options_text(&column.options)
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
        assert_eq!(found[0].subject, "column order of t");
    }

    #[test]
    fn a_dropped_table_is_removed_and_its_columns_are_not_listed_again() {
        let found = diff(&with_column("TEXT"), &Catalog::default());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].subject.as_str()), (ChangeKind::Removed, "table users"));
    }
}
