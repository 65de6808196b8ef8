//! A source at full speed, all messages of which have one key, whose handler is slow, in front of a sink
//! that is blocked at first.

use wallaroo::{App, Options, State, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::until;

use crate::pressure::{Count, Measurement, closed_gate, texts, wait_for_stall};

/// Messages: more than flow control lets in by far.
const MESSAGES: usize = 600_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES);
    let counts = State::<Count>::new("counts");
    let gate = closed_gate(&tally);
    // Slower than the source, which does not wait: it goes through the message several times.
    let slow = |count: &mut Count, message: &String| {
        let sum: u64 = (0..4).flat_map(|_| message.bytes()).map(u64::from).sum();
        (sum > 0).then(|| count.pass(message)).flatten()
    };
    let running = App::new("hot key")
        .add(
            source("generator", texts(MESSAGES))
                .collect()
                .to_state(&counts, slow)
                .to_sink("gate", gate.clone()),
        )
        .start(options)
        .expect("it starts");
    wait_for_stall(&mut measurement, &running, &gate, "generator");
    gate.open();
    until("everything has arrived", || {
        tally.total() >= MESSAGES as u64
    });
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &tally);
    measurement.end()
}
