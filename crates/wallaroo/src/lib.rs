//! Stateful event processing: your own objects, one at a time per key, on all cores.
//!
//! Placeholder for the crate doc.

mod app;
mod code;
mod command_line;
pub mod connectors;
mod context;
mod error;
mod graph;
mod message;
mod output;
mod running;
mod state;
mod stream;
pub mod testing;

pub use app::{App, Options};
pub use connectors::*;
pub use context::Context;
pub use error::{Error, ErrorKind};
pub use message::{Message, StateObject};
pub use output::{BoxError, Emit, Emitter, Nothing, Output};
pub use running::Running;
pub use state::State;
pub use stream::{Pipeline, Stream, source};
pub use wallaroo_core::{
    Clock, Code, ConnectorError, DeadLetter, Decoder, Encoder, Format, Intake, Key, KeyGroupCount,
    KeyView, OnError, Plan, Position, Read, Reader, Rows, Sink, Source, Timestamp, Waker, Write,
    Writer,
};
pub use wallaroo_engine::{Limits, NodeStatus, Status};
