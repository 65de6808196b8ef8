//! Facts about the key index: it equals a model of standard maps under random operations, and gives memory back.
//!
//! **Invariants**
//! - The model knows keys by value only; no test looks into tables or headers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::slot::CHUNK_SLOTS;

/// The key with this number: integers and short and long strings.
fn key(number: u32) -> StoredKey {
    let stored = match number % 3 {
        0 => number.to_stored(),
        1 => format!("key-{number}").to_stored(),
        _ => format!("a key that does not fit in place {number}").to_stored(),
    };
    stored.unwrap()
}

fn resolve(index: &mut KeyIndex, key: &StoredKey) -> Resolved {
    index.resolve(key.hash(), key).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Resolve(u32),
    Touch(u32),
    Undo(u32),
    ReleaseOne(u32),
    ReleaseMany(u32),
    TakeGroup(u16),
    TakeDirty,
}

fn any_step(keys: u32, groups: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..keys).prop_map(Step::Resolve),
        30 => (0..keys).prop_map(Step::Touch),
        10 => (0..keys).prop_map(Step::Undo),
        20 => (0..keys).prop_map(Step::ReleaseOne),
        1 => (0..4_u32).prop_map(Step::ReleaseMany),
        1 => (0..groups).prop_map(Step::TakeGroup),
        5 => Just(Step::TakeDirty),
    ]
}

#[derive(Debug, Default)]
struct Model {
    slots: BTreeMap<StoredKey, Slot>,
    /// Live keys touched in the open epoch.
    touched: BTreeSet<StoredKey>,
    /// Live keys touched in any epoch.
    ever_touched: BTreeSet<StoredKey>,
    /// Keys released in the open epoch.
    removed: BTreeSet<StoredKey>,
    /// The keys of the last checkpoint.
    checkpoint: BTreeSet<StoredKey>,
    released_chunks: BTreeSet<ChunkIndex>,
}

impl Model {
    fn forget(&mut self, key: &StoredKey) {
        self.slots.remove(key).unwrap();
        self.touched.remove(key);
        self.ever_touched.remove(key);
    }

    fn release(&mut self, index: &mut KeyIndex, key: &StoredKey) {
        let chunk = index.release(self.slots[key]);
        self.forget(key);
        self.removed.insert(key.clone());
        self.chunk_released(chunk);
    }

    fn chunk_released(&mut self, chunk: Option<ChunkIndex>) {
        if let Some(chunk) = chunk {
            assert!(
                self.slots.values().all(|slot| slot.chunk() != chunk),
                "chunk {chunk} is not empty"
            );
            assert!(
                self.released_chunks.insert(chunk),
                "chunk {chunk} was released twice"
            );
        }
    }

    fn apply(&mut self, index: &mut KeyIndex, step: &Step) {
        match *step {
            Step::Resolve(number) => {
                self.resolve(index, number);
            }
            Step::Touch(number) => {
                let slot = self.resolve(index, number);
                let is_first = index.touch(slot);
                assert_eq!(is_first, self.touched.insert(key(number)));
                self.ever_touched.insert(key(number));
            }
            Step::Undo(number) => {
                let key = key(number);
                index.keep_created();
                let slot = index.resolve_touched(key.hash(), &key).unwrap();
                if self.slots.contains_key(&key) {
                    assert!(index.created().is_empty());
                    self.touched.insert(key.clone());
                    self.ever_touched.insert(key);
                } else {
                    self.released_chunks.remove(&slot.chunk());
                    assert_eq!(index.created(), [slot]);
                    let chunk = index.undo_created(slot);
                    self.chunk_released(chunk);
                }
            }
            Step::ReleaseOne(number) => {
                if self.slots.contains_key(&key(number)) {
                    self.release(index, &key(number));
                }
            }
            Step::ReleaseMany(keep) => {
                for key in self
                    .slots
                    .clone()
                    .into_keys()
                    .skip(usize::try_from(keep).unwrap())
                {
                    self.release(index, &key);
                }
            }
            Step::TakeGroup(group) => {
                let in_group =
                    |key: &StoredKey| index.group_count().group_of(key.hash()) == KeyGroup(group);
                let mut expected: Vec<(StoredKey, Slot)> = self.slots.clone().into_iter().collect();
                expected.retain(|(key, _)| in_group(key));
                expected.sort_by_key(|(_, slot)| *slot);
                self.checkpoint.retain(|key| !in_group(key));
                let taken = index.take_group(KeyGroup(group));
                assert_eq!(taken.entries, expected);
                expected.iter().for_each(|(key, _)| self.forget(key));
                taken
                    .released_chunks
                    .into_iter()
                    .for_each(|chunk| self.chunk_released(Some(chunk)));
            }
            Step::TakeDirty => {
                let dirty = index.take_dirty();
                let touched: BTreeSet<StoredKey> = dirty
                    .touched
                    .iter()
                    .map(|slot| index.key(*slot).clone())
                    .collect();
                assert_eq!(touched.len(), dirty.touched.len(), "a slot was told twice");
                assert_eq!(touched, std::mem::take(&mut self.touched));
                let removed = std::mem::take(&mut self.removed);
                assert_eq!(
                    dirty.removed,
                    removed.difference(&touched).cloned().collect::<Vec<_>>()
                );
                self.checkpoint.extend(touched);
                self.checkpoint.retain(|key| !dirty.removed.contains(key));
                assert_eq!(self.checkpoint, self.ever_touched);
            }
        }
    }

