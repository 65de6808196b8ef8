//! [`ObjectLog`]: the input log of a process in write-once objects, for storages that cannot append.
//!
//! What all source partitions read within one interval becomes one object (group commit). Objects have dense numbers,
//! `input/N`, and are made with "must not exist", as the records of the log that decides. A process begins with a **seal**, an object
//! without records, at the first free number: the next number that any earlier process can try. So whatever an earlier process
//! had written before the seal is found by the one that sealed; after it, its writes fail, and it knows that it has been fenced.
//!
//! **Invariants**
//! - An object counts if it is there: nothing that is in one comes to be there after a process has sealed and listed.
//! - A process has one object on its way at a time, and tries it again under the same number only. So no number is passed over.
//! - Seals are never deleted: a process that slept, however long, finds the one at the number that it tries.
//! - The newest object is never deleted: the next process seals behind it, where this one will try.
//! - Generations ascend with numbers: who meets a later one than its own is fenced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::block::{self, Entry};
use crate::error::StoreError;
use crate::storage::{Created, ObjectInfo, Storage};

const MAGIC: &[u8; 4] = b"WALO";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
const CHECKSUM_BYTES: usize = 8;
/// A seal has a header and a checksum, and nothing else.
const SEAL_BYTES: u64 = (HEADER_BYTES + CHECKSUM_BYTES) as u64;
/// So much of an object is read to see what is in it; more if its table is longer.
const FIRST_READ: u64 = 16 << 10;
/// Of so many of the last numbers seals are read as well.
const SEALS_READ: u64 = 100;
pub(super) const FOLDER: &str = "input/";

/// What one partition has in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The source.
    pub source: String,
    /// Its partition.
    pub partition: String,
    /// The number of its first record.
    pub first: u64,
    /// The number behind its last.
    pub next: u64,
    /// Its blocks, one after another.
    pub blocks: Vec<u8>,
}

/// Where a section is.
#[derive(Clone, Debug)]
struct Place {
    source: String,
    partition: String,
    next: u64,
    offset: u64,
    length: u64,
}

