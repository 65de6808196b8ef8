//! [`KeyIndex`]: from a key to its slot, and which slots changed since the last checkpoint.
//!
//! One small hash table per key group holds 12-byte entries: the key's hash and the slot. The key itself is in the
//! slot's header and compared only when the hashes agree, and not even then while all keys are integers, of which no two
//! share a hash ([`Key::is_told_by_hash`]). Small tables bound the pause of a rehash (a thousandth of the keys), and a
//! key group moves to another worker by taking its table.
//!
//! The whole hash is in the entry and the marks are in an array of their own, so that the path of a known integer key
//! does not touch the headers. With half hashes and with marks in the headers, 8 bytes less per key, a record of
//! examples/index_speed cost 10.7 instead of 8.1 ns with 10k integers; with 1M the difference was noise. Rejected: own
//! tables with a cache line per bucket, compared cell by cell (3% faster at 10k keys, before the cost of full buckets)
//! or by vector (slower in baseline x86-64), and linear probing (slower from 10k keys on).
//!
//! Exactly one epoch is open. [`KeyIndex::touch`] marks a slot as changed in it; [`KeyIndex::take_dirty`] closes it,
//! tells what a checkpoint must contain and opens the next. A mark is the number of the epoch of a slot's last touch, so
//! closing an epoch does not visit them.
//!
//! **Invariants**
//! - Every live header has exactly one entry, in the table of its group; every entry points to a live header.
//! - After `take_dirty`, `touched` has each live slot touched in the epoch once, `removed` each key released in it and
//!   not touched again since; no key is in both. A checkpoint to which they are applied, in any order, holds the keys
//!   that are present and were ever touched.
//! - Nothing depends on the order of a hash table: what comes out is in slot order or in order of first touch.
//! - Deliberately absent: the objects. Hosts keep them in arrays by slot.

use hashbrown::HashTable;
use wallaroo_core::key::{Key, KeyError, KeyGroup, KeyGroupCount, KeyHash, StoredKey};

use crate::slot::{ChunkIndex, Slot};

mod headers;

use headers::{Header, Headers};

/// The mark of a slot that was not touched since it was given to its key.
const CLEAN: u32 = 0;

#[cfg(test)]
mod tests;

/// The keys of one state on one worker and their slots.
#[derive(Debug)]
pub struct KeyIndex {
    groups: KeyGroupCount,
    /// By key group.
    tables: Box<[HashTable<Entry>]>,
    headers: Headers,
    /// By slot: the mark of the epoch in which it was last touched, or [`CLEAN`].
    marks: Vec<u32>,
    /// Whether every key is told by its hash.
    is_told_by_hash: bool,
    len: usize,
    /// What the keys take on the heap.
    key_bytes: usize,
    /// The mark of the open epoch, from 1.
    mark: u32,
    /// Slots in order of their first touch in the open epoch.
    touched: Vec<Slot>,
    /// Whether a slot in `touched` was freed after its touch.
    has_freed_touches: bool,
    /// Keys released in the open epoch.
    removed: Vec<StoredKey>,
}

/// One key in the table of its group.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The low and the high half of the key's hash; two fields, because one would be aligned to 8 bytes.
    hash: [u32; 2],
    slot: Slot,
}

const _: () = assert!(size_of::<Entry>() == 12);

impl Entry {
    #[inline]
    fn new(hash: KeyHash, slot: Slot) -> Self {
        Self {
            hash: [hash.low(), hash.high()],
            slot,
        }
    }

    #[inline]
    fn has(&self, hash: KeyHash) -> bool {
        self.hash == [hash.low(), hash.high()]
    }

    fn table_hash(&self) -> u64 {
        let [low, high] = self.hash.map(u64::from);
        table_hash(KeyHash(high << 32 | low))
    }
}

/// The answer of [`KeyIndex::resolve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The slot of the key.
    pub slot: Slot,
    /// Whether the key was not in the index before.
    pub created: bool,
}

/// What changed in an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Live slots touched in the epoch, each once, in order of first touch.
    pub touched: Vec<Slot>,
    /// Tombstones: keys released in the epoch and not touched again since, each once, in order of their bytes.
    pub removed: Vec<StoredKey>,
}

/// What [`KeyIndex::take_group`] took out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenGroup {
    /// The keys of the group and the slots they had, in slot order. The slots are free: take their objects before the
    /// next `resolve`.
    pub entries: Vec<(StoredKey, Slot)>,
    /// Chunks that have no more keys, to be released after the objects were taken.
    pub released_chunks: Vec<ChunkIndex>,
}

impl KeyIndex {
    /// An index without keys.
    #[must_use]
    pub fn new(groups: KeyGroupCount) -> Self {
        Self {
            groups,
            tables: groups.groups().map(|_| HashTable::new()).collect(),
            headers: Headers::default(),
            marks: Vec::new(),
            is_told_by_hash: true,
            len: 0,
            key_bytes: 0,
            mark: CLEAN + 1,
            touched: Vec::new(),
            has_freed_touches: false,
            removed: Vec::new(),
        }
    }

