//! The loss ledger for people: what would be lost first, then what else happens, the verdict last.

use super::{Output, hazards, words};
use crate::base::{one_or_more, visible};
use crate::catalog::{Change, ChangeKind};
use crate::ledger::{Again, Appeared, Dishonest, End, Fate, Ledger, Loss, LossKind, Run, TableEntry};
use crate::procedure::rehearse::Rehearsed;
use crate::procedure::rows_text;

/// Returns the ledger and the end state.
pub(super) fn text(rehearsed: &Rehearsed, output: &Output) -> String {
    let Some(ledger) = &rehearsed.ledger else {
        return format!(
            "done       nothing to rehearse: the database is at {} already",
            rows_text(&rehearsed.report.to)
        );
    };
    let mut lines: Vec<String> =
        ledger.lost.iter().map(|loss| line(&output.paint("31", "LOST"), &lost(loss))).collect();
    lines.extend(rehearsed.hazards.iter().map(|held| line("hazard", &hazards::line(held))));
    let accepted = rehearsed.report.accepted.iter();
    lines.extend(accepted.map(|accepted| line("accepted", &hazards::accepted(accepted))));
    if !output.quiet {
        lines.extend(ledger.tables.iter().flat_map(|entry| table(entry, ledger, output.verbose)));
        lines.extend(way_back(ledger, output));
        lines.extend(ledger.cannot_see.iter().map(|told| line("not seen", told)));
        lines.extend(ledger.revisions.iter().flat_map(run));
        let ways = ledger.ways_back.iter().map(|way| format!("{} {}", way.way, seconds(way.seconds)));
        let ways: Vec<String> = ways.collect();
        if !ways.is_empty() {
            lines.push(line("ways back", &format!("{} (measured on the copy)", ways.join(", "))));
        }
    }
    if !rehearsed.hazards.is_empty() {
        lines.push(line("accept", &output.command(&rehearsed.command)));
    }
    lines.push(line(&output.paint("32", "done"), &verdict(ledger)));
    lines.join("\n")
}

/// Returns a line of the ledger; what a name in it would do to a terminal is shown instead.
fn line(word: &str, text: &str) -> String {
    format!("{word:<10} {}", visible(text))
}

fn verdict(ledger: &Ledger) -> String {
    let way = format!("{} -> {}", rows_text(&ledger.from), rows_text(&ledger.to));
    let data = match (ledger.lost.len(), ledger.rows_seen) {
        (0, false) => "nobody looked at data".to_string(),
        (0, true) => "no data would be lost for good".to_string(),
        (1, _) => "1 loss for good".to_string(),
        (count, _) => format!("{count} losses for good"),
    };
    let found = match (definitions(ledger), ledger.lost.len()) {
        (Some(definitions), _) => format!("{data}; {definitions}"),
        (None, 0) if !ledger.rows_seen => "no definition would be lost".to_string(),
        (None, 0) => "nothing would be lost for good".to_string(),
        (None, _) => data,
    };
    format!("{way}: {found}; the database was only read")
}

/// Says of the definitions that are gone or others what becomes of them; none where there are none.
fn definitions(ledger: &Ledger) -> Option<String> {
    let is_lost = |change: &&Change| change.kind != ChangeKind::Added;
    if !ledger.irreversible.is_empty() || ledger.back_failed.is_some() {
        let is_any = ledger.catalog.iter().any(|change| is_lost(&change));
        return is_any.then(|| "there is no way back for the definitions".to_string());
    }
    let count = ledger.not_brought_back.iter().filter(is_lost).count();
    let verb = one_or_more(count as u64, "does", "do");
    (count > 0).then(|| format!("{} {verb} not come back", words::count(count, "definition")))
}

