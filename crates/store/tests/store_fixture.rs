//! A whole store and input logs that each version of the formats has written, which load for ever; and today's writers, which still
//! write the same bytes as theirs.
//!
//! To write the fixtures of another version: `WRITE_FIXTURES=1 cargo test -p wallaroo-store --features testing --test store_fixture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wallaroo_store::application::Application;
use wallaroo_store::commit::{
    PlanIdentity, SinkIdentity, SinkState, SourcePosition, StateIdentity,
};
use wallaroo_store::input_log::{
    BlockBuilder, Disk, InputLog, Kind, ObjectLog, Replay, Section, SystemDisk,
};
use wallaroo_store::inspect::Inspector;
use wallaroo_store::object_name::ObjectKind;
use wallaroo_store::outbox::{SinkRows, read_outbox, write_outbox};
use wallaroo_store::savepoint::Savepoint;
use wallaroo_store::segment::{StateChanges, write_segment};
use wallaroo_store::{Commit, Memory, OpenOptions, Storage, Store, StoreError};

const MADE_MS: u64 = 1_772_366_400_000;

fn root(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(name)
}

/// All files below a directory, by their names within it.
fn files(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("the fixture is there") {
        let entry = entry.expect("the fixture is there");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, fs::read(entry.path()).expect("can be read"));
        }
    }
}

fn fixture(name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&root(name), "", &mut found);
    found
}

/// Compares with the fixture, or writes it if that is asked for.
fn compare(name: &str, written: &BTreeMap<String, Vec<u8>>) {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        for (file, bytes) in written {
            let path = root(name).join(file);
            fs::create_dir_all(path.parent().expect("is in one")).expect("can be made");
            fs::write(path, bytes).expect("can be written");
        }
    }
    let known = fixture(name);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&known), names(written));
    for (file, bytes) in written {
        assert!(
            known[file] == *bytes,
            "{name}/{file} is not written as it was"
        );
    }
}

fn options() -> OpenOptions {
    let mut nonce = 0;
    let nonces = move || {
        nonce += 1;
        nonce
    };
    OpenOptions::new("stocks", 8, Box::new(|| MADE_MS), Box::new(nonces))
}

fn alerts() -> SinkRows {
    let mut alerts = SinkRows::new("alerts");
    alerts.rows.push(b"IBM 5.00\n");
    alerts
}

/// What a commit says beside the objects that it names.
fn commit() -> Commit {
    Commit {
        epoch: 1,
        positions: vec![SourcePosition {
            source: "ticks".to_owned(),
            partition: "ticks.csv".to_owned(),
            position: serde_json::json!({ "byte": 100 }),
            next_number: 11,
            ended: true,
        }],
        sinks: vec![SinkState {
            sink: "alerts".to_owned(),
            published_epoch: 0,
            state: serde_json::json!({ "length": 0 }),
        }],
        plan: PlanIdentity {
            sources: vec!["ticks".to_owned()],
            states: vec![StateIdentity {
                name: "totals".to_owned(),
                stored_as: Some("sums".to_owned()),
                object_type: "u64".to_owned(),
                key_type: Some("text".to_owned()),
                key_groups: 8,
            }],
            sinks: vec![SinkIdentity {
                name: "alerts".to_owned(),
                exactly_once: true,
            }],
        },
        ..Commit::default()
    }
}

#[test]
fn a_store_of_version_1_is_written_as_ever() {
    let storage = Arc::new(Memory::new());
    let (mut store, _) = Store::open(Arc::<Memory>::clone(&storage), options()).expect("is new");
    let mut sums = StateChanges::new("sums");
    let written = sums.object(3, b"key", |bytes| {
        bytes.push(7);
        Ok::<(), ()>(())
    });
    written.expect("cannot fail");
    let name = store.object_name(ObjectKind::Segment, 1);
    let segment = write_segment(&*storage, &name, 1, 1..=1, &[sums]).expect("is written");
    let name = store.object_name(ObjectKind::Outbox, 1);
    let outbox = write_outbox(&*storage, &name, 1, 1, &[alerts()]).expect("is written");
    let commit = Commit {
        segments: vec![segment],
        outboxes: vec![outbox],
        ..commit()
    };
    store.commit(commit).expect("is the owner");
    store.savepoint("monday").expect("is its name");
    let written = storage.objects().into_iter();
    let written = written.map(|(name, bytes)| (name, bytes.to_vec()));
    compare("store-v1", &written.collect());
}

