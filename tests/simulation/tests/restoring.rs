//! How much memory a start from a store takes.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, Running, State, StoreOptions, channel, source};
use wallaroo_simulation::input::mix;
use wallaroo_simulation::raw::{Counting, bytes_in_use, forget_peak, peak_bytes_in_use};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const OBJECTS: u64 = 200_000;
/// No wait of the test is longer.
const PATIENCE: u32 = 60_000;

/// 160 bytes, and a little more when it is stored: no number in it is small.
#[derive(Default, Serialize, Deserialize)]
struct Object([[u64; 10]; 2]);

impl Object {
    fn on_key(&mut self, key: &u64) {
        let expected = |at: usize| mix(*key + at as u64) | 1 << 63;
        if self.0[0][0] == 0 {
            let numbers = self.0.iter_mut().flatten().enumerate();
            numbers.for_each(|(at, number)| *number = expected(at));
        }
        assert_eq!(
            self.0[1][9],
            expected(19),
            "it is the object of another key"
        );
    }
}

fn start(store: Option<&Path>) -> Running {
    let objects = State::<Object>::new("objects");
    let (_, keys) = channel::<u64>(1_000);
    let stream = source("keys", keys)
        .key_by(|key: &u64| key)
        .to_state(&objects, |object: &mut Object, key: &u64| {
            object.on_key(key)
        });
    let address = |path: &Path| path.to_str().expect("it is text").to_owned();
    // No checkpoint but at the end.
    let store = store.map(|path| StoreOptions::new(address(path)).every(Duration::from_secs(3600)));
    let options = Options {
        store,
        ..Options::with_workers(1)
    };
    App::new("restoring")
        .add(stream.end())
        .start(options)
        .expect("it starts")
}

fn wait_for_objects(running: &Running) {
    for _ in 0..PATIENCE {
        if running.status().states[0].keys >= OBJECTS {
            return;
        }
        let ended = running.wait_timeout(Duration::from_millis(1));
        assert!(ended.is_none(), "{ended:?}");
    }
    panic!("{:?}", running.status().states);
}

fn send(running: &Running, keys: std::ops::Range<u64>) {
    for key in keys {
        running.send("keys", key).expect("it runs");
    }
}

fn end(running: Running) {
    running.stop();
    running.wait().expect("it ends well");
}

/// Beside the same objects when they were never stored. Nothing is sent to them: a region with nothing else to do loads them one
/// after another, which is when most is read ahead.
#[test]
fn a_restore_takes_half_as_much_more_than_the_state_at_most() {
    let before = bytes_in_use();
    let running = start(None);
    send(&running, 0..OBJECTS);
    wait_for_objects(&running);
    let state = bytes_in_use() - before;
    end(running);
    assert!(state > OBJECTS as usize * size_of::<Object>(), "{state}");

    let directory = tempfile::tempdir().expect("a directory can be made");
    let running = start(Some(directory.path()));
    send(&running, 0..OBJECTS);
    end(running);

    let before = bytes_in_use();
    forget_peak();
    let running = start(Some(directory.path()));
    wait_for_objects(&running);
    let peak = peak_bytes_in_use() - before;
    send(&running, 0..1_000);
    end(running);
    assert!(peak < state * 3 / 2, "{peak} for {state}");
    assert!(
        peak > state * 9 / 10,
        "{peak} for {state}: they cannot be there"
    );
}
