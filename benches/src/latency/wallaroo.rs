//! The subject of `latency/…`.

use crate::latency::Side;

/// Wallaroo with as many workers as the second argument says.
///
/// `Schedule::run` is called on a thread of the caller and hands each record to the application (`Running::send` or
/// the queue of an in-memory source); the sink calls `Recorder::record` with the `ts` of each output. One recorder
/// per sink, merged at the end.
pub(super) const SUBJECT: Option<Side> = None; // TODO(benches): the application, as soon as the Rust API runs one.
