//! Wallaroo with one worker and a million state objects, with and without a store.

use std::path::Path;
use std::thread;
use std::time::Duration;

use wallaroo::{App, Options, Running, Sink, State, StoreOptions, source};

use crate::checkpoint::account::Account;
use crate::checkpoint::feed::Feed;
use crate::raw;
use crate::workload::{Rec, Update};

/// An application that uses next to no processor time for so long has nothing to do.
const QUIET: Duration = Duration::from_millis(100);

/// Where checkpoints go, and how often at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) every: Duration,
}

/// Starts the application on a feed.
pub(crate) fn start(
    feed: &Feed,
    store: Option<Store<'_>>,
    sink: impl Sink<Vec<Update>>,
) -> Running {
    let accounts = State::<Account>::new("accounts");
    let pipeline = source("records", feed.clone())
        .key_by(|record: &Rec| &record.key)
        .to_state(&accounts, |account: &mut Account, record: &Rec| {
            Some(account.on_price(record.ts, record.price))
        })
        .to_sink("updates", sink);
    let store = store.map(|store| {
        let directory = store.directory.to_str().expect("a temporary path is text");
        StoreOptions::new(directory).every(store.every)
    });
    let options = Options {
        store,
        ..Options::default()
    };
    let app = App::new("bench").add(pipeline);
    app.start(options).expect("the application starts")
}

/// Lets an application have all objects; returns when they are there, in a store if it has one, and nothing goes on any more.
pub(crate) fn create_objects(running: &Running, feed: &Feed, objects: u32) {
    feed.grant(u64::from(objects));
    while feed.read() < u64::from(objects) {
        thread::sleep(Duration::from_millis(1));
    }
    if running.checkpoints().is_some() {
        running.checkpoint().expect("the store can be written");
    }
    // On a slow machine the objects come in several epochs, whose segments are merged.
    loop {
        let before = raw::process_cpu_time();
        thread::sleep(QUIET);
        if raw::process_cpu_time() - before < QUIET / 20 {
            return;
        }
    }
}
