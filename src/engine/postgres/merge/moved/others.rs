//! Rows under a key that another one was given again: whoever enters a line takes the next number of its order, and whoever registers
//! any name that is free.

use super::super::super::names::identifier;
use super::super::super::session::Session;
use super::super::DOING;
use super::super::live::LiveColumn;
use super::{Name, Subject};
use crate::catalog::TableName;
use crate::engine::{Error, SHORT_KEY, counting, telling};
use crate::ledger::{Doubt, NAMED};

/// Tells whether keys are so short that people choose them.
pub(super) async fn is_short(
    session: &mut Session,
    table: &TableName,
    key: &LiveColumn,
) -> Result<bool, Error> {
    let sql = format!(
        "SELECT coalesce(max(length(k)), 0) <= {SHORT_KEY} FROM (SELECT {}::text AS k FROM ONLY {} LIMIT 100) AS t",
        identifier(&key.name),
        table.sql()
    );
    Ok(session.value(DOING, &sql).await?.as_deref() == Some("t"))
}

impl Subject<'_> {
    /// Takes the keys of rows that show to be others: nothing is as it was of several columns in which rows differ most. At the end
    /// of a group, down to the first row that does not show it, one such column is enough, which is more than what users may edit
    /// in any other row: there a new row has the key of the old one by itself. What was NULL says nothing, and a row that was
    /// cleared is no new one. Returns the column that tells alone, which is evidence nowhere else.
    pub(super) async fn others(
        &self,
        session: &mut Session,
        key: &[&LiveColumn],
        name: &Name,
        on: &str,
    ) -> Result<Option<usize>, Error> {
        let own: Vec<String> = self.key.iter().map(|(_, then)| then.clone()).collect();
        let telling = self.telling(session, name).await?;
        let list = |of: &str| key.iter().map(|column| format!("{of}.{}", identifier(&column.name))).collect();
        let (last, counts) = match (telling.len(), counting(self.catalog, self.then, &own)) {
            (0, _) | (1, None) => return Ok(telling.first().copied()),
            (1, Some(at)) => {
                let mut group: Vec<String> = list("t");
                let counts = group.remove(at);
                let group = group.join(", ");
                (format!("max(CASE WHEN NOT other THEN {counts} END) OVER (PARTITION BY {group})"), counts)
            }
            // Wherever it is.
            _ => ("NULL::bigint".to_string(), "0".to_string()),
        };
        let each = |of: &dyn Fn(&(String, String)) -> String, between: &str| {
            telling.iter().map(|at| of(&name.columns[*at])).collect::<Vec<_>>().join(between)
        };
        let take = format!(
            "INSERT INTO pg_temp.{own}_keys SELECT {all} FROM (\
             SELECT {now}, other AS \"ripcord other\", {counts} AS \"ripcord counts\", {last} AS \"ripcord last\" \
             FROM pg_temp.{own}_then AS s JOIN ONLY {live} AS t ON {on}, \
             LATERAL (SELECT ({differ}) AND ({was}) AND ({is}) AS other) AS o) AS x \
             WHERE \"ripcord other\" AND (\"ripcord last\" IS NULL OR \"ripcord counts\" > \"ripcord last\")",
            own = self.name,
            all = list("x").join(", "),
            now = list("t").join(", "),
            live = self.now.sql(),
            differ = each(
                &|(then, now)| format!("({then} IS NULL OR {then}::text IS DISTINCT FROM {now}::text)"),
                " AND "
            ),
            was = each(&|(then, _)| format!("{then} IS NOT NULL"), " OR "),
            is = each(&|(_, now)| format!("{now} IS NOT NULL"), " OR "),
        );
        session.run(DOING, &take).await?;
        Ok(telling.first().copied().filter(|_| telling.len() == 1))
    }

    /// Looks for rows in which the one column that tells holds something else, and which nothing shows to be others.
    pub(super) async fn in_doubt(
        &self,
        session: &mut Session,
        key: &[&LiveColumn],
        (name, at): (&Name, usize),
        on: &str,
    ) -> Result<Doubt, Error> {
        let (then, now) = &name.columns[at];
        let list = |of: &str| -> Vec<String> {
            key.iter().map(|column| format!("{of}.{}", identifier(&column.name))).collect()
        };
        let same: Vec<String> =
            list("o").iter().zip(list("t")).map(|(other, own)| format!("{other} = {own}")).collect();
        let found = format!(
            "SELECT ({texts})::text AS key, count(*) OVER () AS count FROM pg_temp.{own}_then AS s JOIN ONLY {live} AS t ON {on} \
             WHERE {then}::text <> {now}::text AND NOT EXISTS (SELECT FROM pg_temp.{own}_keys AS o WHERE {same}) ORDER BY {all} LIMIT {NAMED}",
            texts =
                list("t").iter().map(|part| format!("{part}::text")).collect::<Vec<_>>().join(" || ', ' || "),
            own = self.name,
            live = self.now.sql(),
            same = same.join(" AND "),
            all = list("t").join(", "),
        );
        let rows = session.rows(DOING, &found).await?;
        Ok(Doubt {
            rows: rows.first().map_or(0, |row| row.number::<u64>(1)),
            keys: rows.iter().map(|row| row.text(0).to_string()).collect(),
            columns: rows.first().map(|_| name.called[at].clone()).into_iter().collect(),
            ..Doubt::default()
        })
    }

    /// Returns the columns of a name that told rows apart then.
    async fn telling(&self, session: &mut Session, name: &Name) -> Result<Vec<usize>, Error> {
        let counts: Vec<String> =
            name.columns.iter().map(|(then, _)| format!("count(DISTINCT {then}::text)")).collect();
        let sql = format!("SELECT {} FROM pg_temp.{}_then AS s", counts.join(", "), self.name);
        let rows = session.rows(DOING, &sql).await?;
        let row = rows.first();
        let counted = |at: usize| row.and_then(|row| row.text(at).parse::<u64>().ok()).unwrap_or(0);
        let counted: Vec<u64> = (0..name.columns.len()).map(counted).collect();
        Ok(telling(&counted))
    }
}
