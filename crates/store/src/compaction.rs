//! Compaction: [`plan`] says which neighbouring segments to merge, [`merge`] makes one of them.
//!
//! Segments of similar size are merged when there are ten of them (`FAN_IN`); and all segments when what is above the oldest
//! has grown to three fifths of the oldest. So an object is written about once for each power of `FAN_IN` between the size of an
//! epoch and that of the state. What is stored is at most 1.6 times what is alive, and once more while all is merged, until the
//! commits are given up that name what was merged: less than three times.
//!
//! **Invariants.** Only neighbours are merged, so that newer always stays newer. A merge holds one block per input and at most
//! 1 MiB read ahead of each, whatever the segments' sizes are.

use std::ops::Range;

use crate::error::StoreError;
use crate::segment::format::BlockInfo;
use crate::segment::newest::Newest;
use crate::segment::reader::Reader;
use crate::segment::writer::Writer;
use crate::segment::{Change, SegmentMeta};

use crate::storage::Storage;

/// 10: over 600 epochs that change 1 % of the objects each, 3.7 times the changed bytes are written, with at most 14 segments;
/// 8 writes 3.8 times with 12, 16 writes 3.2 times with 19 (the simulation in the tests, 2026-11).
const FAN_IN: usize = 10;
/// Segments never become more than this, however their sizes are: each costs a read of every key group that is loaded.
const MOST_SEGMENTS: usize = 64;
/// 1 MiB: below, merging everything again and again costs more in syncs than it saves in space.
const SMALL_BYTES: u64 = 1 << 20;

/// Which neighbours to merge, as positions in `segments` (oldest first); none if all is well.
///
/// The tombstones go when the range begins with 0. To be asked again after each merge.
#[must_use]
pub fn plan(segments: &[SegmentMeta]) -> Option<Range<usize>> {
    let count = segments.len();
    let (oldest, above) = segments.split_first()?;
    let above_bytes = above
        .iter()
        .fold(0_u64, |sum, segment| sum.saturating_add(segment.bytes));
    let is_worth_it = above_bytes >= SMALL_BYTES || count >= FAN_IN;
    let is_much = above_bytes.saturating_mul(5) >= oldest.bytes.saturating_mul(3);
    if !above.is_empty() && is_much && is_worth_it {
        return Some(0..count);
    }
    // the longest run up to the newest segment in which no segment is more than two parts of FAN_IN of the whole, so that
    // each is written again only into something much larger than itself
    let mut longest = None;
    let (mut run_bytes, mut largest) = (0_u64, 0_u64);
    for start in (1..count).rev() {
        run_bytes = run_bytes.saturating_add(segments[start].bytes);
        largest = largest.max(segments[start].bytes);
        let is_even = largest.saturating_mul(FAN_IN as u64) <= run_bytes.saturating_mul(2);
        if count - start >= FAN_IN && is_even {
            longest = Some(start..count);
        }
    }
    if longest.is_none() && count > MOST_SEGMENTS {
        return Some(count - MOST_SEGMENTS / 2..count);
    }
    longest
}

/// How segments are merged.
pub struct Merging<'a> {
    /// Whether the oldest input is the oldest segment of all: there is nothing below that its tombstones could hide.
    pub drops_tombstones: bool,
    /// Whether the objects of a state are still wanted. Those of others, and their tombstones, are left out.
    pub keeps: &'a dyn Fn(&str) -> bool,
    /// Asked now and then; when it says no, the merge is abandoned.
    pub goes_on: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Merging<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merging")
            .field("drops_tombstones", &self.drops_tombstones)
            .finish_non_exhaustive()
    }
}

/// Merges neighbouring segments, the oldest first, into one of another name, and keeps the objects of all states.
///
/// # Errors
/// As [`merge_with`].
///
/// # Panics
/// As [`merge_with`].
pub fn merge(
    storage: &dyn Storage,
    inputs: &[SegmentMeta],
    drops_tombstones: bool,
    name: &str,
    generation: u64,
) -> Result<SegmentMeta, StoreError> {
    let how = Merging {
        drops_tombstones,
        keeps: &|_| true,
        goes_on: &|| true,
    };
    merge_with(storage, inputs, &how, name, generation)
}

/// Merges neighbouring segments, the oldest first, into one of another name.
///
/// # Errors
/// When an input is damaged or cannot be read, when the output may not have been made, or when it was abandoned
/// ([`StoreError::Refused`]). The name must not be used again then.
///
/// # Panics
/// When there are no inputs.
pub fn merge_with(
    storage: &dyn Storage,
    inputs: &[SegmentMeta],
    how: &Merging<'_>,
    name: &str,
    generation: u64,
) -> Result<SegmentMeta, StoreError> {
    let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else {
        panic!("a merge has inputs");
    };
    let readers: Vec<Reader> = inputs
        .iter()
        .map(|meta| Reader::open(storage, meta))
        .collect::<Result<_, _>>()?;
    let epochs = oldest.first_epoch..=newest.last_epoch;
    let mut writer = Writer::begin(storage, name, generation, epochs)?;
    let mut walk = Walk::new(&readers);
    while let Some((state, group, blocks)) = walk.next() {
        if !(how.goes_on)() {
            return Err(StoreError::Refused {
                place: storage.place().to_owned(),
                what: format!("a merge of {} segments", inputs.len()),
                cause: "the application ends; the next one does it".to_owned(),
            });
        }
        if !(how.keeps)(state) {
            continue;
        }
        let cursors = blocks
            .iter()
            .map(|(reader, block)| reader.block(storage, block))
            .collect::<Result<_, _>>()?;
        let mut entries = Newest::new(cursors);
        loop {
            let found = entries.next().map_err(|(cursor, what)| {
                let (reader, block) = blocks[cursor];
                reader.block_damaged(storage, block, &what)
            })?;
            let Some((key, value)) = found else { break };
            if value.is_some() || !how.drops_tombstones {
                writer.entry(&Change {
                    state,
                    group,
                    key,
                    value,
                })?;
            }
        }
    }
    writer.finish()
}

/// Goes through the blocks of several segments side by side, by state and key group.
struct Walk<'r> {
    readers: &'r [Reader],
    /// The next block of each.
    at: Vec<usize>,
}

/// A block and the segment it is in.
type Placed<'r> = (&'r Reader, &'r BlockInfo);

impl<'r> Walk<'r> {
    fn new(readers: &'r [Reader]) -> Self {
        Walk {
            readers,
            at: vec![0; readers.len()],
        }
    }

    /// The next state and key group that any segment has, and its blocks, oldest first.
    fn next(&mut self) -> Option<(&'r str, u16, Vec<Placed<'r>>)> {
        let readers = self.readers;
        let (state, group) = (0..readers.len())
            .filter_map(|number| self.place(number))
            .min()?;
        let mut blocks = Vec::new();
        for (number, reader) in readers.iter().enumerate() {
            if self.place(number) == Some((state, group)) {
                blocks.push((reader, &reader.index().blocks[self.at[number]]));
                self.at[number] += 1;
            }
        }
        Some((state, group, blocks))
    }

    fn place(&self, number: usize) -> Option<(&'r str, u16)> {
        let index = self.readers[number].index();
        let block = index.blocks.get(self.at[number])?;
        Some((&index.states[block.state as usize], block.group))
    }
}

#[cfg(test)]
mod tests;
