//! Reads what cannot be cut: one thread steps through the rows, others compress.

use super::super::view::View;
use super::plan::Plan;
use super::rows::Rows;
use crate::engine::{BLOCK, Error, Part, RowSink, Tally, all_or_cause};
use crate::fingerprint::TableHasher;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Hands all rows over, in the order in which they come.
pub(super) fn read(
    view: &View,
    plan: &Plan,
    workers: usize,
    sink: &dyn RowSink,
    tally: &Tally<'_>,
) -> Result<TableHasher, Error> {
    let (sender, receiver) = sync_channel(1);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let compressors: Vec<_> = (0..workers).map(|_| scope.spawn(|| compress(&receiver))).collect();
        // The sender goes when the rows have ended, which ends the compressors.
        let read = step(view, plan, sink, tally, sender);
        let ended = compressors.into_iter().map(|worker| worker.join());
        let ended = ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let compressed = all_or_cause(ended);
        match (read, compressed) {
            (Err(error), _) if !error.is_interrupted() => Err(error),
            (_, Err(error)) => Err(error),
            (read, Ok(_)) => read,
        }
    })
}

fn step(
    view: &View,
    plan: &Plan,
    sink: &dyn RowSink,
    tally: &Tally<'_>,
    sender: SyncSender<Box<dyn Part>>,
) -> Result<TableHasher, Error> {
    let session = view.first();
    let mut cursor = plan.all(session)?;
    let mut rows = Rows::new(plan, 0);
    let (mut number, mut count) = (0, 0);
    let mut part = sink.part(number);
    let hand_over = |part: Box<dyn Part>, count: u64| {
        tally.add(count, part.waiting() as u64);
        // They are all gone only when each has failed, and they say why.
        sender.send(part).map_err(|_| Error::Interrupted)
    };
    while cursor.step().map_err(|error| session.failed("reading rows", error))? {
        rows.add(&cursor, part.as_mut())?;
        count += 1;
        if part.waiting() >= BLOCK {
            number += 1;
            hand_over(std::mem::replace(&mut part, sink.part(number)), std::mem::take(&mut count))?;
        }
    }
    hand_over(part, count)?;
    Ok(rows.finish())
}

fn compress(receiver: &Mutex<Receiver<Box<dyn Part>>>) -> Result<(), Error> {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(part) = next else { return Ok(()) };
        part.finish()?;
    }
}
