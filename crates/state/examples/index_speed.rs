//! How much the key index costs compared to a plain hash map with the objects inside.
//!
//! All sides run the same update over the same batches, in turns, so that a disturbance hits all. Hashing first pays for
//! integers, whose hash is a long chain of arithmetic; short strings are then read twice, which costs more.
//! Prints the median of seven rounds in nanoseconds per record, and the ratio.
//! Run: `cargo run --release -p wallaroo-state --example index_speed`.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![allow(
    clippy::disallowed_types,
    reason = "it compares with an ordinary hash map"
)]
#![allow(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use wallaroo_core::key::{Key, KeyGroupCount, KeyHash};
use wallaroo_state::{KeyIndex, Objects, Slot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_RECORDS: usize = 4096;
const ROUNDS: usize = 7;
const DISTINCT_RECORDS: usize = 256 * BATCH_RECORDS;
const PASSES: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    last: f64,
    min: f64,
    max: f64,
    ewma: f64,
    count: u64,
}

impl State {
    #[inline]
    fn update(&mut self, value: f64) {
        if self.count == 0 {
            *self = Self {
                last: value,
                min: value,
                max: value,
                ewma: value,
                count: 1,
            };
            return;
        }
        self.last = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.ewma += 0.1 * (value - self.ewma);
        self.count += 1;
    }
}

/// A seeded generator (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(((self.0 >> 32) * u64::from(bound)) >> 32).expect("below the bound")
    }
}

struct Indexed {
    index: KeyIndex,
    objects: Objects<State>,
    hashes: Vec<KeyHash>,
    slots: Vec<Slot>,
}

impl Indexed {
    /// Two loops: resolve all, then update all.
    #[inline(never)]
    fn run<K: Key>(&mut self, batch: &[(K, f64)]) {
        self.slots.clear();
        for (key, _) in batch {
            let resolved = self.index.resolve_touched(key.hash(), key);
            self.slots.push(resolved.expect("keys are short"));
        }
        self.update(batch);
    }

    /// Three loops: the hashes first, as where a batch carries them as a column.
    #[inline(never)]
    fn run_hashes_first<K: Key>(&mut self, batch: &[(K, f64)]) {
        self.hashes.clear();
        self.hashes.extend(batch.iter().map(|(key, _)| key.hash()));
        self.slots.clear();
        for ((key, _), hash) in batch.iter().zip(&self.hashes) {
            let resolved = self.index.resolve_touched(*hash, key);
            self.slots.push(resolved.expect("keys are short"));
        }
        self.update(batch);
    }

    #[inline]
    fn update<K>(&mut self, batch: &[(K, f64)]) {
        for ((_, value), slot) in batch.iter().zip(&self.slots) {
            self.objects.get_mut(*slot).update(*value);
        }
    }
}

type Map<K> = HashMap<K, State, foldhash::fast::RandomState>;

#[inline(never)]
fn run_plain_number(map: &mut Map<u32>, batch: &[(u32, f64)]) {
    for (key, value) in batch {
        map.entry(*key).or_default().update(*value);
    }
}

#[inline(never)]
fn run_plain_text(map: &mut Map<String>, batch: &[(String, f64)]) {
    for (key, value) in batch {
        map.entry_ref(key.as_str()).or_default().update(*value);
    }
}

/// The time of some passes, after one that fills the caches, so that no side inherits them from the one before.
fn timed(mut pass: impl FnMut()) -> Duration {
    pass();
    let start = Instant::now();
    (0..PASSES).for_each(|_| pass());
    start.elapsed()
}

fn median(times: &mut [Duration], records: usize) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e9
        / f64::from(u32::try_from(records).expect("few records"))
}

fn compare<K: Key>(
    name: &str,
    key_count: u32,
    key_of: impl Fn(u32) -> K,
    mut plain: impl FnMut(&[(K, f64)]),
) {
    let mut random = Random(0x5eed);
    let records: Vec<(K, f64)> = (0..DISTINCT_RECORDS)
        .map(|_| {
            (
                key_of(random.below(key_count)),
                f64::from(random.below(1000)),
            )
        })
        .collect();
    let mut indexed = Indexed {
        index: KeyIndex::new(KeyGroupCount::default()),
        objects: Objects::default(),
        hashes: Vec::new(),
        slots: Vec::new(),
    };
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        let two = timed(|| {
            records
                .chunks(BATCH_RECORDS)
                .for_each(|batch| indexed.run(batch))
        });
        let three = timed(|| {
            records
                .chunks(BATCH_RECORDS)
                .for_each(|batch| indexed.run_hashes_first(batch))
        });
        let plain = timed(|| records.chunks(BATCH_RECORDS).for_each(&mut plain));
        black_box(indexed.index.take_dirty());
        // The first round creates the keys.
        if round > 0 {
            for (times, time) in times.iter_mut().zip([two, three, plain]) {
                times.push(time);
            }
        }
    }
    let count = records.len() * PASSES;
    let [two, three, plain] = times.map(|mut times| median(&mut times, count));
    println!(
        "{name:20} map {plain:6.2} ns  index, two loops {two:6.2} ns, ratio {:.2}  hashes first {three:6.2} ns, ratio {:.2}",
        two / plain,
        three / plain
    );
}

fn main() {
    let number = |number: u32| number.wrapping_mul(2_654_435_761);
    for key_count in [10_000, 1_000_000] {
        let mut map = Map::<u32>::default();
        compare(
            &format!("u32, {key_count} keys"),
            key_count,
            number,
            |batch| run_plain_number(&mut map, batch),
        );
    }
    let mut map = Map::<String>::default();
    compare(
        "8 chars, 10000 keys",
        10_000,
        |number| format!("k{number:07}"),
        |batch| run_plain_text(&mut map, batch),
    );
}
