//! A running application, to steer and to watch.
//!
//! **Invariants.** Dropping it stops the application and waits for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{self, Poll};
use std::time::Duration;

use wallaroo_core::Code;
use wallaroo_engine::{Body, Outcome, Run, Status};

use crate::connectors::{Sender, TrySendError};
use crate::durable::{self, CheckpointStatus, Checkpoints, Committed};
use crate::error::{Error, ErrorKind};
use crate::graph::AnySender;
use crate::memory::Guard;
use crate::status_page::StatusPage;

/// A running application. Made by [`App::start`](crate::App::start).
///
/// # Example
/// ```
/// use wallaroo::{App, Options, channel, memory, source};
///
/// let doubled = memory::<u64>();
/// let (_sender, numbers) = channel::<u64>(100);
/// let running = App::new("doubles")
///     .add(source("numbers", numbers).to(|n: &u64| Some(2 * n)).to_sink("doubled", doubled.clone()))
///     .start(Options::default())?;
/// running.send("numbers", 21u64)?;
/// running.stop();
/// running.wait()?;
/// assert_eq!(doubled.take(), [42]);
/// # Ok::<(), wallaroo::Error>(())
/// ```
pub struct Running {
    // Dropped first: its end is committed.
    run: Run,
    senders: BTreeMap<String, AnySender>,
    checkpoints: Option<Checkpoints>,
    /// Kept for its end.
    _memory: Option<Guard>,
    /// Behind a lock only so that this can be shared.
    status: Option<(SocketAddr, Mutex<StatusPage>)>,
}

impl Running {
    pub(crate) fn new(
        run: Run,
        senders: BTreeMap<String, AnySender>,
        checkpoints: Option<Checkpoints>,
        status: Option<StatusPage>,
    ) -> Self {
        Running {
            run,
            senders,
            checkpoints,
            _memory: None,
            status: status.map(|page| (page.address(), Mutex::new(page))),
        }
    }

    /// Runs the body on a thread of its own.
    pub(crate) fn run(&mut self, body: Body) -> Result<(), Error> {
        self.run.run(body).map_err(Error::from)
    }

