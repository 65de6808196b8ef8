//! A TCP source that tells its senders what is durable, so that nothing is lost and nothing taken twice.
//!
//! The protocol is in docs/protocols.md. One thread accepts connections, one per connection reads frames and puts them into the
//! inbox of the source's one partition; the worker drops what it has seen and hands the rest to the input log; one more thread
//! syncs the log and acknowledges ([`acks`]).
//!
//! **Invariants.** A frame is acknowledged after its record is on the disk, with the note that says whose it is. No frame is
//! taken, and no sender greeted, before the log of earlier runs has been read. At most [`INBOX_BYTES`] wait, and one chunk per
//! connection. All threads end when the reader is dropped.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use wallaroo_core::{Code, ConnectorError, Format, Waker};

use super::source::{Bytes, Input, Transport};
use super::tcp::TcpInput;
use super::threads;

mod acks;
mod connection;
mod hub;
pub(super) mod protocol;
mod reader;
mod sender;
pub mod simulated;

pub(super) use reader::AckReader;
pub use sender::AckSender;

use hub::Hub;

/// Bytes that wait for the worker.
const INBOX_BYTES: usize = 1024 * 1024;
/// Senders of one source, unless set otherwise.
const MAX_PRODUCERS: usize = 1024;
/// How long a connection may be silent, unless set otherwise.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The name of the one partition. It does not depend on the address, so that another port finds the same log.
pub(super) const PARTITION: &str = "acknowledged";

/// A port to listen on for senders that want to know what is durable. Made by
/// [`acknowledged`](Bytes::acknowledged).
#[derive(Debug)]
pub struct AckInput {
    pub(super) tcp: TcpInput,
    max_producers: usize,
    idle_timeout: Duration,
}

impl Bytes<TcpInput> {
    /// Speaks the protocol with acknowledgements: each sender has a name and numbers its frames, and is told up to which number
    /// they are durable; what it sends again is recognized, also after a restart. [`AckSender`] is the other side.
    ///
    /// The application needs a store. The source has one partition, whatever the number of workers; messages of
    /// one sender keep their order. Each frame is one record. Formats with a header (CSV) cannot be used.
    pub fn acknowledged(self) -> Bytes<AckInput> {
        self.with_transport(|tcp| AckInput {
            tcp,
            max_producers: MAX_PRODUCERS,
            idle_timeout: IDLE_TIMEOUT,
        })
    }
}

impl Bytes<AckInput> {
    /// How many senders there may ever be, 1,024 by default: the last number of each is kept for ever. Further ones are
    /// refused. The number of connections at one time is that of [`max_connections`](Bytes::max_connections).
    pub fn max_producers(mut self, count: usize) -> Self {
        self.transport.max_producers = count;
        self
    }

    /// A connection that sends nothing for so long is closed; 5 minutes by default. A sender that has nothing to say may send
    /// an empty frame with the number 0.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.transport.idle_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// The address that is listened on, once the port is taken.
    #[must_use]
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.transport.tcp.handle().local_address()
    }
}

impl Transport for AckInput {
    fn into_input(self) -> Input {
        Input::Acknowledged(self)
    }
}

impl AckInput {
    /// The same with another port.
    pub(super) fn at(&self, tcp: TcpInput) -> Self {
        AckInput { tcp, ..*self }
    }

    /// Takes the port.
    pub(super) fn partitions(&mut self) -> Result<Vec<String>, ConnectorError> {
        self.tcp.bind().map(|_| vec![PARTITION.to_owned()])
    }

    /// Opens the partition and listens.
    pub(super) fn open<T: Send + 'static>(
        &mut self,
        format: Arc<dyn Format<T>>,
        max_frame_bytes: usize,
        waker: &Waker,
    ) -> Result<AckReader<T>, ConnectorError> {
        if format.has_header() {
            return Err(ConnectorError::new(
                "cannot read a format with a header from an acknowledged source",
            )
            .with_help("send each record by itself, for example as JSON")
            .with_code(Code::SourceUnreadable));
        }
        let address = self.tcp.bind()?;
        let listener: Option<TcpListener> = self.tcp.take_listener();
        let limits = hub::Limits {
            producers: self.max_producers,
            connections: self.tcp.max_connections(),
            frame_bytes: max_frame_bytes,
            idle: self.idle_timeout,
        };
        let hub = Arc::new(Hub::new(address, limits));
        hub.inbox.read_by(waker);
        // Made first: dropping it ends the threads, if not all can be started.
        let reader = AckReader::new(Arc::clone(&hub), format);
        let acknowledging = Arc::clone(&hub);
        threads::spawn("ack-sync".into(), move || acknowledging.acks.run())?;
        if let Some(listener) = listener {
            threads::spawn("ack-accept".into(), move || hub.accept(&listener))?;
        }
        Ok(reader)
    }
}
