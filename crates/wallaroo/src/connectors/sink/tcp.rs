//! Writes to a TCP server, through a thread that connects, and connects again.
//!
//! Before each hand-over the thread looks whether the server has closed, since a write to a closed connection
//! succeeds once. What had been handed to the system when a connection broke is lost all the same: TCP does not
//! say what the other side has read.
//!
//! **Invariants.** Rows are written in order, and on one connection whole: after a loss the row that was cut
//! is sent again from its start. Attempts are 0.1 s to 5 s apart. They never end while the application runs; when it ends,
//! they do once the server has taken nothing for a time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use wallaroo_core::{Clock, Code, ConnectorError, Messages, Rows, Timestamp, Waker, Write, Writer};

use super::csv::Preamble;
use super::outbox::{Failure, Outbox};
use crate::connectors::reason::reason;
use crate::connectors::threads;

mod backoff;
mod patience;

use backoff::Backoff;
use patience::Patience;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// After this time without a connection a person is told.
const WARN_AFTER: Duration = Duration::from_secs(2);

/// How long a server may take nothing when the application is ending, unless set otherwise.
// Long enough for a server that is being restarted; a person who waits for the end would not wait much longer.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long one write waits before the thread looks whether it should go on.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts to connect to `address`, which is `HOST:PORT`.
pub(super) fn open(
    address: String,
    give_up_after: Duration,
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
        patience: Patience::new(give_up_after),
        in_hand: 0,
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

    fn end(&mut self) {
        self.shared.outbox.end();
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
    patience: Patience,
    /// Rows that it has got and not sent.
    in_hand: usize,
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
                self.in_hand = Messages::len(&rows);
                if !self.connect() || !self.send(&mut rows) {
                    return;
                }
            }
            self.in_hand = 0;
        }
        if let Some(mut stream) = self.stream.take() {
            // Closing with bytes unread would reset the connection under the rows on their way.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = is_open(&mut stream);
        }
        self.shared.set(None);
    }

    /// Makes sure that there is a connection. False when the worker has gone, or there is no more patience.
    fn connect(&mut self) -> bool {
        if self.stream.is_some() {
            return true;
        }
        let began = self.patience.clock.now();
        let mut warned = false;
        loop {
            match connect_to(&self.address, self.patience.look_every()) {
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
                Err(error) => {
                    warned |= self.warn_once(began, warned, &error);
                    if self.gives_up(&reason(&error)) {
                        return false;
                    }
                }
            }
            let now = self.patience.clock.now();
            let until_warning = WARN_AFTER.saturating_sub(now.since(began));
            let mut pause = self.backoff.next().min(self.patience.left());
            if !warned && !until_warning.is_zero() {
                pause = pause.min(until_warning);
            }
            if self.shared.outbox.pause(pause) {
                return false;
            }
        }
    }

    fn warn_once(&self, began: Timestamp, warned: bool, error: &io::Error) -> bool {
        let due = !warned && self.patience.clock.now().since(began) >= WARN_AFTER;
        if due {
            let (code, reason) = (Code::SinkLost, reason(error));
            warn!(%code, address = %self.address, %reason, "sink has no connection; rows wait, then the application");
        }
        due
    }

    /// Gives up when the application is ending and the server has taken nothing for too long. True if so.
    fn gives_up(&mut self, reason: &str) -> bool {
        let rows = self.in_hand + self.shared.outbox.waiting();
        let is_ending = self.shared.outbox.is_ending();
        if self.patience.lasts(is_ending) || rows == 0 {
            return false;
        }
        let (address, time) = (&self.address, self.patience.time);
        let plural = if rows == 1 { "" } else { "s" };
        self.shared.outbox.fail(Failure {
            text: format!(
                "cannot deliver {rows} row{plural} to {address}: {reason}; gave up {time:?} after the end"
            ),
            help: "check that the receiver runs and reads, or let the sink wait longer with give_up_after",
            code: Code::SinkLost,
        });
        true
    }

    /// Sends rows from the front, until all are sent or the connection is lost. False when there is no more patience.
    fn send(&mut self, rows: &mut Rows) -> bool {
        let Some(mut stream) = self.stream.take() else {
            return true;
        };
        let mut sent = 0;
        let result = is_open(&mut stream).and_then(|()| {
            if self.is_new {
                let preamble = Arc::clone(&self.preamble);
                let header = preamble.get().map_or(&[][..], Vec::as_slice);
                self.write(&mut stream, header, &mut 0)?;
                self.is_new = false;
            }
            self.write(&mut stream, rows.remaining(), &mut sent)
        });
        rows.consume(whole_rows(rows, sent));
        self.in_hand = Messages::len(rows);
        if result.as_ref().is_err_and(is_slow)
            && self.gives_up("it is connected, and reads nothing")
        {
            return false;
        }
        let Err(error) = result else {
            self.stream = Some(stream);
            return true;
        };
        self.was_lost = true;
        self.shared.set(None);
        if !self.shared.outbox.is_closed() {
            warn!(address = %self.address, reason = %reason(&error), "sink lost its connection, connecting again");
        }
        true
    }

    /// Writes all bytes; `sent` tells how far it came. A server that does not read is waited for, as long as there is
    /// patience.
    fn write(&mut self, stream: &mut TcpStream, bytes: &[u8], sent: &mut usize) -> io::Result<()> {
        while *sent < bytes.len() {
            match stream.write(&bytes[*sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *sent += count;
                    self.patience.renew();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if is_slow(&error) && self.patience.lasts(self.shared.outbox.is_ending()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a write has not failed, but waited long enough to look around.
fn is_slow(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
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
fn connect_to(address: &str, write_timeout: Duration) -> io::Result<(TcpStream, TcpStream)> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            // On the way to a port that nobody listens on, a socket can meet itself.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                last = ErrorKind::ConnectionRefused.into();
            }
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(write_timeout))?;
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
