//! Segments: the state objects that changed in an epoch, and what compaction makes of several of them.
//!
//! Workers append to [`StateChanges`] and go on; the writer sorts and encodes them on its own thread. [`SegmentMeta`] is
//! what a commit record keeps of a segment, and all that is needed to find and check it. docs/formats.md has the bytes.
//!
//! **Invariants.** A segment is written once and never changes. Within a state and key group its keys ascend and no key
//! comes twice. Whatever is read was checked against a checksum that leads back to the [`SegmentMeta`].

pub(crate) mod block;
pub(crate) mod format;
pub(crate) mod newest;
pub(crate) mod reader;
pub(crate) mod writer;

use serde::{Deserialize, Serialize};

pub use self::writer::write_segment;
pub use wallaroo_state::{Change, StateChanges};

/// A segment, as a commit record names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// The object's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The checksum in its trailer, which covers header and index, and through the index every block.
    pub checksum: u64,
    /// The first epoch whose changes it holds.
    pub first_epoch: u64,
    /// The last epoch whose changes it holds.
    pub last_epoch: u64,
    /// State objects in it.
    pub objects: u64,
    /// Keys in it whose state object is gone.
    pub tombstones: u64,
}

#[cfg(test)]
mod tests;
