//! Writing segments: [`write_segment`] for the changes of epochs, [`Writer`] for entries that are sorted already.
//!
//! **Invariants.** The same changes always make the same bytes, in whatever order they come. At most [`BUFFER_BYTES`] and
//! one entry wait in memory.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use xxhash_rust::xxh3::Xxh3;

use super::block::push_entry;
use super::format::{
    BlockInfo, HEADER_BYTES, Header, Index, Trailer, block_hasher, frame_checksum,
};
use super::{Change, SegmentMeta, StateChanges};
use crate::error::StoreError;
use crate::storage::{Storage, Upload};

/// 1 MiB: few writes to a file, and little beside what the changes occupy anyway.
const BUFFER_BYTES: usize = 1 << 20;

/// Sorts changes, and writes them as the segment of `epochs`.
///
/// Several changes may be of one state, as each worker has its own. When a key comes more than once, the last one counts.
///
/// # Errors
/// When the segment may not have been made. The name must not be used again then.
///
/// # Panics
/// When a key group has 4 billion entries or more of one state.
pub fn write_segment(
    storage: &dyn Storage,
    name: &str,
    generation: u64,
    epochs: RangeInclusive<u64>,
    changes: &[StateChanges],
) -> Result<SegmentMeta, StoreError> {
    let mut by_state: BTreeMap<&str, Vec<&StateChanges>> = BTreeMap::new();
    for part in changes {
        by_state.entry(part.state()).or_default().push(part);
    }
    let mut writer = Writer::begin(storage, name, generation, epochs)?;
    for parts in by_state.values() {
        each_sorted(parts, |change| writer.entry(change))?;
    }
    writer.finish()
}

/// Gives the changes of one state by key group and key, each key once.
fn each_sorted(
    parts: &[&StateChanges],
    mut each: impl FnMut(&Change<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (order, ends) = by_group(parts);
    // keys are compared one key group at a time, so that they stay in the caches
    let mut group: Vec<Change<'_>> = Vec::new();
    let mut start = 0;
    for end in ends {
        let places = order[start..end].iter();
        group.extend(places.map(|&(part, number)| {
            let part = parts[part as usize];
            part.change(&part.entries()[number as usize])
        }));
        // stable: of equal keys the last one given stays the last
        group.sort_by(|one, other| one.key.cmp(other.key));
        for (number, change) in group.iter().enumerate() {
            let again = group
                .get(number + 1)
                .is_some_and(|next| next.key == change.key);
            if !again {
                each(change)?;
            }
        }
        group.clear();
        start = end;
    }
    Ok(())
}

/// The places of all entries (part, number within it), those of a key group together; and where each key group ends.
fn by_group(parts: &[&StateChanges]) -> (Vec<(u32, u32)>, Vec<usize>) {
    let entries = || parts.iter().flat_map(|part| part.entries());
    let groups = entries().map(|entry| usize::from(entry.group()) + 1).max();
    let mut counts = vec![0_usize; groups.unwrap_or(0)];
    for entry in entries() {
        counts[usize::from(entry.group())] += 1;
    }
    let mut total = 0;
    let mut ends: Vec<usize> = counts
        .into_iter()
        .map(|count| {
            total += count;
            total - count
        })
        .collect();
    let mut order = vec![(0_u32, 0_u32); total];
    for (part_number, part) in parts.iter().enumerate() {
        for (number, entry) in part.entries().iter().enumerate() {
            let end = &mut ends[usize::from(entry.group())];
            order[*end] = (index(part_number), index(number));
            *end += 1;
        }
    }
    (order, ends)
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 4 billion entries")
}

/// A segment being written, entry by entry.
pub(crate) struct Writer<'s> {
    upload: Box<dyn Upload + 's>,
    meta: SegmentMeta,
    header: [u8; HEADER_BYTES],
    buffer: Vec<u8>,
    /// How much of the buffer the hasher of the open block has seen.
    hashed: usize,
    index: Index,
    /// The last block of the index, while entries may be added to it.
    open: Option<Xxh3>,
    last_key: Vec<u8>,
}

