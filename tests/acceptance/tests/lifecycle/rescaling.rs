use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use wallaroo::{App, Options, State, generator, memory, source};
use wallaroo_acceptance::ending;
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
