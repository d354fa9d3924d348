//! Rows under a key that another one was given again: whoever enters a line takes the next number of its order, and whoever registers
//! any name that is free.

use super::super::super::session::Session;
use super::super::DOING;
use super::{Look, NOW, Name, THEN, columns, named};
use crate::catalog::{TableName, quote};
use crate::engine::{Error, SHORT_KEY, telling};
use crate::ledger::{Doubt, NAMED};

/// How rows show to be others.
#[derive(Debug)]
pub(super) struct Others {
    /// The place in a key of several columns of what counts the rows of each group: the last of its numbers is given out again.
    pub counting: Option<usize>,
}

/// Tells whether keys are so short that people choose them.
pub(super) fn is_short(then: &Session, table: &TableName, key: &str) -> bool {
    let sql = format!(
        "SELECT coalesce(max(length({0})), 0) FROM (SELECT {0} FROM main.{1} LIMIT 100)",
        quote(key),
        table.sql()
    );
    then.one::<i64>(DOING, &sql).is_ok_and(|longest| longest <= SHORT_KEY)
}

impl Look<'_> {
    /// Takes the keys of rows that show to be others: nothing is as it was of several columns in which rows differ most. At the end
    /// of a group, down to the first row that does not show it, one such column is enough, which is more than what users may edit
    /// in any other row: there a new row has the key of the old one by itself. What was NULL says nothing, and a row that was
    /// cleared is no new one. Returns the column that tells alone, which is evidence nowhere else.
    pub(super) fn others(&self, name: &Name, others: &Others) -> Result<Option<usize>, Error> {
        let keys = self.key.len();
        let telling = self.telling(keys..keys + name.columns.len())?;
        let each = |of: &dyn Fn(usize) -> String, between: &str| {
            telling.iter().map(|at| of(*at)).collect::<Vec<_>>().join(between)
        };
        let last = match (telling.len(), others.counting) {
            (0, _) | (1, None) => return Ok(telling.first().copied()),
            (1, Some(at)) => {
                let group: Vec<String> =
                    (0..keys).filter(|other| *other != at).map(|at| format!("v{at}")).collect();
                let last = format!(
                    "max(CASE WHEN NOT other THEN v{at} END) OVER (PARTITION BY {})",
                    group.join(", ")
                );
                (last, format!("v{at}"))
            }
            // Wherever it is.
            _ => ("NULL".to_string(), "0".to_string()),
        };
        let same: Vec<String> = (0..keys).map(|at| format!("n.v{at} IS t.v{at}")).collect();
        let list = columns("", 0..keys).join(", ");
        let take = format!(
            "INSERT INTO temp.{} SELECT {list} FROM (SELECT {list}, other, {} AS last FROM (\
             SELECT {}, ({}) AND ({}) AND ({}) AS other FROM temp.{THEN} AS t CROSS JOIN temp.{NOW} AS n ON {})) \
             WHERE other AND (last IS NULL OR {} > last)",
            self.keys,
            last.0,
            named(&columns("t", 0..keys)),
            each(&|at| format!("(t.v{at} IS NULL OR t.v{at} IS NOT n.v{at})"), " AND "),
            each(&|at| format!("t.v{at} IS NOT NULL"), " OR "),
            each(&|at| format!("n.v{at} IS NOT NULL"), " OR "),
            same.join(" AND "),
            last.1,
        );
        self.session.run(DOING, &take)?;
        Ok(telling.first().copied().filter(|_| telling.len() == 1))
    }

    /// Looks for rows in which the one column that tells holds something else, and which nothing shows to be others.
    pub(super) fn in_doubt(&self, name: &Name, at: usize) -> Result<Doubt, Error> {
        let keys = self.key.len();
        let same: Vec<String> = (0..keys).map(|at| format!("n.v{at} IS t.v{at}")).collect();
        let texts: Vec<String> =
            (0..keys).map(|at| format!("coalesce(CAST(t.v{at} AS TEXT), 'NULL')")).collect();
        let sql = format!(
            "SELECT {}, count(*) OVER () FROM temp.{THEN} AS t CROSS JOIN temp.{NOW} AS n ON {} \
             WHERE t.v{at} IS NOT NULL AND n.v{at} IS NOT NULL AND t.v{at} IS NOT n.v{at} \
             AND ({list}) NOT IN (SELECT {own} FROM temp.{}) ORDER BY {list} LIMIT {NAMED}",
            texts.join(" || ', ' || "),
            same.join(" AND "),
            self.keys,
            list = columns("t", 0..keys).join(", "),
            own = columns("", 0..keys).join(", "),
        );
        let mut statement = self.session.prepare(&sql).map_err(|error| self.failed(error))?;
        let mut rows = statement.query([]).map_err(|error| self.failed(error))?;
        let mut found = Doubt::default();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let (key, count): (String, i64) =
                row.get(0).and_then(|key| Ok((key, row.get(1)?))).map_err(|error| self.failed(error))?;
            found.add(|| key, &name.columns[at - keys]);
            found.rows = count.unsigned_abs();
        }
        Ok(found)
    }

    /// Returns the columns of then that tell rows apart.
    fn telling(&self, of_name: std::ops::Range<usize>) -> Result<Vec<usize>, Error> {
        let counts: Vec<String> = of_name.clone().map(|at| format!("count(DISTINCT v{at})")).collect();
        let sql = format!("SELECT {} FROM temp.{THEN}", counts.join(", "));
        let read = |row: &rusqlite::Row<'_>| {
            let counted = (0..of_name.len()).map(|at| row.get::<_, i64>(at).map(i64::unsigned_abs));
            counted.collect::<rusqlite::Result<Vec<u64>>>()
        };
        let counted = self.session.query_row(&sql, [], read).map_err(|error| self.failed(error))?;
        Ok(telling(&counted).into_iter().map(|at| of_name.start + at).collect())
    }
}
