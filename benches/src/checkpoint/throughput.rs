//! Records per second with a checkpoint each second, beside the same application without a store.

use std::time::Duration;

use serde_json::json;

use super::feed::{Feed, Windows};
use super::wallaroo::{Store, create_objects, start};
use super::{OBJECTS, directory};
use crate::harness::throughput::{Clock, describe};
use crate::harness::{Cost, Interleaved, Session, Spread, Stopwatch};
use crate::workload::{PerWorker, Tally};

const INTERVAL: Duration = Duration::from_secs(1);
/// So many intervals are measured.
const WINDOWS: u64 = 4;
/// Records by which the speed is found.
const TRIAL_RECORDS: u64 = 10_000_000;

/// What one run gave.
struct Ran {
    cost: Cost,
    tally: Tally,
    commits: u64,
}

/// Measures and reports a line: `dirty` objects change in a window, which lasts about as long as an interval.
pub(super) fn run(session: &mut Session, name: &str, dirty: u32, is_noise_floor: bool) {
    let trial = run_one(windows(dirty, TRIAL_RECORDS), TRIAL_RECORDS, false);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of records per second"
    )]
    let records = (INTERVAL.as_secs_f64() * 1e9 / trial.cost.wall) as u64;
    let windows = windows(dirty, records);
    let mut samples = Interleaved {
        subject: Vec::new(),
        comparator: Vec::new(),
    };
    let mut commits = Vec::new();
    for _ in 0..session.runs() {
        let subject = run_one(windows, records * WINDOWS, !is_noise_floor);
        let comparator = run_one(windows, records * WINDOWS, false);
        assert_eq!(
            subject.tally, comparator.tally,
            "{name}: results differ with and without a store"
        );
        commits.push(subject.commits);
        samples.subject.push(subject.cost);
        samples.comparator.push(comparator.cost);
    }
    let (mut line, mut value) = describe(name, Clock::Cpu, &samples);
    value["commits"] = json!(commits);
    if !is_noise_floor {
        #[expect(clippy::cast_precision_loss, reason = "a few commits")]
        let commits = Spread::of(commits.iter().map(|commits| *commits as f64));
        let commits = commits.map_or(0.0, |commits| commits.median);
        line = format!("{line} commits {commits:.0}");
    }
    session.report().write(&line, &value);
}

fn windows(dirty: u32, records: u64) -> Windows {
    Windows {
        objects: OBJECTS,
        dirty,
        records,
    }
}

/// One run. Its time is from when all objects are there, and in the store, until everything is handled and committed.
fn run_one(windows: Windows, records: u64, has_store: bool) -> Ran {
    let end = u64::from(windows.objects) + records;
    let feed = Feed::new(windows, end, false);
    let directory = directory();
    let store = has_store.then(|| Store {
        directory: directory.path(),
        every: INTERVAL,
    });
    let tallies = PerWorker::new(Tally::default, Tally::add);
    let running = start(&feed, store, tallies.handle());
    create_objects(&running, &feed, windows.objects);
    let before = running.checkpoints().map_or(0, |status| status.commits);
    let stopwatch = Stopwatch::start();
    feed.grant(end);
    running.wait().expect("the application runs to its end");
    let cost = stopwatch.elapsed().per_record(records);
    let commits = running.checkpoints().map_or(0, |status| status.commits) - before;
    drop(running);
    let tallies = tallies.take().into_iter();
    Ran {
        cost,
        tally: tallies.fold(Tally::default(), Tally::merge),
        commits,
    }
}
