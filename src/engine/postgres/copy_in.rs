//! Sending a file of CSV to the server, as it is: the server reads it.

use super::session::Session;
use crate::engine::{Error, Inlet};
use crate::report::{Amount, Progress};
use std::io::Read;
use std::sync::Arc;

/// How much is sent at once.
const BLOCK: usize = 256 << 10;
/// How many blocks may wait, so that neither side stops for the other's shorter pauses: 2 MiB, whatever the file's size.
const WAITING: usize = 8;

/// Sends what the source holds by the statement `copy`, and returns how many rows the server took of it. Reading and
/// decompressing take place on a thread beside. `doing` says what for, should it fail, `what` names it for the progress.
pub(super) async fn send(
    session: &mut Session,
    source: Arc<dyn Inlet>,
    copy: &str,
    says: (&'static str, &str),
    progress: &Progress,
) -> Result<Result<u64, sqlx::Error>, Error> {
    send_from(session, move || source.open(), copy, says, progress).await
}

/// Like [`send`], whatever opens the file.
pub(super) async fn send_from(
    session: &mut Session,
    open: impl FnOnce() -> Result<Box<dyn Read + Send>, Error> + Send + 'static,
    copy: &str,
    (doing, what): (&'static str, &str),
    progress: &Progress,
) -> Result<Result<u64, sqlx::Error>, Error> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(WAITING);
    let reader = tokio::task::spawn_blocking(move || {
        let mut input = open()?;
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            let read = input.by_ref().take(BLOCK as u64).read_to_end(&mut block);
            let read =
                read.map_err(|error| Error::Driver { doing: doing.to_string(), detail: error.to_string() })?;
            // Nobody takes it any more: whoever stopped says why.
            if read == 0 || sender.blocking_send(block).is_err() {
                return Ok(());
            }
        }
    });
    let mut done = 0;
    let sent = async {
        let mut sink = session.asking().copy_in_raw(copy).await?;
        while let Some(block) = receiver.recv().await {
            done += block.len() as u64;
            progress.at(what, Amount { rows: 0, bytes: done }, None);
            sink.send(block).await?;
        }
        Ok::<_, sqlx::Error>(sink)
    };
    let sent = sent.await;
    drop(receiver);
    let read = reader.await.unwrap_or(Err(Error::Interrupted));
    match (sent, read) {
        (Ok(sink), Ok(())) => Ok(sink.finish().await),
        (Ok(sink), Err(error)) => {
            // What was sent so far must not be taken for all of it.
            let _ = sink.abort("the file cannot be read").await;
            Err(error)
        }
        (Err(error), _) => Ok(Err(error)),
    }
}
