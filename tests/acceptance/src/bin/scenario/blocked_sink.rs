//! Two sources at full speed, one in the program and one of a TCP client, in front of a sink that is blocked
//! at first.

use wallaroo::{App, Options, State, source, tcp_listener};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::{until, until_still};

use crate::client::Client;
use crate::pressure::{Count, Measurement, closed_gate, key, texts, wait_for_stall};

/// Messages of each source: more than flow control lets in by far.
const MESSAGES: usize = 400_000;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(2 * MESSAGES);
    let gate = closed_gate(&tally);
    let counts = State::<Count>::new("counts");
    let lines = tcp_listener("127.0.0.1:0").bind().expect("a port is free");
    let address = lines.local_address().expect("it is bound");
    let running = App::new("blocked sink")
        .add(
            source("generator", texts(MESSAGES))
                .merge(source("lines", lines.lines()))
                .key_by(key)
                .to_state(&counts, Count::pass)
                .to_sink("gate", gate.clone()),
        )
        .start(options)
        .expect("it starts");
    let client = Client::start(address, MESSAGES..2 * MESSAGES);

    wait_for_stall(&mut measurement, &running, &gate, "generator");
    until("the client cannot send", || client.stalls() > 0);
    let written = until_still("what the client has sent", || client.written_bytes());
    measurement.fact("sent while blocked", written);

    gate.open();
    client.join();
    until("everything has arrived", || {
        tally.total() >= 2 * MESSAGES as u64
    });
    running.stop();
    ending::wait(&running).expect("it completes");
    measurement.arrived("gate", &tally);
    measurement.end()
}
