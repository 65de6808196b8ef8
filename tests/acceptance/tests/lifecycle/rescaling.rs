use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::num::NonZeroUsize;

use wallaroo::{App, Code, Options, State, generator, memory, source, tcp_listener};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::{Arrived, Tally};
use wallaroo_acceptance::waiting::until;

use crate::Count;

const MESSAGES: u64 = 300_000;
const KEYS: u64 = 1_000;

/// Each key's messages are numbered without a gap and without a repetition, in the order of the source.
#[test]
fn counts_stay_exact_when_workers_come_and_go_under_load() {
    let numbered = memory::<(u64, u64)>();
    let counts = State::<Count>::new("counts");
    let numbers = generator(0u64, |number| {
        Some(number + 1).filter(|next| *next < MESSAGES)
    });
    let running = App::new("rescaling")
        .add(
            source("numbers", numbers)
                .key_by_value(|number| number % KEYS)
                .to_state(&counts, Count::number)
                .to_sink("numbered", numbered.clone()),
        )
        .start(Options::with_workers(1))
        .expect("it starts");
    for (step, workers) in [3, 2, 4, 1, 2].into_iter().enumerate() {
        let seen = step as u64 * MESSAGES / 8;
        until("some more messages are read", || {
            running.status().nodes[0].messages_in > seen
        });
        running.rescale(NonZeroUsize::new(workers).expect("it is not zero"));
        until("the workers are there", || {
            running.status().workers == workers
                || running.wait_timeout(Default::default()).is_some()
        });
    }
    ending::wait(&running).expect("it completes");
    let mut per_key: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for (number, count) in numbered.take() {
        per_key
            .entry(number % KEYS)
            .or_default()
            .push((number, count));
    }
    for key in 0..KEYS {
        let expected = (0..MESSAGES / KEYS).map(|round| (round * KEYS + key, round + 1));
        assert!(
            per_key[&key].iter().copied().eq(expected),
            "key {key}: {:?}",
            per_key[&key]
        );
    }
}

#[test]
fn a_rescale_of_a_stopped_application_does_nothing() {
    let running = App::new("rescaling")
        .add(source("numbers", generator(0u64, |number| Some(number + 1))).end())
        .start(Options::default())
        .expect("it starts");
    running.stop();
    running.rescale(NonZeroUsize::new(2).expect("it is not zero"));
    ending::wait(&running).expect("it completes");
    running.rescale(NonZeroUsize::MIN);
    assert_eq!(running.wait(), Ok(()));
}

/// Whatever comes in between, an application that is told to stop ends, with nothing lost that was read.
#[test]
fn a_stop_in_the_middle_of_rescales_keeps_what_was_read() {
    for round in 0..40u64 {
        let numbered = memory::<(u64, u64)>();
        let counts = State::<Count>::new("counts");
        let numbers = generator(0u64, |number| Some(number + 1));
        let running = App::new("rescaling")
            .add(
                source("numbers", numbers)
                    .key_by_value(|number| number % 10)
                    .to_state(&counts, Count::number)
                    .to_sink("numbered", numbered.clone()),
            )
            .start(Options::with_workers(2))
            .expect("it starts");
        for workers in [3, 1, 2] {
            running.rescale(NonZeroUsize::new(workers).expect("it is not zero"));
            until("some messages are read", || {
                running.status().nodes[0].messages_in > round * 100
            });
        }
        running.rescale(NonZeroUsize::new(4).expect("it is not zero"));
        running.stop();
        ending::wait(&running).expect("it completes");
        let mut found: Vec<u64> = numbered.take().iter().map(|(number, _)| *number).collect();
        found.sort_unstable();
        assert!(
            found
                .into_iter()
                .eq(0..running.status().nodes[0].messages_in)
        );
    }
}

/// A rescale waits for what is on its way, so it goes on when the sink does.
#[test]
fn a_rescale_behind_a_blocked_sink_goes_on_when_the_sink_does() {
    let tally = Tally::once(50_000);
    let taken = tally.clone();
    let gate = Gate::closed(move |(number, _): (usize, u64)| taken.add(number));
    let counts = State::<Count>::new("counts");
    let numbers = generator(0usize, |number| {
        Some(number + 1).filter(|next| *next < 50_000)
    });
    let running = App::new("rescaling")
        .add(
            source("numbers", numbers)
                .key_by_value(|number| number % 10)
                .to_state(&counts, Count::number)
                .to_sink("gate", gate.clone()),
        )
        .start(Options::with_workers(2))
        .expect("it starts");
    until("the gate refuses messages", || gate.has_refused());
    running.rescale(NonZeroUsize::new(3).expect("it is not zero"));
    gate.open();
    ending::wait(&running).expect("it completes");
    let arrived = Arrived {
        out_of_order: 0,
        ..tally.arrived()
    };
    assert_eq!(arrived, Arrived::all(50_000));
}

/// A panic while workers come and go is told like any other.
#[test]
fn a_panic_in_the_middle_of_rescales_ends_the_run() {
    for round in 1..40u64 {
        let counts = State::<Count>::new("counts");
        let numbers = generator(0u64, |number| Some(number + 1));
        let fail = move |count: &mut Count, number: &u64| {
            assert!(*number < round * 1_000, "enough");
            count.0 += 1;
        };
        let running = App::new("rescaling")
            .add(
                source("numbers", numbers)
                    .key_by_value(|number| number % 10)
                    .to_state(&counts, fail)
                    .end(),
            )
            .start(Options::with_workers(2))
            .expect("it starts");
        for workers in [3, 1, 2, 4] {
            running.rescale(NonZeroUsize::new(workers).expect("it is not zero"));
        }
        let error = ending::wait(&running).expect_err("it fails");
        assert_eq!(error.code(), Code::UserPanic);
    }
}

/// The number of partitions stays: those that are there from the start are dealt out anew.
#[test]
fn connections_are_read_on_as_the_partitions_they_are_in_change_workers() {
    const CLIENTS: u64 = 6;
    let listener =
        tcp_listener("127.0.0.1:0").partitions(NonZeroUsize::new(4).expect("it is not zero"));
    let listener = listener.bind().expect("a port is free");
    let address = listener.local_address().expect("it is bound");
    let lines = memory::<String>();
    let running = App::new("rescaling")
        .add(source("lines", listener.lines()).to_sink("lines out", lines.clone()))
        .start(Options::default())
        .expect("it starts");
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    let mut expected = Vec::new();
    for workers in [1, 4, 2] {
        running.rescale(NonZeroUsize::new(workers).expect("it is not zero"));
        for (number, client) in clients.iter_mut().enumerate() {
            writeln!(client, "{number} to {workers}").expect("it reads");
            expected.push(format!("{number} to {workers}"));
        }
        until("all lines are through", || lines.len() == expected.len());
        assert_eq!(running.status().workers, workers);
    }
    drop(clients);
    running.stop();
    ending::wait(&running).expect("it completes");
    let mut lines = lines.take();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}
