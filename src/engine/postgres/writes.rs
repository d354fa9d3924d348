//! Whether anybody else wrote: by the numbers that the server gives to transactions that write.
//!
//! The numbers are of the whole cluster, so they can prove that nobody wrote, and cannot prove that somebody wrote to
//! this database: where a stranger's transaction was committed, the answer is that it cannot be told.

use super::PostgresDatabase;
use super::session::{Purpose, Session};
use crate::engine::{Error, OtherWrites, WriteMark};
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

/// How many numbers are looked at one by one; after more than these somebody surely wrote somewhere.
const LOOKED_AT: u64 = 20_000;
const DOING: &str = "looking at the server's transactions";

/// What a mark holds.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// A number that was given to us: every later transaction has a greater one.
    number: u64,
    /// Transactions that had a number and had not ended.
    running: Vec<u64>,
}

impl PostgresDatabase {
    pub(super) async fn mark_writes(&self) -> Result<WriteMark, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let mark = look(&mut session).await;
        session.close().await;
        let text = serde_json::to_string(&mark?);
        text.map(WriteMark)
            .map_err(|error| Error::Driver { doing: DOING.to_string(), detail: error.to_string() })
    }

    pub(super) async fn writes_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        let Ok(before) = serde_json::from_str::<Mark>(&mark.0) else {
            return Ok(OtherWrites::Unknown("the mark cannot be read".to_string()));
        };
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let answer = self.compare(&mut session, &before).await;
        session.close().await;
        answer
    }

    async fn compare(&self, session: &mut Session, before: &Mark) -> Result<OtherWrites, Error> {
        let now = look(session).await?;
        let between = now.number.saturating_sub(before.number + 1);
        if between > LOOKED_AT {
            let text = format!("{between} transactions wrote in this cluster, perhaps in other databases");
            return Ok(OtherWrites::Unknown(text));
        }
        let own = self.own_transactions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own: Vec<String> = own.iter().map(u64::to_string).collect();
        let mut candidates = vec![format!(
            "SELECT g FROM generate_series({}::bigint, {}::bigint) AS g",
            before.number + 1,
            now.number.saturating_sub(1)
        )];
        candidates.extend(before.running.iter().map(|number| format!("SELECT {number}::bigint")));
        let sql = format!(
            "SELECT coalesce(pg_xact_status(c.g::text::xid8), 'forgotten'), count(*) FROM ({}) AS c(g) \
             WHERE c.g <> ALL ('{{{}}}'::bigint[]) GROUP BY 1",
            candidates.join(" UNION ALL "),
            own.join(",")
        );
        let rows = session.rows(DOING, &sql).await?;
        let count = |status: &str| -> u64 {
            rows.iter().find(|row| row.text(0) == status).map_or(0, |row| row.number(1))
        };
        // An aborted transaction left nothing behind.
        Ok(match (count("committed") + count("forgotten"), count("in progress")) {
            (0, 0) => OtherWrites::Nobody,
            (0, running) => {
                OtherWrites::Unknown(format!("{running} other transactions in this cluster have not ended"))
            }
            (ended, _) => OtherWrites::Unknown(format!(
                "{ended} other transactions wrote in this cluster, perhaps in other databases"
            )),
        })
    }
}

async fn look(session: &mut Session) -> Result<Mark, Error> {
    let number = session.value(DOING, "SELECT pg_current_xact_id()").await?;
    let number = number.and_then(|text| text.parse().ok()).unwrap_or_default();
    // In a statement of its own: our number has ended by now, so that the snapshot lists every older one that has not.
    let rows = session.rows(DOING, "SELECT pg_snapshot_xip(pg_current_snapshot())").await?;
    Ok(Mark { number, running: rows.iter().map(|row| row.number(0)).collect() })
}
