//! A buffer that slides over a file.
//!
//! **Invariants.** The bytes in view are contiguous. The buffer grows only for a record that is larger than
//! it, and is never larger than twice that record.

use std::io::{self, Read};

/// What is read from a file at once.
// 256 KiB: as large as it can be and stay in a 512 KiB second-level cache together with the batch.
const BUFFER_BYTES: usize = 256 * 1024;

/// Bytes read and not consumed.
#[derive(Debug)]
pub(super) struct Window {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Window {
            data: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// The bytes in view.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Takes bytes out of view.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "consumed more than was in view");
    }

    /// Forgets all bytes in view.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads more behind the bytes in view, which need to become `need` bytes. Returns how many came; zero
    /// at the end of the file.
    pub(super) fn fill(&mut self, file: &mut impl Read, need: usize) -> io::Result<usize> {
        self.data.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.data.len() < need || self.end == self.data.len() {
            // Doubling, not `need`: a header may lie, and the bytes may never come.
            let len = self.data.len();
            self.data.resize(len * 2, 0);
        }
        loop {
            match file.read(&mut self.data[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
