//! Lines of JSON from a file: the job that most users begin with.
//!
//! Lines: `json/one-worker/…` beside [`plain`], decided by processor time. A run is a whole file, from opening it
//! to the sum of all outputs.

mod file;
mod plain;
mod wallaroo;

use std::path::Path;

use crate::arguments::Mode::{Full, Normal};
use crate::harness::throughput::{Clock, Job, compare};
use crate::harness::{Benchmark, Family, Session};
use crate::workload::{Keys, Tally};

/// Processes the file of JSON lines at a path.
type Side = fn(&Path) -> Tally;

/// One line of the file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Quote {
    symbol: String,
    price: f64,
    qty: u32,
    ts: u64,
}

// 150 MB: a run of the comparator takes about half a second.
const LINES: usize = 2_000_000;

/// `json/one-worker`.
pub(crate) fn family() -> Family {
    let line = |mode, keys: Keys| {
        Benchmark::new(
            mode,
            format!("json/one-worker/{keys}"),
            move |session, name| {
                run(session, name, keys, wallaroo::SUBJECT);
            },
        )
    };
    let typical = Keys::uniform(10_000);
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            format!("json/aa/one-worker/{typical}"),
            move |session, name| {
                run(session, name, typical, Some(plain::run));
            },
        )),
        benchmarks: vec![
            line(Normal, typical),
            line(Full, Keys::zipf(10_000)),
            line(Full, Keys::uniform(1_000_000)),
            line(Full, Keys::zipf(1_000_000)),
        ],
    }
}

fn run(session: &mut Session, name: &str, keys: Keys, subject: Option<Side>) {
    let file = file::create(keys, LINES).expect("the temporary directory must have 200 MB");
    let job = Job {
        clock: Clock::Cpu,
        records: LINES as u64,
        ordered: true,
    };
    let call = |side: Side| {
        let path = file.path();
        move |_| side(path)
    };
    let subject = subject.map(call);
    compare(
        session,
        name,
        job,
        subject.as_ref().map(|subject| subject as _),
        &call(plain::run),
    );
}
