//! An application with the command line of a real one: counts lines of a TCP source and writes the counts to a
//! file. It takes its arguments from the command line, so it is chosen by the environment.

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, source, stdout, tcp_listener};

/// The variable that chooses this scenario: where to listen.
pub(crate) const ADDRESS: &str = "SCENARIO_SIGNALS_ADDRESS";

#[derive(Default, Serialize, Deserialize)]
struct Lines(u64);

impl Lines {
    fn count(&mut self, line: &String) -> Option<String> {
        // A line that takes for ever: the application can only be aborted.
        if line == "for ever" {
            loop {
                std::thread::park();
            }
        }
        self.0 += 1;
        Some(format!("{} {line}", self.0))
    }
}

pub(crate) fn run() {
    let address = std::env::var(ADDRESS).expect("the caller has looked");
    let lines = State::<Lines>::new("lines");
    App::new("signals")
        .add(
            source("input", tcp_listener(&address).lines())
                .collect()
                .to_state(&lines, Lines::count)
                .to_sink("output", stdout().lines()),
        )
        .main();
}
