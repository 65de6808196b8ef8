//! The thread that accepts connections and deals them out.
//!
//! **Invariants.** Connections go to the partitions in turn. No more than the limit are open at one time. After
//! [`Hub::stop`] no further one is accepted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use wallaroo_core::{Code, ConnectorError, Waker};

use super::connection::Connection;
use super::lane::Lane;
use crate::connectors::framing::Framing;
use crate::connectors::reason::reason;
use crate::connectors::threads;

/// The wait after a failure to accept, usually for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// The wait for the connection to itself that ends the thread.
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the partitions of one listener share.
#[derive(Debug)]
pub(super) struct Hub {
    address: SocketAddr,
    lanes: Vec<Arc<Lane>>,
    max_connections: usize,
    connections: AtomicUsize,
    is_stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Hub {
    pub(super) fn new(address: SocketAddr, lanes: Vec<Arc<Lane>>, max_connections: usize) -> Self {
        Hub {
            address,
            lanes,
            max_connections,
            connections: AtomicUsize::new(0),
            is_stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    /// Opens a partition by name, once.
    pub(super) fn open(&self, name: &str, waker: &Waker) -> Option<Arc<Lane>> {
        let lane = self.lanes.iter().find(|lane| lane.name() == name)?;
        lane.open(waker).then(|| Arc::clone(lane))
    }

    /// Whether all partitions are open.
    pub(super) fn is_open(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_open())
    }

    /// Starts to accept.
    pub(super) fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        framing: Framing,
    ) -> Result<(), ConnectorError> {
        let hub = Arc::clone(self);
        info!(address = %self.address, "listening");
        threads::spawn("tcp-accept".into(), move || hub.run(&listener, framing)).map(drop)
    }

    /// Accepts nothing more.
    pub(super) fn stop(&self) {
        let mut is_stopping = self
            .is_stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *is_stopping, true) {
            return;
        }
        drop(is_stopping);
        self.stopped.notify_all();
        // The thread waits in the system, which knows one way to end that: a connection. If there is no thread
        // or the listener has gone, this is refused, which is as good.
        let _ = TcpStream::connect_timeout(&reachable(self.address), WAKE_TIMEOUT);
    }

    fn is_stopping(&self) -> bool {
        *self
            .is_stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: &Arc<Self>, listener: &TcpListener, framing: Framing) {
        let mut number = 0;
        let mut refusing = false;
        loop {
            let accepted = listener.accept();
            if self.is_stopping() {
                return;
            }
            match accepted {
                Ok((stream, peer)) => {
                    let full = self.connections.load(Ordering::SeqCst) >= self.max_connections;
                    if full && !refusing {
                        let (code, limit) = (Code::TooManyConnections, self.max_connections);
                        warn!(%code, address = %self.address, %peer, limit, "connection refused; raise max_connections");
                    }
                    refusing = full;
                    if !full {
                        self.admit(stream, number, framing);
                        number += 1;
                    }
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&self, error: &std::io::Error) {
        warn!(address = %self.address, reason = %reason(error), "cannot accept a connection, trying again");
        let is_stopping = self
            .is_stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(
            self.stopped
                .wait_timeout_while(is_stopping, AFTER_FAILURE, |is_stopping| !*is_stopping),
        );
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, number: u64, framing: Framing) {
        let lane = Arc::clone(&self.lanes[usize::try_from(number).unwrap_or(0) % self.lanes.len()]);
        let other = match stream.try_clone() {
            Ok(other) => other,
            Err(error) => return self.failed(&error),
        };
        if !lane.enter(number, other) {
            return;
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        let (hub, member) = (Arc::clone(self), Arc::clone(&lane));
        let started = threads::spawn(format!("tcp-{number}"), move || {
            Connection::new(number, &member, framing).run(stream);
            hub.leave(&member, number);
        });
        if let Err(error) = started {
            warn!(address = %self.address, %error, "connection refused");
            self.leave(&lane, number);
        }
    }

    fn leave(&self, lane: &Lane, number: u64) {
        lane.leave(number);
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The address under which this process reaches its own listener.
pub(in crate::connectors) fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host @ (IpAddr::V4(_) | IpAddr::V6(_)) => host,
    };
    SocketAddr::new(host, address.port())
}
