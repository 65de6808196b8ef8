//! Processor time of an application that has nothing to do.
//!
//! Line: `idle/one-worker`, in percent of a core, beside a thread that waits for a channel. A child process lets the
//! side settle and then measures itself for five seconds.

mod plain;
mod wallaroo;

use std::any::Any;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::arguments::Mode::{Full, Normal};
use crate::child::Child;
use crate::harness::Stopwatch;
use crate::harness::{Benchmark, Family, Session, Spread, interleave};

/// Starts that many workers, and returns what keeps them alive.
type Side = fn(usize) -> Box<dyn Any>;

const SETTLE: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(5);

/// `idle`.
pub(crate) fn family() -> Family {
    let line = |mode, name: &str, child: Child| {
        Benchmark::new(mode, name, move |session, name| {
            run(session, name, wallaroo::SUBJECT.map(|_| child))
        })
    };
    Family {
        noise_floor: None, // The comparator is as good as zero; there is no noise to show.
        benchmarks: vec![
            line(Normal, "idle/one-worker", Child::IdleWallarooOneWorker),
            line(Full, "idle/two-workers", Child::IdleWallarooTwoWorkers),
        ],
    }
}

/// In a child: percent of a core of a waiting thread.
pub(crate) fn measure_plain() -> f64 {
    measure(plain::start, 1)
}

/// In a child: percent of a core of Wallaroo without input.
pub(crate) fn measure_wallaroo(workers: usize) -> f64 {
    measure(
        wallaroo::SUBJECT.expect("the parent starts this child only if there is a subject"),
        workers,
    )
}

fn measure(side: Side, workers: usize) -> f64 {
    let running = side(workers);
    thread::sleep(SETTLE);
    let stopwatch = Stopwatch::start();
    thread::sleep(MEASURED);
    let elapsed = stopwatch.elapsed();
    drop(running);
    elapsed.cpu.as_secs_f64() / elapsed.wall.as_secs_f64() * 100.0
}

/// Reports percentages themselves: a ratio to almost nothing would say nothing.
fn run(session: &mut Session, name: &str, subject: Option<Child>) {
    let samples = interleave(
        session.runs(),
        subject.map(|child| move || child.measure()),
        || Child::IdlePlain.measure(),
    );
    let runs = samples.comparator.len();
    let comparator = Spread::of(samples.comparator.iter().copied()).expect("at least one run");
    let line = match Spread::of(samples.subject.iter().copied()) {
        Some(subject) => format!(
            "bench {name} cpu {:.2} ({runs} runs, {:.2}–{:.2}) vs {:.2} % of a core",
            subject.median, subject.low, subject.high, comparator.median
        ),
        None => format!(
            "bench {name} comparator only ({runs} runs, {:.2}–{:.2}) cpu {:.2} % of a core",
            comparator.low, comparator.high, comparator.median
        ),
    };
    let value = json!({
        "name": name, "unit": "% of a core", "subject": samples.subject, "comparator": samples.comparator,
    });
    session.report().write(&line, &value);
}