impl<'s> Writer<'s> {
    pub(crate) fn begin(
        storage: &'s dyn Storage,
        name: &str,
        generation: u64,
        epochs: RangeInclusive<u64>,
    ) -> Result<Self, StoreError> {
        let header = Header {
            generation,
            first_epoch: *epochs.start(),
            last_epoch: *epochs.end(),
        };
        let header = header.encode();
        Ok(Writer {
            upload: storage.upload(name)?,
            meta: SegmentMeta {
                name: name.to_owned(),
                bytes: 0,
                checksum: 0,
                first_epoch: *epochs.start(),
                last_epoch: *epochs.end(),
                objects: 0,
                tombstones: 0,
            },
            header,
            buffer: header.to_vec(),
            hashed: HEADER_BYTES,
            index: Index::default(),
            open: None,
            last_key: Vec::new(),
        })
    }

    /// Adds an entry, which must come after all before it in the order of state, key group and key.
    pub(crate) fn entry(&mut self, change: &Change<'_>) -> Result<(), StoreError> {
        self.block_of(change);
        let before = self.buffer.len();
        push_entry(&mut self.buffer, change.key, change.value);
        let bytes = (self.buffer.len() - before) as u64;
        let block = self.index.blocks.last_mut().expect("block_of has made it");
        block.length += bytes;
        let (entries, total) = match change.value {
            Some(_) => (&mut block.objects, &mut self.meta.objects),
            None => (&mut block.tombstones, &mut self.meta.tombstones),
        };
        *entries = entries
            .checked_add(1)
            .expect("a key group has fewer than 4 billion entries");
        *total += 1;
        self.last_key.clear();
        self.last_key.extend_from_slice(change.key);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes the block of the change the last one of the index.
    fn block_of(&mut self, change: &Change<'_>) {
        let new_state = match self.index.states.last() {
            Some(state) if state == change.state => false,
            Some(state) => {
                assert!(state.as_str() < change.state, "states come in order");
                true
            }
            None => true,
        };
        if !new_state && self.open.is_some() {
            let group = self.index.blocks.last().map(|block| block.group);
            if group == Some(change.group) {
                assert!(*self.last_key < *change.key, "keys come in order");
                return;
            }
            assert!(group < Some(change.group), "key groups come in order");
        }
        self.close_block();
        if new_state {
            self.index.states.push(change.state.to_owned());
        }
        let offset = self.meta.bytes + self.buffer.len() as u64;
        self.index.blocks.push(BlockInfo {
            state: index(self.index.states.len() - 1),
            group: change.group,
            offset,
            length: 0,
            objects: 0,
            tombstones: 0,
            checksum: 0,
        });
        self.open = Some(block_hasher(offset));
        self.hashed = self.buffer.len();
    }

    fn close_block(&mut self) {
        self.hash();
        if let (Some(hasher), Some(block)) = (self.open.take(), self.index.blocks.last_mut()) {
            block.checksum = hasher.digest();
        }
    }

    fn hash(&mut self) {
        if let Some(hasher) = &mut self.open {
            hasher.update(&self.buffer[self.hashed..]);
        }
        self.hashed = self.buffer.len();
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.hash();
        self.upload.write(&self.buffer)?;
        self.meta.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.hashed = 0;
        Ok(())
    }

    /// Adds index and trailer, and makes the segment durable.
    pub(crate) fn finish(mut self) -> Result<SegmentMeta, StoreError> {
        self.close_block();
        let index = self.index.encode();
        let trailer = Trailer {
            index_offset: self.meta.bytes + self.buffer.len() as u64,
            index_length: index.len() as u64,
            checksum: frame_checksum(&self.header, &index),
        };
        self.buffer.extend_from_slice(&index);
        self.buffer.extend_from_slice(&trailer.encode());
        self.flush()?;
        self.meta.checksum = trailer.checksum;
        self.upload.finish()?;
        Ok(self.meta)
    }
}
