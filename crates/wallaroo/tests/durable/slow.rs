//! A store whose writes take long: processing goes on until three epochs wait for it.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, channel, discard, source, testing};
use wallaroo_store::Storage;
use wallaroo_store::storage::{Created, ObjectInfo, StorageError, Upload};

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

/// A storage that lets writes wait at a gate.
#[derive(Clone)]
struct Gated {
    within: Arc<dyn Storage>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Default)]
struct Gate {
    is_closed: bool,
    /// Writes that wait at the gate.
    waiting: usize,
}

impl Gated {
    fn set_closed(&self, is_closed: bool) {
        self.gate.0.lock().expect("nobody panics with it").is_closed = is_closed;
        self.gate.1.notify_all();
    }

    fn waiting(&self) -> usize {
        self.gate.0.lock().expect("nobody panics with it").waiting
    }

    fn pass(&self) {
        let mut gate = self.gate.0.lock().expect("nobody panics with it");
        gate.waiting += 1;
        while gate.is_closed {
            gate = self.gate.1.wait(gate).expect("nobody panics with it");
        }
        gate.waiting -= 1;
    }
}

/// Opens the gate, so that a test that fails ends.
struct Open(Gated);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set_closed(false);
    }
}

impl Storage for Gated {
    fn place(&self) -> &str {
        self.within.place()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        self.pass();
        self.within.create(name, bytes)
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        self.pass();
        self.within.upload(name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.within.replace(name, bytes)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.within.read(name)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        self.within.size(name)
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.within.read_range(name, range)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.within.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.within.delete(name)
    }
}

#[test]
fn processing_goes_on_until_three_epochs_wait_for_the_store() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let address = directory.path().to_str().expect("it is text");
    let (within, _lock) = wallaroo_store::storage::open(address).expect("it can be written");
    let storage = Gated {
        within,
        gate: Arc::default(),
    };
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