#[test]
fn a_store_of_version_1_loads() {
    let storage = Arc::new(Memory::new());
    for (name, bytes) in fixture("store-v1") {
        storage.put(name, bytes);
    }
    let application = Application::read(&*storage)
        .expect("is whole")
        .expect("is there");
    let named = (application.application.as_str(), application.key_groups);
    assert_eq!(named, ("stocks", 8));
    let savepoints = Savepoint::list(&*storage).expect("are whole");
    let [savepoint] = &savepoints[..] else {
        panic!("one is expected, not {savepoints:?}");
    };
    assert_eq!(
        (savepoint.name.as_str(), savepoint.time_ms),
        ("monday", MADE_MS)
    );

    let inspector = Inspector::open(Arc::<Memory>::clone(&storage)).expect("is whole");
    let verified = inspector.verify().expect("can be listed");
    assert!(
        verified.iter().all(|found| found.result.is_ok()),
        "{verified:?}"
    );
    let (number, found) = inspector.commit(None).expect("is whole");
    assert_eq!(number, savepoint.number);
    let expected = commit();
    assert_eq!(found.positions, expected.positions);
    assert_eq!(found.sinks, expected.sinks);
    assert_eq!(found.plan, expected.plan);
    assert_eq!(
        (found.epoch, found.generation, found.time_ms),
        (1, 1, MADE_MS)
    );
    let object = inspector.get(None, "sums", 3, b"key").expect("is whole");
    assert_eq!(object, Some(vec![7]));
    let rows = read_outbox(&*storage, &found.outboxes[0]).expect("is whole");
    assert_eq!(rows, [alerts()]);

    let (_, recovered) = Store::open(storage, options()).expect("goes on");
    assert_eq!(recovered.expect("there is a commit").commit, found);
}

const ENTRIES: [(u64, Kind, &[u8]); 4] = [
    (1, Kind::Message, b"IBM 4.50"),
    (2, Kind::Rejected, b"?"),
    (2_000, Kind::Note, b""),
    (2_001, Kind::Message, b"IBM 5.00"),
];

fn disk() -> Arc<dyn Disk> {
    Arc::new(SystemDisk)
}

fn push(block: &mut BlockBuilder, entries: &[(u64, Kind, &[u8])]) {
    for (number, kind, entry) in entries {
        let pushed = block.push(*number, *kind, |bytes| {
            bytes.extend_from_slice(entry);
            Ok::<(), ()>(())
        });
        pushed.expect("cannot fail");
    }
}

/// Replays a log to its end.
fn replayed(directory: &Path) -> (Replay, Vec<(u64, Kind, Vec<u8>)>) {
    let mut replay = Replay::open(&disk(), directory, 1).expect("is there");
    let mut found = Vec::new();
    while replay
        .next(|entry| {
            found.push((entry.number, entry.kind, entry.bytes.to_vec()));
            Ok::<(), StoreError>(())
        })
        .expect("is whole")
    {}
    (replay, found)
}

/// Two files, the second of a process that went on after the first.
#[test]
fn an_input_log_of_version_2_is_written_as_ever() {
    let directory = tempfile::tempdir().expect("can be made");
    for (generation, entries) in (3..).zip(ENTRIES.chunks(2)) {
        let mut log = InputLog::open(&disk(), directory.path(), generation).expect("can be made");
        log.go_on_after(&replayed(directory.path()).0);
        // A block each: the second says that the first is on the disk.
        for entry in entries.chunks(1) {
            push(log.block(), entry);
            if let Some(sync) = log.append().expect("can be written") {
                sync.sync().expect("can be synced");
            }
        }
    }
    let mut written = BTreeMap::new();
    files(directory.path(), "", &mut written);
    compare("input-v2", &written);
}

