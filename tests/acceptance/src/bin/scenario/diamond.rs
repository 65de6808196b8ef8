//! A stream that is used twice and merged again, in front of a sink that is blocked at first.

use wallaroo::{App, Options, State, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::tally::Tally;

use crate::pressure::{Count, Measurement, closed_gate, key, texts, wait_for_stall};

/// Messages of the source.
const MESSAGES: usize = 300_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::times(MESSAGES, 2);
    let gate = closed_gate(&tally);
    let (left, right) = (State::<Count>::new("left"), State::<Count>::new("right"));
    let joined = State::<Count>::new("joined");
    let texts = source("generator", texts(MESSAGES)).key_by(key);
    let one = texts
        .clone()
        .to_state(&left, Count::pass)
        .named("one side")
        .key_by(key);
    let other = texts
        .to(|message: &String| Some(message.clone()))
        .key_by(key)
        .to_state(&right, Count::pass)
        .named("other side")
        .key_by(key);
    let running = App::new("diamond")
        .add(
            one.merge(other)
                .to_state(&joined, Count::pass)
                .named("joined side")
                .to_sink("gate", gate.clone()),
        )
        .start(options)
        .expect("it starts");
    wait_for_stall(&mut measurement, &running, &gate, "generator");
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &tally);
    measurement.end()
}
