//! What a connection's thread hands to the worker: bytes, and where the frames in them are.
//!
//! **Invariants.** Frames are in order and do not overlap. What follows the frames (a rejected record, the end)
//! is in the same chunk, so that order needs no numbers. A buffer keeps its length when it is used again, so
//! that its memory is zeroed once.

use crate::connectors::framing::Fault;

/// Size of the buffer of a connection that sends little; large enough for most records.
const SMALL_BYTES: usize = 8 * 1024;
/// Size of the buffer of a connection that sends much, and the most that is kept for later.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// Frames of one connection.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Number of the connection.
    pub(super) connection: u64,
    pub(super) buffer: Buffer,
    /// The start of a record behind the frames that is rejected, and why.
    pub(super) rejected: Option<(Vec<u8>, Fault)>,
    /// Whether the connection ends here.
    pub(super) is_last: bool,
}

/// Bytes and the frames in them; used again and again.
#[derive(Debug)]
pub(super) struct Buffer {
    /// All of it can be read into; `filled` bytes have been.
    pub(super) data: Vec<u8>,
    pub(super) filled: usize,
    pub(super) frames: Vec<(usize, usize)>,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Buffer {
            data: vec![0; SMALL_BYTES],
            filled: 0,
            frames: Vec::new(),
        }
    }

    /// Forgets what is in it.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.frames.clear();
    }

    /// What it weighs in the inbox.
    pub(super) fn weight(&self) -> usize {
        self.filled + self.frames.len() * size_of::<(usize, usize)>()
    }
}
