//! A source at full speed, all messages of which have one key, whose handler is slow.

use wallaroo::{App, Options, State, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;

use crate::pressure::{Count, Measurement, number, texts};

/// Messages: more than flow control lets in by far.
const MESSAGES: usize = 600_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES);
    let counts = State::<Count>::new("counts");
    let taken = tally.clone();
    let sink = Gate::slow(usize::MAX, move |message: String| {
        taken.add(number(&message))
    });
    // Slower than the source, which does not wait: it goes through the message several times.
    let slow = |count: &mut Count, message: &String| {
        let sum: u64 = (0..4).flat_map(|_| message.bytes()).map(u64::from).sum();
        (sum > 0).then(|| count.pass(message)).flatten()
    };
    let app = App::new("hot key").add(
        source("generator", texts(MESSAGES))
            .collect()
            .to_state(&counts, slow)
            .to_sink("sink", sink),
    );
    ending::run(app, options).expect("it completes");
    measurement.arrived("sink", &tally);
    measurement.end()
}
