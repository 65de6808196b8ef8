//! A start from a store whose reads take long: what messages wait for is loaded first, and they are handled before all is loaded.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::connectors::MemorySink;
use wallaroo::{
    App, KeyGroupCount, Options, Running, State, StoreOptions, channel, memory, source, testing,
};
use wallaroo_core::{Key as _, KeyGroup};
use wallaroo_store::Storage;

use crate::gated::{Gated, Open};

const PATIENCE: Duration = Duration::from_secs(60);
/// Enough that each of the 1,024 key groups has some, and that all together are 24 MB: one read has 1 MiB at the most.
const KEYS: u64 = 24_000;

#[derive(Default, Serialize, Deserialize)]
struct Count {
    count: u64,
    text: String,
}

fn start(storage: Arc<dyn Storage>) -> (Running, MemorySink<(u64, u64)>) {
    let seen = memory::<(u64, u64)>();
    let counts = State::<Count>::new("counts");
    let (_, numbers) = channel::<u64>(KEYS as usize);
    let counted = source("numbers", numbers).key_by(|key| key).to_state(
        &counts,
        |object: &mut Count, key: &u64| {
            object.count += 1;
            object.text = "x".repeat(1_000);
            Some((*key, object.count))
        },
    );
    let app = App::new("counts").add(counted.to_sink("seen", seen.clone()));
    let options = Options {
        store: Some(StoreOptions::new("elsewhere").every(PATIENCE * 60)),
        ..Options::with_workers(1)
    };
    let running = testing::durable::start(app, options, storage).expect("it starts");
    (running, seen)
}

/// A store with an object for each key, which has counted one message.
fn made(directory: &Path) -> Arc<dyn Storage> {
    let address = directory.to_str().expect("it is text");
    let (storage, _lock) = wallaroo_store::storage::open(address).expect("it can be written");
    let (running, seen) = start(Arc::clone(&storage));
    for key in 0..KEYS {
        running.send("numbers", key).expect("it runs");
    }
    assert!(seen.wait_for(KEYS as usize, PATIENCE));
    running.stop();
    running.wait().expect("it ends well");
    storage
}

/// The numbers are those of the keys whose groups a region with nothing to do would load last.
#[test]
fn what_messages_wait_for_is_loaded_first() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let storage = Gated::new(made(directory.path()));
    let groups = KeyGroupCount::default();
    let group = |key: &u64| groups.group_of(key.to_stored().expect("it is short").hash());
    let mut last: Vec<u64> = (0..KEYS).collect();
    last.sort_by_key(|key| std::cmp::Reverse(group(key)));
    last.dedup_by_key(|key| group(key));
    assert_eq!(last.len(), 1_024, "no group is empty");
    last.truncate(3);
    assert_eq!(group(&last[0]), KeyGroup(1_023));

    storage.hold_reads();
    let (running, seen) = start(Arc::new(storage.clone()));
    let open = Open(storage.clone());
    // Nothing was asked for: it reads the first group.
    assert_eq!(storage.let_read(0), 0);
    for key in &last {
        running.send("numbers", *key).expect("it runs");
    }
    let (mut read, mut first) = (0, Vec::new());
    while first.len() < last.len() {
        assert!(read < 8, "{first:?} after {read} of 24 reads");
        read = storage.let_read(1);
        first.extend(seen.take());
    }
    // Each was handled with the object that was stored.
    let expected: Vec<(u64, u64)> = last.iter().map(|key| (*key, 2)).collect();
    assert_eq!(first, expected);
    // One whose group cannot be read now waits.
    let other = (0..KEYS).find(|key| group(key) == KeyGroup(1_000));
    let other = other.expect("no group is empty");
    running.send("numbers", other).expect("it runs");
    assert_eq!(storage.let_read(0), read);
    assert_eq!(seen.take(), []);

    drop(open);
    assert!(seen.wait_for(1, PATIENCE));
    assert_eq!(seen.take(), [(other, 2)]);
    last.push(other);
    for key in 0..KEYS {
        running.send("numbers", key).expect("it runs");
    }
    assert!(seen.wait_for(KEYS as usize, PATIENCE));
    let before = |key: &u64| if last.contains(key) { 2 } else { 1 };
    let expected: Vec<(u64, u64)> = (0..KEYS).map(|key| (key, before(&key) + 1)).collect();
    assert_eq!(seen.take(), expected);
    running.stop();
    running.wait().expect("it ends well");
}
