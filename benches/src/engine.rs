//! Records in memory through the engine: no decoding, no input or output.
//!
//! Lines: `engine/one-worker/…` beside [`plain`], `engine/two-workers/…` beside [`exchange`], and
//! `engine/speed-up/…`, where each side is its two-worker rate divided by its one-worker rate.
//!
//! **Invariants**: a side is a function from readers (one per worker) to the tally of its sinks; it includes the
//! creation of everything it needs.

mod exchange;
mod plain;
mod wallaroo;

use std::sync::Arc;

use serde_json::json;

use crate::arguments::Mode::{self, Full, Normal};
use crate::harness::throughput::{Clock, Job, compare};
use crate::harness::{Benchmark, Family, Session, Spread, Stopwatch, interleave, pairs};
use crate::workload::{Keys, Message, Rec, Ring, RingReader, Tally, Tick, Work};

/// Processes everything the readers deliver, with one worker per reader.
type Side<M> = fn(Vec<RingReader<M>>, Work) -> Tally;

// 48 MB of bare records: larger than the caches of one core, so reading input costs what it costs in practice.
const RING_LENGTH: usize = 2_000_000;

const POPULATIONS: [Keys; 6] = [
    Keys::uniform(100),
    Keys::zipf(100),
    Keys::uniform(10_000),
    Keys::zipf(10_000),
    Keys::uniform(1_000_000),
    Keys::zipf(1_000_000),
];

const TYPICAL: Keys = Keys::uniform(10_000);

/// How a benchmark differs from the bare records without user work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Bare,
    /// String keys, in messages that own them.
    Strings,
    /// 200 ns of user code per message.
    Work,
}

/// `engine/one-worker`.
pub(crate) fn one_worker() -> Family {
    family("one-worker", 1)
}

/// `engine/two-workers`.
pub(crate) fn two_workers() -> Family {
    family("two-workers", 2)
}

/// `engine/speed-up`.
pub(crate) fn speed_up() -> Family {
    let benchmark = |noise_floor: bool| {
        let name = if noise_floor {
            "aa/speed-up"
        } else {
            "speed-up"
        };
        Benchmark::new(
            Normal,
            format!("engine/{name}/{TYPICAL}-200ns"),
            move |session, name| {
                let subject = if noise_floor {
                    Some((plain::run as Side<Rec>, exchange::run as Side<Rec>))
                } else {
                    wallaroo::subject().map(|side| (side, side))
                };
                run_speed_up(session, name, subject);
            },
        )
    };
    Family {
        noise_floor: Some(benchmark(true)),
        benchmarks: vec![benchmark(false)],
    }
}

fn family(group: &'static str, workers: usize) -> Family {
    let line = move |mode: Mode, keys: Keys, variant: Variant| {
        let suffix = match variant {
            Variant::Bare => "",
            Variant::Strings => "-strings",
            Variant::Work => "-200ns",
        };
        Benchmark::new(
            mode,
            format!("engine/{group}/{keys}{suffix}"),
            move |session, name| match variant {
                Variant::Bare => run(
                    session,
                    name,
                    workers,
                    wallaroo::subject(),
                    &bare(keys),
                    Work::NONE,
                ),
                Variant::Strings => run(
                    session,
                    name,
                    workers,
                    wallaroo::subject(),
                    &strings(keys),
                    Work::NONE,
                ),
                Variant::Work => run(
                    session,
                    name,
                    workers,
                    wallaroo::subject(),
                    &worked(keys),
                    session.work_200ns(),
                ),
            },
        )
    };
    let noise_floor = Benchmark::new(
        Normal,
        format!("engine/aa/{group}/{TYPICAL}"),
        move |session, name| {
            run(
                session,
                name,
                workers,
                Some(comparator(workers)),
                &bare(TYPICAL),
                Work::NONE,
            );
        },
    );
    let mut benchmarks = Vec::new();
    for keys in POPULATIONS {
        let in_normal = [TYPICAL, Keys::zipf(10_000), Keys::zipf(1_000_000)].contains(&keys);
        benchmarks.push(line(
            if in_normal { Normal } else { Full },
            keys,
            Variant::Bare,
        ));
    }
    for keys in POPULATIONS {
        benchmarks.push(line(
            if keys == TYPICAL { Normal } else { Full },
            keys,
            Variant::Strings,
        ));
    }
    benchmarks.push(line(Normal, TYPICAL, Variant::Work));
    benchmarks.push(line(Full, Keys::zipf(1_000_000), Variant::Work));
    Family {
        noise_floor: Some(noise_floor),
        benchmarks,
    }
}