    fn resolve(&mut self, index: &mut KeyIndex, number: u32) -> Slot {
        let key = key(number);
        let resolved = resolve(index, &key);
        assert_eq!(resolved.created, !self.slots.contains_key(&key));
        if resolved.created {
            self.released_chunks.remove(&resolved.slot.chunk());
        }
        let slot = *self.slots.entry(key).or_insert(resolved.slot);
        assert_eq!(resolved.slot, slot);
        slot
    }

    fn compare(&self, index: &KeyIndex, keys: u32) {
        assert_eq!(
            (index.len(), index.is_empty()),
            (self.slots.len(), self.slots.is_empty())
        );
        for key in (0..keys).map(key) {
            assert_eq!(index.find(key.hash(), &key), self.slots.get(&key).copied());
        }
        let mut by_slot: Vec<(&StoredKey, Slot)> =
            self.slots.iter().map(|(key, slot)| (key, *slot)).collect();
        by_slot.sort_by_key(|(_, slot)| *slot);
        assert_eq!(index.iter().collect::<Vec<_>>(), by_slot);
        assert!(
            by_slot.windows(2).all(|pair| pair[0].1 < pair[1].1),
            "a slot has two keys"
        );
        assert!(
            by_slot
                .iter()
                .all(|(_, slot)| slot.index() < index.slot_bound())
        );
        let mut in_groups = Vec::new();
        for group in index.group_count().groups() {
            let slots = index.slots_in_group(group);
            assert!(slots.is_sorted() && slots.iter().all(|slot| index.group(*slot) == group));
            in_groups.extend(slots);
        }
        in_groups.sort_unstable();
        assert_eq!(
            in_groups,
            by_slot.iter().map(|(_, slot)| *slot).collect::<Vec<_>>()
        );
    }
}

fn check(keys: u32, groups: u16, start: u32, steps: &[Step]) {
    let mut index = KeyIndex::new(KeyGroupCount::new(groups).unwrap());
    let mut model = Model::default();
    (0..start).for_each(|number| model.apply(&mut index, &Step::Touch(number)));
    for step in steps {
        model.apply(&mut index, step);
    }
    model.compare(&index, keys);
    model.apply(&mut index, &Step::TakeDirty);
    model.apply(&mut index, &Step::ReleaseMany(0));
    model.compare(&index, keys);
    assert_eq!(index.slot_bound(), 0);
    assert_eq!(index.key_bytes, 0);
}

