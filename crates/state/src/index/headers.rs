//! Slot headers in chunks, and the free slots among them.
//!
//! A fresh slot comes from the lowest chunk that has a free one, so that high chunks run empty and their memory goes
//! back. Inside a chunk, released slots form a list through their headers; behind them are slots never used.
//!
//! **Invariants**
//! - A vacant header has [`NO_GROUP`]; its `link` continues the list of released slots.
//! - At most one chunk without live slots keeps its memory, so that one key coming and going does not allocate a chunk
//!   each time. It lies below all absent chunks.
//! - The last chunk is never absent.

use std::collections::BTreeSet;

use wallaroo_core::key::{KeyGroup, StoredKey};

use crate::slot::{CHUNK_SLOTS, ChunkIndex, Slot};

/// The group of a vacant header; no group has this number, because there are at most 32,768.
const NO_GROUP: KeyGroup = KeyGroup(u16::MAX);

/// What is known about a slot besides its object.
// Aligned so that no header lies in two cache lines.
#[derive(Debug, Clone)]
#[repr(align(32))]
pub(super) struct Header {
    /// The key; a placeholder while vacant.
    pub(super) key: StoredKey,
    /// The key's group, or [`NO_GROUP`] while vacant.
    pub(super) group: KeyGroup,
    /// While vacant: 1 + offset of the next released slot of the chunk, 0 at the end.
    link: u16,
}

const _: () = assert!(size_of::<Header>() == 32);

impl Header {
    #[inline]
    pub(super) fn is_live(&self) -> bool {
        self.group != NO_GROUP
    }

    fn vacant() -> Self {
        Self {
            key: StoredKey::from(false),
            group: NO_GROUP,
            link: 0,
        }
    }
}

type Chunk = Box<[Header; CHUNK_SLOTS]>;

/// How the slots of one chunk are used.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    /// Slots with a key.
    live: u16,
    /// Slots from the start that had a key since the chunk was last empty.
    used: u16,
    /// 1 + offset of the first released slot, 0 if there is none.
    released: u16,
}

/// All headers of an index.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// By chunk; `None` where the memory was given back.
    chunks: Vec<Option<Chunk>>,
    /// By chunk.
    usage: Vec<Usage>,
    /// Present chunks with at least one free slot.
    open: BTreeSet<ChunkIndex>,
    /// Chunks whose memory was given back.
    absent: BTreeSet<ChunkIndex>,
    /// The present chunk without live slots, if there is one.
    empty: Option<ChunkIndex>,
}

