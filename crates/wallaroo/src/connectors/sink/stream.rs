//! Writes to a stream that may wait for its reader, such as the standard output, through a thread.
//!
//! **Invariants.** The worker never waits for the stream. Buffers are written whole, so rows of several sinks do
//! not mix within a row. After a failure every call of the worker fails.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use wallaroo_core::{Code, ConnectorError, Rows, Waker, Write, Writer};

use super::csv::Preamble;
use super::outbox::{Failure, Outbox};
use crate::connectors::reason::reason;
use crate::connectors::threads;

/// A writer to the standard output.
pub(super) fn stdout(
    preamble: Preamble,
    waker: &Waker,
) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
    through_thread(
        Box::new(io::stdout()),
        "the standard output".to_owned(),
        preamble,
        waker,
    )
}

/// A writer to `stream`, which errors call `name`.
pub(super) fn through_thread(
    stream: Box<dyn io::Write + Send>,
    name: String,
    preamble: Preamble,
    waker: &Waker,
) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
    let outbox = Arc::new(Outbox::new(waker));
    let thread = Arc::clone(&outbox);
    threads::spawn("sink-stream".into(), move || {
        run(stream, &name, &preamble, &thread)
    })?;
    Ok(Box::new(StreamWriter { outbox }))
}

fn run(mut stream: Box<dyn io::Write + Send>, name: &str, preamble: &Preamble, outbox: &Outbox) {
    let mut rows = Rows::default();
    let mut header = true;
    while outbox.next(&mut rows) {
        let header = std::mem::take(&mut header)
            .then(|| preamble.get())
            .flatten();
        let result = header
            .map_or(Ok(()), |header| stream.write_all(header))
            .and_then(|()| stream.write_all(rows.remaining()))
            .and_then(|()| stream.flush());
        if let Err(error) = result {
            return outbox.fail(failure(name, &error));
        }
    }
}

fn failure(name: &str, error: &io::Error) -> Failure {
    let help = if error.kind() == ErrorKind::BrokenPipe {
        "the program that reads it has ended; keep it running, or write to a file"
    } else {
        "correct the cause and start again, or write to a file"
    };
    Failure {
        text: format!("cannot write to {name}: {}", reason(error)),
        help,
        code: Code::SinkWrite,
    }
}

/// The worker's side.
struct StreamWriter {
    outbox: Arc<Outbox>,
}

impl Writer<Rows> for StreamWriter {
    fn write(&mut self, rows: &mut Rows) -> Result<Write, ConnectorError> {
        self.outbox.put(rows)
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        self.outbox.flush()
    }
}

impl Drop for StreamWriter {
    // The thread is not waited for: a stream that nobody reads would hold it for ever.
    fn drop(&mut self) {
        self.outbox.close();
    }
}
