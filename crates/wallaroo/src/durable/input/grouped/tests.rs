//! Readers whose messages wait for their object, and who is woken when.
//!
//! **Invariants.** Time plays no part but in how long a test that fails waits.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use wallaroo_core::{PartitionId, Source};
use wallaroo_store::Memory;
use wallaroo_store::testing::{Faults, Faulty};

use super::super::group::GroupLog;
use super::*;
use crate::connectors::channel as source_channel;

const PATIENCE: Duration = Duration::from_secs(30);

/// A waker that tells each call.
fn waker() -> (Waker, Receiver<()>) {
    let (woken, wakes): (Sender<()>, _) = channel();
    let woken = std::sync::Mutex::new(woken);
    let waker = Waker::new(move || {
        // An error means that the test is over.
        let _ = woken.lock().expect("no test panics here").send(());
    });
    (waker, wakes)
}

/// What comes until the reader rests.
fn taken(reader: &mut GroupedReader<u64>, next: &mut u64) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let mut intake = Intake::new(PartitionId(0), *next, 100, 10_000);
        let read = reader.read(&mut intake).expect("memory does not fail");
        found.extend_from_slice(intake.messages());
        *next = intake.next_number();
        match read {
            Read::More => {}
            Read::Idle => return found,
            other => panic!("a channel that is open gave {other:?}"),
        }
    }
}

/// A portion waits for its object, and the next messages come before it is handed on. The wake-up of the channel and that of the log
/// are one then; what the channel had said before, that it was empty, was taken for what it says now, and nobody woke again.
#[test]
fn messages_that_come_while_others_wait_are_not_forgotten() {
    let log = GroupLog::open(Arc::new(Memory::new()), 1, Duration::ZERO).expect("it opens");
    let (waker, wakes) = waker();
    let (sender, mut numbers) = source_channel::<u64>(100);
    let within = numbers.open("channel", None, &waker).expect("it opens");
    let mut reader = GroupedReader::open(
        log.shared(),
        ("numbers", "channel"),
        1,
        Some(within),
        &waker,
    );
    let mut next = 1;
    assert!(taken(&mut reader, &mut next).is_empty());
    sender.send(1).expect("it is open");
    wakes.recv_timeout(PATIENCE).expect("the channel wakes");
    // It is read, and waits; unless its object is there already.
    let mut found = taken(&mut reader, &mut next);
    while found.is_empty() && log.shared().durable().expect("memory does not fail") == 0 {
        wakes.recv_timeout(PATIENCE).expect("the log wakes");
    }
    sender.send(2).expect("it is open");
    while wakes.try_recv().is_ok() {}
    found.extend(taken(&mut reader, &mut next));
    while found != [1, 2] {
        wakes.recv_timeout(PATIENCE).expect("somebody wakes");
        found.extend(taken(&mut reader, &mut next));
    }
}

/// While the server cannot be reached nothing is handed on, and the log says why; it goes on by itself.
#[test]
fn a_log_that_cannot_be_written_says_so_and_goes_on() {
    let storage = Arc::new(Faulty::new(Arc::new(Memory::new()), Faults::default()));
    let log = GroupLog::open(Arc::clone(&storage) as _, 1, Duration::ZERO).expect("it opens");
    let shared = Arc::clone(log.shared());
    let (waker, wakes) = waker();
    let (sender, mut numbers) = source_channel::<u64>(100);
    let within = numbers.open("channel", None, &waker).expect("it opens");
    let place = ("numbers", "channel");
    let mut reader = GroupedReader::open(&shared, place, 1, Some(within), &waker);
    let mut next = 1;
    storage.set_faults(Faults {
        before_per_mille: 1000,
        ..Faults::default()
    });
    sender.send(1).expect("it is open");
    assert!(taken(&mut reader, &mut next).is_empty());
    let clock = wallaroo_core::SystemClock::new();
    let began = wallaroo_core::Clock::now(&clock);
    let why = loop {
        if let Some(why) = shared.waits.why() {
            break why;
        }
        let waited = wallaroo_core::Clock::now(&clock).since(began);
        assert!(waited < PATIENCE, "it never says that it waits");
        std::thread::yield_now();
    };
    assert!(
        why.starts_with("the input log cannot be written: "),
        "{why}"
    );
    assert!(taken(&mut reader, &mut next).is_empty(), "it is not there");
    storage.set_faults(Faults::default());
    let mut found = taken(&mut reader, &mut next);
    while found.is_empty() {
        wakes.recv_timeout(PATIENCE).expect("the log wakes");
        found = taken(&mut reader, &mut next);
    }
    assert_eq!(found, [1]);
    assert_eq!(shared.waits.why(), None);
}
