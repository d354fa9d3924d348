//! Triggers of users: silent while salvage is merged, and afterwards each as it was.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::Error;
use std::collections::BTreeSet;

/// One trigger or rule that was silenced, and the statement that sets it back.
pub(in super::super) struct Silenced(String);

/// Disables the triggers and rules of these tables that are not disabled already.
pub(in super::super) async fn silence(
    session: &mut Session,
    tables: &BTreeSet<TableName>,
) -> Result<Vec<Silenced>, Error> {
    let mut silenced = Vec::new();
    for table in tables {
        let number = literal(&table.sql());
        // In version 13 what a partition has of its parent's triggers counts as internal.
        let sql = format!(
            "SELECT 'TRIGGER', g.tgname, g.tgenabled FROM pg_trigger g WHERE g.tgrelid = to_regclass({number}) \
             AND (NOT g.tgisinternal OR g.tgparentid <> 0) AND g.tgenabled <> 'D' \
             AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = g.tgconstraint AND k.contype = 'f') \
             UNION ALL SELECT 'RULE', r.rulename, r.ev_enabled FROM pg_rewrite r \
             WHERE r.ev_class = to_regclass({number}) AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D' ORDER BY 1, 2"
        );
        for row in session.rows("looking for triggers", &sql).await? {
            let (what, name) = (row.text(0), identifier(row.text(1)));
            let how = match row.text(2) {
                "R" => "ENABLE REPLICA",
                "A" => "ENABLE ALWAYS",
                _ => "ENABLE",
            };
            let alter = format!("ALTER TABLE ONLY {}", table.sql());
            session.run(DOING, &format!("{alter} DISABLE {what} {name}")).await?;
            silenced.push(Silenced(format!("{alter} {how} {what} {name}")));
        }
    }
    Ok(silenced)
}

/// Sets each back to what it was.
pub(in super::super) async fn restore(session: &mut Session, silenced: &[Silenced]) -> Result<(), Error> {
    for Silenced(sql) in silenced {
        session.run("setting triggers back", sql).await?;
    }
    Ok(())
}
