//! Slots: the dense numbers under which the objects of one state on one worker are kept.
//!
//! Everything kept by slot is kept in chunks of [`CHUNK_SLOTS`], so that growing never copies what is there and memory
//! goes back chunk by chunk.
//!
//! **Invariants**
//! - A slot means something only to the index that gave it, and only until its key is released.

use std::fmt;

/// Slots per chunk.
// 1,024: 32 KiB of headers, large enough to amortise the chunk's own cost, small enough that chunks become free.
pub const CHUNK_SLOTS: usize = 1024;

const OFFSET_BITS: u32 = CHUNK_SLOTS.ilog2();
const _: () = assert!(CHUNK_SLOTS.is_power_of_two());
const _: () = assert!(size_of::<usize>() >= size_of::<u32>());

/// The place of one state object: an index into arrays of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot as an index of an array.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize // lossless, see the assertion above
    }

    /// The chunk this slot lies in.
    #[inline]
    #[must_use]
    pub const fn chunk(self) -> ChunkIndex {
        ChunkIndex(self.0 >> OFFSET_BITS)
    }

    /// The place of this slot inside its chunk, below [`CHUNK_SLOTS`].
    #[inline]
    #[must_use]
    pub const fn offset(self) -> usize {
        self.index() % CHUNK_SLOTS
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A run of [`CHUNK_SLOTS`] slots, the unit in which memory is taken and given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(pub u32);

impl ChunkIndex {
    /// The chunk as an index of an array of chunks.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize // lossless, see the assertion above
    }

    /// The slot at this offset of the chunk.
    ///
    /// # Panics
    /// If the offset is not below [`CHUNK_SLOTS`], or the slot's number above `u32::MAX`.
    #[inline]
    #[must_use]
    pub fn slot(self, offset: usize) -> Slot {
        assert!(offset < CHUNK_SLOTS, "offset {offset} is outside a chunk");
        let number = self.index() * CHUNK_SLOTS + offset;
        Slot(u32::try_from(number).expect("an index has at most 2^32 slots"))
    }
}

impl fmt::Display for ChunkIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
