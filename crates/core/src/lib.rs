//! The vocabulary of Wallaroo: keys, messages, the plan as data, and the traits that connector authors implement.
//!
//! **It is** what every other crate and every connector shares. **It is not** an engine: it does no I/O,
//! starts no thread, and knows nothing of workers. Application authors import `wallaroo`, which
//! re-exports what they need.
//!
//! # Limits
//! Keys are at most 64 KiB in canonical form; a plan holds at most 65,535 nodes; an application has at most
//! 32,768 key groups.
//!
//! # Example
//! ```
//! use wallaroo_core::{Key, KeyGroupCount};
//!
//! let groups = KeyGroupCount::default();
//! assert_eq!(groups.group_of("AAPL".hash()), groups.group_of(String::from("AAPL").hash()));
//! ```

pub mod clock;
pub mod code;
pub mod connector;
pub mod dead_letter;
pub mod format;
pub mod key;
pub mod messages;
pub mod plan;
pub mod provenance;
mod raw;
pub mod sink;
pub mod source;

pub use clock::{Clock, SimulatedClock, SystemClock, Timestamp};
pub use code::Code;
pub use connector::{ConnectorError, Waker};
pub use dead_letter::DeadLetter;
pub use format::{Decoder, Encoder, Format};
pub use key::{Key, KeyError, KeyGroup, KeyGroupCount, KeyHash, KeyView, StoredKey};
pub use messages::{Messages, Rows};
pub use plan::{Location, Node, NodeId, NodeKind, OnError, Plan, PlanError, Port};
pub use provenance::{PartitionId, Provenance};
pub use sink::{Publisher, Sink, Write, Writer};
pub use source::{Intake, Position, Read, Reader, Rejected, Source, Stop};
