//! A TCP client that sends lines at full speed.
//!
//! **Invariants.** It never waits longer than a moment in one write, so that it notices that nobody reads.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::pressure::text;

/// Longest wait in one write.
const PATIENCE: Duration = Duration::from_millis(100);
/// Writes in vain after which it gives up: one minute.
const MAX_STALLS: u64 = 600;

/// A client at work.
pub(crate) struct Client {
    written: Arc<AtomicU64>,
    stalls: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Sends messages with these numbers, a line each.
    pub(crate) fn start(address: SocketAddr, numbers: Range<usize>) -> Self {
        let written = Arc::new(AtomicU64::new(0));
        let stalls = Arc::new(AtomicU64::new(0));
        let (counted, stalled) = (Arc::clone(&written), Arc::clone(&stalls));
        let thread = Builder::new()
            .name("client".to_owned())
            .spawn(move || send(address, numbers, &counted, &stalled))
            .expect("a thread can be had");
        Client {
            written,
            stalls,
            thread,
        }
    }

    /// Bytes that the socket has taken.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Writes that ended without a byte being taken.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::SeqCst)
    }

    /// Waits until everything is sent.
    pub(crate) fn join(self) {
        self.thread.join().expect("the client sends everything");
    }
}

fn send(address: SocketAddr, numbers: Range<usize>, written: &AtomicU64, stalls: &AtomicU64) {
    let mut stream = TcpStream::connect(address).expect("the application listens");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("the system can do this");
    let mut lines = numbers.map(text).peekable();
    while lines.peek().is_some() {
        let portion: Vec<String> = lines.by_ref().take(512).collect();
        let bytes = format!("{}\n", portion.join("\n")).into_bytes();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    written.fetch_add(count as u64, Ordering::SeqCst);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let before = stalls.fetch_add(1, Ordering::SeqCst);
                    assert!(before < MAX_STALLS, "nobody reads the socket");
                }
                Err(error) => panic!("cannot send: {error}"),
            }
        }
    }
}
