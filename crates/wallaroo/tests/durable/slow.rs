//! A store whose writes take long: processing goes on until three epochs wait for it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, channel, discard, source, testing};

use crate::gated::{Gated, Open};

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

#[test]
fn processing_goes_on_until_three_epochs_wait_for_the_store() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let address = directory.path().to_str().expect("it is text");
    let (within, _lock) = wallaroo_store::storage::open(address).expect("it can be written");
    let storage = Gated::new(within);
    let (_, numbers) = channel::<u64>(1);
    let counts = State::<Count>::new("counts");
    let counted = source("numbers", numbers).key_by(|number| number).to_state(
        &counts,
        |count: &mut Count, _: &u64| {
            count.0 += 1;
            Some(count.0)
        },
    );
    let app = App::new("counts").add(counted.to_sink("none", discard()));
    let options = Options {
        store: Some(StoreOptions::new("elsewhere").every(Duration::from_millis(1))),
        ..Options::with_workers(2)
    };
    let running = testing::durable::start(app, options, Arc::new(storage.clone()));
    let running = running.expect("it starts");
    let _open = Open(storage.clone());
    let handled = || running.status().nodes.last().expect("a sink").messages_in;
    let status = || running.checkpoints().expect("it has a store");
    running.send("numbers", 1_u64).expect("it runs");
    running.checkpoint().expect("it is committed");
    let commits = status().commits;

    storage.set_closed(true);
    let mut sent = 1_u64;
    // One write waits, and messages go through meanwhile, one by one, until three epochs have ended.
    while status().uncommitted < 3 {
        let is_room = running.try_send("numbers", sent + 1);
        if is_room.expect("it runs").is_none() {
            sent += 1;
        }
        std::thread::yield_now();
    }
    let while_slow = handled();
    assert!(while_slow >= 3, "{while_slow} handled in three epochs");
    assert_eq!((status().commits, storage.waiting()), (commits, 1));
    // Then sources are held: a channel of one takes no more than what fits into it and what was on its way.
    let mut refused = 0;
    while refused < 10_000 {
        match running.try_send("numbers", sent + 1).expect("it runs") {
            None => (sent, refused) = (sent + 1, 0),
            Some(_) => refused += 1,
        }
        std::thread::yield_now();
    }
    assert!(handled() < sent, "{} of {sent} handled", handled());
    assert_eq!((status().commits, storage.waiting()), (commits, 1));

    storage.set_closed(false);
    running.checkpoint().expect("it is committed");
    running.stop();
    running.wait().expect("it ends well");
    assert_eq!(handled(), sent);
}
