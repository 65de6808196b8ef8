//! What checkpoints cost, and what going on from one takes.
//!
//! Lines: `checkpoint/throughput/…` and `checkpoint/pause/…` beside the same application without a store; `checkpoint/restore/…`
//! beside a loop that fills a map from a file; `checkpoint/written/…` and `checkpoint/kill/…` beside nothing: they are bytes and
//! milliseconds. A million state objects of about 100 bytes, one worker, the store in a directory for temporary files.

mod account;
mod feed;
mod pause;
pub(crate) mod restore;
mod throughput;
mod wallaroo;
mod written;

use tempfile::TempDir;

use crate::arguments::Mode::{Full, Normal};
use crate::harness::{Benchmark, Family};

const OBJECTS: u32 = 1_000_000;

/// Objects that change in an epoch, and how they are called in names of lines.
const PER_MILLE: (u32, &str) = (1_000, "0.1pct");
const PERCENT: (u32, &str) = (10_000, "1pct");
const TEN_PERCENT: (u32, &str) = (100_000, "10pct");
const ALL: (u32, &str) = (OBJECTS, "100pct");

/// `checkpoint/throughput`.
pub(crate) fn throughput() -> Family {
    let line = |mode, (dirty, part): (u32, &str)| {
        Benchmark::new(
            mode,
            format!("checkpoint/throughput/1m-{part}"),
            move |session, name| throughput::run(session, name, dirty, false),
        )
    };
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            "checkpoint/throughput/aa/1m-1pct",
            |session, name| throughput::run(session, name, PERCENT.0, true),
        )),
        benchmarks: vec![
            line(Full, PER_MILLE),
            line(Normal, PERCENT),
            line(Full, TEN_PERCENT),
            line(Normal, ALL),
        ],
    }
}

/// `checkpoint/pause` and `checkpoint/written`.
pub(crate) fn epochs() -> Family {
    let pause = |mode, dirty: u32, name: &str| {
        Benchmark::new(
            mode,
            format!("checkpoint/pause/{name}-dirty"),
            move |session, name| pause::run(session, name, dirty),
        )
    };
    Family {
        noise_floor: None, // A pause stands beside the same application without a store.
        benchmarks: vec![
            pause(Full, 10_000, "10k"),
            pause(Normal, 100_000, "100k"),
            pause(Full, OBJECTS, "1m"),
            Benchmark::new(Normal, "checkpoint/written/1m-1pct", |session, name| {
                written::run(session, name, PERCENT.0);
            }),
            Benchmark::new(Full, "checkpoint/written/1m-0.1pct", |session, name| {
                written::run(session, name, PER_MILLE.0);
            }),
        ],
    }
}

/// `checkpoint/restore` and `checkpoint/kill`.
pub(crate) fn recovery() -> Family {
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            "checkpoint/restore/aa/1m",
            |session, name| restore::run_time(session, name, true),
        )),
        benchmarks: vec![
            Benchmark::new(Normal, "checkpoint/restore/1m", |session, name| {
                restore::run_time(session, name, false);
            }),
            Benchmark::new(Normal, "checkpoint/restore/1m-memory", |session, name| {
                restore::run_memory(session, name);
            }),
            Benchmark::new(Normal, "checkpoint/kill/1m", |session, name| {
                restore::run_kills(session, name);
            }),
        ],
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for temporary files can be made")
}
