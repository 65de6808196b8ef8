//! [`start`] and [`Console`]: the server, on a thread of its own.
//!
//! **Invariants.** When [`start`] returns, connections are accepted; when the [`Console`] is dropped, none is any more. Reports are made
//! on the server's thread, one at a time.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::connections::Bounded;
use crate::error::ConsoleError;
use crate::pages::{self, Shared};
use crate::report::Report;
use crate::request::is_loopback;

/// How long a drop waits for the thread: it is at most making one report.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes a report. Called on the server's thread at every request, so it must not wait for long.
pub type MakeReport = Arc<dyn Fn() -> Report + Send + Sync>;

/// Who may see the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Only programs on this machine.
    #[default]
    Loopback,
    /// Everybody who can reach the address, without a password, and under any name of it.
    Network,
}

/// Where and how the status is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen; port 0 takes any that is free.
    pub address: SocketAddr,
    /// Who may see it. [`Reach::Loopback`] refuses addresses that others can reach.
    pub reach: Reach,
    /// How many connections may be open; at least 1, default 16. More wait.
    pub connections: usize,
    /// How long a connection may last, from its beginning to the end of its one answer; default 10 seconds.
    pub timeout: Duration,
}

impl Options {
    /// At this address, for this machine, with the defaults.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Options {
            address,
            reach: Reach::default(),
            connections: 16,
            timeout: Duration::from_secs(10),
        }
    }
}

/// A server that runs. Dropping it stops the server.
pub struct Console {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Starts the server.
///
/// # Errors
/// When others can reach the address and [`Options::reach`] does not allow it, when it cannot be listened on, and when the system
/// refuses a thread.
pub fn start(options: Options, report: MakeReport) -> Result<Console, ConsoleError> {
    let address = options.address;
    if options.reach == Reach::Loopback && !is_loopback(address.ip()) {
        return Err(ConsoleError::NotLoopback { address });
    }
    let listen = |source: io::Error| ConsoleError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;

    let refused = |source: io::Error| ConsoleError::Resources { address, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(refused)?;
    let listener = {
        let _guard = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(refused)?
    };
    let listener = Bounded::new(listener, options.connections, options.timeout);
    let shared = Shared { report, bound };
    let (stop, stopped) = oneshot::channel();
    let (running, ended) = channel();
    let thread = Builder::new()
        .name("wallaroo-console".to_owned())
        .spawn(move || serve(runtime, listener, shared, stopped, running))
        .map_err(refused)?;
    Ok(Console {
        address: bound,
        stop: Some(stop),
        ended,
        thread: Some(thread),
    })
}

fn serve(
    runtime: Runtime,
    listener: Bounded,
    shared: Shared,
    stopped: oneshot::Receiver<()>,
    running: Sender<()>,
) {
    runtime.block_on(async move {
        let mut stopped = pin!(stopped);
        let mut serving = pin!(axum::serve(listener, pages::router(shared)).into_future());
        poll_fn(|context| match stopped.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => serving.as_mut().poll(context).map(drop),
        })
        .await;
    });
    // ends the connections
    drop(runtime);
    drop(running);
}

impl Console {
    /// Where it listens, with the port that it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        drop(self.stop.take());
        match (self.ended.recv_timeout(STOP_TIMEOUT), self.thread.take()) {
            (Err(RecvTimeoutError::Disconnected), Some(thread)) => {
                if thread.join().is_err() {
                    tracing::error!("the thread of the status server panicked");
                }
            }
            // a report that does not come back: its thread is left behind
            _ => tracing::warn!("the status server has not ended, because a report takes long"),
        }
    }
}
