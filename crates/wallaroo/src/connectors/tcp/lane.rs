//! One partition: its inbox, its spare buffers and the connections that feed it.
//!
//! **Invariants.** The inbox is closed once the partition is told to stop and its last connection's thread has
//! put in what it had read; never before. A connection that enters after that is turned away.

use std::collections::HashMap;
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wallaroo_core::Waker;

use super::INBOX_BYTES;
use super::chunk::{Buffer, Chunk, LARGE_BYTES};
use crate::connectors::inbox::{Found, Inbox};

/// Buffers kept for later: as many large ones as wait in a full inbox, twice.
const SPARE_BUFFERS: usize = 2 * INBOX_BYTES / LARGE_BYTES;

/// One partition.
pub(super) struct Lane {
    name: String,
    inbox: Inbox<Chunk>,
    spare: Mutex<Vec<Buffer>>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    is_open: bool,
    is_stopping: bool,
    /// Never iterated over to decide an outcome: all are ended, in whatever order.
    streams: HashMap<u64, TcpStream>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Lane {
    pub(super) fn new(name: String) -> Self {
        Lane {
            name,
            inbox: Inbox::new(INBOX_BYTES),
            spare: Mutex::default(),
            members: Mutex::default(),
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Says which worker reads. False when one does already.
    pub(super) fn open(&self, waker: &Waker) -> bool {
        self.inbox.read_by(waker);
        !std::mem::replace(&mut self.members().is_open, true)
    }

    pub(super) fn is_open(&self) -> bool {
        self.members().is_open
    }

    /// Registers a connection; `stream` is for ending it from here. False when the partition is stopping.
    pub(super) fn enter(&self, connection: u64, stream: TcpStream) -> bool {
        let mut members = self.members();
        if members.is_stopping {
            return false;
        }
        members.streams.insert(connection, stream);
        true
    }

    /// A connection's thread has put in its last chunk.
    pub(super) fn leave(&self, connection: u64) {
        let mut members = self.members();
        members.streams.remove(&connection);
        self.close_if_done(&members);
    }

    /// Ends one connection.
    pub(super) fn expel(&self, connection: u64) {
        if let Some(stream) = self.members().streams.get(&connection) {
            // That it is closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Reads nothing more from sockets.
    pub(super) fn stop(&self) {
        let mut members = self.members();
        members.is_stopping = true;
        for stream in members.streams.values() {
            // Wakes the thread that reads; that it is closed already is as good.
            let _ = stream.shutdown(Shutdown::Read);
        }
        self.close_if_done(&members);
    }

    /// Forgets everything; the reader has gone.
    pub(super) fn abandon(&self) {
        self.stop();
        self.inbox.abandon();
    }

    fn close_if_done(&self, members: &Members) {
        if members.is_stopping && members.streams.is_empty() {
            self.inbox.close();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.members().is_stopping
    }

    /// Connection: hands a chunk over; waits for room. False when nobody reads any more.
    pub(super) fn put(&self, chunk: Chunk) -> bool {
        let weight = chunk.buffer.weight();
        self.inbox.put(chunk, weight).is_ok()
    }

    /// Reader: takes the next chunk.
    pub(super) fn take(&self, each: impl FnMut(Chunk)) -> Found {
        self.inbox.take(1, each)
    }

    /// An empty buffer.
    pub(super) fn buffer(&self) -> Buffer {
        self.spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_else(Buffer::new)
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&self, mut buffer: Buffer) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.data.len() <= LARGE_BYTES && spare.len() < SPARE_BUFFERS {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