#[test]
fn an_input_log_of_each_version_loads() {
    for version in ["input-v1", "input-v2"] {
        // A copy: a replay cuts what it takes for torn.
        let directory = tempfile::tempdir().expect("can be made");
        for (name, bytes) in fixture(version) {
            fs::write(directory.path().join(name), bytes).expect("can be written");
        }
        let expected = ENTRIES.map(|(number, kind, bytes)| (number, kind, bytes.to_vec()));
        assert_eq!(replayed(directory.path()).1, expected, "{version}");
    }
}

/// The entries as sections of two partitions.
fn sections() -> [Section; 2] {
    ["ä", "tcp"].map(|partition| {
        let mut block = BlockBuilder::default();
        push(&mut block, &ENTRIES);
        Section {
            source: "orders".to_owned(),
            partition: partition.to_owned(),
            first: 1,
            next: 2_002,
            blocks: block.finish(0, 0).to_vec(),
        }
    })
}

#[test]
fn an_input_log_in_objects_of_version_1_is_written_as_ever() {
    let memory = Arc::new(Memory::new());
    let storage: Arc<dyn Storage> = Arc::clone(&memory) as Arc<dyn Storage>;
    let log = ObjectLog::open(storage, 3, 7 << 64).expect("nobody is there");
    let prepared = log.prepare(&sections(), 8 << 64);
    log.put(&prepared).expect("there is room");
    compare("input-objects-v1", &memory.objects());
}

#[test]
fn an_input_log_in_objects_of_version_1_loads() {
    let memory = Memory::new();
    for (name, bytes) in fixture("input-objects-v1") {
        memory.put(name, bytes);
    }
    let log = ObjectLog::open(Arc::new(memory), 4, 9 << 64).expect("it is whole");
    let log = Arc::new(log);
    assert_eq!(log.partitions("orders"), ["tcp", "ä"]);
    let mut replay = log.replay("orders", "ä", 2);
    let mut found = Vec::new();
    while replay
        .next(|entry| {
            found.push((entry.number, entry.kind, entry.bytes.to_vec()));
            Ok::<(), StoreError>(())
        })
        .expect("is whole")
    {}
    let expected = ENTRIES[1..].iter();
    let expected: Vec<_> = expected
        .map(|(number, kind, bytes)| (*number, *kind, bytes.to_vec()))
        .collect();
    assert_eq!(found, expected);
}

/// The fields in the first columns of the table below a heading of docs/formats.md.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, section) = page
        .split_once(&format!("\n{heading}\n"))
        .expect("it has the heading");
    let section = section.split("\n#").next().unwrap_or(section);
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = cells.filter_map(|line| line.split(" |").next());
    cells
        .flat_map(|cell| cell.split(", "))
        .map(|field| field.trim_matches('`').to_owned())
        .collect()
}

/// The fields of a JSON value, but those within what sources and sinks write themselves.
fn fields(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    if ["positions[].position", "sinks[].state"].contains(&path) {
        return;
    }
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                found.insert(path.clone());
                fields(value, &path, found);
            }
        }
        serde_json::Value::Array(values) => values
            .iter()
            .for_each(|value| fields(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn the_page_on_formats_names_every_field_of_json_and_no_other() {
    let store = fixture("store-v1");
    let body = |record: &str| {
        let bytes = &store[record];
        let length = u32::from_le_bytes(bytes[12..16].try_into().expect("four bytes"));
        bytes[56..][..length as usize].to_vec()
    };
    for (heading, json) in [
        ("## application.json", store["application.json"].clone()),
        ("### Body of a fence", body("log/00000000000000000001")),
        ("### Body of a commit", body("log/00000000000000000002")),
        (
            "## savepoints/NAME.json",
            store["savepoints/monday.json"].clone(),
        ),
    ] {
        let json: serde_json::Value = serde_json::from_slice(&json).expect("is JSON");
        let mut found = BTreeSet::new();
        fields(&json, "", &mut found);
        assert_eq!(documented(heading), found, "{heading}");
    }
}