fn lost(loss: &Loss) -> String {
    let subject = match &loss.column {
        Some(column) => format!("{}.{column}", loss.table),
        None => loss.table.to_string(),
    };
    match loss.what {
        LossKind::Table => format!("table {subject}: {}", counted(loss.count, "row")),
        LossKind::Rows => format!("{subject}: {} deleted", counted(loss.count, "row")),
        LossKind::Column => format!("column {subject}: {}", counted(loss.count, "value")),
        LossKind::Values => {
            format!(
                "{subject}: {} overwritten, and the way back does not bring back the old",
                counted(loss.count, "value")
            )
        }
    }
}

fn counted(count: Option<u64>, noun: &str) -> String {
    match count {
        Some(count) => words::count(usize::try_from(count).unwrap_or(usize::MAX), noun),
        None => format!("nobody can say how many {noun}s"),
    }
}

fn differing(count: Option<u64>) -> String {
    let verb = if count == Some(1) { "differs" } else { "differ" };
    format!("{} {verb}", counted(count, "value"))
}

/// What became of one table, without what stands above already.
fn table(entry: &TableEntry, ledger: &Ledger, verbose: bool) -> Vec<String> {
    let name = &entry.table;
    let mut lines = Vec::new();
    match &entry.fate {
        Fate::Moved { to } => lines.push(line("  moved", &format!("table {name} -> {to}"))),
        Fate::Added { .. } => {
            lines.push(line("  added", &format!("table {name}: {}", counted(entry.rows_after, "row"))));
            return lines;
        }
        Fate::Transformed { .. } => {
            lines.push(line("  changed", &format!("table {name} goes, and the way back brings it back")));
            return lines;
        }
        Fate::Lost { count } => {
            if *count == Some(0) {
                lines.push(line("  lost", &format!("table {name}: 0 rows")));
            }
            return lines;
        }
        Fate::Kept => {}
    }
    let rows = [
        (entry.inserted, "inserted"),
        (entry.deleted, "deleted"),
        (entry.changed, "changed"),
        (entry.moved, "moved to other tables of its tree"),
    ];
    let rows = rows.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let rows: Vec<String> = rows.collect();
    if !rows.is_empty() {
        let back = if entry.deleted > 0 && entry.rows_back { "; the way back brings them back" } else { "" };
        lines.push(line("  rows", &format!("{name}: {}{back}", rows.join(", "))));
    }
    let columns = entry.columns.iter().filter_map(|(column, fate)| {
        let full = format!("{name}.{column}");
        let subject = format!("column {full}");
        let goes = ledger.catalog.iter().any(|change| change.subject == subject && change.after.is_none());
        self::column(&full, fate, goes)
    });
    lines.extend(columns);
    if verbose {
        let kept =
            entry.columns.iter().filter(|(_, fate)| **fate == Fate::Kept).map(|(column, _)| column.as_str());
        lines.push(line("  kept", &format!("{name}: {}", kept.collect::<Vec<_>>().join(", "))));
    }
    lines
}

fn column(name: &str, fate: &Fate, goes: bool) -> Option<String> {
    match fate {
        Fate::Kept => None,
        Fate::Added { copy_of: None } => Some(line("  added", &format!("column {name}"))),
        Fate::Added { copy_of: Some(of) } => Some(line("  added", &format!("column {name}, a copy of {of}"))),
        Fate::Moved { to } => Some(line("  moved", &format!("column {name} -> {to}"))),
        Fate::Transformed { back: true, held_in: None, .. } if goes => {
            Some(line("  changed", &format!("column {name} goes, and the way back brings it back")))
        }
        Fate::Transformed { count, back, held_in } => {
            let values = counted(*count, "value");
            let note = match (back, held_in) {
                (_, Some(place)) => format!("; the old ones are in {place}"),
                (true, None) => "; the way back brings the old ones back".to_string(),
                (false, None) => String::new(),
            };
            Some(line("  changed", &format!("column {name}: {values} transformed{note}")))
        }
        Fate::Lost { count: Some(0) } => Some(line("  lost", &format!("column {name}: 0 values"))),
        Fate::Lost { .. } => None,
    }
}

