//! [`KeyIndex`]: from a key to its slot, and which slots changed since the last checkpoint.
//!
//! One small hash table per key group (`index/table.rs`) holds the key's hash, the slot and the mark. The key itself is
//! in the slot's header and compared only when the hashes agree, and not even then while all keys are integers, of which
//! no two share a hash ([`Key::is_told_by_hash`]). Small tables bound the pause of a rehash (a thousandth of the keys),
//! and a key group moves to another worker by taking its table.
//!
//! Hash and mark are in the table, so that the path of a known integer key that was touched before is one cache line, and
//! headers are not on it.
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

use wallaroo_core::key::{Key, KeyError, KeyGroup, KeyGroupCount, KeyHash, StoredKey};

use crate::slot::{ChunkIndex, Slot};

mod headers;
mod table;

use headers::{Header, Headers};
use table::{Entry, Table};

/// The mark of a slot that was not touched since it was given to its key.
const CLEAN: u32 = 0;

/// An index of no more keys is likely to be in the cache of the core.
// Half of the second level cache of common processors, at 25 to 50 bytes per key.
const CACHED_KEYS: usize = 16 << 10;

#[cfg(test)]
mod tests;

/// The keys of one state on one worker and their slots.
#[derive(Debug)]
pub struct KeyIndex {
    groups: KeyGroupCount,
    /// By key group.
    tables: Box<[Table]>,
    headers: Headers,
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
    /// Slots given to a key by [`KeyIndex::resolve_touched`] and neither kept nor undone.
    created: Vec<Slot>,
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
            tables: groups.groups().map(|_| Table::default()).collect(),
            headers: Headers::default(),
            is_told_by_hash: true,
            len: 0,
            key_bytes: 0,
            mark: CLEAN + 1,
            touched: Vec::new(),
            has_freed_touches: false,
            removed: Vec::new(),
            created: Vec::new(),
        }
    }

    /// The slot of a key, which gets one if it has none. `hash` must be the key's.
    ///
    /// A created slot is not touched.
    ///
    /// # Errors
    /// [`KeyError`] if the key is unknown and too long or too deep to be stored.
    pub fn resolve<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Resolved, KeyError> {
        Ok(match self.entry(hash, key) {
            Some(Entry { slot, .. }) => Resolved {
                slot,
                created: false,
            },
            None => Resolved {
                slot: self.create(hash, key)?,
                created: true,
            },
        })
    }

    /// The slot of a key as by [`KeyIndex::resolve`], which is then touched. A slot that was created for it is among
    /// [`KeyIndex::created`].
    ///
    /// # Errors
    /// [`KeyError`] if the key is unknown and too long or too deep to be stored.
    // Inlined with the one case that integers take; the rest would only fill registers of the caller's loop.
    #[inline(always)]
    pub fn resolve_touched<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Slot, KeyError> {
        if key.is_told_by_hash()
            && self.is_told_by_hash
            && let Some((slot, mark)) = self.table(hash).at_home(hash)
            && mark == self.mark
        {
            return Ok(slot);
        }
        self.resolve_by_key(hash, key)
    }

    /// The hashes among `hashes` for which [`KeyIndex::prefetch`] is worth its cost: all, or none if the index is likely to
    /// be in the cache.
    #[must_use]
    pub fn worth_fetching<'a>(&self, hashes: &'a [KeyHash]) -> &'a [KeyHash] {
        if self.len > CACHED_KEYS { hashes } else { &[] }
    }

    /// Fetches what [`KeyIndex::resolve_touched`] will need for a hash into the cache.
    #[inline(always)]
    pub fn prefetch(&self, hash: KeyHash) {
        self.table(hash).prefetch(hash);
    }

    #[inline(never)]
    fn resolve_by_key<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Slot, KeyError> {
        let Some(entry) = self.entry(hash, key) else {
            return self.create_touched(hash, key);
        };
        if entry.mark != self.mark {
            self.mark_touched(hash, entry.slot);
        }
        Ok(entry.slot)
    }

    #[cold]
    #[inline(never)]
    fn create_touched<K: Key + ?Sized>(
        &mut self,
        hash: KeyHash,
        key: &K,
    ) -> Result<Slot, KeyError> {
        let slot = self.create(hash, key)?;
        self.mark_touched(hash, slot);
        self.created.push(slot);
        Ok(slot)
    }

    #[inline(always)]
    fn table(&self, hash: KeyHash) -> &Table {
        &self.tables[self.groups.group_of(hash).index()]
    }

    #[inline]
    fn entry<K: Key + ?Sized>(&self, hash: KeyHash, key: &K) -> Option<Entry> {
        debug_assert_eq!(hash, key.hash(), "the hash is the key's");
        let is_told_by_hash = self.is_told_by_hash && key.is_told_by_hash();
        self.table(hash).find(hash, |slot| {
            is_told_by_hash || key.matches(&self.headers.get(slot).key)
        })
    }

    /// The slot of a key, if it has one. `hash` must be the key's.
    #[inline]
    #[must_use]
    pub fn find<K: Key + ?Sized>(&self, hash: KeyHash, key: &K) -> Option<Slot> {
        self.entry(hash, key).map(|entry| entry.slot)
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
    pub fn touch(&mut self, slot: Slot) -> bool {
        let hash = self.headers.live(slot).map(|header| header.key.hash());
        let hash = hash.unwrap_or_else(|| panic!("slot {slot} has no key"));
        self.mark_touched(hash, slot)
    }

    #[cold]
    #[inline(never)]
    fn mark_touched(&mut self, hash: KeyHash, slot: Slot) -> bool {
        let table = &mut self.tables[self.groups.group_of(hash).index()];
        let is_first = table.replace_mark(hash, slot, self.mark) != self.mark;
        if is_first {
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
            let entry = self.entry(key.hash(), key);
            entry.is_none_or(|entry| entry.mark != self.mark)
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
        let (header, chunk) = self.remove(slot);
        self.removed.push(header.key);
        chunk
    }

    /// Slots created by [`KeyIndex::resolve_touched`] since [`KeyIndex::keep_created`], in order; released ones may be
    /// among them.
    #[must_use]
    pub fn created(&self) -> &[Slot] {
        &self.created
    }

    /// Forgets which slots were created: their keys stay.
    pub fn keep_created(&mut self) {
        self.created.clear();
    }

    /// Takes back that a slot was created, as if its key had never come: leaves no tombstone and no touch.
    ///
    /// Reset the slot's object as well, and release a returned chunk as after [`KeyIndex::release`].
    ///
    /// # Panics
    /// If the slot has no key.
    pub fn undo_created(&mut self, slot: Slot) -> Option<ChunkIndex> {
        self.remove(slot).1
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
        let mut slots: Vec<Slot> = self.tables[group.index()].slots().collect();
        slots.sort_unstable();
        slots
    }

    /// Takes a key group out, to move it elsewhere. Leaves no tombstones, and drops the open epoch's marks of its slots.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn take_group(&mut self, group: KeyGroup) -> TakenGroup {
        let slots = self.slots_in_group(group);
        let mut taken = TakenGroup::default();
        for slot in slots {
            let (header, chunk) = self.remove(slot);
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
        let tables: usize = self.tables.iter().map(Table::memory_bytes).sum();
        tables
            + size_of_val(&*self.tables)
            + self.headers.memory_bytes()
            + self.key_bytes
            + self.touched.capacity() * size_of::<Slot>()
            + self.removed.capacity() * size_of::<StoredKey>()
            + self.created.capacity() * size_of::<Slot>()
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
        let mark = CLEAN;
        self.tables[group.index()].insert(Entry { hash, slot, mark });
        Ok(slot)
    }

    /// Takes a slot's key out of its table and frees the slot.
    fn remove(&mut self, slot: Slot) -> (Header, Option<ChunkIndex>) {
        let header = self.live(slot);
        let (group, hash) = (header.group, header.key.hash());
        let mark = self.tables[group.index()].remove(hash, slot);
        let (header, chunk) = self.headers.remove(slot);
        self.len -= 1;
        self.key_bytes -= header.key.heap_bytes();
        self.has_freed_touches |= mark == self.mark;
        if self.len == 0 {
            self.is_told_by_hash = true;
        }
        (header, chunk)
    }

    /// The touched slots that are still live and touched, each once.
    fn without_freed(&mut self, touched: &[Slot]) -> Vec<Slot> {
        let mut kept = Vec::with_capacity(touched.len());
        for slot in touched.iter().copied() {
            let Some(header) = self.headers.live(slot) else {
                continue;
            };
            let hash = header.key.hash();
            let table = &mut self.tables[header.group.index()];
            // A slot freed, given to another key and touched again is in the list twice.
            if table.replace_mark(hash, slot, CLEAN) == self.mark {
                kept.push(slot);
            }
        }
        kept
    }

    fn open_next_epoch(&mut self) {
        self.mark = self.mark.wrapping_add(1);
        if self.mark == CLEAN {
            // Marks of 2^32 epochs ago would look like those to come.
            for table in &mut self.tables {
                table.fill_marks(CLEAN);
            }
            self.mark = CLEAN + 1;
        }
    }
}
