//! State objects that expire, compared with a model that knows only when messages came.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::testing::{self, Key, START, Test, seeds};
use wallaroo::{App, OnError, State, discard, iter, memory, source};
use wallaroo_core::{Code, KeyGroup, KeyGroupCount, SimulatedClock, StoredKey, Timestamp};
use wallaroo_engine::{
    EachObject, Epoch, EpochListener, LoadError, Options, Outcome, Random, Resume, Run, Simulation,
    SourcePosition, StoredStates,
};
use wallaroo_state::{StateChanges, stamp};

const AFTER: Duration = Duration::from_secs(64);
/// How late an object may expire.
const LATE: Duration = Duration::from_secs(2);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count(u64);

impl Count {
    fn on_message(&mut self, (key, fails): &(u64, bool)) -> Result<Option<(u64, u64)>, String> {
        self.0 += 1;
        if *fails {
            return Err("it is to fail".to_owned());
        }
        Ok(Some((*key, self.0)))
    }
}

/// Counts the messages of each key; failing ones are passed over.
fn counting(
    expires: bool,
    messages: Vec<(u64, bool)>,
) -> (App, wallaroo::connectors::MemorySink<(u64, u64)>) {
    let counted = memory();
    let state = State::<Count>::new("counts");
    let state = if expires {
        state.expire_after(AFTER)
    } else {
        state
    };
    let pipeline = source("messages", iter(messages))
        .key_by(|(key, _)| key)
        .to_state(&state, Count::on_message)
        .on_error(OnError::Skip);
    (
        App::new("counts").add(pipeline.to_sink("counted", counted.clone())),
        counted,
    )
}

/// What is known of a key: when its last message came, and its object's count; 0 if it may not have one.
#[derive(Clone, Copy, Default)]
struct Known {
    last: Duration,
    count: u64,
}

impl Known {
    /// The counts that the object may have when a message comes, which is not counted.
    fn possible(self, now: Duration) -> BTreeSet<u64> {
        let pause = now - self.last;
        let mut counts = BTreeSet::new();
        if pause < AFTER + LATE {
            counts.insert(self.count);
        }
        if pause >= AFTER {
            counts.insert(0);
        }
        counts
    }
}

/// Messages at different times, of keys with many and with few messages.
fn messages(random: &mut Random) -> Vec<(u64, bool)> {
    let count = random.below(60);
    (0..count)
        .map(|_| {
            let range = 1 + random.below(40);
            (random.below(range) as u64, random.one_in(10))
        })
        .collect()
}

fn pause(random: &mut Random) -> Duration {
    let longest = [10, 1_000, 70_000, 200_000][random.below(4)];
    Duration::from_millis(1 + random.below(longest) as u64)
}

/// Runs messages with pauses through the test kit, and looks at every count that comes out and at the objects that are left.
fn check(seed: u64) {
    let mut random = Random::new(seed);
    let steps: Vec<_> = (0..2 + random.below(12))
        .map(|_| {
            (
                messages(&mut random),
                pause(&mut random),
                1 + random.below(3),
            )
        })
        .collect();
    let (app, _) = counting(true, Vec::new());
    let mut test = Test::new(app).seed(seed).workers(1 + random.below(3));
    for (messages, pause, workers) in &steps {
        test = test.send("messages", messages.clone()).advance(*pause);
        if *workers > 1 {
            test = test.rescale(*workers);
        }
    }
    let results = test.run().expect("it runs");
    let mut counted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, count) in results.sink::<(u64, u64)>("counted") {
        counted.entry(*key).or_default().push(*count);
    }
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let mut now = Duration::ZERO;
    for (messages, pause, _) in steps {
        for (key, fails) in messages {
            let object = known.entry(key).or_default();
            let possible = object.possible(now);
            // What a failing message found shows in the next one.
            object.last = now;
            if fails {
                if !possible.contains(&object.count) {
                    object.count = 0;
                } else if possible.len() > 1 {
                    // Both are possible, and only the next count tells: the test does not follow such keys.
                    object.count = u64::MAX;
                }
                continue;
            }
            let count = counted
                .get_mut(&key)
                .map(|counts| counts.remove(0))
                .expect("it was counted");
            if object.count != u64::MAX {
                assert!(
                    possible.contains(&(count - 1)),
                    "seed {seed}: key {key} was counted {count} at {now:?}, expected one more than {possible:?}"
                );
            }
            object.count = count;
        }
        now += pause;
    }
    assert!(counted.values().all(Vec::is_empty));
    let left = results.state::<Count>("counts");
    for (key, object) in known {
        let possible = object.possible(now);
        let found = left.get(&stored(key)).map_or(0, |count| count.0);
        assert!(
            object.count == u64::MAX || possible.contains(&found),
            "seed {seed}: key {key} has {found}, expected one of {possible:?}"
        );
    }
}

