//! Blocks: the entries of one state and key group, and [`Cursor`], which walks over them.
//!
//! **Invariants.** A cursor gives only entries of bytes whose checksum was right, with strictly ascending keys, and fails
//! at the end when there were not as many as the index says.

use std::ops::Range;
use std::sync::Arc;

use super::format::{BlockInfo, block_checksum};
use crate::bytes::{push_leb128, read_leb128};

/// Appends an entry to a block.
pub(crate) fn push_entry(block: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    push_leb128(block, key.len() as u64);
    block.extend_from_slice(key);
    match value {
        Some(value) => {
            push_leb128(block, value.len() as u64 + 1);
            block.extend_from_slice(value);
        }
        None => push_leb128(block, 0),
    }
}

/// Walks over the entries of a block.
#[derive(Debug)]
pub(crate) struct Cursor {
    bytes: Arc<Vec<u8>>,
    /// What is not read yet.
    at: usize,
    end: usize,
    key: Range<usize>,
    value: Option<Range<usize>>,
    objects_left: u32,
    tombstones_left: u32,
    begun: bool,
}

impl Cursor {
    /// Before the first entry of the block that `block` describes and that is at `range` of `bytes`.
    pub(crate) fn new(
        bytes: Arc<Vec<u8>>,
        range: Range<usize>,
        block: &BlockInfo,
    ) -> Result<Self, String> {
        let content = bytes
            .get(range.clone())
            .filter(|content| content.len() as u64 == block.length)
            .ok_or("is not as long as the index says")?;
        let checksum = block_checksum(content, block.offset);
        if checksum != block.checksum {
            return Err(format!(
                "has the checksum {checksum:016x}, and the index says {:016x}",
                block.checksum
            ));
        }
        Ok(Cursor {
            bytes,
            at: range.start,
            end: range.end,
            key: 0..0,
            value: None,
            objects_left: block.objects,
            tombstones_left: block.tombstones,
            begun: false,
        })
    }

    /// Goes to the next entry; false when there is none.
    pub(crate) fn advance(&mut self) -> Result<bool, String> {
        if self.at == self.end {
            if self.objects_left > 0 || self.tombstones_left > 0 {
                return Err("has fewer entries than the index says".to_owned());
            }
            return Ok(false);
        }
        let (key, value, at) = self.entry().ok_or("ends within an entry")?;
        if self.begun && self.bytes[key.clone()] <= *self.key() {
            return Err("has keys that do not ascend".to_owned());
        }
        let left = match value {
            Some(_) => &mut self.objects_left,
            None => &mut self.tombstones_left,
        };
        *left = left
            .checked_sub(1)
            .ok_or("has more entries than the index says")?;
        self.key = key;
        self.value = value;
        self.at = at;
        self.begun = true;
        Ok(true)
    }

    /// Key, value and end of the entry at `at`.
    fn entry(&self) -> Option<(Range<usize>, Option<Range<usize>>, usize)> {
        let block = &self.bytes[..self.end];
        let (key_length, at) = read_leb128(block, self.at)?;
        let key = part(block, at, key_length)?;
        let (value_length, at) = read_leb128(block, key.end)?;
        let Some(value_length) = value_length.checked_sub(1) else {
            return Some((key, None, at));
        };
        let value = part(block, at, value_length)?;
        let end = value.end;
        Some((key, Some(value), end))
    }

    /// The key of the present entry.
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.clone()]
    }

    /// The value of the present entry; absent if it is a tombstone.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|value| &self.bytes[value])
    }
}

fn part(block: &[u8], start: usize, length: u64) -> Option<Range<usize>> {
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= block.len()).then_some(start..end)
}