    /// Ends the application as a failure: what has been accepted does not go through any more. For the second wish to end.
    #[doc(hidden)]
    pub fn give_up(&self) {
        self.run.give_up();
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.give_up();
        }
    }

    /// The same, with its memory watched.
    pub(crate) fn guarded(mut self, guard: Option<Guard>) -> Self {
        self._memory = guard;
        self
    }

    /// Where the status is served; none unless [`Options::status`](crate::Options::status) is set.
    #[must_use]
    pub fn status_address(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(|(address, _)| *address)
    }

    /// How checkpoints go; none without a store.
    #[must_use]
    pub fn checkpoints(&self) -> Option<CheckpointStatus> {
        self.checkpoints.as_ref().map(Checkpoints::status)
    }

    /// Makes a checkpoint now, and waits until it is committed: of everything handled before the call.
    ///
    /// # Errors
    /// When the application has no store, or ends before.
    pub fn checkpoint(&self) -> Result<(), Error> {
        if self.kept()?.commit_now() {
            return Ok(());
        }
        Err(not_committed())
    }

    /// Makes a checkpoint and keeps it under a name (1 to 64 of letters, digits, `-`, `_`) until it is deleted, so that the
    /// application can be started from it again.
    ///
    /// # Errors
    /// When the application has no store or ends before, or there is a savepoint of that name.
    pub fn savepoint(&self, name: &str) -> Result<(), Error> {
        self.checkpoint()?;
        match self.kept()?.savepoint(name) {
            Some(made) => made.map_err(|error| durable::store_error(&error)),
            None => Err(not_committed()),
        }
    }

    fn kept(&self) -> Result<&Checkpoints, Error> {
        self.checkpoints.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                Code::StoreNotFound,
                "the application has no store: start it with Options { store: Some(\"./data\".into()), .. }",
            )
        })
    }

    /// Sends a message to a source made with [`channel`](crate::channel); waits while the source is full.
    ///
    /// # Errors
    /// When there is no such source, it takes another type, or the application has stopped.
    pub fn send<T: Send + 'static>(&self, source: &str, message: T) -> Result<(), Error> {
        self.sender::<T>(source)?
            .send(message)
            .map_err(|_| closed(source))
    }

    /// As [`Running::send`], without waiting: gives the message back when the source is full.
    ///
    /// # Errors
    /// As [`Running::send`].
    pub fn try_send<T: Send + 'static>(
        &self,
        source: &str,
        message: T,
    ) -> Result<Option<T>, Error> {
        match self.sender::<T>(source)?.try_send(message) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(message)) => Ok(Some(message)),
            Err(TrySendError::Closed(_)) => Err(closed(source)),
        }
    }

    /// As [`Running::send`], without blocking the thread: the future is ready when there was room for the message, under
    /// any executor. Nothing is sent before it is polled, nor after it is dropped.
    ///
    /// # Errors
    /// As [`Running::send`].
    pub fn send_async<T: Send + 'static>(
        &self,
        source: &str,
        message: T,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<T> {
        let name = source.to_owned();
        let sending = self
            .sender::<T>(source)
            .map(|sender| sender.send_async(message));
        async move { sending?.await.map_err(|_| closed(&name)) }
    }

    /// As [`Running::send`], and waits until all effects of the message are committed in the store: state objects, and output
    /// of sinks that publish after the commit. A crash of the process or the machine cannot undo them then.
    ///
    /// Messages that are sent at the same time are committed together, by whichever threads or tasks.
    ///
    /// # Errors
    /// As [`Running::send`]; when the application has no store; when it ends before the commit. In the last case the message
    /// may still be in the input log, and have its effects after the next start.
    ///
    /// # Example
    /// ```no_run
    /// use wallaroo::{App, Options, channel, discard, source};
    ///
    /// let (_sender, orders) = channel::<u64>(100);
    /// let options = Options { store: Some("./data".into()), ..Options::default() };
    /// let running = App::new("orders").add(source("orders", orders).to_sink("orders", discard())).start(options)?;
    /// running.send_durable("orders", 7u64)?;
    /// // Whoever asked for the order can be told that it is accepted.
    /// # Ok::<(), wallaroo::Error>(())
    /// ```
    pub fn send_durable<T: Send + 'static>(&self, source: &str, message: T) -> Result<(), Error> {
        let committed = self.kept()?.committed();
        let sent = self
            .sender::<T>(source)?
            .send_asking(message, &committed.asking());
        let number = sent.map_err(|_| closed(source))?;
        if committed.wait_for(source, number) {
            return Ok(());
        }
        Err(perhaps_committed(source))
    }

    /// As [`Running::send_durable`], without blocking the thread, under any executor. Nothing is sent before the future is
    /// polled; one that is dropped later leaves open whether its message was sent.
    ///
    /// # Errors
    /// As [`Running::send_durable`].
    pub fn send_durable_async<T: Send + 'static>(
        &self,
        source: &str,
        message: T,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<T> {
        let sending = self.kept().and_then(|kept| {
            let committed = kept.committed();
            let sender = self.sender::<T>(source)?;
            Ok((
                sender.send_asking_async(message, committed.asking()),
                committed,
            ))
        });
        let source = source.to_owned();
        async move {
            let (sending, committed) = sending?;
            let number = sending.await.map_err(|_| closed(&source))?;
            let waiting = UntilCommitted {
                committed,
                source: &source,
                number,
                place: None,
            };
            if waiting.await {
                return Ok(());
            }
            Err(perhaps_committed(&source))
        }
    }

    fn sender<T: Send + 'static>(&self, source: &str) -> Result<&Sender<T>, Error> {
        let sender = self.senders.get(source).ok_or_else(|| {
            let known: Vec<String> = self.senders.keys().map(|name| format!("{name:?}")).collect();
            let known = match known.as_slice() {
                [] => "it has none; make one with channel()".to_owned(),
                [only] => format!("its only one is {only}"),
                known => format!("it has {}", known.join(", ")),
            };
            Error::new(ErrorKind::Invalid, Code::SendTarget, format!("cannot send to {source:?}: the application has no source of that name that takes messages, as those made with channel() do; {known}"))
        })?;
        sender.downcast_ref().ok_or_else(|| {
            let given = std::any::type_name::<T>();
            Error::new(ErrorKind::Invalid, Code::SendType, format!("cannot send a {given} to the source {source:?}: it takes another type; send the type the source is declared with"))
        })
    }

    /// What the application has done so far: messages of each source, stage and sink, bytes in flight.
    #[must_use]
    pub fn status(&self) -> Status {
        self.run.status()
    }

    /// Goes on with another number of workers, on the same state, without losing or doubling a message.
    pub fn rescale(&self, workers: NonZeroUsize) {
        self.run.rescale(workers);
    }

    /// Asks the sources to end. Everything accepted still goes through the sinks; [`Running::wait`] waits for
    /// that.
    pub fn stop(&self) {
        self.run.stop();
    }

    /// As [`Running::stop`], and waits for the end, at most for `timeout`: for an application whose sinks or functions
    /// may never come back.
    ///
    /// An application that has not ended by then is given up: workers end as soon as they come back from the function
    /// or connector they are in, for which this waits another second at most. Threads that stay inside longer are left
    /// behind, with the state objects they hold; dropping the `Running` does not wait for them.
    ///
    /// # Errors
    /// When the application failed; with the code [`Code::Undrained`](crate::Code::Undrained) when it was given up. The
    /// text then names the sinks that have not delivered everything, with the number of messages that wait for them,
    /// and functions that have not returned.
    pub fn stop_within(&self, timeout: Duration) -> Result<(), Error> {
        let outcome = self.run.stop_within(timeout);
        if let (Outcome::Failed(_), Some(checkpoints)) = (&outcome, &self.checkpoints) {
            checkpoints.give_up();
        }
        result(&outcome)
    }

    /// Waits until all input has ended, or the application was stopped, and everything is written.
    ///
    /// # Errors
    /// When the application failed on the way.
    pub fn wait(&self) -> Result<(), Error> {
        result(&self.run.wait())
    }

    /// As [`Running::wait`], at most for `timeout`: `None` when the application is still running.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<(), Error>> {
        self.run
            .wait_timeout(timeout)
            .map(|outcome| result(&outcome))
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// Ready when a message of a channel is committed, or never will be.
struct UntilCommitted<'a> {
    committed: Committed,
    source: &'a str,
    number: u64,
    place: Option<u64>,
}

impl Future for UntilCommitted<'_> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<bool> {
        let this = self.get_mut();
        this.committed
            .poll_for(this.source, this.number, &mut this.place, context)
    }
}

impl Drop for UntilCommitted<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.committed.leave(place);
        }
    }
}

fn result(outcome: &Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Completed => Ok(()),
        Outcome::Failed(failure) => Err(Error::from(failure.as_ref())),
    }
}

fn not_committed() -> Error {
    Error::new(
        ErrorKind::Closed,
        Code::SendClosed,
        "the application ended before the checkpoint was committed; wait() returns the reason",
    )
}

fn perhaps_committed(source: &str) -> Error {
    Error::new(
        ErrorKind::Closed,
        Code::SendClosed,
        format!(
            "the application ended before a message to the source {source:?} was known to be committed; its effects may be there after the next start, or not"
        ),
    )
}

fn closed(source: &str) -> Error {
    Error::new(
        ErrorKind::Closed,
        Code::SendClosed,
        format!(
            "cannot send to the source {source:?}: the application has stopped; wait() tells whether it failed, and why"
        ),
    )
}
