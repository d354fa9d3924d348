//! Holding the real run against its rehearsal: the definitions must end as they ended on the copy, what the ledger calls
//! kept must hold what it held, and where nothing but the migration can have had a hand in it, all rows must be those of
//! the copy.

use super::{Circumstances, Scope, wrong};
use crate::catalog::{Catalog, Change, Table, TableName, diff};
use crate::engine::OtherWrites;
use crate::fingerprint::{ColumnVerdict, Inventory, TableComparison, TableVerdict, compare};
use crate::ledger::{Again, Fate, Ledger};
use crate::report::Check;
use std::collections::{BTreeMap, BTreeSet};

/// What the rehearsal of a change saw.
#[derive(Clone, Copy)]
pub struct Rehearsed<'a> {
    pub ledger: &'a Ledger,
    /// The definitions of the copy before, and all of it at the end of the way there; `None` when only the ledger was kept.
    pub copy: Option<(&'a Catalog, &'a Inventory)>,
}

/// Words that make the same statement write something else the next time, or on a copy whose rows lie in another order.
const VARYING: [&str; 41] = [
    "array_agg",
    "autoincrement",
    "bigserial",
    "clock_timestamp",
    "ctid",
    "current_catalog",
    "current_database",
    "current_date",
    "current_role",
    "current_setting",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "datetime",
    "gen_random_uuid",
    "identity",
    "json_agg",
    "jsonb_agg",
    "julianday",
    "limit",
    "localtime",
    "localtimestamp",
    "nextval",
    "now",
    "pg_current_xact_id",
    "random",
    "randomblob",
    "row_number",
    "serial",
    "session_user",
    "statement_timestamp",
    "strftime",
    "string_agg",
    "time",
    "timeofday",
    "transaction_timestamp",
    "txid_current",
    "unixepoch",
    "uuid_generate_v4",
    "xmin",
];

