//! Sources and sinks that come with Wallaroo.
//!
//! A byte source is a transport, a framing and a format: `file("ticks.csv").csv::<Tick>()`. A byte sink is a
//! target and an encoder: `stdout().json()`. Others carry messages as they are: [`iter`], [`generator`],
//! [`channel`], [`memory`], [`latest`], [`discard`]. All options, limits and errors are in `docs/connectors.md`, what is
//! delivered after a failure in `docs/delivery.md`.
//!
//! **Invariants.** Connectors use the traits of `wallaroo-core` only, as connectors of others do; they know neither
//! engine nor state. What may wait for the outside world runs on a thread of the connector, and every
//! queue between the two has a bound in bytes.

mod acknowledged;
mod address;
mod channel;
mod formats;
mod framing;
mod generator;
mod inbox;
mod iter;
mod reason;
mod replay;
mod sink;
mod source;
mod tcp;
#[cfg(test)]
mod testing;
mod threads;

#[doc(hidden)]
pub use acknowledged::simulated;
pub use acknowledged::{AckInput, AckSender};
pub use channel::{ChannelSource, SendAsync, SendError, Sender, TrySendError, channel};
pub(crate) use formats::split_csv;
pub use formats::{BoxError, Csv, Json, Text};
pub use framing::FrameHeader;
pub use generator::{Generator, generator};
pub(crate) use inbox::Ask;
pub use iter::{Iter, iter};
pub use replay::{Replay, replay};
pub use sink::{
    ByteSink, Discard, Encoded, FileOutput, IntoSink, LatestSink, MemorySink, SinkParts,
    StdoutOutput, TcpOutput, discard, file_sink, latest, memory, stdout, tcp_sink,
};
pub use source::{ByteSource, Bytes, FileInput, Transport, file};
pub use tcp::{ListenerHandle, TcpInput, tcp_listener};
