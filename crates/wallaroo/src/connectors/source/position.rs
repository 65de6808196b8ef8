//! The position of a reader of bytes.
//!
//! **Invariants.** `record` counts the records before the position, also rejected and filtered ones. `skip` is
//! there only in the middle of a line that has been rejected as too long.

use serde::{Deserialize, Serialize};

/// A place in a stream of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connectors) struct Place {
    /// Bytes before the place.
    pub(in crate::connectors) offset: u64,
    /// Records before the place.
    pub(in crate::connectors) record: u64,
    /// Whether the bytes up to the next line end belong to a record before the place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connectors) skip: bool,
}
