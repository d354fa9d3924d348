//! Whether the transaction of a merge was committed: the server knows it by its number, which the journal has.
//!
//! A number says something only where it was given out: a database that was restored elsewhere, or a standby that was
//! promoted and may lack the last commits, gives the same number to another transaction.

use super::super::PostgresDatabase;
use super::super::session::Purpose;
use crate::engine::{Error, MergeBecame, TRANSACTION};
use crate::journal::ScriptLog;
use std::collections::BTreeMap;

const ASKING: &str = "asking what became of the merge";
/// The database, and what of the cluster and its history a server tells; some hosted ones keep both to themselves, and then
/// nothing tells one server from another.
const OF_DATABASE: &str = "SELECT oid FROM pg_database WHERE datname = current_database()";
const OF_SERVER: &str = "SELECT s.system_identifier || '/' || c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c";

/// Writes down the number of the transaction, and where it was given out.
pub(super) fn write_down(log: &ScriptLog, place: &str, transaction: u64) -> Result<(), Error> {
    Ok(log.fact(TRANSACTION, &format!("{transaction} {place}"))?)
}

impl PostgresDatabase {
    /// Says where the numbers of transactions come from.
    pub(super) async fn place_of_transactions(&self) -> Result<String, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let database = session.value(ASKING, OF_DATABASE).await;
        let server = session.value(ASKING, OF_SERVER).await.unwrap_or_default();
        session.give_back().await;
        Ok(format!("{} {}", database?.unwrap_or_default(), server.unwrap_or_default()))
    }

    pub(in super::super) async fn merge_transaction_became(
        &self,
        facts: &BTreeMap<String, String>,
    ) -> Result<MergeBecame, Error> {
        let told = facts.get(TRANSACTION).and_then(|text| text.split_once(' '));
        let Some((transaction, place)) =
            told.and_then(|(number, place)| Some((number.parse::<u64>().ok()?, place)))
        else {
            return Ok(MergeBecame::Unknown("the journal does not name its transaction".to_string()));
        };
        if place.split_once(' ').is_none_or(|(_, server)| server.trim().is_empty()) {
            let why = "the server does not tell this user which one it is (pg_control_system, pg_control_checkpoint)";
            return Ok(MergeBecame::Unknown(why.to_string()));
        }
        if place != self.place_of_transactions().await? {
            let why = "the database is in another place since, or its server is another one";
            return Ok(MergeBecame::Unknown(why.to_string()));
        }
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let status = session.value(ASKING, &format!("SELECT pg_xact_status('{transaction}'::xid8)")).await;
        session.give_back().await;
        let status = match status {
            // No such number was given out yet.
            Err(error) if error.to_string().contains("22023") => {
                return Ok(MergeBecame::Unknown(error.to_string()));
            }
            status => status?,
        };
        match status.as_deref() {
            Some("committed") => Ok(MergeBecame::Committed),
            Some("aborted") => Ok(MergeBecame::NotCommitted),
            // Its session was told to end: whoever asks again gets an answer.
            Some(other) => Err(Error::Undecided { detail: format!("the merge is {other}") }),
            None => Ok(MergeBecame::Unknown("it is too long ago for the server to know".to_string())),
        }
    }
}
