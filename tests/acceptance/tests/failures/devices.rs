//! Stores on devices that fail while an application runs: full, not writable, gone. What is committed is right, the application
//! says what is wrong, and goes on when it can.
//!
//! Devices are made with `mount`, which only root may; without it a test says that it was not run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, CheckpointStatus, Code, Options, Running, State, StoreOptions, channel, file_sink,
    generator, source,
};
use wallaroo_acceptance::waiting::{until, until_still};

#[derive(Default, Serialize, Deserialize)]
struct Count {
    count: u64,
    text: String,
}

/// Says that a test is not run. Not with `eprintln!`: that is captured, and shown of tests that fail only.
fn not_run(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("NOT RUN: {test}, as nothing can be mounted here: {why}\n");
    // Nobody reads it if it cannot be written.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A mounted file system, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// None where this process may not mount.
    fn new(path: &Path, arguments: &[&str]) -> Option<Mount> {
        fs::create_dir_all(path).expect("a directory can be made");
        let mounted = Command::new("mount").args(arguments).arg(path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Mount(path.to_owned())),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                not_run(text.trim());
                None
            }
            Err(error) => {
                not_run(&error.to_string());
                None
            }
        }
    }

    fn of_size(path: &Path, size: &str) -> Option<Mount> {
        let size = format!("size={size}");
        Mount::new(path, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// Lets nothing be written below a directory any more, as when its device has been mounted again after an error.
    fn read_only(path: &Path) -> Option<Mount> {
        let place = path.to_str().expect("it is text");
        let beside = path.with_extension("read-only");
        // Made elsewhere first: what is written to cannot be made read-only.
        let _made = Mount::new(&beside, &["--bind", place])?;
        let again = Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(&beside)
            .status();
        assert!(again.is_ok_and(|status| status.success()), "it is mounted");
        Mount::new(path, &["--bind", beside.to_str().expect("it is text")])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: files in it may still be open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills a device to its last byte.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).expect("there is an entry left");
    let piece = vec![0_u8; 4096];
    while file.write_all(&piece).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

/// Counts numbers of seven keys, with a text that makes each commit some bytes; rows are written outside of the store's device.
fn counting<S: wallaroo::Source<u64>>(numbers: S, directory: &Path) -> App {
    let counts = State::<Count>::new("counts");
    let rows = source("numbers", numbers)
        .key_by_value(|number: &u64| number % 7)
        .to_state(&counts, |count: &mut Count, number: &u64| {
            count.count += 1;
            count.text = "x".repeat(1_000);
            Some(format!("{} {}", number % 7, count.count))
        });
    App::new("counts").add(rows.to_sink("rows", file_sink(directory.join("rows.txt")).lines()))
}

fn options(store: &Path) -> Options {
    let store = StoreOptions::new(store.to_str().expect("it is text"));
    Options {
        store: Some(store.every(Duration::from_millis(5))),
        ..Options::with_workers(2)
    }
}

fn rows(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("rows.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn check(directory: &Path, numbers: u64) {
    let rows = rows(directory);
    for key in 0..7 {
        let prefix = format!("{key} ");
        let rows: Vec<&String> = rows.iter().filter(|row| row.starts_with(&prefix)).collect();
        let count = (1..=numbers).filter(|number| number % 7 == key).count();
        let expected: Vec<String> = (1..=count).map(|count| format!("{key} {count}")).collect();
        assert_eq!(rows, expected.iter().collect::<Vec<_>>(), "key {key}");
    }
}

fn status(running: &Running) -> CheckpointStatus {
    running.checkpoints().expect("it has a store")
}

fn handled(running: &Running) -> u64 {
    running.status().nodes[0].messages_out
}

/// Waits until commits and sources stand still, and says why they do.
fn until_paused(running: &Running) -> String {
    until("it pauses", || status(running).paused.is_some());
    until("three epochs wait", || status(running).uncommitted >= 3);
    let before = until_still("what is handled", || handled(running));
    assert_eq!(handled(running), before, "sources are held");
    status(running).paused.expect("it has not gone on")
}

/// A source that replays: it is held when three epochs wait, and goes on when there is room.
#[test]
fn a_full_device_holds_sources_and_they_go_on_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = directory.path().join("device");
    let Some(_mount) = Mount::of_size(&store, "64m") else {
        return;
    };
    let numbers = generator(1_u64, |last| Some(last + 1));
    let app = counting(numbers, directory.path());
    let running = app.start(options(&store.join("store"))).expect("it starts");
    until("it commits", || status(&running).commits > 3);
    fill(&store.join("filler"));
    let why = until_paused(&running);
    assert!(why.contains("No space left"), "{why}");
    let commits = status(&running).commits;
    fs::remove_file(store.join("filler")).expect("it is there");
    until("it commits again", || {
        status(&running).commits > commits + 3
    });
    assert_eq!(status(&running).recoveries, 0);
    running.stop();
    running.wait().expect("it ends well");
    let numbers = handled(&running);
    drop(running);
    check(directory.path(), numbers);
}

/// The input log is on the device too: what has been taken from senders and cannot be written there waits, and then they do.
#[test]
fn a_full_device_holds_senders_and_loses_nothing_they_have_sent() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = directory.path().join("device");
    let Some(_mount) = Mount::of_size(&store, "64m") else {
        return;
    };
    let (_, numbers) = channel::<u64>(10);
    let app = counting(numbers, directory.path());
    let running = app.start(options(&store.join("store"))).expect("it starts");
    for number in 1..=100_u64 {
        running.send("numbers", number).expect("it runs");
    }
    running.checkpoint().expect("it runs");
    fill(&store.join("filler"));
    let mut sent = 100;
    until("the channel is full", || {
        while running
            .try_send("numbers", sent + 1)
            .is_ok_and(|left| left.is_none())
        {
            sent += 1;
        }
        let before = until_still("what is handled", || handled(&running));
        before < sent
    });
    let why = status(&running).paused.expect("senders are held");
    assert!(why.contains("No space left"), "{why}");
    fs::remove_file(store.join("filler")).expect("it is there");
    for number in sent + 1..=sent + 500 {
        running.send("numbers", number).expect("it runs");
    }
    running.checkpoint().expect("it goes on");
    assert_eq!(status(&running).paused, None);
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), sent + 500);
}

