//! Writes to a TCP server, through a thread that connects, and connects again.
//!
//! Before each hand-over the thread looks whether the server has closed, since a write to a closed connection
//! succeeds once. What had been handed to the system when a connection broke is lost all the same: TCP does not
//! say what the other side has read.
//!
//! **Invariants.** Rows are written in order, and on one connection whole: after a loss the row that was cut
//! is sent again from its start. Attempts are 0.1 s to 5 s apart, and never end while the writer lives.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use wallaroo_core::{
    Clock, Code, ConnectorError, Messages, Rows, SystemClock, Timestamp, Waker, Write, Writer,
};

use super::csv::Preamble;
use super::outbox::Outbox;
use crate::connectors::reason::reason;
use crate::connectors::threads;

mod backoff;

use backoff::Backoff;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// After this time without a connection a person is told.
const WARN_AFTER: Duration = Duration::from_secs(2);

/// Starts to connect to `address`, which is `HOST:PORT`.
pub(super) fn open(
    address: String,
    preamble: Preamble,
    waker: &Waker,
) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
    let shared = Arc::new(Shared {
        outbox: Outbox::new(waker),
        connection: Mutex::default(),
    });
    let backoff = Backoff::new(&address);
    let thread = Connection {
        address,
        preamble,
        shared: Arc::clone(&shared),
        backoff,
        clock: SystemClock::new(),
        stream: None,
        is_new: true,
        was_lost: false,
    };
    threads::spawn("sink-tcp".into(), move || thread.run())?;
    Ok(Box::new(TcpWriter { shared }))
}

struct Shared {
    outbox: Outbox,
    /// The connection, so that the worker can end a write that waits for the server.
    connection: Mutex<Option<TcpStream>>,
}

impl Shared {
    fn set(&self, stream: Option<TcpStream>) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = stream;
    }
}

/// The worker's side.
struct TcpWriter {
    shared: Arc<Shared>,
}

impl Writer<Rows> for TcpWriter {
    fn write(&mut self, rows: &mut Rows) -> Result<Write, ConnectorError> {
        self.shared.outbox.put(rows)
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        self.shared.outbox.flush()
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        let is_done = matches!(self.shared.outbox.flush(), Ok(Write::Done));
        self.shared.outbox.close();
        if !is_done
            && let Some(stream) = &*self
                .shared
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        {
            // Only to end a write that waits; that the connection is closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The thread's side.
struct Connection {
    address: String,
    preamble: Preamble,
    shared: Arc<Shared>,
    backoff: Backoff,
    clock: SystemClock,
    stream: Option<TcpStream>,
    /// Whether the connection has not had the header.
    is_new: bool,
    /// Whether there was a connection before.
    was_lost: bool,
}

impl Connection {
    fn run(mut self) {
        let mut rows = Rows::default();
        // Connects before there is anything to send, so that a wrong address shows at once.
        while self.connect() && self.shared.outbox.next(&mut rows) {
            while !Messages::is_empty(&rows) {
                if !self.connect() {
                    return;
                }
                self.send(&mut rows);
            }
        }
        if let Some(mut stream) = self.stream.take() {
            // Closing with bytes unread would reset the connection under the rows on their way.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = is_open(&mut stream);
        }
        self.shared.set(None);
    }

    /// Makes sure that there is a connection. False when the worker has gone.
    fn connect(&mut self) -> bool {
        if self.stream.is_some() {
            return true;
        }
        let began = self.clock.now();
        let mut warned = false;
        loop {
            match connect_to(&self.address) {
                Ok((stream, shared)) => {
                    self.shared.set(Some(shared));
                    if self.shared.outbox.is_closed() {
                        return false;
                    }
                    if warned || self.was_lost {
                        info!(address = %self.address, "sink connected again");
                    }
                    self.backoff.reset();
                    (self.stream, self.is_new) = (Some(stream), true);
                    return true;
                }
                Err(error) => warned |= self.warn_once(began, warned, &error),
            }
            let patience = WARN_AFTER.saturating_sub(self.clock.now().since(began));
            let pause = self.backoff.next();
            let pause = if warned || patience.is_zero() {
                pause
            } else {
                pause.min(patience)
            };
            if self.shared.outbox.pause(pause) {
                return false;
            }
        }
    }

    fn warn_once(&self, began: Timestamp, warned: bool, error: &io::Error) -> bool {
        let due = !warned && self.clock.now().since(began) >= WARN_AFTER;
        if due {
            let (code, reason) = (Code::SinkLost, reason(error));
            warn!(%code, address = %self.address, %reason, "sink has no connection; rows wait, then the application");
        }
        due
    }

    /// Sends rows from the front, until all are sent or the connection is lost.
    fn send(&mut self, rows: &mut Rows) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let mut sent = 0;
        let result = is_open(stream).and_then(|()| {
            if self.is_new {
                stream.write_all(self.preamble.get().map_or(&[], Vec::as_slice))?;
                self.is_new = false;
            }
            while sent < rows.remaining().len() {
                match stream.write(&rows.remaining()[sent..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        rows.consume(whole_rows(rows, sent));
        if let Err(error) = result {
            self.stream = None;
            self.was_lost = true;
            self.shared.set(None);
            if !self.shared.outbox.is_closed() {
                warn!(address = %self.address, reason = %reason(&error), "sink lost its connection, connecting again");
            }
        }
    }
}

/// How many rows the first `bytes` bytes hold.
fn whole_rows(rows: &Rows, bytes: usize) -> usize {
    let ends = rows.iter().scan(0, |end, row| {
        *end += row.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= bytes).count()
}

/// A connection, twice: to write to, and to shut down from elsewhere.
fn connect_to(address: &str) -> io::Result<(TcpStream, TcpStream)> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            // On the way to a port that nobody listens on, a socket can meet itself.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                last = ErrorKind::ConnectionRefused.into();
            }
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let other = stream.try_clone()?;
                return Ok((stream, other));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Fails when the other side has closed. What it has sent is read and forgotten.
fn is_open(stream: &mut TcpStream) -> io::Result<()> {
    /// Reads before it is left for the next time.
    const MAX_READS: usize = 16;
    let mut forgotten = [0; 1024];
    stream.set_nonblocking(true)?;
    let mut result = Ok(());
    for _ in 0..MAX_READS {
        match stream.read(&mut forgotten) {
            Ok(0) => {
                result = Err(io::Error::new(
                    ErrorKind::ConnectionAborted,
                    "the other side has closed the connection",
                ))
            }
            Ok(_) => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => result = Err(error),
        }
        break;
    }
    stream.set_nonblocking(false)?;
    result
}
