//! Whose a store is, and going back to a savepoint.

#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, Error, Options, State, StoreOptions, Stream, channel, discard, file, file_sink,
    iter, source,
};

/// Time enough for everything but a hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(store: StoreOptions) -> Options {
    Options {
        store: Some(store.every(Duration::from_millis(5))),
        ..Options::default()
    }
}

fn store(directory: &Path) -> StoreOptions {
    StoreOptions::new(directory.join("store").to_string_lossy())
}

/// Writes the numbers up to `last` that have not been written.
fn count(directory: &Path, store: StoreOptions, last: u64) -> Result<(), Error> {
    let rows = file_sink(directory.join("rows")).json::<u64>();
    App::new("count")
        .add(source("numbers", iter(1..=last)).to_sink("rows", rows))
        .run(options(store))
}

fn rows(directory: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(directory.join("rows")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[derive(Default, Serialize, Deserialize)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, number: u64) -> Option<u64> {
        self.0 += number;
        Some(self.0)
    }
}

type Stage = fn(Stream<u64>, &State<Sum>) -> Stream<u64>;

/// Nothing is stored under the name of a stage, which for a closure is its place in the file.
#[test]
fn a_closure_in_another_place_finds_the_objects_of_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let run = |stage: Stage, last: u64| {
        let sums = State::new("sums");
        let rows = file_sink(directory.path().join("rows")).json::<u64>();
        let stream = stage(source("numbers", iter(1..=last)).collect(), &sums);
        let app = App::new("sums").add(stream.to_sink("rows", rows));
        let stage = app.plan().unwrap().nodes.remove(2).name;
        app.run(options(store(directory.path()))).unwrap();
        stage
    };
    let first = run(
        |numbers, sums| numbers.to_state(sums, |sum: &mut Sum, number: &u64| sum.add(*number)),
        2,
    );
    let second = run(
        |numbers, sums| numbers.to_state(sums, |sum: &mut Sum, number: &u64| sum.add(*number)),
        4,
    );
    assert_ne!(first, second);
    assert_eq!(rows(directory.path()), [1, 3, 6, 10]);
}

/// Going back was refused only when the newer checkpoints had been given up already.
#[test]
fn going_back_behind_a_sink_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    count(path, store.clone(), 3).unwrap();
    // Nothing is new, so this only names the checkpoint.
    count(path, store.clone().savepoint("three"), 3).unwrap();
    count(path, store.clone(), 5).unwrap();

    let error = count(path, store.clone().from("three"), 7).expect_err("the file has more");
    assert_eq!(error.code(), Code::StorePlan);
    let text = "nothing was changed: sink \"rows\" has published more than the checkpoint to go back to knows; cut it back with --reset-sink rows";
    assert!(error.to_string().contains(text), "{error}");
    assert_eq!(rows(path), [1, 2, 3, 4, 5]);
    count(path, store.clone(), 6).unwrap();
    assert_eq!(rows(path), [1, 2, 3, 4, 5, 6]);

    let back = store.clone().from("three").reset_sink("rows");
    count(path, back, 4).unwrap();
    assert_eq!(rows(path), [1, 2, 3, 4]);
    count(path, store.clone(), 5).unwrap();
    assert_eq!(rows(path), [1, 2, 3, 4, 5]);

    let error = count(path, store.clone().from("four"), 5).expect_err("there is none");
    assert_eq!(error.code(), Code::StoreNotFound);
    assert!(
        error
            .to_string()
            .contains("has no savepoint \"four\"; choose one of its savepoints: \"three\""),
        "{error}"
    );
    let error = count(path, store.clone().from("999"), 5).expect_err("there is none");
    let text = "has no kept commit 999; choose one of its commits: ";
    assert!(error.to_string().contains(text), "{error}");
    let error = count(path, store.reset_sink("row"), 5).expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "WAL-0712: --reset-sink row: the application has no sink of that name; it has \"rows\""
    );
}

