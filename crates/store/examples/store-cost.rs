//! What segments cost: `cargo run --release -p wallaroo-store --example store-cost -- DIRECTORY`.
//!
//! Objects of 100 bytes with keys of 14, in 1,024 key groups. The time of a write is until it is durable, with sorting. CPU is of the
//! calling thread, which does all the work. Loads find their files in the system's cache. With few repeats p99 is the slowest.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::ops::RangeInclusive;
use std::sync::Arc;

use wallaroo_core::{Clock, SystemClock};
use wallaroo_store::Storage;
use wallaroo_store::compaction::{merge, plan};
use wallaroo_store::error::StoreError;
use wallaroo_store::loader::Loader;
use wallaroo_store::segment::{SegmentMeta, StateChanges, write_segment};
use wallaroo_store::storage::open;

const OBJECTS: u64 = 1_000_000;
const VALUE_BYTES: usize = 100;
const GROUPS: u64 = 1024;
const REPEATS: usize = 20;

type Outcome<T> = Result<T, StoreError>;

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Changes of the objects of these numbers, as a worker would have them: in no order.
fn changes(numbers: impl Iterator<Item = u64>, epoch: u64) -> StateChanges {
    let mut changes = StateChanges::new("stocks");
    for number in numbers {
        let key = format!("\u{1}key-{number:09}");
        let group = (mixed(number) % GROUPS) as u16;
        let written: Result<(), ()> = changes.object(group, key.as_bytes(), |bytes| {
            bytes.extend_from_slice(&[epoch as u8; VALUE_BYTES]);
            Ok(())
        });
        written.unwrap_or_default();
    }
    changes
}

/// So many different numbers below `OBJECTS`, scattered.
fn scattered(count: u64, seed: u64) -> impl Iterator<Item = u64> {
    // an odd factor prime to the number of objects visits each once
    let start = mixed(seed);
    (0..count).map(move |at| (start % OBJECTS + at * 611_953) % OBJECTS)
}

/// Milliseconds on the clock and on the processor.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Milliseconds this thread was on a processor, as Linux counts them.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds: f64| nanoseconds / 1e6)
}

fn timed<T>(clock: &SystemClock, work: impl FnOnce() -> T) -> (T, Took) {
    let (began, cpu) = (clock.now(), cpu_ms());
    let result = work();
    let took = Took {
        wall: clock.now().since(began).as_secs_f64() * 1e3,
        cpu: cpu_ms() - cpu,
    };
    (result, took)
}

fn print_times(what: &str, mut times: Vec<Took>) {
    let mut wall: Vec<f64> = times.iter().map(|took| took.wall).collect();
    wall.sort_by(f64::total_cmp);
    times.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
    let last = times.len() - 1;
    println!(
        "{what}: time p50 {:.1} ms, p99 {:.1} ms, CPU p50 {:.1} ms ({} repeats)",
        wall[last / 2],
        wall[(times.len() * 99).div_ceil(100) - 1],
        times[last / 2].cpu,
        times.len()
    );
}

struct Store {
    storage: Arc<dyn Storage>,
    clock: SystemClock,
    names: u64,
}

impl Store {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("data/{:020}.seg", self.names)
    }

    fn write(
        &mut self,
        epochs: RangeInclusive<u64>,
        changes: StateChanges,
    ) -> Outcome<SegmentMeta> {
        let name = self.name();
        write_segment(&*self.storage, &name, 1, epochs, &[changes])
    }

    fn writing(&mut self) -> Outcome<()> {
        for count in [10_000, 100_000, OBJECTS] {
            let mut times = Vec::new();
            let mut bytes = 0;
            for repeat in 0..REPEATS {
                let input = [changes(scattered(count, repeat as u64), 1)];
                let name = self.name();
                let (meta, took) = timed(&self.clock.clone(), || {
                    write_segment(&*self.storage, &name, 1, 1..=1, &input)
                });
                times.push(took);
                bytes = meta?.bytes;
                self.storage.delete(&name)?;
            }
            print_times(&format!("write {count} changes, {bytes} bytes"), times);
        }
        Ok(())
    }

    fn loading(&mut self, what: &str, segments: &[SegmentMeta]) -> Outcome<()> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let (loaded, took) = timed(&self.clock.clone(), || {
                let loader = Loader::open(Arc::clone(&self.storage), segments)?;
                let mut objects = 0_u64;
                for group in loader.groups("stocks") {
                    loader.load("stocks", group.group, &mut |_, value| {
                        objects += u64::from(value.len() == VALUE_BYTES);
                        Ok(())
                    })?;
                }
                Outcome::Ok(objects)
            });
            assert_eq!(loaded?, OBJECTS);
            times.push(took);
        }
        let count = segments.len();
        print_times(&format!("load 1M objects {what}, {count} segments"), times);
        Ok(())
    }

    fn epochs(&mut self) -> Outcome<()> {
        let base = changes(scattered(OBJECTS, 0), 0);
        let mut segments = vec![self.write(0..=0, base)?];
        self.loading("of one segment", &segments.clone())?;
        let base_bytes = segments[0].bytes;
        let (mut changed, mut written, mut most_stored, mut merges) = (0, 0, 0, Vec::new());
        for epoch in 1..=600 {
            let numbers = (0..OBJECTS / 100).map(|at| mixed(epoch << 32 | at) % OBJECTS);
            let meta = self.write(epoch..=epoch, changes(numbers, epoch))?;
            changed += meta.bytes;
            written += meta.bytes;
            segments.push(meta);
            while let Some(range) = plan(&segments) {
                let name = self.name();
                let (merged, took) = timed(&self.clock.clone(), || {
                    let inputs = &segments[range.clone()];
                    merge(&*self.storage, inputs, range.start == 0, &name, 1)
                });
                let merged = merged?;
                written += merged.bytes;
                merges.push(took);
                for old in segments.splice(range, [merged]) {
                    self.storage.delete(&old.name)?;
                }
            }
            let stored: u64 = segments.iter().map(|segment| segment.bytes).sum();
            most_stored = most_stored.max(stored);
        }
        println!(
            "600 epochs of 1 %: {changed} bytes changed, {written} written ({:.2} times), at most {:.2} times the objects stored",
            written as f64 / changed as f64,
            most_stored as f64 / base_bytes as f64
        );
        print_times("merges", merges);
        self.loading("after 600 epochs", &segments)
    }
}

fn main() -> Outcome<()> {
    let directory = std::env::args().nth(1);
    let (storage, _lock) = open(directory.as_deref().unwrap_or("target/store-cost"))?;
    let mut store = Store {
        storage,
        clock: SystemClock::new(),
        names: 0,
    };
    for object in store.storage.list("data/")? {
        store.storage.delete(&object.name)?;
    }
    store.writing()?;
    store.epochs()
}
