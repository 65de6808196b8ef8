//! What a store occupies while an application runs for a long time. Epochs end when the test says so, so it takes seconds.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::testing::durable::{self, Place, Ready};
use wallaroo::{
    App, ConnectorError, Intake, Position, Read, Reader, Source, State, StoreOptions, Waker, source,
};
use wallaroo_engine::{Options, Outcome, Random, Run};
use wallaroo_store::Memory;
use wallaroo_store::Storage as _;

const PATIENCE: Duration = Duration::from_secs(60);
const OBJECTS: u64 = 20_000;
/// One percent.
const DIRTY: u64 = OBJECTS / 100;
/// Ten minutes with a checkpoint each second.
const EPOCHS: u64 = 600;

/// An object of about 100 bytes.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    changes: u64,
    text: String,
}

/// Each object once, then objects chosen at random; as many as are granted.
#[derive(Clone)]
struct Changes {
    granted: Arc<AtomicU64>,
    waker: Arc<OnceLock<Waker>>,
    /// Is told when all that is granted has been read.
    read: Arc<Mutex<Sender<u64>>>,
}

struct ChangesReader {
    changes: Changes,
    at: u64,
    random: Random,
}

impl Changes {
    fn grant(&self, records: u64) {
        self.granted.store(records, Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }
}

impl Source<u64> for Changes {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["0".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        // It is opened once.
        let _ = self.waker.set(waker.clone());
        Ok(Box::new(ChangesReader {
            changes: self.clone(),
            at: 0,
            random: Random::new(7),
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

impl Reader<u64> for ChangesReader {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        let granted = self.changes.granted.load(Ordering::SeqCst);
        if self.at == granted {
            return Ok(Read::Idle);
        }
        for _ in 0..(granted - self.at).min(intake.room() as u64) {
            let any = self.random.below(OBJECTS as usize) as u64;
            intake.push(if self.at < OBJECTS { self.at } else { any });
            self.at += 1;
        }
        if self.at == granted {
            let read = self.changes.read.lock().expect("nobody panics with it");
            read.send(granted).expect("the test waits for it");
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.at)
    }
}

/// Sizes of all objects of the store together, and of the largest of them, after each commit.
fn stored_bytes() -> Vec<(u64, u64)> {
    let accounts = State::<Account>::new("accounts");
    let (reads, read) = channel();
    let changes = Changes {
        granted: Arc::default(),
        waker: Arc::default(),
        read: Arc::new(Mutex::new(reads)),
    };
    let stage = |account: &mut Account, key: &u64| {
        account.changes += 1;
        account.text = format!("{key:080}");
    };
    let changed = source("changes", changes.clone())
        .key_by(|key: &u64| key)
        .to_state(&accounts, stage);
    let app = App::new("sizes").add(changed.end());
    let memory = Memory::new();
    let looked = memory.clone();
    let (commits, committed) = channel();
    let mut nonce = 0_u128;
    let place = Place {
        storage: Arc::new(memory),
        input: None,
        clock: Box::new(|| 0),
        nonces: Box::new(move || {
            nonce += 1;
            nonce
        }),
        committed: Box::new(move |_| {
            let objects = looked.list("").expect("nothing fails");
            let sizes = objects.iter().map(|object| object.bytes);
            let both = (sizes.clone().sum(), sizes.max().unwrap_or(0));
            commits.send(both).expect("the test waits for it");
        }),
        tries_again: Box::new(|_| false),
        // One after each commit: what a merge has made is there beside what it is made of.
        merge_steps: Box::new(|| 1),
    };
    let with = StoreOptions::new("memory");
    let opened = durable::open(&app, &wallaroo::Options::default(), &with, place);
    let Ready {
        program,
        resume,
        commits,
    } = opened.unwrap_or_else(|error| panic!("{error}"));
    let options = Options {
        workers: NonZeroUsize::MIN,
        listener: Some(commits.listener()),
        resume: Some(resume),
        ..Options::default()
    };
    let run = Run::start(program, options).unwrap_or_else(|error| panic!("{error}"));
    let mut sizes = Vec::new();
    for epoch in 0..=EPOCHS {
        let granted = OBJECTS + epoch * DIRTY;
        changes.grant(granted);
        assert_eq!(read.recv_timeout(PATIENCE), Ok(granted));
        run.next_epoch().expect("the run goes on");
        sizes.push(committed.recv_timeout(PATIENCE).expect("it is committed"));
    }
    run.stop();
    let outcome = run.wait();
    assert!(matches!(outcome, Outcome::Completed), "{outcome:?}");
    assert_eq!(commits.failure(), None);
    sizes
}

/// All files count: the log, what earlier commits name, and what merges have replaced and nobody has deleted yet.
#[test]
fn at_one_percent_a_second_the_store_stays_below_three_times_the_state() {
    let sizes = stored_bytes();
    // The oldest segment: it has each object once.
    let (_, live) = sizes[0];
    let most = sizes.iter().map(|(all, _)| *all).max().unwrap_or(0);
    let factor = most as f64 / live as f64;
    println!(
        "{} commits, {live} bytes of state, at most {factor:.2} times that",
        sizes.len()
    );
    assert!(live > 2 << 20, "as large as merges take seriously: {live}");
    assert!(factor < 3.0, "{factor}");
    assert!(factor > 2.0, "no merge of everything was seen: {factor}");
}
