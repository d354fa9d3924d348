//! Rows whose key users changed, found by what else is unique in them: their values come back to them.

use super::super::names::identifier;
use super::super::session::Session;
use super::DOING;
use super::live::{self, LiveColumn};
use super::target::Target;
use crate::catalog::TableName;
use crate::engine::Error;

/// The table then and now.
pub(super) struct NewKeys<'a> {
    pub now: &'a TableName,
    pub key: &'a [&'a LiveColumn],
    /// The temporary table with the rows of then, `k0`, `k1` … for the key.
    pub then: &'a str,
    /// The table that is made, with the key of then and `n0`, `n1` … for the one of now.
    pub found: &'a str,
}

impl NewKeys<'_> {
    /// Makes the table, of rows whose name is that of just one row of then, which is gone by its key, and of just one row of now, whose
    /// key no row had then. `names` are expressions of a row then (`s`) and now (`t`), each unique then.
    pub(super) async fn look(&self, session: &mut Session, names: &[(String, String)]) -> Result<(), Error> {
        let Self { now, key, then, found } = self;
        let (live, width) = (now.sql(), key.len());
        let list = |of: &str| (0..width).map(|at| format!("{of}{at}")).collect::<Vec<_>>().join(", ");
        let own: Vec<String> = key.iter().map(|column| format!("t.{}", identifier(&column.name))).collect();
        let same = |one: &dyn Fn(usize) -> String, other: &str| {
            let pairs = key.iter().enumerate();
            let pairs = pairs.map(|(at, column)| column.equals(&one(at), &format!("{other}{at}")));
            pairs.collect::<Vec<_>>().join(" AND ")
        };
        let new: Vec<String> = own.iter().enumerate().map(|(at, own)| format!("{own} AS n{at}")).collect();
        let make = format!(
            "CREATE TEMPORARY TABLE {found} ON COMMIT DROP AS SELECT {}, {} FROM pg_temp.{then} AS s, ONLY {live} AS t WITH NO DATA",
            list("s.k"),
            new.join(", ")
        );
        session.run(DOING, &make).await?;
        for (name, name_now) in names {
            let find = format!(
                "WITH gone AS MATERIALIZED (SELECT s.*, {name} AS named FROM pg_temp.{then} AS s \
                 WHERE {name} IS NOT NULL AND NOT EXISTS (SELECT FROM ONLY {live} AS t WHERE {at_all})), \
                 found AS (SELECT {gone}, {new}, count(*) OVER (PARTITION BY g.named) AS times \
                 FROM gone AS g JOIN ONLY {live} AS t ON g.named = {name_now}) \
                 INSERT INTO pg_temp.{found} SELECT {all} FROM found AS f WHERE f.times = 1 \
                 AND NOT EXISTS (SELECT FROM pg_temp.{then} AS s WHERE {taken})",
                at_all = same(&|at| own[at].clone(), "s.k"),
                gone = list("g.k"),
                new = new.join(", "),
                all = [list("f.k"), list("f.n")].join(", "),
                taken = same(&|at| format!("f.n{at}"), "s.k"),
            );
            session.run(DOING, &find).await?;
        }
        if names.len() > 1 {
            self.agree(session).await?;
        }
        session.run(DOING, &format!("ANALYZE pg_temp.{found}")).await
    }

    /// Leaves each row once, and takes out those of which two names say different things.
    async fn agree(&self, session: &mut Session) -> Result<(), Error> {
        let (found, width) = (self.found, self.key.len());
        let row = |of: &str, column: &str| {
            let list: Vec<String> = (0..width).map(|at| format!("{of}.{column}{at}")).collect();
            format!("ROW({})::text", list.join(", "))
        };
        let other = |held: &str, differs: &str| {
            format!(
                "EXISTS (SELECT FROM pg_temp.{found} AS o WHERE {} = {} AND {} <> {})",
                row("o", held),
                row("f", held),
                row("o", differs),
                row("f", differs)
            )
        };
        let (several, shared) = (other("k", "n"), other("n", "k"));
        let agree = format!(
            "DELETE FROM pg_temp.{found} AS f WHERE {several} OR {shared}; \
             DELETE FROM pg_temp.{found} AS f USING pg_temp.{found} AS o WHERE f.ctid > o.ctid AND {} = {}",
            row("o", "k"),
            row("f", "k")
        );
        session.run(DOING, &agree).await
    }
}

impl Target<'_> {
    /// Lets the loaded rows be found by the keys that their rows have now.
    pub(super) async fn take_new_keys(&mut self, session: &mut Session, keys: &str) -> Result<(), Error> {
        // A key that is compared by its text has no row of another type.
        if self.is_found_by_misfit().is_some() {
            return Ok(());
        }
        let live = live::columns(session, &self.table).await?;
        let find = |wanted: &str| live.iter().find(|column| column.name == wanted);
        let places = || self.found_by.iter().enumerate().map(|(at, (name, place))| (at, name, place));
        let on: Vec<String> = places()
            .filter_map(|(at, name, place)| {
                Some(find(name)?.equals(&format!("m.k{at}"), &format!("s.v{place}")))
            })
            .collect();
        let set: Vec<String> = places().map(|(at, _, place)| format!("v{place} = m.n{at}")).collect();
        let take = format!(
            "UPDATE pg_temp.{loaded} AS s SET {} FROM pg_temp.{keys} AS m WHERE {}",
            set.join(", "),
            on.join(" AND "),
            loaded = self.loaded
        );
        let took = session.execute(&take).await.map_err(|error| session.failed(&error, DOING))?;
        self.found_anew += took;
        if took > 0 {
            session.run(DOING, &format!("ANALYZE pg_temp.{}", self.loaded)).await?;
        }
        Ok(())
    }
}
