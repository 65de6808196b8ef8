//! Processes that are taken over: between their fence and the opening of their sinks, and while they hang.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wallaroo::{
    App, Code, Error, Options, Running, State, StoreOptions, file_sink, iter, source, tcp_listener,
    testing,
};
use wallaroo_store::Storage;

use crate::gated::Gated;

fn start(file: &Path, last: u64, storage: Arc<dyn Storage>) -> Result<Running, Error> {
    let counts = State::<u64>::new("counts");
    let numbers = source("numbers", iter(1..=last)).collect();
    let numbers = numbers.to_state(&counts, |count: &mut u64, _: &u64| {
        *count += 1;
        Some(count.to_string())
    });
    let rows = file_sink(file).visible_at_once(true).lines();
    let store = StoreOptions::new("elsewhere").every(Duration::from_millis(1));
    let options = Options {
        store: Some(store),
        ..Options::default()
    };
    let app = App::new("numbers").add(numbers.to_sink("rows", rows));
    testing::durable::start(app, options, storage)
}

/// It cut the file back to the commit it had found, in which the new owner had written meanwhile.
#[test]
fn a_process_that_was_taken_over_while_it_started_cuts_nothing_back() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let address = directory.path().join("store");
    let opened = wallaroo_store::storage::open(address.to_str().expect("it is text"));
    let (within, _lock) = opened.expect("it can be written");
    let file = directory.path().join("rows.txt");
    let first = start(&file, 500, Arc::clone(&within)).expect("it starts");
    first.wait().expect("it comes to its end");
    drop(first);

    let slow = Gated::new(Arc::clone(&within));
    let other = file.clone();
    slow.before_segments(move || {
        let owner = start(&other, 1_000, within).expect("it takes over");
        owner.wait().expect("it comes to the end");
    });
    let error = start(&file, 1_000, Arc::new(slow)).expect_err("it was taken over");
    assert_eq!(error.code(), Code::StoreFenced);
    let text = std::fs::read_to_string(&file).expect("it was written");
    let expected: Vec<String> = (1..=1_000).map(|number: u64| number.to_string()).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

/// An application that goes on until it is told to end, in a directory that it opens itself.
fn open(store: &StoreOptions, file: Option<&Path>) -> Result<Running, Error> {
    let numbers = source("numbers", tcp_listener("127.0.0.1:0").lines());
    let app = App::new("numbers");
    let app = match file {
        Some(file) => {
            app.add(numbers.to_sink("rows", file_sink(file).visible_at_once(true).lines()))
        }
        None => app.add(numbers.end()),
    };
    let options = Options {
        store: Some(store.clone()),
        ..Options::default()
    };
    app.start(options)
}

/// The lock was free then: a third start fenced the process that worked, and removed what it was writing.
#[test]
fn when_the_first_is_gone_a_third_is_refused_while_the_second_works() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = StoreOptions::new(directory.path().join("store").to_string_lossy());
    let first = open(&store, None).expect("it starts");
    let taking = store.clone().take_over(true);
    let second = open(&taking, None).expect("it takes over");
    let refused = || {
        let error = open(&store, None).expect_err("the second works");
        assert_eq!(error.code(), Code::StoreLocked, "{error}");
    };
    refused();
    drop(first);
    refused();
    second.stop();
    second.wait().expect("nobody fenced it");
    drop(second);
    open(&store, None).expect("the store is free again").stop();
}

/// It cut and wrote a file that the process before still wrote.
#[test]
fn a_file_that_is_visible_at_once_is_not_written_by_two_processes() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = StoreOptions::new(directory.path().join("store").to_string_lossy());
    let file = directory.path().join("rows.txt");
    let first = open(&store, Some(&file)).expect("it starts");
    let taking = store.take_over(true);
    let error = open(&taking, Some(&file)).expect_err("the first has the file");
    assert_eq!(error.code(), Code::SinkOpen, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("another process writes the file") && text.contains("rows.txt"),
        "{text}"
    );
    drop(first);
    open(&taking, Some(&file))
        .expect("the file is free again")
        .stop();
}