// Laps are chosen so that a run of the comparator takes about half a second.

fn bare(keys: Keys) -> Ring<Rec> {
    Ring::new(
        keys,
        RING_LENGTH,
        if keys.count < 1_000_000 { 25 } else { 8 },
    )
}

fn strings(keys: Keys) -> Ring<Tick> {
    Ring::new(
        keys,
        RING_LENGTH,
        if keys.count < 1_000_000 { 5 } else { 3 },
    )
}

fn worked(keys: Keys) -> Ring<Rec> {
    // Many short laps rather than few long ones: what is under way when the stopwatch restarts must not count.
    if keys.count < 1_000_000 {
        Ring::new(keys, RING_LENGTH / 4, 7)
    } else {
        Ring::new(keys, RING_LENGTH, 1)
    }
}

fn comparator<M: Message>(workers: usize) -> Side<M> {
    if workers == 1 {
        plain::run
    } else {
        exchange::run
    }
}

fn run<M: Message>(
    session: &mut Session,
    name: &str,
    workers: usize,
    subject: Option<Side<M>>,
    ring: &Ring<M>,
    work: Work,
) {
    let clock = if workers == 1 {
        Clock::Cpu
    } else {
        Clock::Wall
    };
    let job = Job {
        clock,
        records: ring.records_per_run(),
        ordered: workers == 1,
    };
    let call = |side: Side<M>| move |stopwatch| side(ring.readers(workers, &stopwatch), work);
    let subject = subject.map(call);
    compare(
        session,
        name,
        job,
        subject.as_ref().map(|subject| subject as _),
        &call(comparator(workers)),
    );
}

/// Compares speed-ups: one-worker time / two-worker time of each side, by wall clock.
fn run_speed_up(session: &mut Session, name: &str, subject: Option<(Side<Rec>, Side<Rec>)>) {
    let (ring, work) = (worked(TYPICAL), session.work_200ns());
    let wall = |side: Side<Rec>, workers| {
        let stopwatch = Arc::new(Stopwatch::start());
        let tally = side(ring.readers(workers, &stopwatch), work);
        (
            stopwatch.elapsed().per_record(ring.records_per_run()).wall,
            tally,
        )
    };
    let speed_up = |one: Side<Rec>, two: Side<Rec>| {
        let ((one_wall, one_tally), (two_wall, two_tally)) = (wall(one, 1), wall(two, 2));
        assert!(
            one_tally.agrees(&two_tally, false),
            "{name}: results differ: {one_tally:?}, {two_tally:?}"
        );
        one_wall / two_wall
    };
    let subject = subject.map(|(one, two)| move || speed_up(one, two));
    let samples = interleave(session.runs(), subject, || {
        speed_up(plain::run, exchange::run)
    });
    let runs = samples.comparator.len();
    let spread = |side: &[f64]| Spread::of(side.iter().copied());
    let comparator = spread(&samples.comparator).expect("at least one run");
    let ratio = Spread::of(pairs(&samples, |subject, comparator| subject / comparator));
    let line = match (ratio, spread(&samples.subject)) {
        (Some(ratio), Some(subject)) => format!(
            "bench {name} ratio {:.2} ({runs} runs, {:.2}–{:.2}) speed-up {:.2} vs {:.2}",
            ratio.median, ratio.low, ratio.high, subject.median, comparator.median
        ),
        _ => format!(
            "bench {name} comparator only ({runs} runs, {:.2}–{:.2}) speed-up {:.2}",
            comparator.low, comparator.high, comparator.median
        ),
    };
    let value = json!({
        "name": name, "unit": "speed-up", "runs": runs, "ratio": ratio,
        "subject": samples.subject, "comparator": samples.comparator,
    });
    session.report().write(&line, &value);
}