/// An object on its way.
#[derive(Debug)]
pub struct Prepared {
    number: u64,
    nonce: u128,
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// The input log of a process. One thread writes; any reads and trims.
pub struct ObjectLog {
    storage: Arc<dyn Storage>,
    generation: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next object.
    next: u64,
    /// What the objects hold that are not trimmed, with their sizes.
    objects: BTreeMap<u64, (u64, Vec<Place>)>,
}

impl std::fmt::Debug for ObjectLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectLog")
            .field("place", &self.storage.place())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl ObjectLog {
    /// Finds what earlier processes have left, and seals it. The generation is that of the fence that this process has made.
    ///
    /// # Errors
    /// When a later generation has sealed the log, an object is damaged, or the storage fails.
    pub fn open(
        storage: Arc<dyn Storage>,
        generation: u64,
        nonce: u128,
    ) -> Result<ObjectLog, StoreError> {
        let log = ObjectLog {
            storage,
            generation,
            state: Mutex::default(),
        };
        let mut state = State::default();
        let mut seals = Vec::new();
        for ObjectInfo { name, bytes } in log.storage.list(FOLDER)? {
            let Some(number) = number_of(&name) else {
                continue;
            };
            state.next = number;
            if bytes == SEAL_BYTES {
                seals.push(number);
                continue;
            }
            let head = log.head(number, bytes)?;
            log.check(number, head.generation)?;
            state.objects.insert(number, (bytes, head.places));
        }
        // The last one has the latest generation. Those near it are looked at for damage, all would be too many.
        let near = state.next.saturating_sub(SEALS_READ);
        for number in seals.into_iter().filter(|number| *number > near) {
            log.check(number, log.head(number, SEAL_BYTES)?.generation)?;
        }
        loop {
            state.next += 1;
            let seal = log.encode(state.next, nonce, &[]).0;
            let name = name_of(state.next);
            if log.storage.create(&name, &seal)? == Created::New {
                break;
            }
            // Of a process that was just writing, or of this one, whose first try had no answer.
            let bytes = log.storage.size(&name)?.unwrap_or(0);
            let head = log.head(state.next, bytes)?;
            if head.nonce == nonce {
                break;
            }
            log.check(state.next, head.generation)?;
            if !head.places.is_empty() {
                state.objects.insert(state.next, (bytes, head.places));
            }
        }
        state.next += 1;
        *log.state() = state;
        Ok(log)
    }

    /// The partitions of a source that have records.
    #[must_use]
    pub fn partitions(&self, source: &str) -> Vec<String> {
        let state = self.state();
        let places = state.objects.values().flat_map(|(_, places)| places);
        let mut names: Vec<String> = places
            .filter(|place| place.source == source)
            .map(|place| place.partition.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The records of a partition from a number on, as they are at this moment.
    #[must_use]
    pub fn replay(self: &Arc<Self>, source: &str, partition: &str, from: u64) -> ObjectReplay {
        let state = self.state();
        let mut places = Vec::new();
        for (number, (_, in_object)) in &state.objects {
            let wanted = in_object.iter().filter(|place| {
                place.source == source && place.partition == partition && place.next > from
            });
            places.extend(wanted.map(|place| (*number, place.clone())));
        }
        // Taken from the end.
        places.reverse();
        ObjectReplay {
            log: Arc::clone(self),
            places,
            from,
            section: (0, Vec::new(), 0),
        }
    }

    /// What is to become the next object.
    ///
    /// # Panics
    /// When its names or its table have 4 GiB or more.
    #[must_use]
    pub fn prepare(&self, sections: &[Section], nonce: u128) -> Prepared {
        let number = self.state().next;
        let (bytes, places) = self.encode(number, nonce, sections);
        Prepared {
            number,
            nonce,
            bytes,
            places,
        }
    }

    /// Makes the object, durably. After an error that passes it is tried again with the same one.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another process has sealed the log; when the storage fails.
    pub fn put(&self, prepared: &Prepared) -> Result<(), StoreError> {
        let Prepared {
            number,
            nonce,
            bytes,
            places,
        } = prepared;
        let name = name_of(*number);
        if self.storage.create(&name, bytes)? == Created::Existed {
            let size = self.storage.size(&name)?.unwrap_or(0);
            let head = self.head(*number, size)?;
            if head.nonce != *nonce {
                return Err(self.fenced(*number, head.generation));
            }
        }
        let mut state = self.state();
        state.next = number + 1;
        let size = bytes.len() as u64;
        state.objects.insert(*number, (size, places.clone()));
        Ok(())
    }

    /// Forgets the records of a partition before a committed number, and deletes the objects that have no others, but for the
    /// newest.
    ///
    /// # Errors
    /// When an object cannot be deleted; that is tried again by the next call.
    pub fn trim(&self, source: &str, partition: &str, number: u64) -> Result<(), StoreError> {
        let mut empty = Vec::new();
        let mut state = self.state();
        let newest = state.next - 1;
        for (object, (_, places)) in &mut state.objects {
            places.retain(|place| {
                place.source != source || place.partition != partition || place.next > number
            });
            if places.is_empty() && *object < newest {
                empty.push(*object);
            }
        }
        drop(state);
        for object in empty {
            self.storage.delete(&name_of(object))?;
            self.state().objects.remove(&object);
        }
        Ok(())
    }

    /// What its objects occupy.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state().objects.values().map(|(bytes, _)| bytes).sum()
    }

    // Nothing that holds the lock can panic half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, number: u64, generation: u64) -> Result<(), StoreError> {
        if generation > self.generation {
            return Err(self.fenced(number, generation));
        }
        Ok(())
    }

    fn fenced(&self, number: u64, generation: u64) -> StoreError {
        StoreError::Fenced {
            place: self.storage.place().to_owned(),
            by: format!(
                " with object {number} of the input log, generation {generation}; this one is generation {}",
                self.generation
            ),
        }
    }

    fn encode(&self, number: u64, nonce: u128, sections: &[Section]) -> (Vec<u8>, Vec<Place>) {
        let mut table = Vec::new();
        for section in sections {
            for name in [&section.source, &section.partition] {
                let length = u32::try_from(name.len()).expect("a name has less than 4 GiB");
                table.extend_from_slice(&length.to_le_bytes());
                table.extend_from_slice(name.as_bytes());
            }
            for value in [section.first, section.next, section.blocks.len() as u64] {
                table.extend_from_slice(&value.to_le_bytes());
            }
        }
        let length = |length: usize| u32::try_from(length).expect("fewer than 4 G").to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + table.len() + CHECKSUM_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&nonce.to_le_bytes());
        bytes.extend_from_slice(&length(sections.len()));
        bytes.extend_from_slice(&length(table.len()));
        bytes.extend_from_slice(&table);
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut places = Vec::new();
        for section in sections {
            places.push(Place {
                source: section.source.clone(),
                partition: section.partition.clone(),
                next: section.next,
                offset: bytes.len() as u64,
                length: section.blocks.len() as u64,
            });
            bytes.extend_from_slice(&section.blocks);
        }
        (bytes, places)
    }

    fn head(&self, number: u64, bytes: u64) -> Result<Head, StoreError> {
        read_head(&*self.storage, number, bytes)
    }

    fn damaged(&self, number: u64, what: &str) -> StoreError {
        damaged(&*self.storage, number, what)
    }
}

