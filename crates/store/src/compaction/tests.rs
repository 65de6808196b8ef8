//! What compaction costs, by sizes only; and merges that fail.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Memory;
use crate::loader::Loader;
use crate::segment::{StateChanges, write_segment};
use crate::testing::{Faults, Faulty};

/// What a run of epochs wrote and kept, in bytes.
#[derive(Debug, Default)]
struct Cost {
    changed: f64,
    written: f64,
    most_stored: f64,
    most_segments: usize,
}

/// A state of `objects` objects of 116 bytes, of which `dirty` change in each epoch, chosen at random. A segment holds
/// each object that has changed in its epochs once.
fn simulate(objects: f64, dirty: f64, epochs: u64) -> Cost {
    const OBJECT: f64 = 116.0;
    let distinct = |epochs: f64| objects * (1.0 - (1.0 - dirty / objects).powf(epochs));
    let meta = |first_epoch: u64, last_epoch: u64| {
        let count = if first_epoch == 0 {
            objects
        } else {
            distinct((last_epoch - first_epoch + 1) as f64)
        };
        SegmentMeta {
            name: String::new(),
            bytes: (count * OBJECT) as u64,
            checksum: 0,
            first_epoch,
            last_epoch,
            objects: count as u64,
            tombstones: 0,
        }
    };
    let mut cost = Cost::default();
    let mut segments = vec![meta(0, 0)];
    for epoch in 1..=epochs {
        segments.push(meta(epoch, epoch));
        let bytes = segments[segments.len() - 1].bytes as f64;
        cost.changed += bytes;
        cost.written += bytes;
        while let Some(range) = plan(&segments) {
            let merged = meta(
                segments[range.start].first_epoch,
                segments[range.end - 1].last_epoch,
            );
            cost.written += merged.bytes as f64;
            segments.splice(range, [merged]);
        }
        let stored: u64 = segments.iter().map(|segment| segment.bytes).sum();
        cost.most_stored = cost.most_stored.max(stored as f64 / (objects * OBJECT));
        cost.most_segments = cost.most_segments.max(segments.len());
    }
    cost
}

#[test]
fn one_percent_dirty_for_600_epochs_costs_less_than_4_times_the_changes() {
    let cost = simulate(1e6, 1e4, 600);
    let amplification = cost.written / cost.changed;
    assert!(amplification <= 4.0, "{amplification} {cost:?}");
    assert!(cost.most_stored < 3.0, "{cost:?}");
    assert!(cost.most_segments <= 2 * FAN_IN, "{cost:?}");
}

#[test]
fn other_rates_stay_within_bounds_too() {
    // share of the objects that change in an epoch, and how much may be written for each changed byte
    for (dirty, most) in [(10.0, 6.0), (1e3, 5.0), (1e5, 4.0), (1e6, 2.1)] {
        let cost = simulate(1e6, dirty, 2000);
        let amplification = cost.written / cost.changed;
        assert!(amplification <= most, "{dirty}: {amplification} {cost:?}");
        assert!(cost.most_stored < 3.0, "{dirty}: {cost:?}");
        assert!(cost.most_segments < MOST_SEGMENTS, "{dirty}: {cost:?}");
    }
}

fn metas(sizes: &[u64]) -> Vec<SegmentMeta> {
    let meta = |&bytes: &u64| SegmentMeta {
        name: String::new(),
        bytes,
        checksum: 0,
        first_epoch: 0,
        last_epoch: 0,
        objects: 0,
        tombstones: 0,
    };
    sizes.iter().map(meta).collect()
}

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    let size = prop_oneof![0_u64..100, 0_u64..1 << 40, Just(u64::MAX >> 8)];
    proptest::collection::vec(size, 0..200)
}

proptest! {
    #[test]
    fn plans_are_neighbours_and_come_to_an_end(sizes in sizes()) {
        let mut sizes = sizes;
        let mut merges = 0;
        while let Some(range) = plan(&metas(&sizes)) {
            prop_assert!(range.len() > 1 && range.end <= sizes.len(), "{range:?}");
            let merged = sizes[range.clone()].iter().sum();
            sizes.splice(range, [merged]);
            merges += 1;
        }
        prop_assert!(merges <= 200);
        prop_assert!(sizes.len() <= MOST_SEGMENTS);
    }
}

fn segments(storage: &Memory) -> Vec<SegmentMeta> {
    (1..=3_u64)
        .map(|epoch| {
            let mut changes = StateChanges::new("stocks");
            for key in 0..50_u8 {
                if epoch == 2 && key % 2 == 0 {
                    changes.removed(u16::from(key % 5), &[key]);
                } else if u64::from(key) % 3 < epoch {
                    let result = changes.object(u16::from(key % 5), &[key], |bytes| {
                        bytes.push(epoch as u8);
                        Ok::<(), ()>(())
                    });
                    result.expect("cannot fail");
                }
            }
            let name = format!("data/{epoch}.seg");
            write_segment(storage, &name, 1, epoch..=epoch, &[changes]).expect("is written")
        })
        .collect()
}

