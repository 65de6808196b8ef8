//! The stock workload: what subject and comparator compute, and on which input.
//!
//! Prices of stocks arrive as messages; each stock is a state object; each message gives one output.
//!
//! **Invariants**: input is a pure function of its parameters (seeded generator), so every invocation on every
//! machine processes the same records.

mod keys;
mod messages;
mod ring;
mod sink;
mod stock;
mod work;

pub(crate) use self::keys::{Keys, scattered, symbol};
pub(crate) use self::messages::{Message, PlainMap, Rec, Tick};
pub(crate) use self::ring::{Ring, RingReader};
pub(crate) use self::sink::PerWorker;
pub(crate) use self::stock::{Stock, Tally, Update};
pub(crate) use self::work::Work;
