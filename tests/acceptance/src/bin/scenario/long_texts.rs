//! A source at full speed of messages with 2 KiB on the heap, which the engine cannot see, in front of a sink that
//! is blocked at first.

use wallaroo::{App, Options, generator, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::{until, until_still};

use crate::pressure::Measurement;

/// Messages of the source.
const MESSAGES: usize = 200_000;
/// Numbers in a message.
const NUMBERS: usize = 256;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES);
    let taken = tally.clone();
    let gate = Gate::closed(move |message: Vec<usize>| taken.add(message[0]));
    let messages = generator(vec![0; NUMBERS], |last: &Vec<usize>| {
        Some(vec![last[0] + 1; NUMBERS]).filter(|next| next[0] < MESSAGES)
    });
    let running = App::new("long texts")
        .add(source("generator", messages).to_sink("gate", gate.clone()))
        .start(options)
        .expect("it starts");
    until("the gate refuses messages", || gate.has_refused());
    let nodes = until_still("the status of the application", || running.status().nodes);
    measurement.fact("read while blocked", nodes[0].messages_in);
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &tally);
    measurement.end()
}
