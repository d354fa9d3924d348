//! The proof at the end, before the commit: everything is read once more, and what was merged must be there.

use super::super::session::Session;
use super::feed::{Bound, Feed, value};
use super::values::keeps;
use super::{DOING, Job};
use crate::catalog::quote;
use crate::engine::{Error, Merged};
use crate::ledger::SalvageKind;

/// What the live table holds of a column, or of whole rows.
#[derive(Clone, Default)]
struct Found {
    same: u64,
    other: u64,
    absent: u64,
}

/// Fails unless as many values as were merged, or there already, are what was salvaged, and no others differ than the
/// conflicts.
pub(super) fn prove(session: &Session, job: &Job<'_>) -> Result<(), Error> {
    let target = &job.target;
    let whole_rows = target.piece.salvage.what == SalvageKind::Rows;
    if whole_rows && target.found_by.is_empty() {
        return Ok(());
    }
    let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
    let sql =
        format!("SELECT {} FROM main.{} WHERE {}", columns.join(", "), target.table.sql(), target.condition);
    let failed = |error| session.failed(DOING, error);
    let mut select = session.prepare(&sql).map_err(failed)?;
    let mut same = Vec::with_capacity(columns.len());
    let mut found = vec![Found::default(); job.merged.len()];
    job.feed.each(session, &mut |values| {
        if target.is_found_by_half(values) {
            found.iter_mut().for_each(|found| found.absent += 1);
            return Ok(());
        }
        let by = rusqlite::params_from_iter(target.found(values).map(Bound));
        let mut rows = select.query(by).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else {
            found.iter_mut().for_each(|found| found.absent += 1);
            return Ok(());
        };
        same.clear();
        for (index, column) in target.columns.iter().enumerate() {
            let theirs = value(row.get_ref(index).map_err(failed)?);
            let is_kept = !whole_rows && keeps(session, target, column, values)?;
            same.push(values[column.place].is_same(theirs) || is_kept);
        }
        // Nothing was merged by a key that is of several rows.
        let alone = rows.next().map_err(failed)?.is_none();
        if whole_rows {
            count(&mut found[0], alone && same.iter().all(|same| *same));
        } else {
            found.iter_mut().zip(&same).for_each(|(found, same)| count(found, alone && *same));
        }
        Ok(())
    })?;
    // Of a table without a key only those rows are found here that are told apart by it.
    let by_rowid = matches!(job.feed, Feed::Table(_));
    job.merged.iter().zip(&found).try_for_each(|(merged, found)| agree(merged, found, by_rowid))
}

fn count(found: &mut Found, same: bool) {
    if same {
        found.same += 1;
    } else {
        found.other += 1;
    }
}

fn agree(merged: &Merged, found: &Found, by_rowid: bool) -> Result<(), Error> {
    let expected = merged.merged + merged.already;
    let differ = found.other + found.absent;
    let allowed = merged.conflicts + merged.deleted;
    if found.same == expected && (differ == allowed || (by_rowid && differ <= allowed)) {
        return Ok(());
    }
    let what = match &merged.column {
        Some(column) => format!("{}.{column}", merged.table),
        None => merged.table.to_string(),
    };
    Err(Error::NotMerged { what, expected, found: found.same })
}
