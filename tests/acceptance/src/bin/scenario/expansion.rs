//! A stage that makes 1,000 messages of one, in front of a `key_by` and of a sink that is blocked at first.

use wallaroo::{App, Options, State, generator, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::tally::Tally;

use crate::pressure::{Count, Measurement, closed_gate, key, text, wait_for_stall};

/// Messages of the source.
const MESSAGES: usize = 600;
/// Messages that are made of each.
const FACTOR: usize = 1000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES * FACTOR);
    let gate = closed_gate(&tally);
    let counts = State::<Count>::new("counts");
    let numbers = generator(0, |number| Some(number + 1).filter(|next| *next < MESSAGES));
    let expand = |number: &usize| {
        let first = number * FACTOR;
        (first..first + FACTOR).map(text).collect::<Vec<_>>()
    };
    let running = App::new("expansion")
        .add(
            source("numbers", numbers)
                .to(expand)
                .named("expand")
                .key_by(key)
                .to_state(&counts, Count::pass)
                .to_sink("gate", gate.clone()),
        )
        .start(options)
        .expect("it starts");
    wait_for_stall(&mut measurement, &running, &gate, "expand");
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &tally);
    measurement.end()
}
