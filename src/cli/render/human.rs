//! For people: the plan before, one line a step, the end state and the undo command after.

use super::progress::Bars;
use super::{Output, complain, hazards, json, say, words};
use crate::base::{counted, visible, visible_lines};
use crate::catalog::{Change, ChangeKind, Severity};
use crate::cli::exit_code::ExitCode;
use crate::fingerprint::{ColumnVerdict, TableVerdict};
use crate::plan::{Plan, TransactionMode};
use crate::procedure::rows_text;
use crate::report::{Aftermath, Check, Event, Failure, Kind, Leg, Observer, Report, Step};

/// Tells the story of an operation while it happens.
pub(super) struct Story {
    output: Output,
    bars: Bars,
}

impl Story {
    pub(super) fn new(output: Output, bars: bool) -> Self {
        Self { output, bars: Bars::new(bars) }
    }

    fn line(&self, text: &str) {
        if !self.output.quiet {
            self.bars.above(|| say(&visible_lines(text)));
        }
    }
}

impl Observer for Story {
    fn event(&self, event: &Event) {
        match event {
            Event::Target { database, source } => {
                let source = if source == "the default" { "the default" } else { source.as_str() };
                self.line(&format!("{database} ({source})"));
            }
            Event::Begun { operation, .. } => self.line(&format!("operation  {operation}")),
            Event::Planned { plan } => self.line(&plan_text(plan, self.output.verbose)),
            Event::Legs { legs } => self.line(&legs_text(legs)),
            // A question is asked there: nothing may be painted over it.
            Event::StepStarted { step: Step::Consent } => {}
            Event::StepStarted { step } => self.bars.start(words::step(*step)),
            Event::Progress { step, done, total, what } => {
                self.bars.at(words::step(*step), *done, *total, what);
            }
            Event::StepFinished { step, facts } => {
                self.bars.stop();
                if !facts.is_empty() {
                    let ok = self.output.paint("32", "ok");
                    self.line(&format!("{:<10} {ok}  {facts}", words::step(*step)));
                }
            }
            Event::StepFailed { step, .. } => {
                self.bars.stop();
                let word = if *step == Step::Consent { "refused" } else { "failed" };
                let failed = self.output.paint("31", word);
                self.line(&format!("{:<10} {failed}", words::step(*step)));
            }
            Event::Applied { revision, direction, message } => {
                let arrow = match direction {
                    crate::history::Direction::Up => "up",
                    crate::history::Direction::Down => "down",
                };
                self.line(&format!("  {arrow:<8} {revision}  {message}"));
            }
            Event::Found { finding } => {
                let word = if finding.severity == Severity::Note { "note" } else { "warning" };
                self.bars.above(|| {
                    complain(&visible_lines(&format!(
                        "{word}: {}: {}",
                        visible(&finding.subject),
                        finding.detail
                    )))
                });
            }
            Event::Note { text } => {
                self.bars.above(|| complain(&visible_lines(&format!("note: {}", self.output.command(text)))));
            }
        }
    }
}

/// Returns the plan as lines.
pub fn plan_text(plan: &Plan, verbose: bool) -> String {
    let direction = match plan.direction {
        crate::history::Direction::Up => "upgrade",
        crate::history::Direction::Down => "downgrade",
    };
    let mut text = format!(
        "plan       {direction} {} -> {}, {}",
        rows_text(&plan.from),
        rows_text(&plan.to),
        words::count(plan.scripts.len(), "revision")
    );
    for script in &plan.scripts {
        let alone = match script.transaction {
            TransactionMode::One => "",
            TransactionMode::None => ", each statement by itself",
        };
        let statements = words::count(script.statements.len(), "statement");
        text.push_str(&format!("\n  {}  {} ({statements}{alone})", script.revision, script.message));
        for accept in &script.accepts {
            text.push_str(&format!("\n      accepts {}: {}", accept.hazard, accept.why));
        }
        if verbose {
            for statement in &script.statements {
                text.push_str(&format!("\n      {}", statement.text.replace('\n', "\n      ")));
            }
        }
    }
    text
}

/// Says in which legs a plan runs, and why.
pub fn legs_text(legs: &[Leg]) -> String {
    let ends: Vec<String> = legs.iter().map(|leg| rows_text(&leg.to)).collect();
    let why = legs.iter().filter_map(|leg| Some((leg.brings_back.join(" and of "), leg.before.as_ref()?)));
    let why: Vec<String> =
        why.map(|(backups, before)| format!("of {backups} comes back before {before} is undone")).collect();
    format!(
        "  in {}: to {}, so that salvage {}",
        words::count(legs.len(), "step"),
        ends.join(", then to "),
        why.join(", and that ")
    )
}

