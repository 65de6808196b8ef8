//! The bytes of a segment outside its blocks: header, index and trailer. docs/formats.md has the tables.
//!
//! **Invariants.** What is decoded from any bytes makes sense: names ascend, blocks are in order and fill the space between
//! header and index without a gap. Nothing is allocated that the input is not long enough to fill.

use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::bytes::Input;

/// The version that is written, and the last one that is read.
pub(crate) const VERSION: u16 = 1;
pub(crate) const HEADER_BYTES: usize = 40;
pub(crate) const TRAILER_BYTES: usize = 32;
const HEADER_MAGIC: &[u8; 8] = b"WALSEGMT";
const TRAILER_MAGIC: &[u8; 8] = b"WALSEGEN";
/// What one block occupies in the index.
const BLOCK_BYTES: usize = 40;

/// What comes first in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) first_epoch: u64,
    pub(crate) last_epoch: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(HEADER_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_epoch.to_le_bytes());
        bytes
    }

    /// The version comes beside the header: what is behind it may mean something else when it is a later one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(u16, Self), String> {
        let mut input = Input::new(bytes, "header");
        if input.take(8)? != HEADER_MAGIC {
            return Err("its header does not begin with WALSEGMT".to_owned());
        }
        let version = input.u16()?;
        input.take(6)?;
        let header = Header {
            generation: input.u64()?,
            first_epoch: input.u64()?,
            last_epoch: input.u64()?,
        };
        Ok((version, header))
    }
}

/// Where a block is, what it holds, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    /// The number of the state's name in the index.
    pub(crate) state: u32,
    pub(crate) group: u16,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) objects: u32,
    pub(crate) tombstones: u32,
    pub(crate) checksum: u64,
}

impl BlockInfo {
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

/// The checksum of a block, which depends on where the block is.
pub(crate) fn block_checksum(block: &[u8], offset: u64) -> u64 {
    xxh3_64_with_seed(block, offset)
}

/// A [`block_checksum`] of a block that comes in pieces.
pub(crate) fn block_hasher(offset: u64) -> Xxh3 {
    Xxh3::with_seed(offset)
}

/// Which blocks there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Names of states, ascending.
    pub(crate) states: Vec<String>,
    /// Ascending by state and key group.
    pub(crate) blocks: Vec<BlockInfo>,
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.blocks.len() * BLOCK_BYTES);
        bytes.extend_from_slice(&count(self.states.len()).to_le_bytes());
        for name in &self.states {
            bytes.extend_from_slice(&count(name.len()).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&count(self.blocks.len()).to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.state.to_le_bytes());
            bytes.extend_from_slice(&u32::from(block.group).to_le_bytes());
            bytes.extend_from_slice(&block.offset.to_le_bytes());
            bytes.extend_from_slice(&block.length.to_le_bytes());
            bytes.extend_from_slice(&block.objects.to_le_bytes());
            bytes.extend_from_slice(&block.tombstones.to_le_bytes());
            bytes.extend_from_slice(&block.checksum.to_le_bytes());
        }
        bytes
    }

    /// The index in `bytes`, of a segment whose blocks end at `blocks_end`.
    pub(crate) fn decode(bytes: &[u8], blocks_end: u64) -> Result<Self, String> {
        let mut input = Input::new(bytes, "index");
        // a name is at the least its length
        let state_count = input.count(4)?;
        let mut states: Vec<String> = Vec::with_capacity(state_count);
        for _ in 0..state_count {
            let length = input.u32()? as usize;
            let name = std::str::from_utf8(input.take(length)?)
                .map_err(|_| "its index names a state that is not UTF-8".to_owned())?;
            if states.last().is_some_and(|last| last.as_str() >= name) {
                return Err(format!(
                    "its index does not name states in ascending order, at {name:?}"
                ));
            }
            states.push(name.to_owned());
        }
        let block_count = input.count(BLOCK_BYTES)?;
        let mut blocks = Vec::with_capacity(block_count);
        let mut expected = Expected {
            offset: HEADER_BYTES as u64,
            above: None,
            states: state_count,
        };
        for number in 0..block_count {
            let block = decode_block(&mut input, number)?;
            expected.check(&block, number)?;
            blocks.push(block);
        }
        if expected.offset != blocks_end {
            return Err(format!(
                "its blocks end at {}, and its index begins at {blocks_end}",
                expected.offset
            ));
        }
        input.end()?;
        Ok(Index { states, blocks })
    }

    /// The block of a state and key group, if it has entries.
    pub(crate) fn find(&self, state: &str, group: u16) -> Option<&BlockInfo> {
        let state = self.state_number(state)?;
        let at = self
            .blocks
            .binary_search_by_key(&(state, group), |block| (block.state, block.group))
            .ok()?;
        Some(&self.blocks[at])
    }

    /// The blocks of a state.
    pub(crate) fn of_state(&self, state: &str) -> &[BlockInfo] {
        let Some(state) = self.state_number(state) else {
            return &[];
        };
        let first = self.blocks.partition_point(|block| block.state < state);
        let end = self.blocks.partition_point(|block| block.state <= state);
        &self.blocks[first..end]
    }

    fn state_number(&self, state: &str) -> Option<u32> {
        let number = self
            .states
            .binary_search_by(|name| name.as_str().cmp(state))
            .ok()?;
        u32::try_from(number).ok()
    }
}