/// Reads what is in an object of so many bytes.
fn read_head(storage: &dyn Storage, number: u64, bytes: u64) -> Result<Head, StoreError> {
    let name = name_of(number);
    let damaged = |what: &str| damaged(storage, number, what);
    if bytes < SEAL_BYTES {
        return Err(damaged("it is shorter than its header"));
    }
    let mut found = storage.read_range(&name, 0..bytes.min(FIRST_READ))?;
    if &found[..4] != MAGIC || u64_at(&found, 8) != number {
        return Err(damaged("its header is not what was written"));
    }
    let version = u32_at(&found, 4);
    if version != VERSION {
        return Err(StoreError::TooNew {
            object: name,
            place: storage.place().to_owned(),
            what: "version",
            found: version.to_string(),
            supported: VERSION.to_string(),
        });
    }
    let end = HEADER_BYTES + u32_at(&found, 44) as usize;
    let all = (end + CHECKSUM_BYTES) as u64;
    if all > bytes {
        return Err(damaged("it is shorter than its table"));
    }
    if all > found.len() as u64 {
        found = storage.read_range(&name, 0..all)?;
    }
    if xxh3_64(&found[..end]) != u64_at(&found, end) {
        return Err(damaged("the checksum of its header differs"));
    }
    let places = places(&found[HEADER_BYTES..end], u32_at(&found, 40), all)
        .filter(|places| places.last().map_or(all, |last| last.offset + last.length) == bytes);
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&found[24..40]);
    Ok(Head {
        generation: u64_at(&found, 16),
        nonce: u128::from_le_bytes(nonce),
        places: places.ok_or_else(|| damaged("its table does not fit it"))?,
    })
}

fn damaged(storage: &dyn Storage, number: u64, what: &str) -> StoreError {
    StoreError::DamagedInput {
        object: name_of(number),
        place: storage.place().to_owned(),
        what: what.to_owned(),
    }
}

/// Reads an object of so many bytes, and compares its checksums.
pub(super) fn verify(storage: &dyn Storage, number: u64, bytes: u64) -> Result<(), StoreError> {
    for place in read_head(storage, number, bytes)?.places {
        let section =
            storage.read_range(&name_of(number), place.offset..place.offset + place.length)?;
        let mut at = 0;
        while at < section.len() {
            let block = block::read(&section[at..], 0);
            let block = block.ok_or_else(|| damaged(storage, number, &not_as_written(at)))?;
            at += block.length;
        }
    }
    Ok(())
}

fn not_as_written(at: usize) -> String {
    format!("the block at byte {at} of a section is not what was written")
}

/// What an object says of itself.
struct Head {
    generation: u64,
    nonce: u128,
    places: Vec<Place>,
}

/// The records of a partition, block by block.
#[derive(Debug)]
pub struct ObjectReplay {
    log: Arc<ObjectLog>,
    /// What is still to be read; the next one last.
    places: Vec<(u64, Place)>,
    from: u64,
    /// The section that is read: its object, its bytes, and how far it has been.
    section: (u64, Vec<u8>, usize),
}

impl ObjectReplay {
    /// Hands the records of the next block to `each`; false when there is none.
    ///
    /// # Errors
    /// When an object cannot be read or is damaged; those of `each`.
    pub fn next<E: From<StoreError>>(
        &mut self,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (object, bytes, at) = &mut self.section;
        if *at == bytes.len() {
            let Some((number, place)) = self.places.pop() else {
                return Ok(false);
            };
            let range = place.offset..place.offset + place.length;
            let storage = &self.log.storage;
            *bytes = storage
                .read_range(&name_of(number), range)
                .map_err(|error| E::from(error.into()))?;
            (*object, *at) = (number, 0);
        }
        let Some(block) = block::read(&bytes[*at..], 0) else {
            return Err(E::from(self.log.damaged(*object, &not_as_written(*at))));
        };
        *at += block.length;
        for entry in block.entries {
            if entry.number >= self.from {
                self.from = entry.number + 1;
                each(entry)?;
            }
        }
        Ok(true)
    }
}

fn places(mut table: &[u8], count: u32, first: u64) -> Option<Vec<Place>> {
    let mut offset = first;
    let mut places = Vec::new();
    for _ in 0..count {
        let mut name = || {
            let length = u32::from_le_bytes(table.get(..4)?.try_into().ok()?) as usize;
            let name = table.get(4..4_usize.checked_add(length)?)?;
            table = &table[4 + length..];
            String::from_utf8(name.to_vec()).ok()
        };
        let (source, partition) = (name()?, name()?);
        let numbers = table.get(..24)?;
        let (next, length) = (u64_at(numbers, 8), u64_at(numbers, 16));
        table = &table[24..];
        places.push(Place {
            source,
            partition,
            next,
            offset,
            length,
        });
        offset = offset.checked_add(length)?;
    }
    table.is_empty().then_some(places)
}

fn name_of(number: u64) -> String {
    format!("{FOLDER}{number:020}")
}

pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(FOLDER)?;
    let number = digits.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

#[cfg(test)]
mod tests;
