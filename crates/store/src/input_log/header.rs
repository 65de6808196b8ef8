//! The bytes at the start of a file: see docs/formats.md.
//!
//! **Invariants.** What a header says of the file before was on the disk when the header was written.

use xxhash_rust::xxh3::xxh3_64;

use super::block::u64_at;

const MAGIC: &[u8; 4] = b"WALF";
/// Files of version 1 had none.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// Bytes of a header.
pub(super) const BYTES: usize = 48;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the process that wrote it.
    pub(super) generation: u64,
    /// The end of the file that it goes on after, if there is one.
    pub(super) after: Option<End>,
}

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The number and the attempt in its name.
    pub(super) first: u64,
    pub(super) attempt: u32,
    /// How many valid bytes it has.
    pub(super) length: u64,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        // A file that another goes on after has bytes.
        let none = End {
            first: 0,
            attempt: 0,
            length: 0,
        };
        let after = self.after.unwrap_or(none);
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&VERSION);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&after.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&after.attempt.to_le_bytes());
        bytes[32..40].copy_from_slice(&after.length.to_le_bytes());
        let checksum = xxh3_64(&bytes[..40]);
        bytes[40..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// None if the file does not begin with a valid one.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..BYTES)?;
        let is_one = bytes[..4] == *MAGIC && bytes[4..8] == VERSION;
        if !is_one || u64_at(bytes, 40) != xxh3_64(&bytes[..40]) {
            return None;
        }
        let after = End {
            first: u64_at(bytes, 16),
            attempt: u32::from_le_bytes(bytes[24..28].try_into().ok()?),
            length: u64_at(bytes, 32),
        };
        Some(Header {
            generation: u64_at(bytes, 8),
            after: (after.length > 0).then_some(after),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_comes_back_and_no_other_bytes_are_one(
            generation: u64, first: u64, attempt: u32, length in 1_u64.., place in 0..BYTES, bit in 0_u8..8
        ) {
            let header = Header { generation, after: Some(End { first, attempt, length }) };
            let mut bytes = header.to_bytes();
            prop_assert_eq!(Header::read(&bytes), Some(header));
            prop_assert_eq!(Header::read(&bytes[..BYTES - 1]), None);
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(Header::read(&bytes), None);
        }
    }
}