    /// The slot of a key, which gets one if it has none. `hash` must be the key's.
    ///
    /// A created slot is not touched.
    ///
    /// # Errors
    /// [`KeyError`] if the key is unknown and too long or too deep to be stored.
    // Inlined with the one case that integers take; the rest would only fill registers of the caller's loop.
    #[inline(always)]
    pub fn resolve<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Resolved, KeyError> {
        if key.is_told_by_hash() && self.is_told_by_hash {
            let table = &self.tables[self.groups.group_of(hash).index()];
            if let Some(entry) = table.find(table_hash(hash), |entry| entry.has(hash)) {
                return Ok(Resolved {
                    slot: entry.slot,
                    created: false,
                });
            }
        }
        self.resolve_by_key(hash, key)
    }

    #[inline(never)]
    fn resolve_by_key<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Resolved, KeyError> {
        match self.find(hash, key) {
            Some(slot) => Ok(Resolved {
                slot,
                created: false,
            }),
            None => self.create(hash, key).map(|slot| Resolved {
                slot,
                created: true,
            }),
        }
    }

    /// The slot of a key, if it has one. `hash` must be the key's.
    #[inline]
    #[must_use]
    pub fn find<K: Key + ?Sized>(&self, hash: KeyHash, key: &K) -> Option<Slot> {
        debug_assert_eq!(hash, key.hash(), "the hash is the key's");
        let table = &self.tables[self.groups.group_of(hash).index()];
        let is_told_by_hash = self.is_told_by_hash && key.is_told_by_hash();
        table
            .find(table_hash(hash), |entry| {
                entry.has(hash)
                    && (is_told_by_hash || key.matches(&self.headers.get(entry.slot).key))
            })
            .map(|entry| entry.slot)
    }

    /// The key of a slot.
    ///
    /// # Panics
    /// If the slot has no key.
    #[inline]
    #[must_use]
    pub fn key(&self, slot: Slot) -> &StoredKey {
        &self.live(slot).key
    }

    /// The key group of a slot's key.
    ///
    /// # Panics
    /// If the slot has no key.
    #[inline]
    #[must_use]
    pub fn group(&self, slot: Slot) -> KeyGroup {
        self.live(slot).group
    }

    /// Marks the object of a slot as changed in the open epoch. Returns whether this is its first touch in the epoch.
    ///
    /// # Panics
    /// If the slot has no key.
    #[inline]
    pub fn touch(&mut self, slot: Slot) -> bool {
        let mark = &mut self.marks[slot.index()];
        let is_first = *mark != self.mark;
        if is_first {
            assert!(self.headers.live(slot).is_some(), "slot {slot} has no key");
            *mark = self.mark;
            self.touched.push(slot);
        }
        is_first
    }

    /// Closes the open epoch, tells what changed in it, and opens the next.
    pub fn take_dirty(&mut self) -> Dirty {
        let mut touched = std::mem::take(&mut self.touched);
        let mut removed = std::mem::take(&mut self.removed);
        removed.sort_unstable();
        removed.dedup();
        removed.retain(|key| {
            let slot = self.find(key.hash(), key);
            slot.is_none_or(|slot| self.marks[slot.index()] != self.mark)
        });
        if std::mem::take(&mut self.has_freed_touches) {
            touched = self.without_freed(&touched);
        }
        self.open_next_epoch();
        Dirty { touched, removed }
    }

    /// How many changes the open epoch has recorded: touched slots and tombstones.
    #[must_use]
    pub fn change_count(&self) -> usize {
        self.touched.len() + self.removed.len()
    }

    /// Closes the open epoch without telling what changed in it, and opens the next: for a state whose changes
    /// nobody wants.
    pub fn discard_dirty(&mut self) {
        self.touched.clear();
        self.removed.clear();
        self.has_freed_touches = false;
        self.open_next_epoch();
    }

    /// Forgets the key of a slot and frees the slot. The open epoch gets a tombstone.
    ///
    /// Reset the slot's object as well. A returned chunk has no more keys: release it too. It need not be the slot's.
    ///
    /// # Panics
    /// If the slot has no key.
    pub fn release(&mut self, slot: Slot) -> Option<ChunkIndex> {
        let header = self.live(slot);
        let (group, hash) = (header.group, header.key.hash());
        let table = &mut self.tables[group.index()];
        table
            .find_entry(table_hash(hash), |entry| entry.slot == slot)
            .expect("every live slot is in the table of its group")
            .remove();
        shrink(table);
        let (header, chunk) = self.free(slot);
        self.removed.push(header.key);
        chunk
    }

    /// How many keys there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no keys.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of key groups.
    #[inline]
    #[must_use]
    pub fn group_count(&self) -> KeyGroupCount {
        self.groups
    }

