//! Stateful stream processing: your own functions on your own objects, one object per key, on all cores.
//!
//! You write a plain type for what you keep of each key, and a plain function for what a message does to it. Wallaroo
//! brings each message to the worker that owns its key and calls the function there.
//!
//! **It is** a library that runs applications inside your process: an [`App`] of pipelines, each from a [`source`] through stages
//! ([`Stream`]) to a sink. All calls for one object come one after another; messages of one source partition with the same key keep
//! their order; memory is bounded by limits on what is on its way; errors name stage, key and source position. With a store
//! ([`StoreOptions`]) state, source positions and output are committed together, and the application goes on after any failure.
//!
//! **It is not** a database or a cluster: version 0.1 is one process, with all objects in memory. Without a store a process that dies
//! loses them. There are no joins, no event-time windows, and no transactions over several objects.
//!
//! # Limits
//! - Keys: 64 KiB each; text, bytes, integers, booleans, UUIDs and tuples of 2 to 6 of these; no floats.
//! - 1,024 key groups unless set otherwise, at most 32,768; more workers than groups have nothing to do in keyed stages.
//! - 24 MiB of messages read and not yet through all sinks, and 24 MiB queued between operators ([`Limits`]). State objects and
//!   what [`memory`] keeps are not counted.
//! - Names of sources, stages and sinks: 1 to 255 bytes. At most 65,535 nodes in an application.
//! - Lines of 1 MiB, frames of 16 MiB, 1,024 TCP connections per source, unless set otherwise.
//! - At most three epochs that have ended and are not committed; then sources wait.
//! - A program built with `panic = "abort"` is refused at the start.
//!
//! # Example
//! ```
//! use serde::{Deserialize, Serialize};
//! use wallaroo::{App, Options, State, iter, memory, source};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Count(u64);
//!
//! impl Count {
//!     fn on_word(&mut self, word: &String) -> Option<String> {
//!         self.0 += 1;
//!         Some(format!("{word} {}", self.0))
//!     }
//! }
//!
//! let counts = State::<Count>::new("counts");
//! let counted = memory::<String>();
//! let words = source("words", iter(["to", "be", "or", "not", "to", "be"].map(str::to_owned)));
//! App::new("words")
//!     .add(words.key_by(|word| word).to_state(&counts, Count::on_word).to_sink("counted", counted.clone()))
//!     .run(Options::default())?;
//! assert_eq!(counted.take(), ["to 1", "be 1", "or 1", "not 1", "to 2", "be 2"]);
//! # Ok::<(), wallaroo::Error>(())
//! ```
//! As a program: [`App::main`]. In a program: [`App::start`] and [`Running`]. In tests: [`testing`]. Guides are in the directory `docs`
//! of the repository.

mod app;
mod code;
mod command_line;
pub mod connectors;
mod context;
mod durable;
mod error;
mod graph;
#[doc(hidden)]
pub mod host;
mod memory;
mod message;
mod output;
mod running;
mod size;
mod state;
mod status_page;
mod stream;
pub mod testing;

pub use app::{App, Options};
pub use connectors::*;
pub use context::Context;
pub use durable::{CheckpointStatus, StoreOptions};
pub use error::{Error, ErrorKind};
pub use message::{Message, StateObject};
pub use output::{BoxError, Emit, Emitter, Nothing, Output};
pub use running::Running;
pub use state::State;
pub use stream::{Pipeline, Stream, source};
pub use wallaroo_core::key::CanonicalBuffer;
pub use wallaroo_core::source::{Lag, Rejected, Stop};
pub use wallaroo_core::{
    Clock, Code, ConnectorError, DeadLetter, Decoder, Encoder, Format, Intake, Key, KeyError,
    KeyGroupCount, KeyHash, KeyView, OnError, PartitionId, Plan, Position, Publisher, Read, Reader,
    Rows, Sink, Source, StoredKey, Timestamp, Waker, Write, Writer,
};
pub use wallaroo_engine::{Limits, NodeStatus, StateStatus, Status, StuckStage, record_panic};

/// The programs in the README and the guides, run as doc tests. Each page is one item.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/connectors.md")]
    mod connectors {}
    #[doc = include_str!("../../../docs/delivery.md")]
    mod delivery {}
    #[doc = include_str!("../../../docs/embedding.md")]
    mod embedding {}
    #[doc = include_str!("../../../docs/first-application.md")]
    mod first_application {}
    #[doc = include_str!("../../../docs/from-dict-and-loop.md")]
    mod from_dict_and_loop {}
    #[doc = include_str!("../../../docs/options.md")]
    mod options {}
    #[doc = include_str!("../../../docs/performance.md")]
    mod performance {}
    #[doc = include_str!("../../../docs/semantics.md")]
    mod semantics {}
    #[doc = include_str!("../../../docs/state-changes.md")]
    mod state_changes {}
    #[doc = include_str!("../../../docs/testing.md")]
    mod testing {}
    #[doc = include_str!("../../../docs/writing-a-connector.md")]
    mod writing_a_connector {}
}
