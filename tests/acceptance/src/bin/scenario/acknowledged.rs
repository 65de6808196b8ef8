//! An application that listens to acknowledged senders, until it is killed. Its address and directory come from the
//! environment, so it is chosen by that.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, file_sink, source, tcp_listener};

/// The variables that choose this scenario: where to listen, and where store and output are.
pub(crate) const ADDRESS: &str = "SCENARIO_ACKNOWLEDGED_ADDRESS";
const DIRECTORY: &str = "SCENARIO_ACKNOWLEDGED_DIRECTORY";

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

pub(crate) fn run() {
    let address = std::env::var(ADDRESS).expect("the caller has looked");
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("it is given too"));
    let counts = State::<Count>::new("counts");
    // A record is the name of its sender and its number.
    let rows = source("records", tcp_listener(&address).acknowledged().lines())
        .key_by_value(|record: &String| record.split(' ').next().unwrap_or_default().to_owned())
        .to_state(&counts, |count: &mut Count, record: &String| {
            count.0 += 1;
            Some(format!("{record} {}", count.0))
        });
    let store = directory.join("store").display().to_string();
    let options = Options {
        store: Some(StoreOptions::new(store).every(Duration::from_millis(30))),
        ..Options::with_workers(2)
    };
    App::new("acknowledged")
        .add(rows.to_sink("rows", file_sink(directory.join("rows.txt")).lines()))
        .run(options)
        .expect("it runs until it is killed");
}
