//! Stores to look into, made as an application makes them.
//!
//! **Invariants.** Times and nonces are fixed, so that every run of the tests makes the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use wallaroo_core::{Key, KeyGroupCount};
use wallaroo_store::commit::{
    PlanIdentity, SinkIdentity, SinkState, SourcePosition, StateIdentity,
};
use wallaroo_store::lock::Lock;
use wallaroo_store::object_name::ObjectKind;
use wallaroo_store::outbox::{SinkRows, write_outbox};
use wallaroo_store::segment::{SegmentMeta, StateChanges, write_segment};
use wallaroo_store::{Commit, OpenOptions, Storage, Store};

const KEY_GROUPS: u16 = 64;
/// 2026-03-01 12:00:00 UTC.
const BEGAN_MS: u64 = 1_772_366_400_000;

#[derive(Serialize)]
struct Stock {
    symbol: String,
    high: f64,
    ticks: u64,
}

/// A running application: it has the lock, and has written four epochs.
pub(crate) struct Application {
    pub(crate) path: PathBuf,
    storage: Arc<dyn Storage>,
    store: Store,
    segments: Vec<SegmentMeta>,
    epoch: u64,
    _lock: Option<Lock>,
}

/// A change of a state object.
fn put<K: Key + ?Sized>(changes: &mut StateChanges, key: &K, object: &impl Serialize) {
    let groups = KeyGroupCount::new(KEY_GROUPS).expect("64 is a count");
    let stored = key.to_stored().expect("is short");
    let group = groups.group_of(stored.hash()).0;
    changes
        .object(group, stored.as_bytes(), |bytes| {
            rmp_serde::encode::write_named(bytes, object)
        })
        .expect("can be encoded");
}

fn stock(symbol: &str, high: f64, ticks: u64) -> Stock {
    let symbol = symbol.to_owned();
    Stock {
        symbol,
        high,
        ticks,
    }
}

impl Application {
    /// A new store in a directory of that name.
    pub(crate) fn begin(path: &Path) -> Self {
        let (storage, lock) =
            wallaroo_store::storage::open(path.to_str().expect("is UTF-8")).expect("can be made");
        let (mut nonce, clock) = (0, std::sync::atomic::AtomicU64::new(BEGAN_MS));
        let clock = move || clock.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
        let nonces = move || {
            nonce += 1;
            nonce
        };
        let options = OpenOptions::new("stocks", KEY_GROUPS, Box::new(clock), Box::new(nonces));
        let (store, _) = Store::open(Arc::clone(&storage), options).expect("is new");
        Application {
            path: path.to_path_buf(),
            storage,
            store,
            segments: Vec::new(),
            epoch: 0,
            _lock: lock,
        }
    }

    /// Ends an epoch with these changes.
    pub(crate) fn commit(&mut self, changes: &[StateChanges]) -> u64 {
        self.epoch += 1;
        let epoch = self.epoch;
        let name = self.store.object_name(ObjectKind::Segment, epoch);
        let segment = write_segment(&*self.storage, &name, 1, epoch..=epoch, changes);
        self.segments.push(segment.expect("can be written"));
        let mut alerts = SinkRows::new("alerts");
        alerts.rows.push(b"IBM 5.00\n");
        let name = self.store.object_name(ObjectKind::Outbox, epoch);
        let outbox = write_outbox(&*self.storage, &name, 1, epoch, &[alerts]).expect("is written");
        let commit = Commit {
            epoch,
            segments: self.segments.clone(),
            outboxes: vec![outbox],
            positions: vec![SourcePosition {
                source: "ticks".to_owned(),
                partition: "ticks.csv".to_owned(),
                position: serde_json::json!({ "byte": epoch * 100 }),
                next_number: epoch * 10 + 1,
                ended: false,
            }],
            sinks: vec![SinkState {
                sink: "alerts".to_owned(),
                published_epoch: epoch - 1,
                state: serde_json::json!({ "length": (epoch - 1) * 9 }),
            }],
            plan: plan(),
            ..Commit::default()
        };
        self.store.commit(commit).expect("is the owner").number
    }

    /// Four epochs, with a savepoint of the second.
    pub(crate) fn running(path: &Path) -> Self {
        let mut application = Application::begin(path);
        let mut stocks = StateChanges::new("stocks");
        put(&mut stocks, "IBM", &stock("IBM", 4.5, 1));
        put(&mut stocks, "AAPL", &stock("AAPL", 7.25, 1));
        let mut sum = StateChanges::new("sum");
        put(&mut sum, "", &2_u64);
        let mut dropped = StateChanges::new("dropped");
        put(&mut dropped, "IBM", &1_u64);
        application.commit(&[stocks, sum, dropped]);

        let mut stocks = StateChanges::new("stocks");
        put(&mut stocks, "IBM", &stock("IBM", 5.0, 2));
        put(&mut stocks, "1", &stock("1", 1.0, 1));
        application.commit(&[stocks]);
        application.store.savepoint("monday").expect("is its name");

        let mut orders = StateChanges::new("orders");
        put(&mut orders, &7, &("seven", [1, 2]));
        put(&mut orders, &("IBM", -7), &Option::<u64>::None);
        put(&mut orders, &[0_u8, 255][..], &"bytes");
        application.commit(&[orders]);

        let mut stocks = StateChanges::new("stocks");
        let aapl = "AAPL".to_stored().expect("is short");
        let groups = KeyGroupCount::new(KEY_GROUPS).expect("64 is a count");
        stocks.removed(groups.group_of(aapl.hash()).0, aapl.as_bytes());
        application.commit(&[stocks]);
        application
    }

    /// Deletes what no kept commit names.
    pub(crate) fn collect_garbage(&mut self) {
        let collected = self.store.collect_garbage(&BTreeSet::new());
        collected.expect("is the owner");
    }

    /// Goes on with one segment in place of all, as after compaction, and one outbox.
    pub(crate) fn start_over(&mut self) {
        self.segments.clear();
    }
}

/// The only file under a directory of the store whose name has this in it.
pub(crate) fn object(store: &Path, folder: &str, part: &str) -> PathBuf {
    let entries = fs::read_dir(store.join(folder)).expect("is there");
    let names = entries.map(|entry| entry.expect("is there").path());
    let mut found = names.filter(|path| path.to_string_lossy().contains(part));
    found.next().expect("there is one")
}

/// Changes one byte in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("can be written");
}

fn plan() -> PlanIdentity {
    let state = |name: &str, object_type: &str, key_type: Option<&str>| StateIdentity {
        name: name.to_owned(),
        stored_as: None,
        object_type: object_type.to_owned(),
        key_type: key_type.map(str::to_owned),
        key_groups: KEY_GROUPS,
    };
    PlanIdentity {
        sources: vec!["ticks".to_owned()],
        states: vec![
            state("orders", "stocks::Order", Some("integer")),
            state("stocks", "stocks::Stock", Some("text")),
            StateIdentity {
                stored_as: Some("sum".to_owned()),
                ..state("total", "u64", None)
            },
        ],
        sinks: vec![SinkIdentity {
            name: "alerts".to_owned(),
            exactly_once: true,
        }],
    }
}