/// The record that a savepoint names, and that of the newest commit.
#[test]
fn a_start_from_a_deleted_record_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    count(path, store.clone().savepoint("new"), 3).unwrap();
    count(path, store.clone().savepoint("three"), 3).unwrap();
    count(path, store.clone(), 5).unwrap();
    let log = path.join("store").join("log");
    let savepoint = std::fs::read_to_string(path.join("store/savepoints/three.json")).unwrap();
    let savepoint: serde_json::Value = serde_json::from_str(&savepoint).unwrap();
    let named = format!("{:020}", savepoint["number"].as_u64().unwrap());
    std::fs::remove_file(log.join(&named)).unwrap();
    let names = || {
        let entries = std::fs::read_dir(&log).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();

    let back = store.clone().from("three").reset_sink("rows");
    let error = count(path, back, 4).expect_err("its record is gone");
    assert_eq!(error.code(), Code::StoreMissing);
    let text = format!("\"log/{named}\"");
    assert!(error.to_string().contains(&text), "{error}");
    assert!(error.to_string().contains("savepoint \"three\""), "{error}");
    assert_eq!((names(), rows(path)), (before, vec![1, 2, 3, 4, 5]));
    count(path, store, 6).unwrap();
    assert_eq!(rows(path), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_store_belongs_to_one_application() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    count(directory.path(), store.clone(), 3).unwrap();
    let error = App::new("other")
        .add(source("numbers", iter(1..=3u64)).to_sink("rows", discard()))
        .run(options(store.clone()))
        .expect_err("it is another's");
    assert_eq!(error.code(), Code::StoreApplication);
    let text = "belongs to the application \"count\", and this is \"other\"";
    assert!(error.to_string().contains(text), "{error}");
    count(directory.path(), store, 4).unwrap();
}

#[test]
fn one_process_has_a_store_open_until_another_takes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    let application = |file: &str| {
        let (sender, numbers) = channel::<u64>(10);
        let rows = file_sink(path.join(file)).json::<u64>();
        let app = App::new("count").add(source("numbers", numbers).to_sink("rows", rows));
        (sender, app)
    };
    let (old_sender, old) = application("rows");
    let old = old.start(options(store.clone())).unwrap();
    old_sender.send(1).unwrap();
    // A checkpoint is of what has been handled; that may not be what has been sent.
    for _ in 0..10_000 {
        old.checkpoint().expect("it runs");
        if rows(path) == [1] {
            break;
        }
    }

    let (_, second) = application("rows");
    let error = second
        .start(options(store.clone()))
        .expect_err("it is in use");
    assert_eq!(error.code(), Code::StoreLocked);
    let owner = format!(
        "is in use by process {}, which opened it at ",
        std::process::id()
    );
    assert!(error.to_string().contains(&owner), "{error}");
    let advice = "stop that process, or start with --take-over if it cannot be stopped";
    assert!(error.to_string().ends_with(advice), "{error}");

    let (_new_sender, new) = application("new-rows");
    let taking = store.take_over(true).drop_sink("rows");
    let new = new.start(options(taking)).unwrap();
    assert_eq!(rows(path), [1]);
    // What the old one has still accepted it does not publish; the new one may.
    let _ = old_sender.send(2);
    let ended = old.wait_timeout(PATIENCE).expect("it finds out");
    let error = ended.expect_err("the store is not its any more");
    assert_eq!(error.code(), Code::StoreFenced);
    assert_eq!(rows(path), [1]);
    new.stop();
    new.wait().unwrap();
}

#[test]
#[cfg(not(feature = "s3"))]
fn an_address_of_s3_needs_the_feature() {
    let directory = tempfile::tempdir().unwrap();
    let error = count(directory.path(), StoreOptions::new("s3://bucket/prefix"), 1)
        .expect_err("it is not built in");
    let text = "this program is built without the feature \"s3\" of the crate wallaroo; build it with the feature, or use a directory";
    assert!(error.to_string().contains(text), "{error}");
}

/// A path is the name of a partition, as it is given. See docs/delivery.md.
#[test]
fn a_file_is_known_by_its_path_as_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    std::fs::write(path.join("numbers"), "1\n2\n").unwrap();
    let run = |name: &str| {
        let numbers = file(path.join(name)).json::<u64>();
        let written = file_sink(path.join("rows")).json::<u64>();
        App::new("copy")
            .add(source("numbers", numbers).to_sink("rows", written))
            .run(options(store.clone()))
            .unwrap();
        rows(path)
    };
    assert_eq!(run("numbers"), [1, 2]);
    assert_eq!(run("numbers"), [1, 2]);
    // The same file by another path begins anew; both are known from then on.
    assert_eq!(run("./numbers"), [1, 2, 1, 2]);
    assert_eq!(run("numbers"), [1, 2, 1, 2]);
    assert_eq!(run("./numbers"), [1, 2, 1, 2]);
}