#[test]
fn a_store_that_cannot_be_written_for_a_while_holds_sources() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = directory.path().join("store");
    let numbers = generator(1_u64, |last| Some(last + 1));
    let app = counting(numbers, directory.path());
    let running = app.start(options(&store)).expect("it starts");
    until("it commits", || status(&running).commits > 3);
    let Some(mount) = Mount::read_only(&store) else {
        return;
    };
    let why = until_paused(&running);
    assert!(why.contains("Read-only file system"), "{why}");
    let commits = status(&running).commits;
    drop(mount);
    until("it commits again", || {
        status(&running).commits > commits + 3
    });
    running.stop();
    running.wait().expect("it ends well");
    let numbers = handled(&running);
    drop(running);
    check(directory.path(), numbers);
}

/// What is gone cannot be written again by anybody. Nothing more may be shown as committed: a new directory in the place of the
/// old one would have commits that name what is not there.
#[test]
fn a_store_that_is_deleted_ends_the_application() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = directory.path().join("store");
    let numbers = generator(1_u64, |last| Some(last + 1));
    let app = counting(numbers, directory.path());
    let running = app.start(options(&store)).expect("it starts");
    until("it commits", || status(&running).commits > 3);
    // At once: what is deleted piece by piece may be taken for damaged before it is gone.
    let gone = directory.path().join("gone");
    fs::rename(&store, &gone).expect("it can be moved");
    fs::remove_dir_all(&gone).expect("nobody finds it any more");
    let mut ended = None;
    until("it ends", || {
        ended = running.wait_timeout(Duration::ZERO);
        ended.is_some()
    });
    let error = ended.expect("waited until it is there");
    let error = error.expect_err("its store is gone");
    assert_eq!(error.code(), Code::StoreAccess);
    let text = error.to_string();
    assert!(text.contains("has been deleted or replaced"), "{text}");
}

/// An output on a full device: rows that could not be written are written when there is room.
#[test]
fn a_full_device_under_the_output_holds_commits_until_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let device = directory.path().join("device");
    let Some(_mount) = Mount::of_size(&device, "64m") else {
        return;
    };
    let numbers = generator(1_u64, |last| Some(last + 1));
    let app = counting(numbers, &device);
    let store = directory.path().join("store");
    let running = app.start(options(&store)).expect("it starts");
    until("it commits", || status(&running).commits > 3);
    fill(&device.join("filler"));
    let why = until_paused(&running);
    assert!(
        why.contains("the sink \"rows\" failed") && why.contains("no space left"),
        "{why}"
    );
    running.stop();
    fs::remove_file(device.join("filler")).expect("it is there");
    running.wait().expect("it ends well");
    let numbers = handled(&running);
    drop(running);
    check(&device, numbers);
}