/// Returns the end state, what changed, and the undo command.
pub(super) fn report(report: &Report, output: &Output) -> String {
    let mut lines = Vec::new();
    if let (Some(check), false) = (&report.check, output.quiet) {
        lines.extend(changes(check, output.verbose));
    }
    for table in &report.restored {
        let made = if table.created { "made again, " } else { "" };
        lines.push(format!(
            "restored   {}: {made}{} -> {}",
            table.table,
            table.rows_before,
            counted(table.rows, "row")
        ));
    }
    // Each leg has a side table of its own.
    let of_legs = report.legs.iter().filter_map(|leg| leg.merge.as_ref());
    for merge in report.merge.iter().filter(|_| report.legs.is_empty()).chain(of_legs) {
        lines.extend(super::merge::lines(merge, output));
    }
    // What the rehearsal saw of the way back decides how the change is undone.
    lines.extend(report.ledger.iter().flat_map(|ledger| super::ledger::way_back(ledger, output)));
    lines.push(format!("{:<10} {}", output.paint("32", "done"), end_state(report)));
    if let Some(backup) = &report.backup {
        let proven = if backup.proven {
            "proven".to_string()
        } else {
            output.paint("31", "NOT PROVEN: nobody knows whether it can be restored")
        };
        lines.push(format!(
            "backup     {} ({}, {proven})",
            backup.place.display(),
            words::bytes(backup.bytes)
        ));
        lines.extend(backup.salvage.iter().map(|file| format!("salvaged   {}", words::salvage(file))));
    }
    lines
        .extend(report.accepted.iter().map(|accepted| format!("accepted   {}", hazards::accepted(accepted))));
    if let Some(undo) = &report.undo {
        lines.push(format!("undo       {}", output.command(undo)));
    }
    for note in &report.notes {
        lines.push(format!("note       {}", output.command(note)));
    }
    // Each of them is one line, whatever the names in it are; only a colour is ours.
    lines.iter().map(|line| visible_lines(line).replace('\n', "\\n")).collect::<Vec<_>>().join("\n")
}

fn end_state(report: &Report) -> String {
    match (report.kind, report.aftermath) {
        (Kind::Backup, _) => "the backup is complete; the database was only read".to_string(),
        (Kind::Restore, Aftermath::Changed) => {
            format!("{} now holds the snapshot, at {}", report.database, rows_text(&report.to))
        }
        (Kind::Restore, Aftermath::PutBack) => {
            format!("the database holds the snapshot again, at {}", rows_text(&report.to))
        }
        (Kind::MergeBack, Aftermath::Unchanged) if report.operation.is_none() => {
            "nothing was changed: this is what a merge would do".to_string()
        }
        (Kind::RestoreTable, Aftermath::Changed) => {
            "the rows of the tables are as the backup has them, everything else is as it was".to_string()
        }
        // Only a recovery does not know what a merge did.
        (Kind::MergeBack, Aftermath::Changed) if report.merge.is_none() => {
            "the merge is over; what is known of it is said below".to_string()
        }
        (Kind::MergeBack, Aftermath::Changed) => {
            "the salvage is merged, everything else is as it was".to_string()
        }
        (Kind::MergeBack, Aftermath::Unchanged) => match &report.merge {
            None => "nothing was merged: the merge had not taken place".to_string(),
            Some(merge) => super::merge::nothing(merge),
        },
        (_, Aftermath::Unchanged) if report.operation.is_none() => {
            format!("nothing to do: the database is at {} already", rows_text(&report.to))
        }
        (_, Aftermath::Changed) => format!("the database is at {}", rows_text(&report.to)),
        // Only a person's word ends what nobody knows.
        (_, Aftermath::Unknown) => {
            "the operation is ended as it is, by your word; nobody has looked at the data".to_string()
        }
        (_, aftermath) => format!("{}, at {}", words::aftermath(aftermath), rows_text(&report.to)),
    }
}

/// Returns what really changed, one line an object.
pub(super) fn changes(check: &Check, verbose: bool) -> Vec<String> {
    let mut lines: Vec<String> = check
        .catalog
        .iter()
        .filter(|change| verbose || !change.table.as_deref().is_some_and(is_bookkeeping))
        .map(change_line)
        .collect();
    for (name, table) in check.comparison.differing().filter(|(name, _)| verbose || !name.is_bookkeeping()) {
        if table.verdict != TableVerdict::Changed {
            continue;
        }
        if table.rows_before != table.rows_after {
            let (before, after) = (table.rows_before.unwrap_or(0), table.rows_after.unwrap_or(0));
            lines.push(format!("  rows     {name}: {before} -> {after}"));
        }
        // With rows more or less the digest of every column is another one, which says nothing of values.
        let same_number = table.rows_before == table.rows_after;
        let changed: Vec<&str> = table
            .columns
            .iter()
            .filter(|(_, verdict)| **verdict == ColumnVerdict::Changed && same_number)
            .map(|(column, _)| column.as_str())
            .collect();
        if !changed.is_empty() {
            lines.push(format!("  values   {name}: {}", changed.join(", ")));
        }
    }
    for finding in &check.new_findings {
        lines.push(format!("  found    {}: {}", finding.subject, finding.detail));
    }
    lines
}

fn is_bookkeeping(table: &str) -> bool {
    crate::catalog::TableName::parse(table).is_some_and(|name| name.is_bookkeeping())
}

