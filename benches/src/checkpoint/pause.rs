//! What a worker does not do while an epoch ends, and how long it takes until the epoch is durable.
//!
//! The reader of the source measures how long it is not called: that is what everything else on its worker takes, a batch of
//! messages without checkpoints. As many pauses count as there are commits: the longest ones, with and without a store.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::feed::{Feed, Pause, Windows};
use super::wallaroo::{Store, create_objects, start};
use super::{OBJECTS, directory};
use crate::harness::Session;
use crate::workload::{PerWorker, Tally};

const INTERVAL: Duration = Duration::from_millis(100);
const COMMITS: usize = 50;
/// A machine that is busy with other things makes fewer.
const LONGEST_RUN: Duration = Duration::from_secs(20);
/// So often it is looked whether there is another commit.
const LOOK: Duration = Duration::from_millis(2);

/// Measures and reports `NAME/cpu`, `NAME/wall` and `NAME/durable`.
pub(super) fn run(session: &mut Session, name: &str, dirty: u32) {
    // The same objects change in all epochs.
    let windows = Windows {
        objects: OBJECTS,
        dirty,
        records: u64::MAX,
    };
    let with = measure(windows, None);
    let commits = with.durable.len();
    let without = measure(windows, Some(with.lasted));
    for (clock, time) in [
        ("cpu", (|pause: &Pause| pause.cpu) as fn(&Pause) -> Duration),
        ("wall", |pause| pause.wall),
    ] {
        let longest = |run: &Run| {
            let mut pauses = sorted(run.pauses.iter().map(time));
            pauses.split_off(pauses.len().saturating_sub(commits))
        };
        let (with, without) = (longest(&with), longest(&without));
        let line = format!(
            "bench {name}/{clock} p50 {:.2} vs {:.2} p99 {:.2} vs {:.2} ms ({} pauses)",
            at(&with, 0.5),
            at(&without, 0.5),
            at(&with, 0.99),
            at(&without, 0.99),
            with.len()
        );
        let value = json!({"name": format!("{name}/{clock}"), "unit": "ms", "subject": with, "comparator": without});
        session.report().write(&line, &value);
    }
    let durable = sorted(with.durable.iter().copied());
    let line = format!(
        "bench {name}/durable p50 {:.1} p99 {:.1} ms ({} commits)",
        at(&durable, 0.5),
        at(&durable, 0.99),
        durable.len()
    );
    let value = json!({"name": format!("{name}/durable"), "unit": "ms", "subject": durable});
    session.report().write(&line, &value);
}

/// What one run gave.
struct Run {
    pauses: Vec<Pause>,
    /// From when an epoch is taken on until it is committed.
    durable: Vec<Duration>,
    lasted: Duration,
}

/// Runs with a store until there are enough commits, or for so long without one.
fn measure(windows: Windows, without_store: Option<Duration>) -> Run {
    let feed = Feed::new(windows, u64::MAX, true);
    let directory = directory();
    let store = without_store.is_none().then(|| Store {
        directory: directory.path(),
        every: INTERVAL,
    });
    let tallies = PerWorker::new(Tally::default, Tally::add);
    let running = start(&feed, store, tallies.handle());
    create_objects(&running, &feed, windows.objects);
    let mut seen = running.checkpoints().map_or(0, |status| status.commits);
    let mut durable = Vec::new();
    feed.take_pauses();
    let began = Instant::now();
    feed.grant(u64::MAX - 1);
    while began.elapsed() < without_store.unwrap_or(LONGEST_RUN) && durable.len() < COMMITS {
        thread::sleep(LOOK);
        if let Some(status) = running.checkpoints().filter(|status| status.commits > seen) {
            seen = status.commits;
            durable.push(status.duration);
        }
    }
    let lasted = began.elapsed();
    let pauses = feed.take_pauses();
    running.stop();
    running.wait().expect("the application ends");
    Run {
        pauses,
        durable,
        lasted,
    }
}

/// In milliseconds.
fn sorted(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// A quantile of sorted values; 0 if there are none.
fn at(sorted: &[f64], quantile: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a short list"
    )]
    let index = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted
        .get(index.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
