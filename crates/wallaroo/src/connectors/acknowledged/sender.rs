//! The other side of an acknowledged source.
//!
//! **Invariants.** What has not been acknowledged is kept, and sent again on the next connection, with its number. At most
//! [`UNACKNOWLEDGED_BYTES`] are kept, or one frame.

use std::collections::VecDeque;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{Clock, SystemClock};

use super::protocol::{self, Answer, MAX_NAME_BYTES, Status};
use crate::connectors::threads;

/// What may be sent and not acknowledged.
const UNACKNOWLEDGED_BYTES: usize = 16 << 20;
/// How long it tries to reach the server, unless set otherwise.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends records to an application with an [`acknowledged`](crate::Bytes::acknowledged) TCP source: each is taken once,
/// whatever happens to the connection or the application.
///
/// Each sender has a name, which only one uses at a time. It keeps what is not acknowledged in memory; a sender whose own
/// process dies asks [`durable`](AckSender::durable) after it has connected again, and goes on with the record behind.
///
/// # Example
/// ```no_run
/// use wallaroo::AckSender;
///
/// let mut sender = AckSender::connect("127.0.0.1:7010", "gate 4")?;
/// for record in (1u64..=1_000).skip(sender.durable() as usize) {
///     sender.send(record.to_string().as_bytes())?; // its number is `record`
/// }
/// sender.wait()?; // all of them are on the server's disk
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AckSender {
    address: String,
    name: Vec<u8>,
    give_up_after: Duration,
    link: Option<Link>,
    unacknowledged: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    durable: u64,
    next: u64,
    clock: SystemClock,
}

/// A connection, and what has come along it.
#[derive(Debug)]
struct Link {
    output: BufWriter<TcpStream>,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<(u64, bool)>,
    news: Condvar,
}

impl Heard {
    fn state(&self) -> MutexGuard<'_, (u64, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Ends the thread that listens.
        let _ = self.output.get_ref().shutdown(Shutdown::Both);
    }
}