#[test]
fn objects_expire_neither_too_early_nor_too_late() {
    seeds(300).for_each(check);
}

/// Values by state and key, as a store would keep them.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<BTreeMap<StoredKey, Vec<u8>>>>);

const GROUPS: u16 = 16;

impl Kept {
    fn groups() -> KeyGroupCount {
        KeyGroupCount::new(GROUPS).expect("it is a number of groups")
    }

    fn values(&self) -> std::sync::MutexGuard<'_, BTreeMap<StoredKey, Vec<u8>>> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl EpochListener for Kept {
    fn states_changed(&self, _: Epoch, _: usize, changes: Vec<StateChanges>) {
        for changes in changes {
            for change in changes.changes() {
                let key = StoredKey::from_canonical(change.key).expect("it is a key");
                match change.value {
                    Some(value) => self.values().insert(key, value.to_vec()),
                    None => self.values().remove(&key),
                };
            }
        }
    }

    fn epoch_ended(&self, _: Epoch, _: Vec<SourcePosition>) {}
}

impl StoredStates for Kept {
    fn groups(&self, _: &str) -> Vec<KeyGroup> {
        let groups = Kept::groups();
        let of = |key: &StoredKey| groups.group_of(Key::hash(key));
        let found: BTreeSet<KeyGroup> = self.values().keys().map(of).collect();
        found.into_iter().collect()
    }

    fn load(&self, _: &str, group: KeyGroup, each: &mut EachObject<'_>) -> Result<(), LoadError> {
        let groups = Kept::groups();
        let values = self.values().clone();
        values
            .iter()
            .filter(|(key, _)| groups.group_of(Key::hash(*key)) == group)
            .try_for_each(|(key, value)| each(key.as_bytes(), value))
            .map_err(|text| LoadError {
                code: Code::StoreObject,
                text,
                is_passing: false,
            })
    }
}

/// A process that goes on from what is kept: handles these messages at that time, and ends. What was counted.
fn process(
    kept: &Kept,
    expires: bool,
    seed: u64,
    now: Duration,
    messages: Vec<(u64, bool)>,
) -> Vec<(u64, u64)> {
    let (app, counted) = counting(expires, messages);
    let mut random = Random::new(seed);
    let options = Options {
        workers: NonZeroUsize::new(1 + random.below(3)).expect("it is not zero"),
        groups: Kept::groups(),
        clock: Arc::new(SimulatedClock::starting_at(Timestamp(
            START.0 + now.as_nanos() as u64,
        ))),
        listener: Some(Arc::new(kept.clone())),
        resume: Some(Resume {
            epoch: Epoch(7),
            positions: Vec::new(),
            states: Arc::new(Kept(Arc::new(Mutex::new(kept.values().clone())))),
        }),
        simulation: Some(Simulation {
            seed,
            epoch_every: Some(3),
        }),
        ..Options::default()
    };
    let run = Run::start(testing::program(&app), options).expect("it starts");
    assert!(matches!(run.wait(), Outcome::Completed));
    drop(run);
    let mut counted = counted.take();
    counted.sort_unstable();
    counted
}

