//! One source that never has anything and one at full speed: merged, and on one state.

use wallaroo::{App, Options, State, channel, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::until;

use crate::pressure::{Count, Measurement, key, number, texts};

/// Messages of the busy source: more than the credit of a process.
const MESSAGES: usize = 600_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES);
    let taken = tally.clone();
    let sink = Gate::slow(usize::MAX, move |message: String| {
        taken.add(number(&message))
    });
    let counts = State::<Count>::new("counts");
    let (_merged_sender, merged) = channel::<String>(10);
    let (_shared_sender, shared) = channel::<String>(10);
    let running = App::new("idle source")
        .add(
            source("generator", texts(MESSAGES))
                .merge(source("idle, merged", merged))
                .key_by(key)
                .to_state(&counts, Count::pass)
                .to_sink("sink", sink),
        )
        .add(
            source("idle, with the state", shared)
                .key_by(key)
                .to_state(&counts, Count::pass)
                .named("idle pass")
                .end(),
        )
        .start(options)
        .expect("it starts");
    until("the messages of the busy source have arrived", || {
        tally.total() >= MESSAGES as u64
    });
    running.stop();
    ending::wait(&running).expect("it completes");
    measurement.arrived("sink", &tally);
    measurement.end()
}