impl AckSender {
    /// Connects to `address` (`HOST:PORT`) under a name of 1 to 64 bytes; tries for 30 seconds.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses: the name, or because it has too many senders.
    pub fn connect(address: impl Into<String>, name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = name.as_ref().to_vec();
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(refused(Status::Name));
        }
        let mut sender = AckSender {
            address: address.into(),
            name,
            give_up_after: GIVE_UP_AFTER,
            link: None,
            unacknowledged: VecDeque::new(),
            bytes: 0,
            durable: 0,
            next: 1,
            clock: SystemClock::new(),
        };
        sender.reconnect()?;
        sender.next = sender.durable + 1;
        Ok(sender)
    }

    /// How long it tries to reach the server when the connection is lost; 30 seconds by default.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// The number of the last record that is on the server's disk, as far as it has told; 0 if there is none.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Sends a record and returns its number, one more than the last. Some kilobytes may stay here until
    /// [`flush`](AckSender::flush), [`wait`](AckSender::wait) or further records bring them on their way. Waits while too much is not acknowledged, and while the
    /// server cannot be reached.
    ///
    /// # Errors
    /// When the server has not been reached for [`give_up_after`](AckSender::give_up_after). The record is kept, and sent
    /// by a later call that reaches it.
    pub fn send(&mut self, record: &[u8]) -> io::Result<u64> {
        let number = self.next;
        self.next += 1;
        self.bytes += record.len();
        self.unacknowledged.push_back((number, record.to_vec()));
        let is_written = self.link.as_mut().is_some_and(|link| {
            !link.heard.state().1 && protocol::write_frame(number, record, &mut link.output).is_ok()
        });
        if !is_written {
            self.reconnect()?;
        }
        self.listen();
        while self.bytes > UNACKNOWLEDGED_BYTES && self.unacknowledged.len() > 1 {
            self.wait_for(self.durable + 1)?;
        }
        Ok(number)
    }

    /// Brings everything on its way.
    ///
    /// # Errors
    /// As [`AckSender::send`].
    pub fn flush(&mut self) -> io::Result<()> {
        let is_flushed = (self.link.as_mut()).is_some_and(|link| link.output.flush().is_ok());
        if is_flushed { Ok(()) } else { self.reconnect() }
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// As [`AckSender::send`].
    pub fn wait(&mut self) -> io::Result<()> {
        self.wait_for(self.next - 1)
    }

    fn wait_for(&mut self, number: u64) -> io::Result<()> {
        loop {
            self.listen();
            if self.durable >= number {
                return Ok(());
            }
            let flushed = match &mut self.link {
                Some(link) => {
                    link.output.flush().is_ok() && {
                        let durable = self.durable;
                        let state = link.heard.state();
                        let waited = link
                            .heard
                            .news
                            .wait_while(state, |(heard, is_lost)| *heard <= durable && !*is_lost);
                        let (heard, is_lost) = *waited.unwrap_or_else(PoisonError::into_inner);
                        heard > durable || !is_lost
                    }
                }
                None => false,
            };
            if !flushed {
                self.reconnect()?;
            }
        }
    }

    /// Forgets what has been acknowledged.
    fn listen(&mut self) {
        if let Some(link) = &self.link {
            self.durable = self.durable.max(link.heard.state().0);
        }
        while let Some((number, record)) = self.unacknowledged.front()
            && *number <= self.durable
        {
            self.bytes -= record.len();
            self.unacknowledged.pop_front();
        }
    }

    /// Connects, and sends again what is not acknowledged.
    fn reconnect(&mut self) -> io::Result<()> {
        self.listen();
        self.link = None;
        let began = self.clock.now();
        loop {
            let result = self.try_connect();
            let Err(error) = result else { return Ok(()) };
            let is_refused = error.kind() == io::ErrorKind::InvalidInput;
            if is_refused || self.clock.now().since(began) >= self.give_up_after {
                return Err(error);
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    fn try_connect(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        // A server that reads back its log answers when it has done so.
        stream.set_read_timeout(Some(self.give_up_after.max(PAUSE)))?;
        protocol::write_hello(&self.name, &mut stream)?;
        let Answer {
            status, durable, ..
        } = protocol::read_answer(&mut stream)?;
        if status != Status::Welcome {
            return Err(refused(status));
        }
        stream.set_read_timeout(None)?;
        self.durable = self.durable.max(durable);
        let heard = Arc::new(Heard {
            state: Mutex::new((self.durable, false)),
            news: Condvar::new(),
        });
        let (input, listening) = (stream.try_clone()?, Arc::clone(&heard));
        let listener = move || {
            let mut input = BufReader::new(input);
            while let Ok(number) = protocol::read(&mut input) {
                let mut state = listening.state();
                state.0 = state.0.max(u64::from_le_bytes(number));
                drop(state);
                listening.news.notify_all();
            }
            listening.state().1 = true;
            listening.news.notify_all();
        };
        threads::spawn("ack-sender".into(), listener).map_err(io::Error::other)?;
        let mut link = Link {
            output: BufWriter::new(stream),
            heard,
        };
        self.listen();
        for (number, record) in &self.unacknowledged {
            protocol::write_frame(*number, record, &mut link.output)?;
        }
        link.output.flush()?;
        self.link = Some(link);
        Ok(())
    }
}

fn refused(status: Status) -> io::Error {
    let (kind, text) = match status {
        Status::Stopping | Status::Welcome => {
            (io::ErrorKind::ConnectionRefused, "the server is stopping")
        }
        Status::Version => (
            io::ErrorKind::InvalidInput,
            "the server speaks another version of the protocol; use its release",
        ),
        Status::Name => (
            io::ErrorKind::InvalidInput,
            "the name of a sender must have 1 to 64 bytes",
        ),
        Status::TooMany => (
            io::ErrorKind::InvalidInput,
            "the server has as many senders as it may have; raise max_producers, or use a known name",
        ),
    };
    io::Error::new(kind, text)
}
