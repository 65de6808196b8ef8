//! One stream into two sinks, one of which is blocked at first.

use wallaroo::{App, Options, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;

use crate::pressure::{Measurement, closed_gate, number, texts, wait_for_stall};

/// Messages of the source.
const MESSAGES: usize = 600_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let (held, free) = (Tally::once(MESSAGES), Tally::once(MESSAGES));
    let gate = closed_gate(&held);
    let taken = free.clone();
    let open = Gate::slow(usize::MAX, move |message: String| {
        taken.add(number(&message))
    });
    let texts = source("generator", texts(MESSAGES));
    let running = App::new("two sinks")
        .add(texts.clone().to_sink("gate", gate.clone()))
        .add(texts.to_sink("open", open))
        .start(options)
        .expect("it starts");
    wait_for_stall(&mut measurement, &running, &gate, "generator");
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &held);
    measurement.arrived("open", &free);
    measurement.end()
}
