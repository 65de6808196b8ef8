//! Lines of JSON from a file: the job that most users begin with.
//!
//! Lines: `json/one-worker/…` beside [`plain`], decided by processor time. A run is a whole file, from opening it
//! to the sum of all outputs.

mod file;
mod plain;
mod wallaroo;

use std::hash::Hash;
use std::path::Path;

use ::wallaroo::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arguments::Mode::{Full, Normal};
use crate::harness::throughput::{Clock, Job, compare};
use crate::harness::{Benchmark, Family, Session};
use crate::workload::{Keys, PlainMap, Stock, Tally, scattered, symbol};

/// Processes the file of JSON lines at a path.
type Side = fn(&Path) -> Tally;

/// One line of the file, with a key of some type.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Quote<S> {
    symbol: S,
    price: f64,
    qty: u32,
    ts: u64,
}

/// The key in a line.
trait Symbol: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The key as the plain map owns it.
    type Key: Hash + Eq;

    /// The key of a rank.
    fn of(rank: u32) -> Self;

    /// The stock of the key in a plain map; a default one if it is new.
    fn stock<'a>(&self, stocks: &'a mut PlainMap<Self::Key>) -> &'a mut Stock;

    /// The stream with the key of each quote.
    fn key_by(stream: Stream<Quote<Self>>) -> Stream<Quote<Self>>;
}

impl Symbol for String {
    type Key = Box<str>;

    fn of(rank: u32) -> Self {
        symbol(rank)
    }

    fn stock<'a>(&self, stocks: &'a mut PlainMap<Box<str>>) -> &'a mut Stock {
        stocks.entry_ref(self.as_str()).or_default()
    }

    fn key_by(stream: Stream<Quote<Self>>) -> Stream<Quote<Self>> {
        stream.key_by(|quote| &quote.symbol)
    }
}

impl Symbol for u32 {
    type Key = u32;

    fn of(rank: u32) -> Self {
        scattered(rank)
    }

    fn stock<'a>(&self, stocks: &'a mut PlainMap<u32>) -> &'a mut Stock {
        stocks.entry(*self).or_default()
    }

    fn key_by(stream: Stream<Quote<Self>>) -> Stream<Quote<Self>> {
        stream.key_by(|quote| &quote.symbol)
    }
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
                run::<String>(session, name, keys, wallaroo::subject::<String>());
            },
        )
    };
    let integers = |keys: Keys| {
        Benchmark::new(
            Full,
            format!("json/one-worker/{keys}-integers"),
            move |session, name| {
                run::<u32>(session, name, keys, wallaroo::subject::<u32>());
            },
        )
    };
    let typical = Keys::uniform(10_000);
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            format!("json/aa/one-worker/{typical}"),
            move |session, name| {
                run::<String>(session, name, typical, Some(plain::run::<String>));
            },
        )),
        benchmarks: vec![
            line(Normal, typical),
            line(Full, Keys::uniform(100)),
            line(Full, Keys::zipf(100)),
            line(Full, Keys::zipf(10_000)),
            line(Full, Keys::uniform(1_000_000)),
            line(Full, Keys::zipf(1_000_000)),
            integers(typical),
            integers(Keys::zipf(1_000_000)),
        ],
    }
}

fn run<S: Symbol>(session: &mut Session, name: &str, keys: Keys, subject: Option<Side>) {
    let file = file::create::<S>(keys, LINES).expect("the temporary directory must have 200 MB");
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
        &call(plain::run::<S>),
    );
}
