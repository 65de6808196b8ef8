//! [`Objects`]: the objects of one state in Rust, by slot.
//!
//! **Invariants**
//! - Every slot has an object; where none was put, it is the default. There is no "absent" object, and no byte for it.
//! - An object does not move while its chunk fills, except in the first chunk, which grows with the state.
//! - Deliberately absent: keys and marks, which are in [`KeyIndex`](crate::KeyIndex). Whoever releases a slot there
//!   resets its object here.

use crate::raw;
use crate::slot::{CHUNK_SLOTS, ChunkIndex, Slot};

/// Objects that take no more than this are likely to be in the cache of the core.
// Half of the second level cache of common processors.
const CACHED_BYTES: usize = 512 << 10;

/// The objects of one state on one worker, by slot.
#[derive(Debug)]
pub struct Objects<S> {
    /// By chunk; each is as long as its highest slot used, and empty if it has no memory.
    chunks: Vec<Vec<S>>,
}

impl<S> Default for Objects<S> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<S: Default> Objects<S> {
    /// The object of a slot; the default if none was put there.
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> &mut S {
        let (chunk, offset) = (slot.chunk().index(), slot.offset());
        if self
            .chunks
            .get(chunk)
            .is_none_or(|objects| offset >= objects.len())
        {
            return self.grow(slot);
        }
        &mut self.chunks[chunk][offset]
    }

    /// Fetches the object of a slot into the cache, if there is one.
    #[inline(always)]
    pub fn prefetch(&self, slot: Slot) {
        if let Some(object) = self.get(slot) {
            raw::prefetch(object);
        }
    }

    /// The slots among `slots` whose objects are worth to be fetched ahead of time: all, or none if the objects are
    /// likely to be in the cache.
    #[must_use]
    pub fn worth_fetching<'a>(&self, slots: &'a [Slot]) -> &'a [Slot] {
        let bytes = self.chunks.len() * CHUNK_SLOTS * size_of::<S>();
        if bytes > CACHED_BYTES { slots } else { &[] }
    }

    /// The object of a slot, if there was ever one in it or behind it.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&S> {
        self.chunks.get(slot.chunk().index())?.get(slot.offset())
    }

    /// Puts the default back into a slot, dropping what its object holds.
    pub fn reset(&mut self, slot: Slot) {
        self.take(slot);
    }

    /// Takes the object out of a slot, leaving the default.
    pub fn take(&mut self, slot: Slot) -> S {
        let objects = self.chunks.get_mut(slot.chunk().index());
        objects
            .and_then(|objects| objects.get_mut(slot.offset()))
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Drops the objects of a chunk and gives back its memory.
    pub fn release_chunk(&mut self, chunk: ChunkIndex) {
        if let Some(objects) = self.chunks.get_mut(chunk.index()) {
            *objects = Vec::new();
        }
        while self
            .chunks
            .last()
            .is_some_and(|objects| objects.capacity() == 0)
        {
            self.chunks.pop();
        }
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }

    /// Bytes of memory the objects take, without what they hold on the heap.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let objects: usize = self.chunks.iter().map(Vec::capacity).sum();
        objects * size_of::<S>() + self.chunks.capacity() * size_of::<Vec<S>>()
    }

    /// Fills the slot's chunk up to the slot, with defaults.
    // Not the whole chunk: a default may be large, and a state may have one object.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, slot: Slot) -> &mut S {
        let (chunk, offset) = (slot.chunk().index(), slot.offset());
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, Vec::new);
        }
        let objects = &mut self.chunks[chunk];
        if chunk > 0 {
            objects.reserve_exact(CHUNK_SLOTS - objects.len());
        }
        objects.resize_with(offset + 1, S::default);
        &mut objects[offset]
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn every_slot_starts_with_the_default() {
        let mut objects = Objects::<u64>::default();
        assert_eq!(objects.get(Slot(5)), None);
        *objects.get_mut(Slot(5)) += 7;
        *objects.get_mut(Slot(3_000)) += 1;
        let found = [5, 4, 6, 3_000, 2_999, 1_500].map(|slot| objects.get(Slot(slot)).copied());
        assert_eq!(found, [Some(7), Some(0), None, Some(1), Some(0), None]);
        assert_eq!(*objects.get_mut(Slot(6)), 0);
    }

    #[test]
    fn reset_and_take_drop_what_the_object_holds() {
        let held = Rc::new(());
        let mut objects = Objects::<Option<Rc<()>>>::default();
        for slot in [0, 1, 1_024] {
            *objects.get_mut(Slot(slot)) = Some(Rc::clone(&held));
        }
        objects.reset(Slot(0));
        assert_eq!(Rc::strong_count(&held), 3);
        assert!(objects.take(Slot(1)).is_some() && objects.take(Slot(1)).is_none());
        objects.release_chunk(ChunkIndex(1));
        assert_eq!(Rc::strong_count(&held), 1);
        objects.reset(Slot(9_999));
        assert!(objects.take(Slot(9_999)).is_none());
    }

    #[test]
    fn memory_is_taken_as_used_and_given_back_by_chunk() {
        let mut objects = Objects::<[u64; 5]>::default();
        objects.get_mut(Slot(0));
        assert!(objects.memory_bytes() < 500, "{}", objects.memory_bytes());
        for slot in 0..100_000 {
            objects.get_mut(Slot(slot))[0] = u64::from(slot);
        }
        assert!(objects.memory_bytes() < 100_000 * 42);
        for chunk in 0..98 {
            objects.release_chunk(ChunkIndex(chunk));
        }
        assert_eq!(objects.memory_bytes(), 0);
        assert_eq!(*objects.get_mut(Slot(50_000)), [0; 5]);
    }
}
