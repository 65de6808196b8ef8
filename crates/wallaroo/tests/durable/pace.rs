//! Checkpoints that cost much are made more seldom.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use wallaroo::{App, Options, State, StoreOptions, iter, source};
use wallaroo_core::{Clock, SystemClock};

/// What has been spent on encoding, in nanoseconds; and on the object that took longest.
static SPENT: AtomicU64 = AtomicU64::new(0);
static LONGEST: AtomicU64 = AtomicU64::new(0);

const OBJECTS: u32 = 10;
const LONG: Duration = Duration::from_millis(3);

/// An object that takes long to encode.
#[derive(Default, Deserialize)]
struct Slow(u64);

impl Serialize for Slow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let clock = SystemClock::new();
        let began = clock.now();
        while clock.now().since(began) < LONG {
            std::hint::spin_loop();
        }
        let took = u64::try_from(clock.now().since(began).as_nanos()).unwrap_or(u64::MAX);
        SPENT.fetch_add(took, Ordering::Relaxed);
        LONGEST.fetch_max(took, Ordering::Relaxed);
        serializer.serialize_u64(self.0)
    }
}

/// Only the thread that writes was counted: a worker could do nothing but encode.
#[test]
fn encoding_takes_a_fifth_of_a_worker_at_most() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let states = State::<Slow>::new("slow");
    let numbers = source("numbers", iter(0..u64::MAX))
        .key_by_value(|number: &u64| number % u64::from(OBJECTS))
        .to_state(&states, |slow: &mut Slow, _: &u64| {
            slow.0 += 1;
            None::<()>
        });
    let options = Options {
        store: Some(
            StoreOptions::new(store.path().to_string_lossy()).every(Duration::from_millis(1)),
        ),
        ..Options::default()
    };
    let clock = SystemClock::new();
    let began = clock.now();
    let app = App::new("slow").add(numbers.end());
    let running = app.start(options).expect("it starts");
    let read = |value: &AtomicU64| Duration::from_nanos(value.load(Ordering::Relaxed));
    while running.checkpoints().expect("it has a store").commits < 12 {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let elapsed = clock.now().since(began);
    // Of the first epoch, of the one that goes on, and of one between nothing was known when they began.
    let allowed = elapsed / 5 + read(&LONGEST) * OBJECTS * 3;
    let spent = read(&SPENT);
    assert!(
        spent > LONG * OBJECTS * 11,
        "twelve checkpoints took {spent:?} only"
    );
    assert!(
        spent <= allowed,
        "{spent:?} of {elapsed:?} went into encoding"
    );
    running.stop();
    running.wait().expect("it comes to its end");
}
