//! Runs two sides in turns, and prints how they compare.
//!
//! A [`Family`] is a list of named benchmarks with a noise floor. A benchmark builds its input, then hands two
//! closures to [`throughput::compare`] or, for other quantities, to [`interleave()`], and reports through the
//! [`Session`].
//!
//! **Invariants**
//! - Runs are interleaved (subject, comparator, subject, …) and compared pair by pair, so that what disturbs the
//!   machine for longer than one run disturbs both sides.
//! - Only ratios of one invocation mean anything; there is no baseline file.

mod family;
mod interleave;
mod report;
mod session;
mod spread;
mod stopwatch;
pub(crate) mod throughput;

pub(crate) use self::family::{Benchmark, Family};
pub(crate) use self::interleave::{Interleaved, interleave, pairs};
pub(crate) use self::report::{Report, costs};
pub(crate) use self::session::Session;
pub(crate) use self::spread::Spread;
pub(crate) use self::stopwatch::{Cost, Stopwatch};
