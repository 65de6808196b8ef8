//! What the threads of one acknowledged source share: connections, and what is known of each sender.
//!
//! **Invariants.** A sender whose frames have been received is never forgotten. The inbox is closed when the source is told to stop
//! and the last connection's thread has put in what it had read.

use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use wallaroo_core::Code;

use super::acks::Acks;
use super::protocol::Status;
use super::{INBOX_BYTES, connection};
use crate::connectors::inbox::Inbox;
use crate::connectors::tcp::reachable;
use crate::connectors::threads;

/// The wait after a failure to accept, usually for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// Frames of one connection.
pub(super) struct Chunk {
    pub(super) connection: u64,
    pub(super) producer: Arc<Producer>,
    /// Each with its number.
    pub(super) frames: Vec<(u64, Vec<u8>)>,
    /// Whether the connection ends here.
    pub(super) is_last: bool,
}

/// A sender.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) name: Vec<u8>,
    /// The number of the last frame that the worker has taken.
    pub(super) seen: AtomicU64,
    /// The last one in the input log.
    pub(super) logged: AtomicU64,
    /// The last one on the disk.
    pub(super) durable: AtomicU64,
    /// Whether it must be remembered.
    pub(super) has_sent: AtomicBool,
    /// Its connection, with its number.
    pub(super) current: Mutex<Option<(u64, TcpStream)>>,
}

impl Producer {
    pub(super) fn current(&self) -> MutexGuard<'_, Option<(u64, TcpStream)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) producers: usize,
    pub(super) connections: usize,
    pub(super) frame_bytes: usize,
    pub(super) idle: Duration,
}

/// What the threads of a source share.
pub(super) struct Hub {
    address: SocketAddr,
    pub(super) limits: Limits,
    pub(super) inbox: Inbox<Chunk>,
    pub(super) acks: Acks,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether the log of earlier runs has been read.
    is_ready: bool,
    is_stopping: bool,
    producers: BTreeMap<Vec<u8>, Arc<Producer>>,
    /// Never iterated over to decide an outcome: all are ended, in whatever order.
    streams: HashMap<u64, TcpStream>,
}

impl Hub {
    pub(super) fn new(address: SocketAddr, limits: Limits) -> Self {
        Hub {
            address,
            limits,
            inbox: Inbox::new(INBOX_BYTES),
            acks: Acks::default(),
            state: Mutex::default(),
            news: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Greets senders from here on.
    pub(super) fn begin(&self) {
        self.state().is_ready = true;
        self.news.notify_all();
    }

    /// Brings back what is known of a sender; it is durable.
    pub(super) fn recall(&self, name: Vec<u8>, number: u64) {
        let mut state = self.state();
        let producer = state.producers.entry(name).or_insert_with_key(|name| {
            Arc::new(Producer {
                name: name.clone(),
                ..Producer::default()
            })
        });
        producer.has_sent.store(true, Ordering::SeqCst);
        for known in [&producer.seen, &producer.logged, &producer.durable] {
            known.fetch_max(number, Ordering::SeqCst);
        }
    }

    /// All senders of which something is in the log.
    pub(super) fn logged(&self) -> Vec<(Vec<u8>, u64)> {
        let state = self.state();
        let all = state.producers.iter();
        all.map(|(name, producer)| (name.clone(), producer.logged.load(Ordering::SeqCst)))
            .filter(|(_, number)| *number > 0)
            .collect()
    }

    /// All senders with the last number that is durable.
    pub(super) fn durable(&self) -> Vec<(Vec<u8>, u64)> {
        let state = self.state();
        let all = state.producers.iter();
        all.map(|(name, producer)| (name.clone(), producer.durable.load(Ordering::SeqCst)))
            .collect()
    }

    /// The sender of that name, when the log of earlier runs has been read.
    pub(super) fn producer(&self, name: Vec<u8>) -> Result<Arc<Producer>, Status> {
        let mut state = self.state();
        while !state.is_ready && !state.is_stopping {
            let waited = self.news.wait_timeout(state, WAKE_TIMEOUT);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_stopping {
            return Err(Status::Stopping);
        }
        if let Some(known) = state.producers.get(&name) {
            return Ok(Arc::clone(known));
        }
        if state.producers.len() >= self.limits.producers {
            let (code, limit) = (Code::TooManyConnections, self.limits.producers);
            warn!(%code, address = %self.address, limit, "sender refused; raise max_producers");
            return Err(Status::TooMany);
        }
        let producer = Arc::new(Producer {
            name: name.clone(),
            ..Producer::default()
        });
        state.producers.insert(name, Arc::clone(&producer));
        Ok(producer)
    }

    /// Accepts connections until it is stopped.
    pub(super) fn accept(self: Arc<Self>, listener: &TcpListener) {
        info!(address = %self.address, "listening");
        for number in 0.. {
            let accepted = listener.accept();
            if self.state().is_stopping {
                return;
            }
            match accepted.and_then(|(stream, _)| Ok((stream.try_clone()?, stream))) {
                Ok((other, stream)) => self.admit(number, stream, other),
                Err(error) => {
                    warn!(address = %self.address, %error, "cannot accept a connection, trying again");
                    let state = self.state();
                    drop(
                        self.news
                            .wait_timeout_while(state, AFTER_FAILURE, |state| !state.is_stopping),
                    );
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, number: u64, stream: TcpStream, other: TcpStream) {
        let mut state = self.state();
        if state.is_stopping || state.streams.len() >= self.limits.connections {
            let code = Code::TooManyConnections;
            warn!(%code, address = %self.address, "connection refused; raise max_connections");
            return;
        }
        state.streams.insert(number, other);
        drop(state);
        let hub = Arc::clone(self);
        let started = threads::spawn(format!("ack-{number}"), move || {
            connection::serve(&hub, number, stream);
            hub.leave(number);
        });
        if let Err(error) = started {
            warn!(address = %self.address, %error, "connection refused");
            self.leave(number);
        }
    }

    fn leave(&self, number: u64) {
        let mut state = self.state();
        state.streams.remove(&number);
        if state.is_stopping && state.streams.is_empty() {
            self.inbox.close();
        }
    }

    /// A connection of a sender has ended. One that has never sent anything need not be remembered.
    pub(super) fn part(&self, number: u64, producer: &Arc<Producer>) {
        let mut state = self.state();
        let mut current = producer.current();
        if current.as_ref().is_some_and(|(mine, _)| *mine == number) {
            *current = None;
            if !producer.has_sent.load(Ordering::SeqCst) {
                state.producers.remove(&producer.name);
            }
        }
    }

    /// Accepts and reads nothing more.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_stopping, true) {
            return;
        }
        for stream in state.streams.values() {
            // Wakes the thread that reads; that it is closed already is as good.
            let _ = stream.shutdown(Shutdown::Read);
        }
        if state.streams.is_empty() {
            self.inbox.close();
        }
        drop(state);
        self.news.notify_all();
        // Ends the wait of the accepting thread; if there is none, this is refused, which is as good.
        let _ = TcpStream::connect_timeout(&reachable(self.address), WAKE_TIMEOUT);
    }
}