pub(super) fn way_back(ledger: &Ledger, output: &Output) -> Vec<String> {
    let warn = |word: &str, text: String| line(&output.paint("33", &format!("{word:<10}")), &text);
    let mut lines: Vec<String> = ledger
        .irreversible
        .iter()
        .map(|revision| {
            let why = revision.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            warn("no return", format!("revision {} has no way back{why}", revision.revision))
        })
        .collect();
    lines.extend(
        ledger.back_failed.iter().map(|error| warn("no return", format!("the way back failed: {error}"))),
    );
    lines.extend(ledger.dishonest.iter().map(|found| warn("dishonest", dishonest(found))));
    lines.extend(ledger.not_brought_back.iter().map(|change| warn("not back", not_back(change))));
    lines.extend(ledger.findings.iter().map(|found| warn("found", appeared(found))));
    match &ledger.again {
        Again::NotDeterministic { differs } => {
            lines.push(warn(
                "again",
                format!("not deterministic: a second run gave another {}", differs.join(", ")),
            ));
        }
        Again::Differs { differs } => {
            let told = "after there and back, a second run ended otherwise";
            lines.push(warn("again", format!("{told}: {}", differs.join(", "))));
        }
        Again::Failed { error } => {
            lines.push(warn("again", format!("after there and back, a second run failed: {error}")));
        }
        Again::Same | Again::NotRun => {}
    }
    lines
}

fn dishonest(found: &Dishonest) -> String {
    match found {
        Dishonest::Empty { revision } => format!("the downgrade of {revision} is empty, its upgrade is not"),
        Dishonest::WithoutData { column, count } => {
            format!("column {column} is created again without its data ({})", differing(*count))
        }
        Dishonest::OtherValues { column, count } => {
            format!("column {column} does not get its old values back ({})", differing(*count))
        }
        Dishonest::WithoutTable { table, count } => {
            format!("table {table} is not created again ({})", counted(*count, "row"))
        }
        Dishonest::WithoutColumn { column, count } => {
            format!("column {column} is not created again ({})", counted(*count, "value"))
        }
        Dishonest::WithoutRows { table, count } => {
            format!("table {table} comes back without {}", counted(*count, "row"))
        }
    }
}

fn appeared(found: &Appeared) -> String {
    let way = match found.after {
        End::There => "the way there",
        End::Back => "the way back",
    };
    format!("after {way}: {}: {}", found.finding.subject, found.finding.detail)
}

fn not_back(change: &Change) -> String {
    match (change.kind, &change.before, &change.after) {
        (ChangeKind::Removed, _, _) => format!("{} is gone for good", change.subject),
        (ChangeKind::Added, _, _) => format!("{} stays", change.subject),
        (ChangeKind::Changed, Some(before), Some(after)) => {
            format!("{}: was {before}, ends as {after}", change.subject)
        }
        (ChangeKind::Changed, _, _) => format!("{} ends otherwise", change.subject),
    }
}

fn run(run: &Run) -> Vec<String> {
    let leg = |word: &str, time: Option<f64>| time.map(|time| format!(", {word} {}", seconds(time)));
    let times = [leg("back", run.back), leg("again", run.again)].into_iter().flatten().collect::<String>();
    let mut lines =
        vec![line("time", &format!("{} {}{times}  {}", run.revision, seconds(run.there), run.message))];
    if let Some(locks) = &run.locks {
        lines.extend(locks.iter().map(|(table, mode)| line("  lock", &format!("{table}: {mode}"))));
    }
    lines.extend(
        run.rewritten.iter().map(|table| line("  rewrite", &format!("{table}: every row is written anew"))),
    );
    lines
}

fn seconds(time: f64) -> String {
    if time < 10.0 { format!("{time:.2} s") } else { format!("{time:.0} s") }
}
