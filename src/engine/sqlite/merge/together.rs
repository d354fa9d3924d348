//! Rows that are refused one by one and go in together: those of tables that refer to each other, and values of a UNIQUE
//! column that only changed places.
//!
//! All that wait are written at once, with foreign keys checked late and each value out of the way of the others first.
//! What is still refused is left out, everything is undone, and the rest tried again, until the rest fits. What a row that
//! is left out keeps from others is followed beforehand, as far as they want it ([`Chain`]): each of them would be found by
//! a try of its own.

use super::super::raw;
use super::super::session::Session;
use super::chain::Chain;
use super::feed::{Aside, Bound, Feed};
use super::side::Side;
use super::target::Target;
use super::undeclared;
use super::{DOING, Job, Written};
use crate::catalog::{TableName, quote};
use crate::engine::{Error, Merged, Scalar, Value};
use crate::ledger::SalvageKind;
use std::collections::{BTreeMap, HashSet};

/// The rows of one job that wait, by their places among them.
struct Waiting {
    /// Which of them stay out.
    out: HashSet<u64>,
    tally: Vec<Merged>,
}

/// Writes as many of the refused rows as fit together; returns whether there were any.
pub(super) fn put(session: &Session, jobs: &mut [Job<'_>], side: &mut Side<'_>) -> Result<bool, Error> {
    let mut jobs: Vec<&mut Job<'_>> = jobs.iter_mut().filter(|job| job.refused > 0).collect();
    if jobs.iter().map(|job| job.refused).sum::<u64>() < 2 {
        return Ok(false);
    }
    let fresh = |job: &&mut Job<'_>| Waiting { out: HashSet::new(), tally: job.merged.clone() };
    let mut waiting: Vec<Waiting> = jobs.iter().map(fresh).collect();
    // Most fits at the first try, or without what is refused in it.
    let mut chains: Option<Vec<Option<Chain<'_>>>> = None;
    loop {
        let left: u64 = jobs.iter().zip(&waiting).map(|(job, one)| job.refused - one.out.len() as u64).sum();
        if left == 0 {
            return Ok(false);
        }
        for (job, one) in jobs.iter().zip(&mut waiting) {
            one.tally.clone_from(&job.merged);
        }
        session.run(DOING, "PRAGMA defer_foreign_keys = ON; SAVEPOINT ripcord_together")?;
        let fits = attempt(session, &jobs, &mut waiting)?;
        if let Some(chains) = chains.as_mut().filter(|_| !fits) {
            follow(chains, &jobs, &mut waiting)?;
        }
        let end = if fits { "" } else { "ROLLBACK TO ripcord_together; " };
        session.run(DOING, &format!("{end}RELEASE ripcord_together; PRAGMA defer_foreign_keys = OFF"))?;
        if fits {
            break;
        }
        if chains.is_none() {
            chains = Some(hold(session, &jobs)?);
        }
    }
    for (job, one) in jobs.iter_mut().zip(waiting) {
        job.merged = one.tally;
        close(session, job, &one.out, side)?;
    }
    Ok(true)
}

/// Writes down for each job what its rows hold. Where two pieces put values into one table, what a row keeps of the one may
/// still move with the other.
fn hold<'s>(session: &'s Session, jobs: &[&mut Job<'_>]) -> Result<Vec<Option<Chain<'s>>>, Error> {
    let values: Vec<Option<&TableName>> =
        jobs.iter().map(|job| is_of_values(job).then_some(&job.target.table)).collect();
    let is_alone = |table: &&TableName| values.iter().flatten().filter(|other| other == &table).count() == 1;
    let each = jobs.iter().zip(&values).map(|(job, table)| match table.filter(is_alone) {
        Some(_) => Chain::hold(session, &job.target),
        None => Ok(None),
    });
    each.collect()
}

/// Leaves out whatever wants what is left out already.
fn follow(
    chains: &mut [Option<Chain<'_>>],
    jobs: &[&mut Job<'_>],
    waiting: &mut [Waiting],
) -> Result<(), Error> {
    for ((chain, job), one) in chains.iter_mut().zip(jobs).zip(waiting) {
        if let Some(chain) = chain {
            chain.follow(&job.target, &mut one.out)?;
        }
    }
    Ok(())
}

fn is_of_values(job: &Job<'_>) -> bool {
    job.target.piece.salvage.what == SalvageKind::Values
}

/// Writes all rows that are not left out; false when some have to be, which are so from then on.
fn attempt(session: &Session, jobs: &[&mut Job<'_>], waiting: &mut [Waiting]) -> Result<bool, Error> {
    let before = left_out(waiting);
    let values = |job: &&mut Job<'_>| is_of_values(job);
    // What stands in the place of a value for a moment need not be one that the table allows.
    session.run(DOING, "PRAGMA ignore_check_constraints = ON")?;
    for (job, one) in jobs.iter().zip(waiting.iter_mut()).filter(|(job, _)| values(job)) {
        let mut hand = job.target.hand(session)?;
        each(session, &job.target, one, &mut |place, values, _| hand.vacate(values, place))?;
    }
    session.run(DOING, "PRAGMA ignore_check_constraints = OFF")?;
    if left_out(waiting) == before {
        for rows_first in [false, true] {
            for (job, one) in jobs.iter().zip(waiting.iter_mut()).filter(|(job, _)| values(job) == rows_first)
            {
                let mut hand = job.target.hand(session)?;
                each(session, &job.target, one, &mut |place, values, tally| {
                    hand.place(values, place, tally)
                })?;
            }
        }
    }
    if left_out(waiting) > before {
        return Ok(false);
    }
    let is_open = || raw::has_deferred_keys_open(session).map_err(|error| session.failed(DOING, error));
    if !is_open()? {
        return Ok(true);
    }
    for (job, one) in jobs.iter().zip(waiting.iter_mut()) {
        let mut parents = Parents::new(session, &job.target)?;
        each(session, &job.target, one, &mut |_, values, _| parents.look(values))?;
    }
    if left_out(waiting) == before {
        // None of these rows lacks its parent: one of others lost it by a value that was to be put back.
        let is_value = jobs.iter().map(values);
        let only_rows = is_value.clone().all(|value| !value);
        for ((job, one), value) in jobs.iter().zip(waiting.iter_mut()).zip(is_value) {
            if value || only_rows {
                one.out.extend(0..job.refused);
            }
        }
    }
    Ok(false)
}

fn left_out(waiting: &[Waiting]) -> usize {
    waiting.iter().map(|one| one.out.len()).sum()
}

type Work<'w> = dyn FnMut(u64, &[Value<'_>], &mut [Merged]) -> Result<Written, Error> + 'w;

/// Does something with each row that is not left out, and leaves it out from then on when it is refused.
fn each(session: &Session, target: &Target<'_>, one: &mut Waiting, work: &mut Work<'_>) -> Result<(), Error> {
    let mut place = 0;
    Feed::Table(Aside::name(target, target.round)).each(session, &mut |values| {
        let here = place;
        place += 1;
        let values = &values[..values.len() - 1];
        if !one.out.contains(&here) && work(here, values, &mut one.tally)? != Written::Done {
            one.out.insert(here);
        }
        Ok(())
    })
}

/// Sets those that stay out aside for the next try, and writes down what is in conflict in the others.
fn close(session: &Session, job: &mut Job<'_>, out: &HashSet<u64>, side: &mut Side<'_>) -> Result<(), Error> {
    let from = Feed::Table(Aside::name(&job.target, job.target.round));
    let aside = Aside::create(session, &job.target, job.target.round + 1)?;
    let mut hand = job.target.hand(session)?;
    let mut place = 0;
    from.each(session, &mut |values| {
        let Some((why, values)) = values.split_last() else { return Ok(()) };
        place += 1;
        match out.contains(&(place - 1)) {
            true => aside.keep(values, &super::side::text(*why).unwrap_or_default()),
            false => hand.differing(values, side),
        }
    })?;
    drop(hand);
    job.target.round += 1;
    job.refused = out.len() as u64;
    Ok(())
}

/// A value that no other row has, of the sort that stands there afterwards.
pub(super) fn apart(place: u64, ours: Value<'_>) -> Scalar {
    let text = || format!("ripcord {place}").into_bytes();
    match ours {
        Value::Null => Scalar::Null,
        Value::Integer(_) => Scalar::Integer((i64::MIN + 1).saturating_add_unsigned(place)),
        // Far below what anybody measures, and far enough from each other to be different.
        #[expect(clippy::cast_precision_loss, reason = "it need only be another one for each row")]
        Value::Real(_) => Scalar::Real(-1e300 - place as f64 * 1e286),
        Value::Text(_) => Scalar::Text(text()),
        Value::Blob(_) => Scalar::Blob(text()),
    }
}

/// Tells whether the rows are there that a row refers to.
struct Parents<'s> {
    session: &'s Session,
    target: &'s Target<'s>,
    lacking: Option<rusqlite::Statement<'s>>,
    /// The places of the values that the statement asks for.
    asked: Vec<usize>,
}

impl<'s> Parents<'s> {
    fn new(session: &'s Session, target: &'s Target<'s>) -> Result<Self, Error> {
        let of_values = target.piece.salvage.what == SalvageKind::Values;
        let mut asked = if of_values { target.found_by.clone() } else { Vec::new() };
        let mut lacks = Vec::new();
        for (parent, pairs) in keys(session, &target.table)? {
            let mut one = |own: &String| -> Option<String> {
                if of_values {
                    return Some(format!("c.{}", quote(own)));
                }
                let column = target.columns.iter().find(|column| column.name.eq_ignore_ascii_case(own))?;
                asked.push(column.place);
                Some(format!("?{}", asked.len()))
            };
            // Of a row that was made the columns that are not salvaged are as the table makes them.
            let own: Option<Vec<String>> = pairs.iter().map(|(own, _)| one(own)).collect();
            let Some(own) = own else { continue };
            let filled: Vec<String> = own.iter().map(|own| format!("{own} IS NOT NULL")).collect();
            let on = own.iter().zip(&pairs).map(|(own, (_, other))| format!("p.{} = {own}", quote(other)));
            let on: Vec<String> = on.collect();
            lacks.push(format!(
                "({} AND NOT EXISTS (SELECT 1 FROM main.{} AS p WHERE {}))",
                filled.join(" AND "),
                quote(&parent),
                on.join(" AND ")
            ));
        }
        let lacks = lacks.join(" OR ");
        let sql = match of_values {
            true => format!(
                "SELECT 1 FROM main.{} AS c WHERE {} AND ({lacks})",
                target.table.sql(),
                target.condition
            ),
            false => format!("SELECT 1 WHERE {lacks}"),
        };
        let lacking = match lacks.is_empty() {
            true => None,
            false => Some(session.prepare(&sql).map_err(|error| session.failed(DOING, error))?),
        };
        Ok(Self { session, target, lacking, asked })
    }

    fn look(&mut self, values: &[Value<'_>]) -> Result<Written, Error> {
        let Some(lacking) = &mut self.lacking else { return Ok(Written::Done) };
        let asked = self.asked.iter().map(|place| values.get(*place).copied().unwrap_or(Value::Null));
        let lacks = lacking.exists(rusqlite::params_from_iter(asked.map(Bound)));
        match lacks.map_err(|error| self.session.failed(DOING, error))? {
            true => Ok(Written::Refused(format!("{} lacks its parent", self.target.table))),
            false => Ok(Written::Done),
        }
    }
}

type Pairs = Vec<(String, String)>;

/// Returns the foreign keys of a table, and what refers to others without one.
pub(super) fn all_keys(session: &Session, table: &TableName) -> Result<Vec<(String, Pairs)>, Error> {
    let mut found = keys(session, table)?;
    let more = undeclared::of(session, table)?.into_iter();
    found.extend(more.map(|(own, parent, other)| (parent, vec![(own, other)])));
    Ok(found)
}

/// Returns the foreign keys of a table: what each refers to, and its columns with those that they refer to.
pub(super) fn keys(session: &Session, table: &TableName) -> Result<Vec<(String, Pairs)>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    // A key that names no columns refers to the primary key.
    let sql = "SELECT k.id, k.\"table\", k.\"from\", coalesce(k.\"to\", (SELECT i.name FROM pragma_table_info(k.\"table\") i
        WHERE i.pk = k.seq + 1), 'rowid') FROM pragma_foreign_key_list(?1) k ORDER BY k.id, k.seq";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([&table.name]).map_err(failed)?;
    let mut keys: BTreeMap<i64, (String, Pairs)> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let get = |at: usize| row.get::<_, String>(at).map_err(failed);
        let key = keys.entry(row.get(0).map_err(failed)?).or_insert((get(1)?, Vec::new()));
        key.1.push((get(2)?, get(3)?));
    }
    Ok(keys.into_values().collect())
}
