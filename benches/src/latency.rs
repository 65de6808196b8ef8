//! Time from the scheduled arrival of a record to the sink.
//!
//! Lines: `latency/one-worker/…` and `latency/two-workers/…` at 10,000 and 100,000 records per second, three
//! quantiles each, beside [`channel`]. A generator that is late, or held back, does not shift the schedule: what
//! it delays counts as latency (no coordinated omission).

mod channel;
mod recorder;
mod schedule;
mod wallaroo;

use serde_json::json;

use crate::arguments::Mode::{Full, Normal};
use crate::harness::{Benchmark, Family, Interleaved, Session, Stopwatch, costs, interleave};
use crate::latency::recorder::Recorder;
use crate::latency::schedule::Schedule;

/// Sends the records of a schedule through `usize` workers and records when each comes out.
type Side = fn(Schedule, usize) -> Recorder;

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// What one run gave.
#[derive(Clone, Copy, Debug)]
struct Latency {
    us: [f64; 3],
    /// Processor time of the process, generator included, per second of the run.
    cpu: f64,
}

/// `latency`.
pub(crate) fn family() -> Family {
    let line = |mode, workers: usize, per_second: u32| {
        let group = if workers == 1 {
            "one-worker"
        } else {
            "two-workers"
        };
        let name = format!("latency/{group}/{}k-per-second", per_second / 1000);
        Benchmark::new(mode, name, move |session, name| {
            run(session, name, workers, per_second, wallaroo::SUBJECT);
        })
    };
    Family {
        noise_floor: Some(Benchmark::new(
            Normal,
            "latency/aa/one-worker/100k-per-second",
            |session, name| {
                run(session, name, 1, 100_000, Some(channel::run));
            },
        )),
        benchmarks: vec![
            line(Normal, 1, 10_000),
            line(Normal, 1, 100_000),
            line(Full, 2, 10_000),
            line(Normal, 2, 100_000),
        ],
    }
}

fn run(session: &mut Session, name: &str, workers: usize, per_second: u32, subject: Option<Side>) {
    let measure = |side: Side| {
        let stopwatch = Stopwatch::start();
        let recorder = side(Schedule::new(per_second, workers), workers);
        let elapsed = stopwatch.elapsed();
        let expected = Schedule::new(per_second, workers).measured_records();
        assert_eq!(
            recorder.count(),
            expected,
            "{name}: records that came out after the warm-up"
        );
        Latency {
            us: QUANTILES.map(|(_, quantile)| recorder.us_at(quantile)),
            cpu: elapsed.cpu.as_secs_f64() / elapsed.wall.as_secs_f64(),
        }
    };
    let samples = interleave(
        session.runs(),
        subject.map(|side| move || measure(side)),
        || measure(channel::run),
    );
    let cpu = |side: &[Latency]| side.iter().map(|run| run.cpu).collect::<Vec<_>>();
    for (index, (quantile, _)) in QUANTILES.iter().enumerate() {
        let of = |side: &[Latency]| side.iter().map(|run| run.us[index]).collect::<Vec<_>>();
        let costs_us = Interleaved {
            subject: of(&samples.subject),
            comparator: of(&samples.comparator),
        };
        let (line, mut value) = costs(&format!("{name}/{quantile}"), "us", 1, &costs_us);
        value["cpu_of_a_core"] =
            json!({"subject": cpu(&samples.subject), "comparator": cpu(&samples.comparator)});
        session.report().write(&line, &value);
    }
}
