//! Publications of PostgreSQL: which tables they name.

use super::{Catalog, Object, TableName, parts};
use std::collections::BTreeSet;

/// How the names of publications begin among the objects.
const KIND: &str = "publication ";

impl Object {
    /// Returns the tables of a publication, and the rest of its definition; none if it has all there are.
    fn published(&self) -> Option<(BTreeSet<TableName>, &str)> {
        let (tables, rest) = self.definition.strip_prefix("TABLES ")?.rsplit_once(" INSERT ")?;
        let tables = tables.split(", ").filter(|name| !name.is_empty());
        Some((tables.filter_map(TableName::parse).collect(), rest))
    }
}

impl Catalog {
    /// Returns the names of the publications that name a table.
    pub fn publications_of(&self, table: &TableName) -> BTreeSet<String> {
        let names = self.objects.iter().filter_map(|(key, object)| {
            let mut name = parts(key.strip_prefix(KIND)?)?;
            object.published().is_some_and(|(tables, _)| tables.contains(table)).then(|| name.pop())?
        });
        names.collect()
    }

    /// Returns the names of the publications that name a table here, and have it no more in another catalog.
    pub fn publications_without(&self, table: &TableName, now: &Catalog) -> Vec<String> {
        let has_all = |object: &Object| object.kind == "publication" && object.published().is_none();
        let all = now.objects.iter().filter(|(_, object)| has_all(object));
        let all: BTreeSet<String> =
            all.filter_map(|(key, _)| parts(key.strip_prefix(KIND)?)?.pop()).collect();
        let named = now.publications_of(table);
        let here = self.publications_of(table).into_iter();
        here.filter(|name| !named.contains(name) && !all.contains(name)).collect()
    }

    /// Tells whether nothing else became of an object than that it is a publication which got some of these tables.
    pub fn only_published(&self, after: &Catalog, key: &str, tables: &BTreeSet<TableName>) -> bool {
        let (Some(old), Some(new)) = (self.objects.get(key), after.objects.get(key)) else { return false };
        let (Some((before, rest)), Some((now, rest_now))) = (old.published(), new.published()) else {
            return false;
        };
        let got: BTreeSet<TableName> = now.difference(&before).cloned().collect();
        old.options == new.options && rest == rest_now && before.is_subset(&now) && got.is_subset(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "INSERT t UPDATE t DELETE t TRUNCATE t";

    fn with(definition: String) -> Catalog {
        let object = Object { kind: "publication".to_string(), definition, ..Object::default() };
        Catalog { objects: [("publication \"Odd p\"".to_string(), object)].into(), ..Catalog::default() }
    }

    fn names(names: &[&str]) -> BTreeSet<TableName> {
        names.iter().map(|name| TableName::qualified("public", *name)).collect()
    }

    #[test]
    fn the_publications_of_a_table_are_those_that_name_it() {
        let catalog = with(format!("TABLES public.\"user\", public.t {REST}"));
        let of = |name: &str| catalog.publications_of(&TableName::qualified("public", name));
        assert_eq!(of("user"), BTreeSet::from(["Odd p".to_string()]));
        assert_eq!(of("other"), BTreeSet::new());
        assert_eq!(
            with(format!("ALL TABLES {REST}")).publications_of(&TableName::plain("t")),
            BTreeSet::new()
        );
    }

    #[test]
    fn a_table_has_left_a_publication_that_neither_names_it_nor_has_all_tables() {
        let before = with(format!("TABLES public.a, public.b {REST}"));
        let left = |now: &str| {
            before.publications_without(&TableName::qualified("public", "a"), &with(format!("{now} {REST}")))
        };
        assert_eq!(left("TABLES public.b"), ["Odd p"]);
        assert_eq!((left("ALL TABLES").len(), left("TABLES public.a").len()), (0, 0));
    }

    #[test]
    fn a_publication_that_got_other_tables_or_lost_some_has_changed() {
        let key = "publication \"Odd p\"";
        let before = with(format!("TABLES public.a {REST}"));
        let got = |tables: &str, rest: &str| {
            before.only_published(&with(format!("TABLES {tables} {rest}")), key, &names(&["b", "c"]))
        };
        assert!(got("public.a, public.b", REST) && got("public.a, public.b, public.c", REST));
        assert!(!got("public.a, public.d", REST) && !got("public.b", REST));
        assert!(!got("public.a, public.b", "INSERT f UPDATE t DELETE t TRUNCATE t"));
        let emptied = with(format!("TABLES  {REST}"));
        assert!(emptied.only_published(&with(format!("TABLES public.b {REST}")), key, &names(&["b"])));
    }
}
