//! Checkpoints of an application to which no message comes.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, channel, source};
use wallaroo_store::inspect::Inspector;
use wallaroo_store::storage::open_to_read;

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

/// How many objects the last commit has.
fn stored(store: &Path) -> u64 {
    let storage = open_to_read(store.to_str().expect("it is text")).expect("it is there");
    let inspector = Inspector::open(storage).expect("it is a store");
    let states = inspector.states(None).expect("it can be read");
    states.iter().map(|state| state.objects).sum()
}

/// They stayed in the store, as no message meant no checkpoint, and were loaded again by the next start.
#[test]
fn objects_that_expire_leave_the_store_without_a_message_and_then_nothing_is_committed() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let counts = State::<Count>::new("counts").expire_after(Duration::from_millis(300));
    let (_, numbers) = channel::<u64>(10);
    let counted = source("numbers", numbers).key_by(|key: &u64| key).to_state(
        &counts,
        |count: &mut Count, _: &u64| {
            count.0 += 1;
            None::<()>
        },
    );
    let address = store.path().to_string_lossy();
    let options = Options {
        store: Some(StoreOptions::new(address).every(Duration::from_millis(5))),
        ..Options::with_workers(2)
    };
    let app = App::new("counts").add(counted.end());
    let running = app.start(options).expect("it starts");
    for key in 0..10_u64 {
        running
            .send_durable("numbers", key)
            .expect("it is committed");
    }
    assert!(
        stored(store.path()) > 0,
        "none was stored before it expired"
    );
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while stored(store.path()) > 0 {
        assert!(
            waited < Duration::from_secs(60),
            "expired objects stay in the store"
        );
        std::thread::park_timeout(step);
        waited += step;
    }
    let commits = || running.checkpoints().expect("it has a store").commits;
    // One that had begun may follow.
    std::thread::park_timeout(step * 20);
    let before = commits();
    std::thread::park_timeout(step * 40);
    assert_eq!(
        commits(),
        before,
        "commits follow one another, and nothing happens"
    );
    running.stop();
    running.wait().expect("it comes to its end");
}
