//! The hash table of one key group: hash, slot and mark of each key, four to a cache line.
//!
//! A key's bucket follows from its hash, and whatever the path of a known key needs lies in that bucket: one access to
//! memory, whose address is known early enough to be fetched ahead of time. A key whose bucket is full lies in one of
//! the next.
//!
//! **Invariants**
//! - Between a key's own bucket and the one it lies in, all buckets are full; at least one bucket is not. So a search
//!   ends at the first bucket that is not full.
//! - A vacant cell has the slot [`VACANT`], and hash and mark 0.

use wallaroo_core::key::KeyHash;

use crate::raw;
use crate::slot::Slot;

/// Keys per bucket: as many as fit a cache line.
const CELLS: usize = 4;

/// Full buckets cost a second cache line and a wrong guess of the processor: at five keys in eight cells, 7% of the keys
/// lie outside of their own bucket, and 2% at the half of that, to which a table grows.
const MAX_LOAD_EIGHTHS: usize = 5;

/// The slot of a cell without key.
const VACANT: Slot = Slot(u32::MAX);

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// The low halves of the hashes.
    low: [u32; CELLS],
    /// The high halves.
    high: [u32; CELLS],
    slots: [Slot; CELLS],
    marks: [u32; CELLS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const VACANT: Self = Self {
        low: [0; CELLS],
        high: [0; CELLS],
        slots: [VACANT; CELLS],
        marks: [0; CELLS],
    };

    /// One bit for each cell with this hash; vacant cells may be among them.
    #[inline(always)]
    fn matching(&self, hash: KeyHash) -> u32 {
        raw::equal_pairs(&self.low, &self.high, hash.low(), hash.high())
    }

    fn vacant(&self) -> Option<usize> {
        self.slots.iter().position(|slot| *slot == VACANT)
    }

    fn hash(&self, cell: usize) -> KeyHash {
        KeyHash(u64::from(self.high[cell]) << 32 | u64::from(self.low[cell]))
    }

    fn put(&mut self, cell: usize, entry: Entry) {
        self.low[cell] = entry.hash.low();
        self.high[cell] = entry.hash.high();
        self.slots[cell] = entry.slot;
        self.marks[cell] = entry.mark;
    }

    fn take(&mut self, cell: usize) -> Entry {
        let entry = Entry {
            hash: self.hash(cell),
            slot: self.slots[cell],
            mark: self.marks[cell],
        };
        let vacant = Entry {
            hash: KeyHash(0),
            slot: VACANT,
            mark: 0,
        };
        self.put(cell, vacant);
        entry
    }

    fn cells(&self) -> impl Iterator<Item = usize> {
        (0..CELLS).filter(|cell| self.slots[*cell] != VACANT)
    }
}

/// What a table knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: KeyHash,
    pub(super) slot: Slot,
    /// The epoch in which the slot was last touched, as the index counts them.
    pub(super) mark: u32,
}

/// Where a key lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    bucket: usize,
    cell: usize,
}

/// The keys of one group.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// A power of two of them, or none.
    buckets: Box<[Bucket]>,
    len: u32,
}

impl Table {
    /// Slot and mark of the key with this hash, if one lies in its own bucket; the first of several.
    #[inline(always)]
    pub(super) fn at_home(&self, hash: KeyHash) -> Option<(Slot, u32)> {
        let bucket = self.buckets.get(self.home(hash))?;
        let matching = bucket.matching(hash);
        if matching == 0 {
            return None;
        }
        let cell = matching.trailing_zeros() as usize % CELLS;
        Some((bucket.slots[cell], bucket.marks[cell]))
    }

