//! What all scenarios of flow control share: messages with numbers, and the measurement of memory.
//!
//! **Invariants.** The peak is the operating system's, so no moment is missed.

use serde::{Deserialize, Serialize};
use wallaroo::{Generator, Running, generator};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::process::{peak_resident_bytes, resident_bytes};
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::{until, until_still};

/// Bytes of a message.
const MESSAGE_BYTES: usize = 100;

/// A message with a number in it.
pub(crate) fn text(number: usize) -> String {
    format!("{number:0>MESSAGE_BYTES$}")
}

/// The number in a message.
pub(crate) fn number(text: &str) -> usize {
    let digits = text.trim_start_matches('0');
    if digits.is_empty() {
        0
    } else {
        digits.parse().expect("a message is a number")
    }
}

/// A source at full speed: messages with the numbers below `count`.
pub(crate) fn texts(count: usize) -> Generator<String> {
    generator(text(0), move |last| {
        let next = number(last) + 1;
        (next < count).then(|| text(next))
    })
}

/// One of a thousand keys.
pub(crate) fn key(message: &String) -> &str {
    &message[MESSAGE_BYTES - 3..]
}

/// A state object that counts.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Count(u64);

impl Count {
    /// Counts a message and passes it on.
    pub(crate) fn pass(&mut self, message: &String) -> Option<String> {
        self.0 += 1;
        Some(message.clone())
    }
}

/// A gate that adds the numbers of messages to a tally.
pub(crate) fn closed_gate(tally: &Tally) -> Gate<String> {
    let tally = tally.clone();
    Gate::closed(move |message: String| tally.add(number(&message)))
}

/// The measurement of a scenario, from its begin on.
pub(crate) struct Measurement {
    report: Report,
}

impl Measurement {
    pub(crate) fn begin() -> Self {
        Measurement {
            report: Report {
                idle_bytes: resident_bytes(),
                ..Report::default()
            },
        }
    }

    pub(crate) fn fact(&mut self, name: &str, value: u64) {
        self.report.facts.insert(name.to_owned(), value);
    }

    pub(crate) fn arrived(&mut self, sink: &str, tally: &Tally) {
        self.report.arrived.insert(sink.to_owned(), tally.arrived());
    }

    pub(crate) fn end(mut self) -> Report {
        self.report.peak_bytes = peak_resident_bytes();
        self.report
    }
}

/// Waits until the gate holds everything back, and notes how far the source has come.
pub(crate) fn wait_for_stall(
    measurement: &mut Measurement,
    running: &Running,
    gate: &Gate<String>,
    source: &str,
) {
    until("the gate refuses messages", || gate.has_refused());
    let nodes = until_still("the status of the application", || running.status().nodes);
    let source = nodes
        .iter()
        .find(|node| node.name == source)
        .expect("the source has a status");
    measurement.fact("read while blocked", source.messages_in);
    measurement.fact("bytes while blocked", peak_resident_bytes());
}
