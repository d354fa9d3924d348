//! Triggers of users: silent while salvage is merged, and afterwards each as it was.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::{Error, Merged};
use crate::ledger::SalvageKind;
use std::collections::BTreeSet;

/// One trigger or rule that was silenced, and the statement that sets it back.
pub(in super::super) struct Silenced {
    back: String,
    table: TableName,
    /// The trigger's name and, where it would have fired, for what: inserted rows, updated ones.
    name: String,
    fires_for: [bool; 2],
}

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
            "SELECT 'TRIGGER', g.tgname, g.tgenabled, g.tgtype & 4 <> 0, g.tgtype & 16 <> 0 FROM pg_trigger g WHERE g.tgrelid = to_regclass({number}) \
             AND (NOT g.tgisinternal OR g.tgparentid <> 0) AND g.tgenabled <> 'D' \
             AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = g.tgconstraint AND k.contype = 'f') \
             UNION ALL SELECT 'RULE', r.rulename, r.ev_enabled, r.ev_type = '3', r.ev_type = '2' FROM pg_rewrite r \
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
            let fires = row.text(2) != "R";
            silenced.push(Silenced {
                back: format!("{alter} {how} {what} {name}"),
                table: table.clone(),
                name: row.text(1).to_string(),
                fires_for: [fires && row.is(3), fires && row.is(4)],
            });
        }
    }
    Ok(silenced)
}

/// Sets each back to what it was.
pub(in super::super) async fn restore(session: &mut Session, silenced: &[Silenced]) -> Result<(), Error> {
    for one in silenced {
        session.run("setting triggers back", &one.back).await?;
    }
    Ok(())
}

/// Returns those that would have fired for what was merged.
pub(super) fn silent(silenced: &[Silenced], merged: &[Merged]) -> Vec<String> {
    let fired = silenced.iter().filter(|one| {
        let mut merged = merged.iter().filter(|merged| merged.merged > 0 && merged.table == one.table);
        merged.any(|merged| one.fires_for[usize::from(merged.what == SalvageKind::Values)])
    });
    fired.map(|one| format!("{} on {}", one.name, one.table)).collect()
}
