//! A process that is taken over between its fence and the opening of its sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wallaroo::{
    App, Code, Error, Options, Running, State, StoreOptions, file_sink, iter, source, testing,
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