/// One process for each time, and one for all: they count the same, whatever is loaded when.
#[test]
fn what_expires_does_not_depend_on_restarts() {
    for seed in seeds(100) {
        let mut random = Random::new(seed);
        let steps: Vec<_> = (0..2 + random.below(8))
            .map(|_| {
                let steady = messages(&mut random)
                    .into_iter()
                    .map(|(key, _)| (key, false));
                (steady.collect::<Vec<_>>(), pause(&mut random))
            })
            .collect();
        let (app, _) = counting(true, Vec::new());
        let mut test = Test::new(app).seed(seed);
        for (messages, pause) in &steps {
            test = test.send("messages", messages.clone()).advance(*pause);
        }
        let results = test.run().expect("it runs");
        let mut expected = results.sink::<(u64, u64)>("counted").to_vec();
        let kept = Kept::default();
        let mut now = Duration::ZERO;
        for (messages, pause) in steps {
            let mut without: Vec<_> = expected.drain(..messages.len()).collect();
            without.sort_unstable();
            let with = process(&kept, true, seed, now, messages);
            assert_eq!(with, without, "seed {seed} at {now:?}");
            now += pause;
        }
        // One more, which finds what is left.
        let all = (0..40).map(|key| (key, false)).collect();
        let found = process(&kept, true, seed, now, all);
        let left = results.state::<Count>("counts");
        let one_more = |key| (key, 1 + left.get(&stored(key)).map_or(0, |count| count.0));
        let expected: Vec<_> = (0..40).map(one_more).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

fn stored(key: u64) -> StoredKey {
    key.to_stored().expect("it is short")
}

#[test]
fn a_state_can_begin_and_cease_to_expire() {
    let kept = Kept::default();
    // Of one key group, so that all are loaded with the first message for one.
    let group = |key: &u64| Kept::groups().group_of(key.hash());
    let mut keys = (0..).filter(|key| group(key) == group(&0));
    let [a, b, c] = std::array::from_fn(|_| keys.next().expect("there are enough"));
    let has_stamp = |key: u64| {
        let values = kept.values();
        let value = values.get(&stored(key));
        value.map(|value| stamp::split(value).0.is_some())
    };
    let count = |expires, now, key| {
        let counted = process(&kept, expires, 1, now, vec![(key, false)]);
        counted[0].1
    };
    let now = Duration::ZERO;
    assert_eq!((count(false, now, a), count(false, now, b)), (1, 1));
    assert_eq!(has_stamp(a), Some(false));
    // Long after: it begins to count at the start, also for a key without messages, and is kept so.
    let now = 10 * AFTER;
    assert_eq!(count(true, now, a), 2);
    assert_eq!((has_stamp(a), has_stamp(b)), (Some(true), Some(true)));
    let now = now + AFTER - Duration::from_secs(1);
    assert_eq!(count(true, now, a), 3);
    let now = now + LATE + Duration::from_secs(1);
    assert_eq!(count(true, now, c), 1);
    assert_eq!((has_stamp(a), has_stamp(b)), (Some(true), None));
    // Without a duration the stamp is passed over, and not written any more.
    let now = now + 10 * AFTER;
    assert_eq!(count(false, now, a), 4);
    assert_eq!((has_stamp(a), has_stamp(c)), (Some(false), Some(true)));
}

/// An object is dropped also when nothing comes any more.
#[test]
fn an_idle_application_drops_what_expires() {
    static LEFT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

    #[derive(Serialize, Deserialize)]
    struct Held(u64);

    impl Default for Held {
        fn default() -> Self {
            LEFT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Held(0)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            LEFT.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    let (sender, messages) = wallaroo::channel::<u64>(10);
    let state = State::<Option<Held>>::new("held").expire_after(Duration::from_millis(50));
    let holding = source("messages", messages).key_by(|key| key).to_state(
        &state,
        |held: &mut Option<Held>, _: &u64| {
            held.get_or_insert_default().0 += 1;
            None::<()>
        },
    );
    let app = App::new("held").add(holding.to_sink("none", discard()));
    let running = app
        .start(wallaroo::Options::with_workers(2))
        .expect("it starts");
    for key in 0..1_000 {
        sender.send(key).expect("it runs");
    }
    let handled = || {
        running
            .status()
            .nodes
            .iter()
            .any(|node| node.name == "messages" && node.messages_out == 1_000)
    };
    while !handled() || LEFT.load(std::sync::atomic::Ordering::SeqCst) > 0 {
        assert!(
            running.wait_timeout(Duration::from_millis(5)).is_none(),
            "it runs"
        );
    }
}
