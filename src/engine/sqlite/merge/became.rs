//! What says that a merge was committed: an empty table that its own transaction makes.

use super::super::Site;
use super::super::session::Session;
use super::DOING;
use crate::catalog::quote;
use crate::engine::{Error, MergeBecame, merged_table_name};

/// Makes the table; it is there if the transaction is committed, and only then.
pub(super) fn leave(session: &Session, operation: &str) -> Result<(), Error> {
    forget(session, operation)?;
    let name = quote(&merged_table_name(operation));
    session.run(DOING, &format!("CREATE TABLE main.{name} (operation TEXT)"))
}

fn forget(session: &Session, operation: &str) -> Result<(), Error> {
    let name = quote(&merged_table_name(operation));
    session.run(DOING, &format!("DROP TABLE IF EXISTS main.{name}"))
}

impl Site {
    pub(in super::super) fn merge_became(&self, operation: &str) -> Result<MergeBecame, Error> {
        let is_there = self.look()?.has_table(&merged_table_name(operation))?;
        Ok(if is_there { MergeBecame::Committed } else { MergeBecame::NotCommitted })
    }

    /// Drops the table with the connection that is known as ours: nobody takes it for a stranger's write.
    pub(in super::super) fn forget_merge(&self, operation: &str) -> Result<(), Error> {
        if !self.look()?.has_table(&merged_table_name(operation))? {
            return Ok(());
        }
        self.with_writer(|writer| forget(&writer.session, operation))
    }
}