    /// Fetches the bucket of a hash into the cache.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        if let Some(bucket) = self.buckets.get(self.home(hash)) {
            raw::prefetch(bucket);
        }
    }

    /// The entry with this hash whose slot `is_wanted`.
    #[inline]
    pub(super) fn find(&self, hash: KeyHash, is_wanted: impl Fn(Slot) -> bool) -> Option<Entry> {
        // Nearly always the first cell is the one; the rest is a call, to keep this short.
        if let Some((slot, mark)) = self.at_home(hash)
            && slot != VACANT
            && is_wanted(slot)
        {
            return Some(Entry { hash, slot, mark });
        }
        self.find_anywhere(hash, is_wanted)
    }

    #[inline(never)]
    fn find_anywhere(&self, hash: KeyHash, is_wanted: impl Fn(Slot) -> bool) -> Option<Entry> {
        let place = self.place(hash, is_wanted)?;
        let bucket = &self.buckets[place.bucket];
        Some(Entry {
            hash,
            slot: bucket.slots[place.cell],
            mark: bucket.marks[place.cell],
        })
    }

    /// Changes the mark of a slot whose key has this hash, and returns the old one.
    pub(super) fn replace_mark(&mut self, hash: KeyHash, slot: Slot, mark: u32) -> u32 {
        let place = self.place_of(hash, slot);
        std::mem::replace(&mut self.buckets[place.bucket].marks[place.cell], mark)
    }

    /// Sets all marks.
    pub(super) fn fill_marks(&mut self, mark: u32) {
        for bucket in &mut self.buckets {
            bucket.marks = bucket
                .slots
                .map(|slot| if slot == VACANT { 0 } else { mark });
        }
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, entry: Entry) {
        debug_assert_ne!(entry.slot, VACANT);
        if (self.len as usize + 1) * 8 > self.buckets.len() * CELLS * MAX_LOAD_EIGHTHS {
            self.rebuild((self.buckets.len() * 2).max(1));
        }
        self.len += 1;
        self.put(entry);
    }

    /// Removes the slot whose key has this hash, and returns its mark.
    ///
    /// # Panics
    /// If it is not there.
    pub(super) fn remove(&mut self, hash: KeyHash, slot: Slot) -> u32 {
        let mut hole = self.place_of(hash, slot);
        let was_full = self.buckets[hole.bucket].vacant().is_none();
        let entry = self.buckets[hole.bucket].take(hole.cell);
        self.len -= 1;
        if was_full {
            let mut bucket = hole.bucket;
            loop {
                bucket = self.next(bucket);
                let was_full = self.buckets[bucket].vacant().is_none();
                if let Some(cell) = self.displaced(hole.bucket, bucket) {
                    let moved = self.buckets[bucket].take(cell);
                    self.buckets[hole.bucket].put(hole.cell, moved);
                    hole = Place { bucket, cell };
                }
                if !was_full {
                    break;
                }
            }
        }
        self.shrink();
        entry.mark
    }

    /// The slots of the keys, in no particular order.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.cells().map(|cell| bucket.slots[cell]))
    }

    /// Bytes of memory taken, beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The bucket of a hash; none exists if there are no buckets.
    #[inline(always)]
    fn home(&self, hash: KeyHash) -> usize {
        hash.low() as usize & self.buckets.len().wrapping_sub(1)
    }

    fn next(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    #[inline]
    fn place(&self, hash: KeyHash, is_wanted: impl Fn(Slot) -> bool) -> Option<Place> {
        let mut bucket = self.home(hash);
        let mut here = self.buckets.get(bucket)?;
        loop {
            let mut matching = here.matching(hash);
            while matching != 0 {
                let cell = matching.trailing_zeros() as usize;
                if here.slots[cell] != VACANT && is_wanted(here.slots[cell]) {
                    return Some(Place { bucket, cell });
                }
                matching &= matching - 1;
            }
            if here.vacant().is_some() {
                return None;
            }
            bucket = self.next(bucket);
            here = &self.buckets[bucket];
        }
    }

    fn place_of(&self, hash: KeyHash, slot: Slot) -> Place {
        self.place(hash, |found| found == slot)
            .expect("every live slot is in the table of its group")
    }

    /// A cell of `bucket` whose key a search would find in the earlier bucket `hole` as well.
    fn displaced(&self, hole: usize, bucket: usize) -> Option<usize> {
        let mask = self.buckets.len() - 1;
        let here = &self.buckets[bucket];
        let way = bucket.wrapping_sub(hole) & mask;
        here.cells().find(|cell| {
            let home = self.home(here.hash(*cell));
            bucket.wrapping_sub(home) & mask >= way
        })
    }

    /// Puts a key into the first bucket of its way that has room.
    fn put(&mut self, entry: Entry) {
        let mut bucket = self.home(entry.hash);
        loop {
            if let Some(cell) = self.buckets[bucket].vacant() {
                return self.buckets[bucket].put(cell, entry);
            }
            bucket = self.next(bucket);
        }
    }

    fn rebuild(&mut self, count: usize) {
        let old = std::mem::replace(
            &mut self.buckets,
            vec![Bucket::VACANT; count].into_boxed_slice(),
        );
        for mut bucket in old {
            for cell in 0..CELLS {
                let entry = bucket.take(cell);
                if entry.slot != VACANT {
                    self.put(entry);
                }
            }
        }
    }

    /// Gives memory back once the table is less than an eighth full.
    fn shrink(&mut self) {
        if self.len == 0 {
            self.buckets = Box::default();
        } else if self.buckets.len() > 1 && (self.len as usize) * 8 < self.buckets.len() * CELLS {
            self.rebuild(self.buckets.len() / 2);
        }
    }
}
