//! Bytes of memory per state object.
//!
//! Line: `memory/1m-strings` beside a hash map with owned keys. A child process measures how much its resident
//! memory grows when a million objects with keys of eight letters come into being; whatever else a side starts is
//! in it too. Memory that a side has freed does not count: the allocator of a child gives it back at once.

mod plain;
mod wallaroo;

use std::any::Any;
use std::fs;

use crate::arguments::Mode::Normal;
use crate::child::Child;
use crate::harness::{Benchmark, Family, Session, costs, interleave};
use crate::raw;

/// Creates that many state objects, and returns what keeps them alive.
type Side = fn(u32) -> Box<dyn Any>;

const OBJECTS: u32 = 1_000_000;

/// `memory`.
pub(crate) fn family() -> Family {
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            "memory/aa/1m-strings",
            |session, name| {
                run(session, name, Some(Child::MemoryPlain));
            },
        )),
        benchmarks: vec![Benchmark::new(
            Normal,
            "memory/1m-strings",
            |session, name| {
                run(
                    session,
                    name,
                    wallaroo::SUBJECT.map(|_| Child::MemoryWallaroo),
                );
            },
        )],
    }
}

/// In a child: bytes per object of the hash map.
pub(crate) fn measure_plain() -> f64 {
    measure(plain::create)
}

/// In a child: bytes per object of Wallaroo.
pub(crate) fn measure_wallaroo() -> f64 {
    measure(wallaroo::SUBJECT.expect("the parent starts this child only if there is a subject"))
}

fn run(session: &mut Session, name: &str, subject: Option<Child>) {
    let samples = interleave(
        session.runs(),
        subject.map(|child| move || child.measure()),
        || Child::MemoryPlain.measure(),
    );
    let (line, value) = costs(name, "B/object", 1, &samples);
    session.report().write(&line, &value);
}

fn measure(side: Side) -> f64 {
    let before = resident_bytes();
    let objects = side(OBJECTS);
    let after = resident_bytes();
    drop(objects);
    #[expect(clippy::cast_precision_loss, reason = "memory is below 2^52 bytes")]
    let growth = after.saturating_sub(before) as f64;
    growth / f64::from(OBJECTS)
}

fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("this benchmark runs on Linux");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("statm has resident pages in its second field") * raw::page_bytes()
}