impl Rehearsed<'_> {
    /// Adds what differs from the rehearsal to the check. Tables that the migration leaves alone are judged already.
    pub(super) fn hold(
        &self,
        before: &Inventory,
        after: &Inventory,
        around: &Circumstances<'_>,
        scope: &Scope<'_>,
        check: &mut Check,
    ) {
        let untouched = scope.untouched;
        self.definitions(before, after, around, untouched, check);
        // On an empty copy nothing was seen of rows.
        if !self.ledger.rows_seen {
            return;
        }
        let moved = self.kept_columns(before, after, untouched);
        for (table, columns) in &moved {
            let what = format!("the rehearsal kept {}, and other values are there now", columns.join(", "));
            blame("kept-column-changed", table, &what, around, check);
        }
        let Some((_, end)) = self.copy else { return };
        let compared = compare(&end.fingerprint, &after.fingerprint);
        let differing = compared.differing().filter(|(name, _)| !name.is_bookkeeping() && !untouched(name));
        for (name, table) in differing.filter(|(name, _)| !moved.contains_key(*name)) {
            self.rows(name, table, after, (around, scope), check);
        }
    }

    /// The definitions must end as on the copy.
    fn definitions(
        &self,
        before: &Inventory,
        after: &Inventory,
        around: &Circumstances<'_>,
        untouched: &dyn Fn(&TableName) -> bool,
        check: &mut Check,
    ) {
        let known: BTreeSet<String> = check.wrong.iter().map(|wrong| wrong.subject.clone()).collect();
        let doubted = check.unsure.clone();
        for (change, detail) in self.other_definitions(before, after) {
            let is_doubted = |told: &String| told.starts_with(&format!("{}: ", change.subject));
            if known.contains(&change.subject) || doubted.iter().any(is_doubted) {
                continue;
            }
            let table = change.table.as_deref().and_then(TableName::parse);
            let of_others = table.is_some_and(|table| untouched(&table)) || change.table.is_none();
            let told = format!("{}: {detail}", change.subject);
            if !self.ledger.rows_seen {
                check.unsure.push(format!("{told}; the copy had no rows, which may be why"));
            } else if of_others && *around.others != OtherWrites::Nobody {
                check.unsure.push(format!("{told}; other sessions may have done that"));
            } else {
                check.wrong.push(wrong("not-as-rehearsed", &change.subject, detail));
            }
        }
    }

    fn other_definitions(&self, before: &Inventory, after: &Inventory) -> Vec<(Change, &'static str)> {
        let own = Catalog::without_bookkeeping;
        match self.copy {
            Some((beginning, end)) if own(beginning) == own(&before.catalog) => {
                let differing = diff(&own(&end.catalog), &own(&after.catalog)).into_iter();
                differing.map(|change| (change, "it is not as it was at the end of the rehearsal")).collect()
            }
            // The copy began otherwise, on another server: then only what changed can be compared.
            _ => {
                let real = diff(&own(&before.catalog), &own(&after.catalog));
                let name = |change: &Change| (change.kind, change.subject.clone());
                let named = |all: &[Change]| all.iter().map(name).collect::<BTreeSet<_>>();
                let (there, here) = (named(&self.ledger.catalog), named(&real));
                let more = real.into_iter().filter(|change| !there.contains(&name(change)));
                let more = more.map(|change| (change, "it changed, and did not in the rehearsal"));
                let less = self.ledger.catalog.iter().filter(|change| !here.contains(&name(change))).cloned();
                more.chain(less.map(|change| (change, "it changed in the rehearsal, and not here"))).collect()
            }
        }
    }

    /// Returns the columns, by table, that the ledger calls kept and that do not hold what they held.
    fn kept_columns(
        &self,
        before: &Inventory,
        after: &Inventory,
        untouched: &dyn Fn(&TableName) -> bool,
    ) -> BTreeMap<TableName, Vec<String>> {
        let compared = compare(&before.fingerprint, &after.fingerprint);
        let rehearsed = self.copy.map(|(_, end)| compare(&before.fingerprint, &end.fingerprint));
        let kept = |entry: &&crate::ledger::TableEntry| {
            let now = after.fingerprint.tables.get(&entry.table).map(|table| table.rows);
            // With one row more or less a digest says nothing of the others: that is judged by the number of rows.
            let same_number = now.is_some() && now == entry.rows_after;
            let is_touched = !untouched(&entry.table) && !entry.table.is_bookkeeping();
            entry.fate == Fate::Kept && is_touched && same_number
        };
        let mut moved = BTreeMap::new();
        for entry in self.ledger.tables.iter().filter(kept) {
            let verdict = |all: &crate::fingerprint::Comparison, column: &str| {
                all.tables.get(&entry.table).and_then(|table| table.columns.get(column).copied())
            };
            let same_rows = entry.inserted == 0 && entry.deleted == 0;
            let columns = entry.columns.iter().filter(|(_, fate)| **fate == Fate::Kept);
            let columns = columns.map(|(column, _)| column.as_str()).filter(|column| match &rehearsed {
                Some(rehearsed) => verdict(rehearsed, column) == Some(ColumnVerdict::Kept),
                None => same_rows,
            });
            // Under another key nothing can be compared; that it is another one is said by the definitions.
            let fine = [Some(ColumnVerdict::Kept), Some(ColumnVerdict::Incomparable)];
            let is_other = |column: &&str| !fine.contains(&verdict(&compared, column));
            let other: Vec<String> = columns.filter(is_other).map(str::to_string).collect();
            if !other.is_empty() {
                moved.insert(entry.table.clone(), other);
            }
        }
        moved
    }

    /// Judges a table that the migration names and that does not hold what it held at the end of the rehearsal.
    fn rows(
        &self,
        name: &TableName,
        table: &TableComparison,
        after: &Inventory,
        (around, scope): (&Circumstances<'_>, &Scope<'_>),
        check: &mut Check,
    ) {
        let reached = scope.reached.contains(name);
        if table.verdict != TableVerdict::Changed {
            // That it is there or not is said by the definitions.
            return;
        }
        let of_chance = match &self.ledger.again {
            Again::Same => false,
            Again::NotDeterministic { differs } | Again::Differs { differs } => {
                let named = format!("{name}.");
                differs.iter().any(|what| what.starts_with(&named) || *what == format!("rows of {name}"))
            }
            // Of what the migration does not even name, more must be known than that nothing is.
            Again::Failed { .. } | Again::NotRun => !reached,
        };
        match (table.rows_before, table.rows_after) {
            (Some(rehearsed), Some(real)) if real < rehearsed && !self.deletes_by_chance(name) => {
                let what = format!(
                    "it has {}, and {rehearsed} at the end of the rehearsal",
                    super::super::rows_of(real)
                );
                blame("more-lost-than-rehearsed", name, &what, around, check);
            }
            _ if of_chance => {}
            _ => {
                let what = "it holds other rows or values than at the end of the rehearsal";
                if *around.others == OtherWrites::Nobody
                    && self.may_vary((!reached).then_some(name), after, around)
                {
                    check.unsure.push(format!(
                        "{name}: {what}; they may depend on the time, on chance or on an order"
                    ));
                } else {
                    blame("not-as-rehearsed", name, what, around, check);
                }
            }
        }
    }

    fn deletes_by_chance(&self, name: &TableName) -> bool {
        match &self.ledger.again {
            Again::NotDeterministic { differs } => differs.contains(&format!("rows of {name}")),
            _ => false,
        }
    }

    /// Tells whether anything that the migration says, or that fires in the table, can write something else each time; in
    /// any table where none is named: what reaches one sideways fires elsewhere.
    fn may_vary(&self, name: Option<&TableName>, after: &Inventory, around: &Circumstances<'_>) -> bool {
        if VARYING.iter().any(|word| around.touches.mentions(&TableName::plain(*word))) {
            return true;
        }
        let tables =
            || after.catalog.tables.iter().filter(|(table, _)| name.is_none_or(|name| name == *table));
        let programs = after.catalog.objects.values().filter(|object| object.kind.contains("function"));
        let programs = programs.map(|object| object.definition.clone());
        let fires = name.is_none() || tables().any(|(_, table)| !table.triggers.is_empty());
        let texts = tables().flat_map(|(_, table)| words_of(table)).chain(programs.filter(|_| fires));
        texts.into_iter().any(|text| has_varying_word(&text))
    }
}

/// What the definition of a table lets the engine compute by itself.
fn words_of(table: &Table) -> Vec<String> {
    let columns = table.columns.iter().flat_map(|column| {
        let options = column.options.iter().map(|(name, value)| format!("{name} {value}"));
        column.default.iter().chain(&column.generated).cloned().chain(options)
    });
    columns.chain(table.triggers.values().cloned()).collect()
}

fn has_varying_word(text: &str) -> bool {
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.map(str::to_lowercase).any(|word| VARYING.contains(&word.as_str()))
}

/// Decides whose doing a difference is in a table that the migration names.
fn blame(code: &str, name: &TableName, what: &str, around: &Circumstances<'_>, check: &mut Check) {
    let by_migration = around.applied.rows_written.as_ref().map(|rows| rows.get(name).copied().unwrap_or(0));
    match (around.others, by_migration) {
        (OtherWrites::Nobody, _) => check.wrong.push(wrong(code, &name.to_string(), what)),
        (_, Some(0)) => {
            check.unsure.push(format!("{name}: {what}, written by other sessions while the migration ran"));
        }
        _ => check.unsure.push(format!(
            "{name}: {what}; other sessions may have written while the migration ran, so it cannot be told whose doing \
             it is"
        )),
    }
}