impl Headers {
    /// The header of a slot, live or vacant.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> &Header {
        let chunk = self.chunks[slot.chunk().index()].as_deref();
        &chunk.expect("the slot's chunk is present")[slot.offset()]
    }

    /// The header of a slot, live or vacant.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Header {
        let chunk = self.chunks[slot.chunk().index()].as_deref_mut();
        &mut chunk.expect("the slot's chunk is present")[slot.offset()]
    }

    /// The header of a slot, if it is live.
    pub(super) fn live(&self, slot: Slot) -> Option<&Header> {
        let chunk = self.chunks.get(slot.chunk().index())?.as_deref()?;
        let header = &chunk[slot.offset()];
        header.is_live().then_some(header)
    }

    /// Gives a free slot to a key.
    pub(super) fn insert(&mut self, key: StoredKey, group: KeyGroup) -> Slot {
        debug_assert_ne!(group, NO_GROUP);
        let chunk = self
            .open
            .first()
            .copied()
            .unwrap_or_else(|| self.add_chunk());
        if self.empty == Some(chunk) {
            self.empty = None;
        }
        let headers = self.chunks[chunk.index()]
            .as_deref_mut()
            .expect("open chunks are present");
        let usage = &mut self.usage[chunk.index()];
        let offset = match usage.released.checked_sub(1) {
            Some(offset) => {
                usage.released = headers[usize::from(offset)].link;
                usize::from(offset)
            }
            None => {
                usage.used += 1;
                usize::from(usage.used - 1)
            }
        };
        usage.live += 1;
        if usize::from(usage.live) == CHUNK_SLOTS {
            self.open.remove(&chunk);
        }
        let header = &mut headers[offset];
        assert!(!header.is_live(), "slot {} is free", chunk.slot(offset));
        *header = Header {
            key,
            group,
            link: 0,
        };
        chunk.slot(offset)
    }

    /// Frees the slot of a live header. Also returns the chunk that lost its memory by that, if one did; it need not be
    /// the slot's.
    ///
    /// # Panics
    /// If the slot is vacant.
    pub(super) fn remove(&mut self, slot: Slot) -> (Header, Option<ChunkIndex>) {
        assert!(self.live(slot).is_some(), "slot {slot} has no key");
        let (chunk, offset) = (slot.chunk(), slot.offset());
        let usage = &mut self.usage[chunk.index()];
        let link = usage.released;
        usage.released = u16::try_from(offset + 1).expect("offsets are below 1024");
        usage.live -= 1;
        let is_empty = usage.live == 0;
        let header = std::mem::replace(
            self.get_mut(slot),
            Header {
                link,
                ..Header::vacant()
            },
        );
        self.open.insert(chunk);
        (header, if is_empty { self.emptied(chunk) } else { None })
    }

    /// The live slots and their headers, in slot order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Header)> {
        (0_u32..)
            .map(ChunkIndex)
            .zip(&self.chunks)
            .flat_map(|(chunk, headers)| {
                let headers = headers.as_deref().map_or(&[][..], |headers| &headers[..]);
                let live = headers
                    .iter()
                    .enumerate()
                    .filter(|(_, header)| header.is_live());
                live.map(move |(offset, header)| (chunk.slot(offset), header))
            })
    }

    /// One more than the highest live slot that could be; no live slot is at or above it.
    pub(super) fn slot_bound(&self) -> usize {
        // At most one present chunk is empty and the last one is not absent, so this looks at two chunks at most.
        let last = self.usage.iter().rposition(|usage| usage.live > 0);
        last.map_or(0, |chunk| {
            chunk * CHUNK_SLOTS + usize::from(self.usage[chunk].used)
        })
    }

    /// Bytes of memory taken, without what keys take on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let present = self.chunks.len() - self.absent.len();
        present * size_of::<[Header; CHUNK_SLOTS]>()
            + self.chunks.capacity() * size_of::<Option<Chunk>>()
            + self.usage.capacity() * size_of::<Usage>()
            + (self.open.len() + self.absent.len()) * size_of::<ChunkIndex>()
    }

    /// Makes a chunk present: the lowest absent one, else one more.
    fn add_chunk(&mut self) -> ChunkIndex {
        let headers: Box<[Header]> = vec![Header::vacant(); CHUNK_SLOTS].into_boxed_slice();
        let headers = headers
            .try_into()
            .expect("the slice has CHUNK_SLOTS headers");
        let chunk = self.absent.pop_first().unwrap_or_else(|| {
            let next = u32::try_from(self.chunks.len()).expect("an index has at most 2^32 slots");
            self.chunks.push(None);
            self.usage.push(Usage::default());
            ChunkIndex(next)
        });
        self.chunks[chunk.index()] = Some(headers);
        self.open.insert(chunk);
        chunk
    }

    /// Decides which memory to give back after `chunk` lost its last key.
    fn emptied(&mut self, chunk: ChunkIndex) -> Option<ChunkIndex> {
        // Its slots are all free: forget the order of release, so that they are given out in ascending order again.
        self.usage[chunk.index()] = Usage::default();
        let drop = match self.empty {
            Some(other) if other < chunk => chunk,
            Some(other) => {
                self.empty = Some(chunk);
                other
            }
            None if self.absent.first().is_some_and(|absent| *absent < chunk) => chunk,
            None => {
                self.empty = Some(chunk);
                return None;
            }
        };
        self.chunks[drop.index()] = None;
        self.open.remove(&drop);
        self.absent.insert(drop);
        self.trim();
        Some(drop)
    }

    /// Removes absent chunks from the end.
    fn trim(&mut self) {
        while self.chunks.last().is_some_and(Option::is_none) {
            self.chunks.pop();
            self.usage.pop();
            self.absent.pop_last();
        }
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
            self.usage.shrink_to(self.usage.len() * 2);
        }
    }
}
