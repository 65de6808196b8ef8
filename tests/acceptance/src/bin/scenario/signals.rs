//! An application with the command line of a real one: counts lines of a TCP source and writes the counts to the
//! standard output, at once or not before it is told to. It takes its arguments from the command line, so it is chosen by
//! the environment.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, source, stdout, tcp_listener};
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::waiting::until;

/// The variable that chooses this scenario: where to listen.
pub(crate) const ADDRESS: &str = "SCENARIO_SIGNALS_ADDRESS";
/// The variable with the path of a file: the sink takes nothing before it is there. It says "full" in the log when it has
/// been offered something.
const GATE: &str = "SCENARIO_SIGNALS_GATE";

/// So short that a test need not wait for it.
const STUCK_AFTER: Duration = Duration::from_millis(200);

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
    let listener = tcp_listener(&address).max_connections(1);
    let counted = source("input", listener.lines())
        .collect()
        .to_state(&lines, Lines::count);
    let pipeline = match std::env::var_os(GATE) {
        None => counted.to_sink("output", stdout().lines()),
        Some(path) => counted.to_sink("output", gate(path.into())),
    };
    App::new("signals").add(pipeline).main_with(Options {
        stuck_after: STUCK_AFTER,
        ..Options::default()
    });
}

fn gate(path: PathBuf) -> Gate<String> {
    let gate = Gate::closed(|line: String| {
        writeln!(std::io::stdout(), "{line}").expect("the parent reads it");
    });
    let opened = gate.clone();
    std::thread::Builder::new()
        .name("gate".to_owned())
        .spawn(move || {
            until("the sink is offered something", || opened.has_refused());
            writeln!(std::io::stderr(), "full").expect("the parent reads it");
            until("the parent lets it through", || path.exists());
            opened.open();
        })
        .expect("a thread can be had");
    gate
}
