//! Where messages go: the contract between a sink connector and the engine.
//!
//! A [`Sink`] is opened as a [`Writer`], owned by one worker. A writer takes messages (`Vec<T>`) or encoded
//! [`Rows`], never waits, and says when it is full.
//!
//! **Invariants.** A writer is called by one thread at a time. What it leaves in the buffer it is given has
//! not been written and will be offered again, first. Nothing counts as delivered before a
//! [`Writer::flush`] after it has returned [`Write::Done`].
//!
//! With checkpoints there are three kinds. A sink with a [`Publisher`] gets the output of whole epochs after they are
//! committed: exactly once. One whose [`Writer::checkpoint`] names a position can be put back to it: what it shows may be
//! taken back, what is committed is there once. All others show output at once and, after a failure, some of it again.

use crate::connector::{ConnectorError, Waker};
use crate::messages::Rows;
use crate::source::Position;

/// How far a writer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// All of it.
    Done,
    /// Not all: the writer is full, and wakes the worker when it is not.
    Blocked,
}

/// A kind of output: it opens its writers.
pub trait Sink<M>: Send + 'static {
    /// Opens the sink.
    ///
    /// # Errors
    /// When the outside world is not as configured: the file cannot be created, the address is not understood.
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<M>>, ConnectorError>;

    /// Whether every worker may have a writer of its own, so that messages need not come together on one
    /// worker. The default, one writer, suits files and connections; with several, messages of different keys
    /// are in no order.
    fn per_worker(&self) -> bool {
        false
    }

    /// What publishes this sink's output, if it can do so exactly once. Called once, and only when the application has
    /// a store; [`Sink::open`] is not called then. Only sinks of [`Rows`] can have one.
    ///
    /// # Errors
    /// When the outside world is not as configured.
    fn publisher(&mut self) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        Ok(None)
    }

    /// Takes the destination for this process, where two must not write and [`Sink::resume`] takes back what is there: a file locks
    /// itself. Called before it, with a store only; while a process has it, another that has taken its store over is refused.
    ///
    /// # Errors
    /// When another process has it.
    fn claim(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Puts the destination back to where a checkpoint ended, before [`Sink::open`], and tells where that is: for sinks whose
    /// [`Writer::checkpoint`] names positions. `from` is `None` when there is no checkpoint yet.
    ///
    /// # Errors
    /// When the destination is not what the checkpoint left.
    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        Ok(from.cloned())
    }

    /// Where it writes to, in the form that [`Sink::redirect`] takes; none if it cannot be redirected.
    fn address(&self) -> Option<String> {
        None
    }

    /// Writes to `address` (a URL such as `tcp://127.0.0.1:7002`) instead, in the same format: what
    /// `--out NAME=ADDRESS` does.
    ///
    /// # Errors
    /// When the address is not understood, or this kind of sink has no address.
    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        Err(
            ConnectorError::new(format!("cannot write to {address:?} instead"))
                .with_help("only sinks of bytes (files, TCP, stdout) can be redirected")
                .with_code(crate::Code::Scheme),
        )
    }
}

/// Writes to one sink partition.
pub trait Writer<M>: Send {
    /// Takes messages from the front of `messages`, as many as it can without waiting. What it leaves there
    /// is offered again.
    ///
    /// # Errors
    /// When nothing more can be written.
    fn write(&mut self, messages: &mut M) -> Result<Write, ConnectorError>;

    /// Brings everything taken so far to its destination, as far as that is possible without waiting.
    /// Called whenever there is nothing more to write for the moment, and at the end until it returns
    /// [`Write::Done`].
    ///
    /// # Errors
    /// When something taken cannot be delivered.
    fn flush(&mut self) -> Result<Write, ConnectorError> {
        Ok(Write::Done)
    }

    /// Called at the end of an epoch, when all of it has been flushed, if the application has a store: makes it durable and
    /// tells where it ends, so that the destination can be put back there by [`Sink::resume`]. `None`, the default: it
    /// cannot be put back.
    ///
    /// # Errors
    /// When something taken cannot be made durable.
    fn checkpoint(&mut self) -> Result<Option<Position>, ConnectorError> {
        Ok(None)
    }

    /// Says that the application is ending: nothing comes any more beside what is on its way. A writer that could
    /// wait for the outside for ever may limit that from here on, and fail in [`Writer::write`] or
    /// [`Writer::flush`]. Called once; calls of both follow. By default it does nothing.
    fn end(&mut self) {}
}

/// Brings the output of whole epochs to a destination, after their checkpoint is committed.
///
/// It runs on a thread where it may wait. Output becomes exactly once by one rule: publishing is repeated after a failure
/// with the same rows at the same position, and must have the same result.
pub trait Publisher: Send {
    /// Makes ready to publish behind `from`, where the last epoch ended that is known to be published, and tells where that
    /// is; `None` at the first start of the application. Called once, first.
    ///
    /// What is at the destination behind `from` was published by an attempt that nobody recorded, and will be
    /// published again. With `reset` the destination is put back to `from`, whatever is there.
    ///
    /// # Errors
    /// When the destination is not what was left there.
    fn resume(&mut self, from: Option<&Position>, reset: bool) -> Result<Position, ConnectorError>;

    /// Completes the rows of an epoch before they are committed: a file adds its header.
    fn prepare(&mut self, rows: &mut Rows) {
        let _ = rows;
    }

    /// Brings the rows of an epoch to the destination, durably, and tells where they end. Epochs come in order, and those
    /// without rows not at all.
    ///
    /// # Errors
    /// When they may not all be there. The same call is made again, later or by another process.
    fn publish(&mut self, epoch: u64, rows: &Rows) -> Result<Position, ConnectorError>;

    /// Called when everything that was committed before a restart has been published: checks that nothing else is at the
    /// destination.
    ///
    /// # Errors
    /// When there is more than was ever committed.
    fn resumed(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
