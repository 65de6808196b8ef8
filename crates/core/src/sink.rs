//! Where messages go: the contract between a sink connector and the engine.
//!
//! A [`Sink`] is opened as a [`Writer`], owned by one worker. A writer takes messages (`Vec<T>`) or encoded
//! [`Rows`](crate::Rows), never waits, and says when it is full.
//!
//! **Invariants.** A writer is called by one thread at a time. What it leaves in the buffer it is given has
//! not been written and will be offered again, first. Nothing counts as delivered before a
//! [`Writer::flush`] after it has returned [`Write::Done`].

use crate::connector::{ConnectorError, Waker};

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
}
