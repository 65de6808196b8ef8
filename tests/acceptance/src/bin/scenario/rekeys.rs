//! Three states in a row, each behind a `key_by` of its own, each of which makes several messages of one, in
//! front of a slow sink.

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, generator, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;

use crate::pressure::{Measurement, key, number, text};

/// Messages of the source.
const MESSAGES: usize = 8_000;
/// Messages that each state makes of one.
const FACTOR: usize = 4;
/// Messages that the sink takes at a time.
const PER_CALL: usize = 64;

#[derive(Default, Serialize, Deserialize)]
struct Expander(u64);

impl Expander {
    fn expand(&mut self, message: &String) -> Vec<String> {
        self.0 += 1;
        let first = number(message) * FACTOR;
        (first..first + FACTOR).map(text).collect()
    }
}

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let tally = Tally::once(MESSAGES * FACTOR.pow(3));
    let taken = tally.clone();
    let sink = Gate::slow(PER_CALL, move |message: String| taken.add(number(&message)));
    let states = ["first", "second", "third"].map(State::<Expander>::new);
    let numbers = generator(0, |number| Some(number + 1).filter(|next| *next < MESSAGES));
    let app = App::new("rekeys").add(
        source("numbers", numbers)
            .to(|number: &usize| Some(text(*number)))
            .key_by(key)
            .to_state(&states[0], Expander::expand)
            .named("first expansion")
            .key_by(key)
            .to_state(&states[1], Expander::expand)
            .named("second expansion")
            .key_by(key)
            .to_state(&states[2], Expander::expand)
            .named("third expansion")
            .to_sink("sink", sink),
    );
    ending::run(app, options).expect("it completes");
    measurement.arrived("sink", &tally);
    measurement.end()
}
