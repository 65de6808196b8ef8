//! A source at full speed for all messages of which a stage fails, in front of a sink of dead letters that is
//! blocked at first.

use wallaroo::{App, DeadLetter, Options, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::{until, until_still};

use crate::pressure::{Measurement, key, number, texts};

/// Messages of the source.
const MESSAGES: usize = 400_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES);
    let taken = tally.clone();
    let gate = Gate::closed(move |letter: DeadLetter| {
        let text: String = serde_json::from_slice(&letter.message).expect("the message is a text");
        taken.add(number(&text));
    });
    let refuse = |_: &String| -> Result<(), &str> { Err("not today") };
    let running = App::new("letters")
        .add(
            source("generator", texts(MESSAGES))
                .key_by(key)
                .to(refuse)
                .dead_letter("letters", gate.clone())
                .end(),
        )
        .start(options)
        .expect("it starts");
    until("the gate refuses messages", || gate.has_refused());
    let nodes = until_still("the status of the application", || running.status().nodes);
    measurement.fact("read while blocked", nodes[0].messages_in);
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("letters", &tally);
    measurement.end()
}