fn change_line(change: &Change) -> String {
    match (change.kind, &change.before, &change.after) {
        (ChangeKind::Added, _, _) => format!("  new      {}", change.subject),
        (ChangeKind::Removed, _, _) => format!("  gone     {}", change.subject),
        (ChangeKind::Changed, Some(before), Some(after)) if before.len() + after.len() < 70 => {
            format!("  changed  {}: {before} -> {after}", change.subject)
        }
        (ChangeKind::Changed, _, _) => format!("  changed  {}", change.subject),
    }
}

/// Says what is true of the data after a failure, and where the version rows are if it is not simply as it was.
fn state(failure: &Failure) -> String {
    let rows = failure.rows.as_deref().map(|rows| words::rows_then(&rows.before, &rows.now));
    [words::state(failure)].into_iter().chain(rows).collect::<Vec<_>>().join("; ")
}

/// Returns a failure in three parts: the fact, the state of the data, the next command.
pub(super) fn failure(failure: &Failure, exit: ExitCode, output: &Output) -> String {
    let on_the_copy = match failure.step {
        Some(Step::Rehearse | Step::RehearseBack | Step::RehearseAgain) => "in the rehearsal, on a copy: ",
        _ => "",
    };
    // What is done comes before what is wrong with it.
    let merged = failure.merge.iter().flat_map(|merge| super::merge::lines(merge, output));
    let mut lines: Vec<String> = merged.map(|line| visible_lines(&line).replace('\n', "\\n")).collect();
    // The server's words have lines of their own, and no colours of ours.
    let plain = |error: String| error.replace('\u{1b}', "\\u{1b}");
    let source = plain(failure.source.to_string());
    lines.push(format!("{} {on_the_copy}{source}", output.paint("31", "error:")));
    if let Some(second) = &failure.during_put_back {
        lines.push(format!("error: putting the snapshot back failed as well: {}", plain(second.to_string())));
    }
    if let Some(check) = &failure.check {
        lines.extend(
            check.wrong.iter().map(|wrong| format!("  {}: {}", visible(&wrong.subject), wrong.detail)),
        );
    }
    lines.extend(
        hazards::refused(failure)
            .into_iter()
            .flatten()
            .map(|held| format!("  {}", visible(&hazards::line(held)))),
    );
    lines.extend(failure.half_way.iter().map(|left| format!("  {left}")));
    lines.push(format!("state: {}", state(failure)));
    if let Some(backup) = &failure.backup {
        lines.push(format!("backup: {}", backup.place.display()));
    }
    let next = json::next(failure);
    for command in &next {
        lines.push(format!("next: {}", output.command(command)));
    }
    if next.is_empty() {
        lines.push(match exit {
            ExitCode::Interrupted => "next: run the same command again when you are ready".to_string(),
            _ => format!("next: {}", output.command("ripcord log")),
        });
    }
    visible_lines(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::cli::args::Cli;
    use crate::ledger::{Conflict, Merged, Salvage, SalvageKind};
    use crate::report::{MergeFacts, Wrong};
    use clap::Parser;

    #[test]
    fn what_a_merge_did_stands_before_what_is_wrong_with_it() {
        let salvage = Salvage {
            what: SalvageKind::Values,
            table: TableName::plain("person"),
            key: vec!["id".to_string()],
            identity: Vec::new(),
            in_any: false,
            doubt: None,
            columns: vec!["phone".to_string()],
            returned: std::collections::BTreeMap::new(),
            in_tree: false,
        };
        let merged = Merged { merged: 2, conflicts: 1, ..Merged::new(&salvage, Some("phone")) };
        let conflict = Conflict {
            table: TableName::plain("person"),
            key: r#"{"id":3}"#.to_string(),
            column: Some("phone".to_string()),
            base: None,
            ours: Some("33".to_string()),
            theirs: Some("99\n".to_string()),
            reason: "changed since, and salvaged".to_string(),
        };
        let merge = MergeFacts {
            from: vec!["B".to_string()],
            merged: vec![merged],
            conflict_count: 1,
            conflicts: vec![conflict],
            side_table: Some(TableName::plain("ripcord_conflicts_x")),
            files: Vec::new(),
        };
        let wrong = Wrong {
            code: "merge-changed-more".to_string(),
            subject: "log".to_string(),
            detail: "it has 2 rows, expected 1".to_string(),
        };
        let told = Failure {
            aftermath: Aftermath::Changed,
            merge: Some(Box::new(merge)),
            check: Some(Box::new(Check { wrong: vec![wrong], ..Check::default() })),
            next: vec!["ripcord verify".to_string()],
            ..Failure::refused("it is not explained")
        };
        let output = Output::new(&Cli::parse_from(["ripcord", "current"]).common);
        assert_eq!(
            failure(&told, ExitCode::NeedsPerson, &output),
            r#"merged     person.phone: 2 put back, 1 in conflict
conflicts  1, left as they are:
  person.phone of {"id":3}: 33 was salvaged, 99\n is there (changed since, and salvaged)
  all of them: table ripcord_conflicts_x; drop it when they are settled
error: it is not explained
  log: it has 2 rows, expected 1
state: the database was changed, and the change stands
next: ripcord verify"#
        );
    }
}
