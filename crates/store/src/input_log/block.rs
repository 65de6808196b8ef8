//! The bytes of a block: see docs/formats.md.
//!
//! **Invariants.** Nothing is allocated for a length that the bytes at hand do not have. A block is only valid at the offset
//! at which it was written.

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"WALI";
pub(super) const HEADER_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 8;
/// The longest header of an entry: its kind and two numbers.
const ENTRY_HEADER_BYTES: usize = 1 + 10 + 10;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Message,
    /// A record that could not be decoded.
    Rejected,
    /// What the source keeps beside its messages.
    Note,
}

/// One record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its record number.
    pub number: u64,
    /// What its bytes are.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Puts a block together.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    first: Option<u64>,
    next: u64,
    entries: u32,
    is_finished: bool,
}

impl BlockBuilder {
    /// Adds an entry; `write` appends its bytes. Numbers ascend.
    ///
    /// # Errors
    /// Those of `write`; the entry is not there then.
    pub fn push<E>(
        &mut self,
        number: u64,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reopen();
        if self.first.is_none() {
            self.bytes.resize(HEADER_BYTES, 0);
            self.next = number;
        }
        debug_assert!(number >= self.next, "record numbers ascend");
        let begin = self.bytes.len();
        // The bytes are written in place, behind room for the longest header, which is then closed up.
        self.bytes.resize(begin + ENTRY_HEADER_BYTES, 0);
        if let Err(error) = write(&mut self.bytes) {
            let keep = if self.first.is_none() { 0 } else { begin };
            self.bytes.truncate(keep);
            return Err(error);
        }
        let length = self.bytes.len() - begin - ENTRY_HEADER_BYTES;
        self.bytes[begin] = match kind {
            Kind::Message => 0,
            Kind::Rejected => 1,
            Kind::Note => 2,
        };
        let mut end = begin + 1;
        end += leb128(number - self.next, &mut self.bytes[end..]);
        end += leb128(length as u64, &mut self.bytes[end..]);
        self.bytes.copy_within(begin + ENTRY_HEADER_BYTES.., end);
        self.bytes.truncate(end + length);
        self.first.get_or_insert(number);
        self.next = number + 1;
        self.entries += 1;
        Ok(())
    }

    /// The number of its first entry; none while it is empty.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The number behind its last entry.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The whole block, to be written at `offset` of a file of which `synced` bytes are on the disk.
    ///
    /// # Panics
    /// When it has 4 GiB or more.
    pub fn finish(&mut self, offset: u64, synced: u64) -> &[u8] {
        self.reopen();
        let payload = self.bytes.len() - HEADER_BYTES;
        let payload = u32::try_from(payload).expect("a portion has less than 4 GiB");
        let header = &mut self.bytes[..HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&payload.to_le_bytes());
        header[8..16].copy_from_slice(&offset.to_le_bytes());
        header[16..24].copy_from_slice(&synced.to_le_bytes());
        header[24..32].copy_from_slice(&self.first.unwrap_or(0).to_le_bytes());
        header[32..36].copy_from_slice(&self.entries.to_le_bytes());
        header[36..40].copy_from_slice(&[0; 4]);
        let checksum = xxh3_64(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.is_finished = true;
        &self.bytes
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.first = None;
        self.entries = 0;
        self.is_finished = false;
    }

    /// A block whose write failed can be finished again, and added to.
    fn reopen(&mut self) {
        if std::mem::take(&mut self.is_finished) {
            self.bytes.truncate(self.bytes.len() - CHECKSUM_BYTES);
        }
    }
}

/// A block whose checksum is right.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) synced: u64,
    pub(super) entries: Vec<Entry<'a>>,
    /// Bytes of the whole block.
    pub(super) length: usize,
}

/// Reads the block at the start of `bytes`, which stand at `offset` of the file. None if there is no valid one.
pub(super) fn read(bytes: &[u8], offset: u64) -> Option<Block<'_>> {
    let header = bytes.get(..HEADER_BYTES)?;
    if &header[..4] != MAGIC || u64_at(header, 8) != offset {
        return None;
    }
    let payload = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let end = HEADER_BYTES.checked_add(payload)?;
    let checksum = bytes.get(end..end.checked_add(CHECKSUM_BYTES)?)?;
    if xxh3_64(&bytes[..end]) != u64_at(checksum, 0) {
        return None;
    }
    let count = u32::from_le_bytes(header[32..36].try_into().ok()?);
    let mut number = u64_at(header, 24);
    let mut rest = &bytes[HEADER_BYTES..end];
    let mut entries = Vec::new();
    for _ in 0..count {
        let (kind, after) = rest.split_first()?;
        let kind = match kind {
            0 => Kind::Message,
            1 => Kind::Rejected,
            2 => Kind::Note,
            _ => return None,
        };
        rest = after;
        number = number.checked_add(take_leb128(&mut rest)?)?;
        let length = usize::try_from(take_leb128(&mut rest)?).ok()?;
        let bytes = rest.get(..length)?;
        rest = &rest[length..];
        entries.push(Entry {
            number,
            kind,
            bytes,
        });
        number = number.checked_add(1)?;
    }
    rest.is_empty().then_some(Block {
        synced: u64_at(header, 16),
        entries,
        length: end + CHECKSUM_BYTES,
    })
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// Writes a number to the start of `bytes`; returns how many bytes it took.
fn leb128(mut value: u64, bytes: &mut [u8]) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        bytes[length] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length] = value as u8;
    length + 1
}

fn take_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200), offset: u64) {
            prop_assert!(read(&bytes, offset).is_none());
        }

        /// With a right checksum: what only a damaged program writes is refused, too, or has no more entries than bytes.
        #[test]
        fn no_payload_makes_the_decoder_panic_or_reserve(first: u64, count: u32, payload in vec(any::<u8>(), 0..100)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            for value in [0, 0, first] {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&payload);
            let checksum = xxh3_64(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            if let Some(block) = read(&bytes, 0) {
                prop_assert!(block.entries.len() <= payload.len());
                prop_assert!(block.entries.capacity() <= 2 * payload.len().max(4));
            }
        }
    }
}
