//! What a database changes by itself when values are merged: columns that it computes, and foreign keys that follow the
//! value they refer to.

use crate::catalog::{Catalog, Table, TableName};
use crate::ledger::MergedBack;
use std::collections::{BTreeMap, BTreeSet};

/// The columns that follow, by table.
#[derive(Debug, Default)]
pub(super) struct Followed(BTreeMap<TableName, Follows>);

/// The columns of one table that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Follows {
    pub columns: BTreeSet<String>,
    /// Whether one of them identifies rows.
    pub key: bool,
}

impl Followed {
    pub(super) fn of(&self, table: &TableName) -> Follows {
        self.0.get(table).cloned().unwrap_or_default()
    }
}

/// Returns what may follow a merge. One foreign key may follow another.
pub(super) fn followed(catalog: &Catalog, merged: &MergedBack) -> Followed {
    let put = merged.merged.iter().filter(|one| one.merged > 0 && one.column.is_some());
    let mut written: BTreeSet<TableName> = put.map(|one| one.table.clone()).collect();
    let mut found = Followed::default();
    for one in &merged.followed {
        written.insert(one.table.clone());
        found.0.entry(one.table.clone()).or_default().columns.extend(one.columns.iter().cloned());
    }
    loop {
        let before = written.len();
        for (name, table) in &catalog.tables {
            let columns = table.constraints.values().filter_map(|text| following(text, table, &written));
            let columns: BTreeSet<String> = columns.flatten().collect();
            if !columns.is_empty() {
                written.insert(name.clone());
                found.0.entry(name.clone()).or_default().columns.extend(columns);
            }
        }
        if written.len() == before {
            break;
        }
    }
    for name in &written {
        let Some(table) = catalog.tables.get(name) else { continue };
        let follows = found.0.entry(name.clone()).or_default();
        let put = merged.merged.iter().filter(|one| one.table == *name && one.merged > 0);
        let put: BTreeSet<&str> = put.filter_map(|one| one.column.as_deref()).collect();
        let is_other = |column: &String| follows.columns.contains(column) || put.contains(column.as_str());
        follows.key = table.key.iter().any(is_other);
        let computed = table.columns.iter().filter(|column| column.generated.is_some());
        follows.columns.extend(computed.map(|column| column.name.clone()));
    }
    found
}

/// Returns the columns of a foreign key that changes with what it refers to, if one of these tables is that.
fn following(text: &str, table: &Table, written: &BTreeSet<TableName>) -> Option<Vec<String>> {
    let upper = text.to_ascii_uppercase();
    let (at, on) = (upper.find("REFERENCES")?, upper.rfind("ON UPDATE ")?);
    let follows = ["CASCADE", "SET NULL", "SET DEFAULT"];
    if !follows.iter().any(|how| upper[on + "ON UPDATE ".len()..].starts_with(how)) {
        return None;
    }
    // Names are read loosely: one too many here is looked at less closely, one too few would be a false alarm.
    let plain = |text: &str| text.replace(['"', '`', '[', ']'], "").to_ascii_lowercase();
    let parent = plain(text[at + "REFERENCES".len()..].split('(').next().unwrap_or_default());
    let parent = parent.split(" on ").next().unwrap_or_default().trim();
    let is_parent = |name: &&TableName| {
        let own = plain(&name.name);
        parent == own || parent.strip_suffix(&own).is_some_and(|schema| schema.ends_with('.'))
    };
    written.iter().find(is_parent)?;
    let head = plain(&text[..at]);
    let list = head.split_once('(').map_or(head.as_str(), |(_, list)| list.trim_end_matches([' ', ')']));
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    let columns = table.columns.iter().filter(|column| names.contains(&plain(&column.name).as_str()));
    Some(columns.map(|column| column.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Column;
    use crate::ledger::{Merged, Salvage, SalvageKind};

    fn table(columns: &[&str], constraint: &str) -> Table {
        let column = |name: &&str| Column { name: (*name).to_string(), ..Column::default() };
        let constraints = BTreeMap::from([("k".to_string(), constraint.to_string())]);
        Table { columns: columns.iter().map(column).collect(), constraints, ..Table::default() }
    }

    fn merged(table: &str) -> MergedBack {
        let salvage = Salvage {
            what: SalvageKind::Values,
            table: TableName::plain(table),
            key: Vec::new(),
            identity: Vec::new(),
            in_any: false,
            doubt: None,
            columns: Vec::new(),
            returned: BTreeMap::new(),
            in_tree: false,
        };
        let one = Merged { merged: 1, ..Merged::new(&salvage, Some("code")) };
        MergedBack { merged: vec![one], ..MergedBack::default() }
    }

    #[test]
    fn keys_follow_what_they_refer_to_and_what_refers_to_them() {
        let mut catalog = Catalog::default();
        let mut add =
            |name, columns, text| catalog.tables.insert(TableName::plain(name), table(columns, text));
        add("top", &["code"], "code PRIMARY KEY");
        add(
            "z",
            &["a b", "c"],
            "FOREIGN KEY(\"a b\", c) REFERENCES \"top\"(x, y) ON DELETE CASCADE ON UPDATE CASCADE",
        );
        add("a", &["up", "other"], "up REFERENCES [z] ON UPDATE SET NULL");
        add("still", &["up"], "up REFERENCES top(code) ON UPDATE NO ACTION");
        let found = followed(&catalog, &merged("top"));
        let of = |name: &str| found.of(&TableName::plain(name)).columns.into_iter().collect::<Vec<_>>();
        assert_eq!(
            (of("z"), of("a"), of("still")),
            (vec!["a b".into(), "c".into()], vec!["up".into()], vec![])
        );
    }

    #[test]
    fn computed_columns_follow_only_where_something_was_merged() {
        let mut catalog = Catalog::default();
        let mut made = table(&["net", "gross"], "");
        made.columns[1].generated = Some("(net * 2)".to_string());
        catalog.tables.insert(TableName::plain("t"), made);
        let of = |merged| followed(&catalog, &merged).of(&TableName::plain("t")).columns.len();
        assert_eq!((of(merged("t")), of(merged("u"))), (1, 0));
    }
}
