//! Reads the rows of one table and computes its digests: the session's stream on one side, the hashing on a thread
//! beside it, blocks of rows in between.

use super::Reading;
use super::sources::Source;
use crate::engine::Error;
use crate::engine::postgres::session::Session;
use crate::fingerprint::TableHasher;
use futures_util::StreamExt;
use tokio::sync::mpsc;

/// How much is handed over at once. The server sends one message a row: handing over each by itself would cost more
/// than hashing it.
const BLOCK: usize = 256 * 1024;
/// How many blocks may wait: 2 MiB a table that is being read, whatever its size.
const WAITING: usize = 8;
/// Below this size on disk a thread is not worth starting.
const SMALL: u64 = 512 * 1024;

/// Returns the digests of a source: of a table, or of the part of one.
pub(super) async fn read(
    reading: &Reading,
    session: &mut Session,
    source: &Source,
) -> Result<TableHasher, Error> {
    let rows = Rows::new(source);
    let rows = if source.bytes < SMALL {
        stream(reading, session, source, Inline(rows)).await?.0
    } else {
        let (sender, mut blocks) = mpsc::channel::<Vec<u8>>(WAITING);
        let hashing = tokio::task::spawn_blocking(move || {
            let mut rows = rows;
            while let Some(block) = blocks.blocking_recv() {
                rows.add(&block);
            }
            rows
        });
        // The sender goes out of scope with the stream, which ends the thread, on errors too.
        stream(reading, session, source, Beside(sender)).await?;
        hashing.await.map_err(|error| Error::Driver {
            doing: format!("hashing {}", source.name),
            detail: error.to_string(),
        })?
    };
    Ok(rows.hasher)
}

/// Takes blocks of whole rows.
trait Sink {
    async fn take(&mut self, block: Vec<u8>) -> Vec<u8>;
}

struct Inline(Rows);

impl Sink for Inline {
    async fn take(&mut self, mut block: Vec<u8>) -> Vec<u8> {
        self.0.add(&block);
        block.clear();
        block
    }
}

struct Beside(mpsc::Sender<Vec<u8>>);

impl Sink for Beside {
    async fn take(&mut self, block: Vec<u8>) -> Vec<u8> {
        // The receiver only goes away by a panic, which joining the thread reports.
        let _ = self.0.send(block).await;
        Vec::with_capacity(BLOCK + BLOCK / 8)
    }
}

/// Streams a table's rows into the sink and gives the sink back.
async fn stream<S: Sink>(
    reading: &Reading,
    session: &mut Session,
    source: &Source,
    sink: S,
) -> Result<S, Error> {
    match copy_out(reading, session, source, sink).await {
        Ok(Some(sink)) => Ok(sink),
        Ok(None) => Err(Error::Interrupted),
        Err(error) => Err(session.failed(&error, &format!("reading {}", source.name))),
    }
}

/// Returns nothing when the operation is cancelled.
async fn copy_out<S: Sink>(
    reading: &Reading,
    session: &mut Session,
    source: &Source,
    mut sink: S,
) -> Result<Option<S>, sqlx::Error> {
    let mut messages = session.asking().copy_out_raw(&source.sql).await?;
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 8);
    while let Some(message) = messages.next().await {
        block.extend_from_slice(&message?);
        if block.len() < BLOCK {
            continue;
        }
        if reading.cancel.is_cancelled() {
            return Ok(None);
        }
        // The protocol does not promise that a message ends where a row ends.
        let whole = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole > 0 {
            let rest = block.split_off(whole);
            block = sink.take(block).await;
            block.extend_from_slice(&rest);
        }
    }
    drop(messages);
    session.answered();
    if !block.is_empty() {
        sink.take(block).await;
    }
    Ok(Some(sink))
}

/// Adds lines of `COPY` text to a hasher.
struct Rows {
    hasher: TableHasher,
    /// Where the key's columns are among the columns.
    key: Vec<usize>,
    /// Where each field of the present line ends.
    ends: Vec<usize>,
    joined: Vec<u8>,
}