#[test]
fn tombstones_stay_until_the_oldest_segment_takes_part() {
    let storage = Memory::new();
    let inputs = segments(&storage);
    let kept = merge(&storage, &inputs[1..2], false, "data/4.seg", 1).expect("ok");
    let gone = merge(&storage, &inputs[..2], true, "data/5.seg", 1).expect("ok");
    assert_eq!(
        (kept.tombstones, gone.tombstones),
        (inputs[1].tombstones, 0)
    );
    assert_eq!((gone.first_epoch, gone.last_epoch), (1, 2));
}

#[test]
fn a_merge_names_the_damaged_input() {
    let storage = Memory::new();
    let inputs = segments(&storage);
    storage.damage("data/2.seg", |bytes| bytes[45] ^= 1);
    let error = merge(&storage, &inputs, true, "data/4.seg", 1).expect_err("is damaged");
    assert!(
        error.to_string().starts_with(
            "\"data/2.seg\" in the store memory: is damaged: its block of state \"stocks\", key group 0, at byte 40, has"
        ),
        "{error}"
    );
    assert!(!storage.objects().contains_key("data/4.seg"));
}

/// Whatever call fails, the inputs are unchanged, and the output is whole or not there.
#[test]
fn a_merge_that_fails_leaves_nothing_half_done() {
    for call in 0.. {
        let storage = Memory::new();
        let inputs = segments(&storage);
        let before = storage.objects();
        let faults = Faults {
            seed: call,
            dies_at_call: Some(call),
            ..Faults::default()
        };
        let faulty = Faulty::new(Arc::new(storage.clone()), faults);
        let result = merge(&faulty, &inputs, true, "data/4.seg", 1);
        faulty.power_loss();
        let mut after = storage.objects();
        if let Some(output) = after.remove("data/4.seg") {
            let whole = Memory::new();
            let meta = merge_in(&before, &inputs, &whole);
            assert_eq!(output, whole.objects()["data/4.seg"]);
            Loader::open(Arc::new(storage), &[meta]).expect("is whole");
        }
        assert_eq!(after, before);
        if result.is_ok() {
            assert!(call > 5, "some calls were made");
            break;
        }
    }
}

fn merge_in(
    objects: &std::collections::BTreeMap<String, Vec<u8>>,
    inputs: &[SegmentMeta],
    storage: &Memory,
) -> SegmentMeta {
    for (name, bytes) in objects {
        storage.put(name.clone(), bytes.clone());
    }
    merge(storage, inputs, true, "data/4.seg", 1).expect("nothing fails")
}

/// Objects of a state that was given up were copied by every merge, for ever.
#[test]
fn objects_of_states_that_are_not_kept_are_left_out() {
    let storage = Memory::new();
    let inputs: Vec<SegmentMeta> = (1..=2_u64)
        .map(|epoch| {
            let changes = ["gone", "kept", "more"].map(|state| {
                let mut changes = StateChanges::new(state);
                for key in 0..10_u8 {
                    let written = changes.object(u16::from(key % 3), &[key], |bytes| {
                        bytes.push(epoch as u8);
                        Ok::<(), ()>(())
                    });
                    written.expect("cannot fail");
                }
                changes
            });
            let name = format!("data/{epoch}.seg");
            write_segment(&storage, &name, 1, epoch..=epoch, &changes).expect("is written")
        })
        .collect();
    let how = |keeps| Merging {
        drops_tombstones: true,
        keeps,
        goes_on: &|| true,
    };
    let some = how(&|state| state != "gone");
    let some = merge_with(&storage, &inputs, &some, "data/3.seg", 1).expect("ok");
    let none = merge_with(&storage, &inputs, &how(&|_| false), "data/4.seg", 1).expect("ok");
    assert_eq!((some.objects, none.objects), (20, 0));
    let states = |meta| {
        let loader = Loader::open(Arc::new(storage.clone()), &[meta]).expect("is whole");
        loader
            .states()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(states(some), ["kept", "more"]);
    assert!(states(none).is_empty());
}

#[test]
fn a_merge_that_is_abandoned_leaves_nothing() {
    let storage = Memory::new();
    let inputs = segments(&storage);
    let before = storage.objects();
    let left = std::cell::Cell::new(2);
    let how = Merging {
        drops_tombstones: true,
        keeps: &|_| true,
        goes_on: &|| left.replace(left.get() - 1) > 0,
    };
    let error = merge_with(&storage, &inputs, &how, "data/4.seg", 1).expect_err("abandoned");
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert_eq!(format!("WAL-{:04}", error.number()), "WAL-0710");
    assert_eq!(storage.objects(), before);
}
