//! The subject of `idle/…`.

use crate::idle::Side;

/// A running application with an open in-memory source that never delivers; stopped when the result is dropped.
pub(super) const SUBJECT: Option<Side> = None; // TODO(benches): the application, as soon as the Rust API runs one.