    /// The length an array by slot must have: every slot in use is below.
    #[must_use]
    pub fn slot_bound(&self) -> usize {
        self.headers.slot_bound()
    }

    /// The slots of a key group in ascending order.
    ///
    /// # Panics
    /// If there is no such group.
    #[must_use]
    pub fn slots_in_group(&self, group: KeyGroup) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.tables[group.index()]
            .iter()
            .map(|entry| entry.slot)
            .collect();
        slots.sort_unstable();
        slots
    }

    /// Takes a key group out, to move it elsewhere. Leaves no tombstones, and drops the open epoch's marks of its slots.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn take_group(&mut self, group: KeyGroup) -> TakenGroup {
        let slots = self.slots_in_group(group);
        self.tables[group.index()] = HashTable::new();
        let mut taken = TakenGroup::default();
        for slot in slots {
            let (header, chunk) = self.free(slot);
            taken.entries.push((header.key, slot));
            taken.released_chunks.extend(chunk);
        }
        taken
    }

    /// All keys and their slots, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (&StoredKey, Slot)> {
        self.headers
            .iter()
            .map(|(slot, header)| (&header.key, slot))
    }

    /// Bytes of memory the index takes, objects not included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(HashTable::allocation_size).sum();
        tables
            + size_of_val(&*self.tables)
            + self.headers.memory_bytes()
            + self.key_bytes
            + self.marks.capacity() * size_of::<u32>()
            + self.touched.capacity() * size_of::<Slot>()
            + self.removed.capacity() * size_of::<StoredKey>()
            + self
                .removed
                .iter()
                .map(StoredKey::heap_bytes)
                .sum::<usize>()
    }

    #[inline]
    fn live(&self, slot: Slot) -> &Header {
        let header = self.headers.get(slot);
        assert!(header.is_live(), "slot {slot} has no key");
        header
    }

    #[cold]
    #[inline(never)]
    fn create<K: Key + ?Sized>(&mut self, hash: KeyHash, key: &K) -> Result<Slot, KeyError> {
        let key = key.to_stored()?;
        assert_eq!(key.hash(), hash, "the hash is the key's");
        let group = self.groups.group_of(hash);
        self.len += 1;
        self.key_bytes += key.heap_bytes();
        self.is_told_by_hash &= key.is_told_by_hash();
        let slot = self.headers.insert(key, group);
        if slot.index() >= self.marks.len() {
            self.marks.resize(self.headers.capacity(), CLEAN);
        }
        let entry = Entry::new(hash, slot);
        self.tables[group.index()].insert_unique(entry.table_hash(), entry, Entry::table_hash);
        Ok(slot)
    }

    /// Frees a slot whose entry is gone already.
    fn free(&mut self, slot: Slot) -> (Header, Option<ChunkIndex>) {
        let (header, chunk) = self.headers.remove(slot);
        self.len -= 1;
        self.key_bytes -= header.key.heap_bytes();
        let mark = std::mem::replace(&mut self.marks[slot.index()], CLEAN);
        self.has_freed_touches |= mark == self.mark;
        if chunk.is_some() {
            self.marks.truncate(self.headers.capacity());
            if self.marks.len() < self.marks.capacity() / 4 {
                self.marks.shrink_to(self.marks.len() * 2);
            }
        }
        if self.len == 0 {
            self.is_told_by_hash = true;
        }
        (header, chunk)
    }

    /// The touched slots that are still live and touched, each once.
    fn without_freed(&mut self, touched: &[Slot]) -> Vec<Slot> {
        let mut kept = Vec::with_capacity(touched.len());
        for slot in touched.iter().copied() {
            if let Some(mark) = self
                .marks
                .get_mut(slot.index())
                .filter(|mark| **mark == self.mark)
            {
                // A slot freed, given to another key and touched again is in the list twice.
                *mark = CLEAN;
                kept.push(slot);
            }
        }
        kept
    }

    fn open_next_epoch(&mut self) {
        self.mark = self.mark.wrapping_add(1);
        if self.mark == CLEAN {
            // Marks of 2^32 epochs ago would look like those to come.
            self.marks.fill(CLEAN);
            self.mark = CLEAN + 1;
        }
    }
}

/// The hash a table sees: the halves of the key's hash exchanged. A table takes a 7-bit tag from the top bits and the
/// bucket from the low bits; the top bits of the key's hash are spent on the group and would make all tags equal.
#[inline]
fn table_hash(hash: KeyHash) -> u64 {
    hash.0.rotate_left(32)
}

/// Gives memory back once a table is less than a quarter full.
fn shrink(table: &mut HashTable<Entry>) {
    if table.len() < table.capacity() / 4 || table.is_empty() {
        // Room for twice the entries, so that the next shrink or growth is far.
        table.shrink_to(table.len() * 2, Entry::table_hash);
    }
}
