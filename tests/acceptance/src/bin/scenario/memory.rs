//! An application whose state grows without end, with a limit of memory and a store: it is chosen by its environment.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, file_sink, generator, source};

/// The variables that choose this scenario: where store and output are, the limit in MiB (0 for none), and how many messages
/// there are.
pub(crate) const DIRECTORY: &str = "SCENARIO_MEMORY_DIRECTORY";
const LIMIT: &str = "SCENARIO_MEMORY_MIB";
const COUNT: &str = "SCENARIO_MEMORY_COUNT";

#[derive(Default, Serialize, Deserialize)]
struct Large(String);

pub(crate) fn run() {
    let number = |name: &str| {
        let text = std::env::var(name).expect("it is given too");
        text.parse::<u64>().expect("it is a number")
    };
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("the caller has looked"));
    let (limit, count) = (number(LIMIT), number(COUNT));
    let numbers = generator(0_u64, move |last| (last + 1 < count).then_some(last + 1));
    let rows = source("numbers", numbers)
        .key_by(|number: &u64| number)
        .to_state(
            &State::<Large>::new("large"),
            |large: &mut Large, number: &u64| {
                large.0 = "x".repeat(1000);
                Some(number.to_string())
            },
        );
    let store = directory.join("store").display().to_string();
    App::new("memory")
        .add(rows.to_sink("rows", file_sink(directory.join("rows.txt")).lines()))
        .main_with(Options {
            store: Some(StoreOptions::new(store).every(Duration::from_millis(20))),
            memory_limit: (limit > 0).then_some(limit << 20),
            ..Options::default()
        });
}