/// What the next block of an index must be like.
struct Expected {
    offset: u64,
    above: Option<(u32, u16)>,
    states: usize,
}

impl Expected {
    fn check(&mut self, block: &BlockInfo, number: usize) -> Result<(), String> {
        let place = (block.state, block.group);
        let entries = u64::from(block.objects) + u64::from(block.tombstones);
        let end = block.offset.checked_add(block.length);
        let fits = block.offset == self.offset
            && end.is_some()
            && (block.state as usize) < self.states
            && self.above.is_none_or(|above| above < place)
            && entries > 0
            // an entry is at the least the lengths of key and value
            && block.length / 2 >= entries;
        if !fits {
            return Err(format!(
                "block {number} of its index does not fit to the one before it"
            ));
        }
        self.offset = end.unwrap_or(u64::MAX);
        self.above = Some(place);
        Ok(())
    }
}

fn decode_block(input: &mut Input<'_>, number: usize) -> Result<BlockInfo, String> {
    let state = input.u32()?;
    let group = input.u32()?;
    Ok(BlockInfo {
        state,
        group: u16::try_from(group)
            .map_err(|_| format!("block {number} of its index is of key group {group}"))?,
        offset: input.u64()?,
        length: input.u64()?,
        objects: input.u32()?,
        tombstones: input.u32()?,
        checksum: input.u64()?,
    })
}

/// What comes last in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) index_offset: u64,
    pub(crate) index_length: u64,
    /// Of header and index.
    pub(crate) checksum: u64,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.index_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[24..].copy_from_slice(TRAILER_MAGIC);
        bytes
    }

    /// The trailer in `bytes`, of a segment of `segment_bytes` bytes.
    pub(crate) fn decode(bytes: &[u8], segment_bytes: u64) -> Result<Self, String> {
        let mut input = Input::new(bytes, "trailer");
        let trailer = Trailer {
            index_offset: input.u64()?,
            index_length: input.u64()?,
            checksum: input.u64()?,
        };
        if input.take(8)? != TRAILER_MAGIC {
            return Err("its trailer does not end with WALSEGEN".to_owned());
        }
        let end = trailer
            .index_offset
            .checked_add(trailer.index_length)
            .and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if end != Some(segment_bytes) || trailer.index_offset < HEADER_BYTES as u64 {
            return Err(format!(
                "its trailer places the index at {} with {} bytes, which does not fit to its size of {segment_bytes}",
                trailer.index_offset, trailer.index_length
            ));
        }
        Ok(trailer)
    }
}

/// The checksum in the trailer.
pub(crate) fn frame_checksum(header: &[u8], index: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(index);
    hasher.digest()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 4 billion states and blocks, and names below 4 GiB")
}
