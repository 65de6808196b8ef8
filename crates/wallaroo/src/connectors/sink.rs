//! What `to_sink` takes: sinks of messages, and sinks of bytes with an encoder.
//!
//! **Invariants.** A sink of bytes is no sink of messages before it has an encoder: [`Encoded`] holds both.
//! Encoding is the engine's business (it happens where the messages are), writing is the sink's.

use std::fmt;
use std::sync::Arc;

use wallaroo_core::{Encoder, Rows, Sink};

mod bytes;
mod claim;
mod csv;
mod discard;
mod encoders;
mod file;
mod latest;
mod memory;
mod outbox;
mod publish;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;

pub use bytes::{ByteSink, FileOutput, StdoutOutput, TcpOutput, file_sink, stdout, tcp_sink};
pub use discard::{Discard, discard};
pub use latest::{LatestSink, latest};
pub use memory::{MemorySink, memory};

/// A sink, as the engine runs it.
pub enum SinkParts<T> {
    /// Takes the messages themselves.
    Messages(Box<dyn Sink<Vec<T>>>),
    /// Takes rows, which the encoder makes.
    Rows(Arc<dyn Encoder<T>>, Box<dyn Sink<Rows>>),
}

impl<T> fmt::Debug for SinkParts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SinkParts::Messages(_) => "SinkParts::Messages",
            SinkParts::Rows(..) => "SinkParts::Rows",
        })
    }
}

/// What can end a pipeline of messages of type `T`: every [`Sink`] of `Vec<T>`, and every sink of bytes
/// with an encoder.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink for messages of type `{T}`",
    label = "takes no messages of type `{T}`",
    note = "stdout(), file_sink(path) and tcp_sink(address) write bytes: add .json(), .lines() or .csv()",
    note = "memory::<M>() takes messages of type M only; a sink of your own implements `Sink<Vec<{T}>>`"
)]
pub trait IntoSink<T> {
    /// The parts of the sink.
    fn into_sink(self) -> SinkParts<T>;
}

impl<T, S: Sink<Vec<T>>> IntoSink<T> for S {
    fn into_sink(self) -> SinkParts<T> {
        SinkParts::Messages(Box::new(self))
    }
}

/// A sink of bytes and the encoder that makes its rows.
pub struct Encoded<K, T> {
    sink: K,
    encoder: Arc<dyn Encoder<T>>,
}

impl<K: Sink<Rows>, T> Encoded<K, T> {
    /// Puts a sink of rows, for example one of your own, and an encoder together.
    pub fn new(sink: K, encoder: impl Encoder<T>) -> Self {
        Encoded {
            sink,
            encoder: Arc::new(encoder),
        }
    }
}

impl<K: fmt::Debug, T> fmt::Debug for Encoded<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

impl<T, K: Sink<Rows>> IntoSink<T> for Encoded<K, T> {
    fn into_sink(self) -> SinkParts<T> {
        SinkParts::Rows(self.encoder, Box::new(self.sink))
    }
}