impl Rows {
    fn new(source: &Source) -> Self {
        let place = |name: &String| source.columns.iter().position(|column| column == name);
        Self {
            hasher: TableHasher::new(source.columns.len()),
            key: source.key.iter().filter_map(place).collect(),
            ends: Vec::with_capacity(source.columns.len()),
            joined: Vec::new(),
        }
    }

    /// Adds the rows of a block that begins and ends where rows do.
    fn add(&mut self, block: &[u8]) {
        let mut begin = 0;
        self.ends.clear();
        for (at, byte) in block.iter().enumerate() {
            // In text format a tab or newline within a value is escaped, so these bytes are always separators.
            match byte {
                b'\t' => self.ends.push(at - begin),
                b'\n' => {
                    self.ends.push(at - begin);
                    self.add_line(&block[begin..at]);
                    begin = at + 1;
                    self.ends.clear();
                }
                _ => {}
            }
        }
    }

    fn add_line(&mut self, line: &[u8]) {
        let Self { hasher, key, ends, joined } = self;
        let field = |index: usize| -> &[u8] {
            let begin = if index == 0 { 0 } else { ends[index - 1] + 1 };
            &line[begin..ends[index]]
        };
        let key: &[u8] = match key.as_slice() {
            [] => &[],
            [one] => field(*one),
            several => {
                joined.clear();
                for (index, part) in several.iter().enumerate() {
                    if index > 0 {
                        joined.push(b'\t');
                    }
                    joined.extend_from_slice(field(*part));
                }
                joined
            }
        };
        hasher.add_row(line, key, (0..ends.len()).map(field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::fingerprint::TableFingerprint;

    fn source(columns: &[&str], key: &[&str]) -> Source {
        let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
        Source {
            name: TableName::qualified("public", "t"),
            columns: names(columns),
            key: names(key),
            bytes: 0,
            sql: String::new(),
            pages: None,
        }
    }

    fn fingerprint(source: &Source, blocks: &[&[u8]]) -> TableFingerprint {
        let mut rows = Rows::new(source);
        blocks.iter().for_each(|block| rows.add(block));
        rows.hasher.finish(&source.columns, &source.key)
    }

    #[test]
    fn where_blocks_are_cut_does_not_matter() {
        let source = source(&["a", "id"], &["id"]);
        let whole = fingerprint(&source, &[b"x\t1\ny\t2\n\\N\t3\n"]);
        assert_eq!(fingerprint(&source, &[b"x\t1\n", b"y\t2\n\\N\t3\n"]), whole);
        assert_eq!(whole.rows, 3);
    }

    #[test]
    fn values_that_changed_rows_change_their_column_and_not_the_key() {
        let source = source(&["a", "id"], &["id"]);
        let (before, after) =
            (fingerprint(&source, &[b"x\t1\ny\t2\n"]), fingerprint(&source, &[b"y\t1\nx\t2\n"]));
        assert_ne!(before.columns["a"], after.columns["a"]);
        assert_eq!(before.columns["id"], after.columns["id"]);
    }

    #[test]
    fn a_key_of_two_columns_is_joined_so_that_no_two_keys_look_alike() {
        let source = source(&["a", "b", "v"], &["a", "b"]);
        let (one, other) = (fingerprint(&source, &[b"1\t11\tx\n"]), fingerprint(&source, &[b"11\t1\tx\n"]));
        assert_ne!(one.columns["v"], other.columns["v"]);
    }

    #[test]
    fn the_digest_of_a_known_line_never_changes() {
        use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};
        let found = fingerprint(&source(&["a", "id"], &["id"]), &[b"\\N\t7\n"]);
        assert_eq!(found.digest.0, xxh3_128(b"\\N\t7"));
        assert_eq!(found.columns["a"].0, xxh3_128_with_seed(b"\\N", xxh3_64(b"7")));
    }

    #[test]
    fn a_table_without_columns_still_has_rows() {
        assert_eq!(fingerprint(&source(&[], &[]), &[b"\n\n"]).rows, 2);
    }
}
