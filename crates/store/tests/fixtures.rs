//! Objects that format version 1 has written, which load for ever; and today's writers, which still write the same bytes.
//!
//! To write the fixtures of another version: `WRITE_FIXTURES=1 cargo test -p wallaroo-store --features testing --test fixtures`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wallaroo_store::Memory;
use wallaroo_store::loader::Loader;
use wallaroo_store::outbox::{OutboxMeta, SinkRows, read_outbox, write_outbox};
use wallaroo_store::segment::{SegmentMeta, StateChanges, write_segment};

const SEGMENT: &str =
    "data/00000000000000000002-00000000000000000007-000102030405060708090a0b0c0d0e0f.seg";
const OUTBOX: &str =
    "outbox/00000000000000000002-00000000000000000007-000102030405060708090a0b0c0d0e0f.out";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file)
}

fn fixture(file: &str) -> Vec<u8> {
    std::fs::read(path(file)).expect("the fixture is there")
}

/// Compares with the fixture, or writes it if that is asked for.
fn compare(file: &str, bytes: &[u8]) {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        std::fs::write(path(file), bytes).expect("can be written");
    }
    assert!(fixture(file) == bytes, "{file} is not written as it was");
}

fn changes() -> Vec<StateChanges> {
    let mut stocks = StateChanges::new("stocks");
    let mut devices = StateChanges::new("devices of Zürich");
    for key in 0..6_u8 {
        stocks
            .object(u16::from(key % 3) * 500, &[1, key], |bytes| {
                bytes.extend(std::iter::repeat_n(key, usize::from(key) * 30));
                Ok::<(), ()>(())
            })
            .expect("cannot fail");
    }
    stocks.removed(500, b"gone");
    devices.removed(65_535, b"");
    vec![stocks, devices]
}

fn rows() -> Vec<SinkRows> {
    let mut alerts = SinkRows::new("alerts");
    alerts.rows.push(b"IBM 5.00\n");
    alerts.rows.push(b"");
    alerts.rows.push("größer\n".as_bytes());
    vec![alerts, SinkRows::new("empty")]
}

#[test]
fn segments_of_version_1_are_written_as_ever() {
    let storage = Memory::new();
    let meta = write_segment(&storage, SEGMENT, 2, 6..=7, &changes()).expect("is written");
    compare("segment-v1.seg", &storage.objects()[SEGMENT]);
    compare(
        "segment-v1.json",
        serde_json::to_string_pretty(&meta)
            .expect("is JSON")
            .as_bytes(),
    );
}

#[test]
fn segments_of_version_1_load() {
    let meta: SegmentMeta =
        serde_json::from_slice(&fixture("segment-v1.json")).expect("is what commits hold");
    let storage = Memory::new();
    storage.put(meta.name.clone(), fixture("segment-v1.seg"));
    assert_eq!((meta.objects, meta.tombstones), (6, 2));
    let loader = Loader::open(Arc::new(storage), &[meta]).expect("is whole");
    assert_eq!(loader.states(), ["devices of Zürich", "stocks"]);
    let mut found = Vec::new();
    for state in loader.states() {
        for group in loader.groups(state) {
            loader
                .load(state, group.group, &mut |key, value| {
                    found.push((group.group, key.to_vec(), value.len()));
                    Ok(())
                })
                .expect("is whole");
        }
    }
    let expected = [(0, 0), (0, 3), (500, 1), (500, 4), (1000, 2), (1000, 5)]
        .map(|(group, key)| (group, vec![1, key], usize::from(key) * 30));
    assert_eq!(found, expected);
    assert_eq!(loader.get("stocks", 500, b"gone").expect("is whole"), None);
}

#[test]
fn outboxes_of_version_1_are_written_as_ever() {
    let storage = Memory::new();
    let meta = write_outbox(&storage, OUTBOX, 2, 7, &rows()).expect("is written");
    compare("outbox-v1.out", &storage.objects()[OUTBOX]);
    compare(
        "outbox-v1.json",
        serde_json::to_string_pretty(&meta)
            .expect("is JSON")
            .as_bytes(),
    );
}

#[test]
fn outboxes_of_version_1_load() {
    let meta: OutboxMeta =
        serde_json::from_slice(&fixture("outbox-v1.json")).expect("is what commits hold");
    let storage = Memory::new();
    storage.put(meta.name.clone(), fixture("outbox-v1.out"));
    assert_eq!(read_outbox(&storage, &meta).expect("is whole"), rows());
}