proptest! {
    #[test]
    fn the_index_equals_its_model(steps in prop::collection::vec(any_step(40, 5), 0..400)) {
        check(40, 5, 0, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn the_index_equals_its_model_over_several_chunks(steps in prop::collection::vec(any_step(4_000, 7), 0..300)) {
        check(4_000, 7, 3_500, &steps);
    }
}

#[test]
fn the_last_mark_is_followed_by_the_first() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let (one, two) = (
        resolve(&mut index, &key(1)).slot,
        resolve(&mut index, &key(2)).slot,
    );
    index.touch(one); // with the first mark
    index.mark = u32::MAX;
    index.touched.clear();
    index.touch(two);
    assert_eq!(index.take_dirty().touched, [two]);
    assert!(index.touch(one) && index.touch(two) && !index.touch(one));
    assert_eq!(index.take_dirty().touched, [one, two]);
}

/// Integers are told by their hash; an integer and a string with one hash must still be told apart.
#[test]
fn an_integer_and_a_string_with_one_hash_are_told_apart() {
    // xxh3 of 8 bytes is a bijection, so each string of 8 bytes has its integer; a test key stands in for it.
    struct Colliding;
    impl Key for Colliding {
        fn hash(&self) -> KeyHash {
            7_i64.hash()
        }
        fn matches_canonical(&self, _canonical: &[u8]) -> bool {
            false
        }
        fn write_canonical(&self, buffer: &mut wallaroo_core::key::CanonicalBuffer) {
            "text".write_canonical(buffer);
        }
        fn kind() -> String {
            "text".to_owned()
        }
    }
    let mut index = KeyIndex::new(KeyGroupCount::default());
    index.resolve(7.hash(), &7).unwrap();
    assert_eq!(index.find(Colliding.hash(), &Colliding), None);
    resolve(&mut index, &key(1));
    assert_eq!(index.find(Colliding.hash(), &Colliding), None);
    assert!(index.find(7.hash(), &7).is_some());
}

#[test]
fn keys_with_equal_low_halves_are_told_apart() {
    // Two integers whose hashes share the low half and the group, found by search over 2^24 integers.
    let groups = KeyGroupCount::new(1).unwrap();
    let mut seen = BTreeMap::new();
    let (a, b) = (0_u32..1 << 24)
        .find_map(|number| {
            seen.insert(number.hash().low(), number)
                .map(|other| (other, number))
        })
        .expect("birthdays");
    let mut index = KeyIndex::new(groups);
    let (first, second) = (
        index.resolve(a.hash(), &a).unwrap(),
        index.resolve(b.hash(), &b).unwrap(),
    );
    assert!(first.created && second.created && first.slot != second.slot);
    index.release(first.slot);
    assert_eq!(
        (index.find(a.hash(), &a), index.find(b.hash(), &b)),
        (None, Some(second.slot))
    );
}

#[test]
fn a_key_too_long_is_refused_and_leaves_nothing() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let long = "x".repeat(70_000);
    assert_eq!(
        index.resolve(long.hash(), &long),
        Err(KeyError::TooLong { len: 70_001 })
    );
    assert!(index.is_empty() && index.find(long.hash(), &long).is_none());
}

#[test]
#[should_panic(expected = "slot 0 has no key")]
fn touching_a_released_slot_panics() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let slot = resolve(&mut index, &key(1)).slot;
    index.release(slot);
    index.touch(slot);
}

#[test]
fn forgetting_all_keys_gives_the_memory_back() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let empty = index.memory_bytes();
    let count = 2_000_000_u32;
    let slots: Vec<Slot> = (0..count)
        .map(|key| index.resolve(key.hash(), &key).unwrap().slot)
        .collect();
    let full = index.memory_bytes();
    let per_key = full / slots.len();
    assert!((50..70).contains(&per_key), "{per_key} bytes per key");
    let mut chunks = 0;
    for (done, slot) in slots.into_iter().enumerate() {
        chunks += usize::from(index.release(slot).is_some());
        if done % 1_000_000 == 0 {
            index.take_dirty();
        }
    }
    index.take_dirty();
    assert_eq!(
        chunks,
        usize::try_from(count).unwrap().div_ceil(CHUNK_SLOTS) - 1
    );
    let kept = CHUNK_SLOTS * size_of::<Header>();
    let left = index.memory_bytes() - empty;
    assert!(left < kept + 10_000, "{left} bytes left of {full}");
}

#[test]
fn churn_moves_keys_to_low_chunks() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let mut live: std::collections::VecDeque<u32> = (0..100_000).collect();
    live.iter().for_each(|number| {
        index.resolve(number.hash(), number).unwrap();
    });
    let release = |index: &mut KeyIndex, number: u32| {
        let slot = index.find(number.hash(), &number).unwrap();
        index.release(slot);
    };
    // One key in a hundred stays, spread over all chunks; then as many keys come as go.
    live.retain(|number| {
        let stays = number % 100 == 7;
        if !stays {
            release(&mut index, *number);
        }
        stays
    });
    for number in 100_000..110_000_u32 {
        index.resolve(number.hash(), &number).unwrap();
        live.push_back(number);
        release(&mut index, live.pop_front().unwrap());
    }
    assert_eq!(index.len(), 1_000);
    assert!(
        index.slot_bound() <= 2 * CHUNK_SLOTS,
        "bound {}",
        index.slot_bound()
    );
    index.take_dirty();
    assert!(
        index.memory_bytes() < 250_000,
        "{} bytes",
        index.memory_bytes()
    );
}

#[test]
fn one_key_coming_and_going_releases_no_chunk() {
    let mut index = KeyIndex::new(KeyGroupCount::default());
    let slots: Vec<Slot> = (0..1_024)
        .map(|number| resolve(&mut index, &key(number)).slot)
        .collect();
    for _ in 0..3 {
        let slot = resolve(&mut index, &key(5_000)).slot;
        assert_eq!((slot, index.slot_bound()), (Slot(1_024), 1_025));
        assert_eq!(index.release(slot), None);
    }
    for slot in slots {
        index.release(slot);
    }
    assert_eq!(index.slot_bound(), 0);
}
