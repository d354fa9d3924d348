//! The stream of one export: blocks of rows from the session, hashed and compressed by threads beside it.

use super::super::PostgresDatabase;
use super::super::session::Session;
use super::READING_QUERY;
use super::digest::Lines;
use super::shape::Plan;
use crate::engine::{BLOCK, Error, MOST_WORKERS, RowSink, Tally, all_or_cause};
use crate::fingerprint::TableHasher;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Whole rows of CSV.
struct Block {
    number: u64,
    rows: Vec<u8>,
}

type Blocks = Arc<Mutex<Receiver<Block>>>;

impl PostgresDatabase {
    /// Sends all rows of a plan to the sink.
    pub(super) async fn copy(
        &self,
        session: &mut Session,
        plan: &Plan,
        sink: &Arc<dyn RowSink>,
        tally: &Tally<'_>,
    ) -> Result<TableHasher, Error> {
        // One that waits keeps the workers busy; more would only be memory.
        let (sender, receiver) = channel(1);
        let blocks: Blocks = Arc::new(Mutex::new(receiver));
        let by_name = plan.shape.by_name();
        let workers = (0..self.options.jobs.clamp(1, MOST_WORKERS)).map(|_| {
            let (blocks, sink) = (blocks.clone(), sink.clone());
            let lines = Lines::new(by_name.clone());
            tokio::task::spawn_blocking(move || pack(&blocks, sink.as_ref(), lines))
        });
        let workers: Vec<_> = workers.collect();
        // Only the workers hold it now: when all of them have failed, sending fails.
        drop(blocks);
        let sent = self.send(session, plan, tally, sender).await;
        let mut outcomes = Vec::new();
        for worker in workers {
            outcomes.push(worker.await.unwrap_or_else(|error| {
                Err(Error::Driver { doing: "compressing an export".to_string(), detail: error.to_string() })
            }));
        }
        outcomes.push(sent.map(|()| TableHasher::new(0)));
        let mut whole = TableHasher::new(0);
        all_or_cause(outcomes)?.iter().for_each(|part| whole.merge(part));
        Ok(whole)
    }

    async fn send(
        &self,
        session: &mut Session,
        plan: &Plan,
        tally: &Tally<'_>,
        sender: Sender<Block>,
    ) -> Result<(), Error> {
        let doing = match &plan.shape.table {
            Some(table) => format!("reading {table}"),
            None => READING_QUERY.to_string(),
        };
        session.run(&doing, plan.path).await?;
        match self.copy_out(session, plan, tally, sender).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Interrupted),
            Err(error) => Err(session.failed(&error, &doing)),
        }
    }

    /// Returns false when it was stopped, by a wish or because nobody takes the rows.
    async fn copy_out(
        &self,
        session: &mut Session,
        plan: &Plan,
        tally: &Tally<'_>,
        sender: Sender<Block>,
    ) -> Result<bool, sqlx::Error> {
        let mut messages = session.asking().copy_out_raw(&plan.sql).await?;
        let room = || Vec::with_capacity(BLOCK + BLOCK / 8);
        let (mut number, mut count, mut rows) = (0, 0, room());
        // The server sends one message a row (<https://www.postgresql.org/docs/current/protocol-flow.html>, COPY): a
        // block ends where a row does, whatever is in it. Whoever reads the block checks that.
        while let Some(message) = messages.next().await {
            rows.extend_from_slice(&message?);
            count += 1;
            if rows.len() < BLOCK {
                continue;
            }
            tally.add(std::mem::take(&mut count), rows.len() as u64);
            let block = Block { number, rows: std::mem::replace(&mut rows, room()) };
            number += 1;
            if self.options.cancel.is_cancelled() || sender.send(block).await.is_err() {
                return Ok(false);
            }
        }
        tally.add(count, rows.len() as u64);
        Ok(sender.send(Block { number, rows }).await.is_ok())
    }
}

/// Hashes and compresses blocks until there are no more.
fn pack(blocks: &Blocks, sink: &dyn RowSink, mut lines: Lines) -> Result<TableHasher, Error> {
    loop {
        let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(block) = next else { return Ok(lines.finish()) };
        let mut part = sink.part(block.number);
        lines.add(&block.rows)?;
        part.csv(&block.rows);
        drop(block);
        part.finish()?;
    }
}
