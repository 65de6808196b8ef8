//! A source that listens on a TCP port.
//!
//! One thread accepts connections and deals them out to the partitions, of which each worker has one at the start. One
//! thread per connection reads, cuts the bytes into frames and puts them, a chunk at a time, into the inbox of
//! its partition; the worker decodes them there. When the inbox is full the thread waits and does not
//! read, so the sender has to wait too.
//!
//! **Invariants.** Records of one connection keep their order. Per partition at most [`INBOX_BYTES`] wait, and one
//! chunk per connection. An idle connection costs a thread that sleeps, and no processor time. All
//! threads end when the readers are dropped.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use wallaroo_core::{Code, ConnectorError, Waker};

use super::address::host_and_port;
use super::framing::Framing;
use super::reason::reason;
use super::source::Bytes;

mod accept;
mod chunk;
mod connection;
mod lane;
mod reader;
#[cfg(test)]
mod tests;

use accept::Hub;
pub(super) use accept::reachable;
use lane::Lane;
pub(super) use reader::TcpReader;

/// Bytes that wait in one partition.
// 1 MiB: 16 chunks, a few milliseconds of work at 300 MB/s; more only adds latency.
const INBOX_BYTES: usize = 1024 * 1024;
/// Connections at one time, unless set otherwise.
const MAX_CONNECTIONS: usize = 1024;

/// Listens on `address` (`HOST:PORT`), and reads what clients send.
///
/// The port is taken when the application starts, or at once by [`bind`](Bytes::bind). Port 0 lets the
/// system choose. Each worker the application starts with has a partition; connections are dealt out to them in turn. A
/// rescale deals the partitions out anew, and makes no further ones: see [`partitions`](Bytes::partitions). A record must
/// be complete when its connection ends: text without a line end is rejected.
///
/// # Example
/// ```
/// use wallaroo::connectors::tcp_listener;
///
/// let words = tcp_listener("127.0.0.1:0").bind()?;
/// let address = words.local_address().expect("it is bound");
/// assert_ne!(address.port(), 0);
/// let words = words.lines();
/// # drop(words);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tcp_listener(address: impl AsRef<str>) -> Bytes<TcpInput> {
    Bytes::new(TcpInput::new(address.as_ref()))
}

/// Tells where a TCP source listens.
#[derive(Clone, Debug, Default)]
pub struct ListenerHandle {
    address: Arc<Mutex<Option<SocketAddr>>>,
}

impl ListenerHandle {
    /// The address that is listened on; `None` before the port is taken, and for files.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// A port to listen on.
#[derive(Debug)]
pub struct TcpInput {
    address: String,
    max_connections: usize,
    partitions: Option<NonZeroUsize>,
    handle: ListenerHandle,
    listener: Option<TcpListener>,
    hub: Option<Arc<Hub>>,
}

impl Bytes<TcpInput> {
    /// The number of connections at one time; 1,024 by default. Further ones are closed at once, and a warning
    /// is logged.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.transport.max_connections = count;
        self
    }

    /// Into how many partitions connections are dealt out; as many as there are workers at the start by default. The
    /// number stays when the application is rescaled, so give the largest number of workers it will have.
    pub fn partitions(mut self, count: NonZeroUsize) -> Self {
        self.transport.partitions = Some(count);
        self
    }

    /// Takes the port at once. Clients may connect from then on; they are read when the application runs.
    ///
    /// # Errors
    /// When the port is in use, or the address is not one of this machine.
    pub fn bind(mut self) -> Result<Self, ConnectorError> {
        self.transport.bind()?;
        Ok(self)
    }

    /// The address that is listened on, once the port is taken.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.transport.handle.local_address()
    }
}

impl TcpInput {
    pub(super) fn new(address: &str) -> Self {
        TcpInput {
            address: address.to_owned(),
            max_connections: MAX_CONNECTIONS,
            partitions: None,
            handle: ListenerHandle::default(),
            listener: None,
            hub: None,
        }
    }

    /// The address as a source is redirected to it.
    pub(super) fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(super) fn handle(&self) -> ListenerHandle {
        self.handle.clone()
    }

    /// Tells `handle` where it listens.
    pub(super) fn with_handle(mut self, handle: ListenerHandle) -> Self {
        handle.set(None);
        self.handle = handle;
        self
    }

    pub(super) fn bind(&mut self) -> Result<SocketAddr, ConnectorError> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(host_and_port(&self.address)?)
                .map_err(|error| cannot_listen(&self.address, error))?,
        };
        let bound = listener
            .local_addr()
            .map_err(|error| cannot_listen(&self.address, error))?;
        self.listener = Some(listener);
        self.handle.set(Some(bound));
        Ok(bound)
    }

    pub(super) fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    pub(super) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Takes the port; one partition per worker, unless set otherwise.
    pub(super) fn partitions(&mut self, workers: usize) -> Result<Vec<String>, ConnectorError> {
        let bound = self.bind()?;
        let partitions = self
            .partitions
            .map_or_else(|| workers.max(1), NonZeroUsize::get);
        let names: Vec<_> = (0..partitions)
            .map(|number| format!("tcp://{bound} (partition {number})"))
            .collect();
        let lanes = names
            .iter()
            .map(|name| Arc::new(Lane::new(name.clone())))
            .collect();
        self.hub = Some(Arc::new(Hub::new(bound, lanes, self.max_connections)));
        Ok(names)
    }

    /// Opens a partition. With the last of them, connections are accepted.
    pub(super) fn open(
        &mut self,
        partition: &str,
        framing: Framing,
        waker: &Waker,
    ) -> Result<Connections, ConnectorError> {
        let lane = self.hub.iter().find_map(|hub| {
            hub.open(partition, waker)
                .map(|lane| (Arc::clone(hub), lane))
        });
        let Some((hub, lane)) = lane else {
            return Err(ConnectorError::new(format!(
                "cannot read the partition {partition:?}: this source has none of that name"
            ))
            .with_help("it listens on another address, or was opened before")
            .with_code(Code::SourceUnreadable));
        };
        let connections = Connections { hub, lane };
        if connections.hub.is_open()
            && let Some(listener) = self.listener.take()
        {
            connections.hub.accept(listener, framing)?;
        }
        Ok(connections)
    }
}

/// The connections of one partition, for its reader. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Connections {
    hub: Arc<Hub>,
    lane: Arc<Lane>,
}

impl Connections {
    /// Accepts and reads nothing more.
    fn stop(&self) {
        self.hub.stop();
        self.lane.stop();
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.hub.stop();
        self.lane.abandon();
    }
}

fn cannot_listen(address: &str, error: std::io::Error) -> ConnectorError {
    let help = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "stop the program that uses it, or choose another port (0 lets the system choose)"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "use 127.0.0.1 for this machine only, or 0.0.0.0 for all its interfaces"
        }
        std::io::ErrorKind::PermissionDenied => "choose a port from 1024 on",
        _ => "check the host name and the port",
    };
    ConnectorError::new(format!("cannot listen on {address}: {}", reason(&error)))
        .with_help(help)
        .with_code(Code::Listen)
}
