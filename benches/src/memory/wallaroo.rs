//! The subject of `memory/…`.

use crate::memory::Side;

/// A running application with one worker that has received one `Tick` per object and has processed all of them.
///
/// Keys come from [`symbol`](crate::workload::symbol), rank by rank; input is generated on the way, not held.
pub(super) const SUBJECT: Option<Side> = None; // TODO(benches): the application, as soon as the Rust API runs one.
