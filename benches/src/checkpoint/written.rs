//! Bytes written, all files and merges included, for each byte that has changed.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::feed::{Feed, Windows};
use super::wallaroo::{Store, create_objects, start};
use super::{OBJECTS, directory};
use crate::harness::Session;
use crate::workload::{PerWorker, Tally};

const EPOCHS: u64 = 100;

/// Measures and reports a line over [`EPOCHS`] epochs that change `dirty` objects each.
pub(super) fn run(session: &mut Session, name: &str, dirty: u32) {
    let windows = Windows {
        objects: OBJECTS,
        dirty,
        // Of each object one record would come to two thirds of them.
        records: u64::from(dirty) * 5,
    };
    let feed = Feed::new(windows, u64::MAX, false);
    let directory = directory();
    let store = Store {
        directory: directory.path(),
        every: Duration::from_secs(3600), // epochs begin when this program says so
    };
    let tallies = PerWorker::new(Tally::default, Tally::add);
    let running = start(&feed, Some(store), tallies.handle());
    create_objects(&running, &feed, OBJECTS);
    let (before, mut changed, mut most_stored) = (written_bytes(), 0, 0);
    let base = stored_bytes(directory.path());
    for epoch in 1..=EPOCHS {
        let until = u64::from(OBJECTS) + epoch * windows.records;
        feed.grant(until);
        while feed.read() < until {
            thread::sleep(Duration::from_micros(200));
        }
        running.checkpoint().expect("the store can be written");
        changed += running.checkpoints().map_or(0, |status| status.bytes);
        most_stored = most_stored.max(stored_bytes(directory.path()));
    }
    running.stop();
    running.wait().expect("the application ends");
    let written = written_bytes() - before;
    #[expect(clippy::cast_precision_loss, reason = "below 2^52 bytes")]
    let (factor, space) = (
        written as f64 / changed as f64,
        most_stored as f64 / base as f64,
    );
    let line = format!(
        "bench {name} {factor:.2} bytes written per changed byte ({EPOCHS} epochs), at most {space:.2} times the state stored"
    );
    let value = json!({"name": name, "unit": "B/B", "subject": [factor], "changed": changed, "written": written, "stored": space});
    session.report().write(&line, &value);
}

/// What this process has written to files so far.
fn written_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("this benchmark runs on Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    let bytes = line.and_then(|bytes| bytes.parse().ok());
    bytes.expect("the system counts what is written")
}

/// What the files in a directory occupy.
fn stored_bytes(directory: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.filter_map(Result::ok).map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            stored_bytes(&path)
        } else {
            // One that has just been deleted occupies nothing.
            entry.metadata().map_or(0, |metadata| metadata.len())
        }
    });
    sizes.sum()
}
