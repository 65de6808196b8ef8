//! [`Loader`]: reads state objects back out of the segments of a checkpoint, key group by key group.
//!
//! **Invariants.** Of each key the newest segment that has it counts, and a tombstone hides it. Every block's checksum is
//! compared each time it is read. In memory are the indexes, the blocks of the key group that is being loaded, and at most
//! 1 MiB of each segment that was read ahead.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::StoreError;
use crate::segment::SegmentMeta;
use crate::segment::block::Cursor;
use crate::segment::format::BlockInfo;
use crate::segment::newest::Newest;
use crate::segment::reader::Reader;
use crate::storage::Storage;

/// A key group of a state that has something in the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The key group.
    pub group: u16,
    /// State objects in all segments: an upper bound, as an object counts in every segment that has a state of it.
    pub objects: u64,
    /// Bytes that have to be read.
    pub bytes: u64,
}

/// The segments of a checkpoint, opened.
pub struct Loader {
    storage: Arc<dyn Storage>,
    /// Oldest first.
    readers: Vec<Reader>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("place", &self.storage.place())
            .field("segments", &self.readers.len())
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// Reads and checks the indexes of the segments, which come oldest first as in a commit record.
    ///
    /// # Errors
    /// When a segment is not there, is damaged, or is of a later release.
    pub fn open(storage: Arc<dyn Storage>, segments: &[SegmentMeta]) -> Result<Self, StoreError> {
        Loader::open_with(storage, segments, NonZeroUsize::MIN)
    }

    /// As [`Loader::open`], with so many threads: for object stores, where each segment costs the time of some requests.
    ///
    /// # Errors
    /// As [`Loader::open`]; of several errors the one of the oldest segment.
    pub fn open_with(
        storage: Arc<dyn Storage>,
        segments: &[SegmentMeta],
        threads: NonZeroUsize,
    ) -> Result<Self, StoreError> {
        let readers = if threads.get() == 1 {
            segments
                .iter()
                .map(|meta| Reader::open(&*storage, meta))
                .collect::<Result<_, _>>()?
        } else {
            open_in_parallel(&*storage, segments, threads.get())?
        };
        Ok(Loader { storage, readers })
    }

    /// The names of the segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().map(|reader| reader.name())
    }

    /// The names of all states in the segments, ascending.
    #[must_use]
    pub fn states(&self) -> Vec<&str> {
        let mut states: Vec<&str> = self
            .readers
            .iter()
            .flat_map(|reader| reader.index().states.iter().map(String::as_str))
            .collect();
        states.sort_unstable();
        states.dedup();
        states
    }

    /// The key groups of a state that have something in the segments, ascending; perhaps only tombstones.
    #[must_use]
    pub fn groups(&self, state: &str) -> Vec<Group> {
        let mut groups: BTreeMap<u16, Group> = BTreeMap::new();
        for reader in &self.readers {
            for block in reader.index().of_state(state) {
                let group = groups.entry(block.group).or_insert(Group {
                    group: block.group,
                    objects: 0,
                    bytes: 0,
                });
                group.objects += u64::from(block.objects);
                group.bytes += block.length;
            }
        }
        groups.into_values().collect()
    }

    /// Gives each state object of a key group, by ascending key: canonical bytes of the key, and what the state's codec wrote.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged, or when `each` refuses an object. Some objects may have been given by then.
    pub fn load(
        &self,
        state: &str,
        group: u16,
        each: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        let mut blocks: Vec<(&Reader, &BlockInfo)> = Vec::new();
        let mut cursors: Vec<Cursor> = Vec::new();
        for reader in &self.readers {
            if let Some(block) = reader.index().find(state, group) {
                cursors.push(reader.block(&*self.storage, block)?);
                blocks.push((reader, block));
            }
        }
        let mut newest = Newest::new(cursors);
        loop {
            let found = newest.next().map_err(|(cursor, what)| {
                let (reader, block) = blocks[cursor];
                reader.block_damaged(&*self.storage, block, &what)
            })?;
            match found {
                Some((key, Some(value))) => {
                    each(key, value).map_err(|cause| self.refused(state, key, cause))?;
                }
                Some((_, None)) => {}
                None => return Ok(()),
            }
        }
    }

    /// One state object. Reads the blocks of its key group from the newest segment back, until one has the key.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn get(&self, state: &str, group: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        for reader in self.readers.iter().rev() {
            let Some(block) = reader.index().find(state, group) else {
                continue;
            };
            let mut cursor = reader.block(&*self.storage, block)?;
            let damaged = |what: String| reader.block_damaged(&*self.storage, block, &what);
            while cursor.advance().map_err(damaged)? {
                if cursor.key() == key {
                    return Ok(cursor.value().map(<[u8]>::to_vec));
                }
            }
        }
        Ok(None)
    }

    fn refused(&self, state: &str, key: &[u8], cause: String) -> StoreError {
        let digits = key.iter().take(32).map(|byte| format!("{byte:02x}"));
        StoreError::Restore {
            place: self.storage.place().to_owned(),
            state: state.to_owned(),
            key: digits.collect(),
            cause,
        }
    }
}

fn open_in_parallel(
    storage: &dyn Storage,
    segments: &[SegmentMeta],
    threads: usize,
) -> Result<Vec<Reader>, StoreError> {
    let next = AtomicUsize::new(0);
    let open_some = || {
        let mut opened = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(meta) = segments.get(number) else {
                return opened;
            };
            opened.push((number, Reader::open(storage, meta)));
        }
    };
    let mut opened = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(segments.len()))
            .filter_map(|number| {
                // a thread that cannot be started leaves its work to the others
                std::thread::Builder::new()
                    .name(format!("open-segments-{number}"))
                    .spawn_scoped(scope, open_some)
                    .ok()
            })
            .collect();
        let mut opened = open_some();
        for helper in helpers {
            opened.extend(helper.join().expect("opening a segment does not panic"));
        }
        opened
    });
    opened.sort_unstable_by_key(|(number, _)| *number);
    opened.into_iter().map(|(_, reader)| reader).collect()
}

#[cfg(test)]
mod tests;
