//! Reads an ordinary table in pieces of about a block each, cut as workers become free.
//!
//! Nobody counts the rows first: the next piece is as many rowids as made a block in the pieces before, and begins at a
//! rowid that exists, so that gaps cost nothing. Where rows suddenly lie closer, a piece is too large; it is then written
//! in several blocks, and costs the others their share of the work, but no memory.

use super::super::session::Session;
use super::super::view::View;
use super::plan::Plan;
use super::rows::Rows;
use crate::engine::{BLOCK, Error, RowSink, Tally, all_or_cause};
use crate::fingerprint::TableHasher;
use std::sync::{Mutex, PoisonError};

/// How many rowids the first pieces are.
const FIRST_SPAN: i64 = 2048;
/// How many times longer than the one before a piece may be.
const GROWTH: i64 = 4;

/// A run of rowids, both ends included.
struct Piece {
    number: u64,
    first: i64,
    last: i64,
}

/// Cuts pieces off what is left of a table.
struct Cutter {
    /// Where the rest begins.
    rest: Option<i64>,
    number: u64,
    span: i64,
}

impl Cutter {
    /// Learns what a piece held.
    fn learn(&mut self, piece: &Piece, bytes: u64) {
        let rowids = i128::from(piece.last) - i128::from(piece.first) + 1;
        let fitting = rowids * BLOCK as i128 / i128::from(bytes.max(1));
        let most = i128::from(self.span.saturating_mul(GROWTH));
        self.span = i64::try_from(fitting.clamp(1, most)).unwrap_or(i64::MAX);
    }
}

/// Hands all rows of the table over, in the order of their rowids.
pub(super) fn read(
    view: &mut View,
    plan: &Plan,
    sink: &dyn RowSink,
    tally: &Tally<'_>,
) -> Result<TableHasher, Error> {
    let work = Work {
        plan,
        rowid: plan.rowid.as_deref().unwrap_or("rowid"),
        sink,
        tally,
        cutter: Mutex::new(Cutter { rest: Some(i64::MIN), number: 0, span: FIRST_SPAN }),
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let workers = view.sessions().iter_mut().map(|session| {
            let work = &work;
            scope.spawn(move || work.run(session))
        });
        let workers: Vec<_> = workers.collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut whole = TableHasher::new(0);
    all_or_cause(outcomes)?.iter().for_each(|part| whole.merge(part));
    Ok(whole)
}

struct Work<'w> {
    plan: &'w Plan,
    rowid: &'w str,
    sink: &'w dyn RowSink,
    tally: &'w Tally<'w>,
    cutter: Mutex<Cutter>,
}

impl Work<'_> {
    fn run(&self, session: &Session) -> Result<TableHasher, Error> {
        let mut rows = Rows::new(self.plan, 1);
        while let Some(piece) = self.cut(session)? {
            let bytes = self.read(session, &piece, &mut rows)?;
            self.cutter.lock().unwrap_or_else(PoisonError::into_inner).learn(&piece, bytes);
        }
        Ok(rows.finish())
    }

    fn cut(&self, session: &Session) -> Result<Option<Piece>, Error> {
        let mut cutter = self.cutter.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rest) = cutter.rest else { return Ok(None) };
        let Some(first) = self.plan.next_rowid(session, self.rowid, rest)? else {
            cutter.rest = None;
            return Ok(None);
        };
        let last = first.saturating_add(cutter.span - 1);
        cutter.rest = last.checked_add(1);
        let piece = Piece { number: cutter.number, first, last };
        cutter.number += 1;
        Ok(Some(piece))
    }

    /// Returns how many bytes of CSV the piece made.
    fn read(&self, session: &Session, piece: &Piece, rows: &mut Rows<'_>) -> Result<u64, Error> {
        // Begun before anything can fail: a number that never comes would hold up the ones behind it for ever.
        let mut part = self.sink.part(piece.number);
        let mut cursor = self.plan.between(session, self.rowid, (piece.first, piece.last))?;
        let (mut count, mut bytes) = (0, 0);
        while cursor.step().map_err(|error| session.failed("reading rows", error))? {
            rows.add(&cursor, part.as_mut())?;
            count += 1;
            if part.waiting() >= 2 * BLOCK {
                bytes += part.waiting() as u64;
                part.flush()?;
            }
        }
        bytes += part.waiting() as u64;
        part.finish()?;
        self.tally.add(count, bytes);
        Ok(bytes)
    }
}
