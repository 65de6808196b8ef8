//! Scenarios that need a process of their own. The tests of this package start it, with the name of the
//! scenario and the number of workers.

#![allow(
    clippy::ptr_arg,
    reason = "computations take messages by reference, whatever their type"
)]

mod acknowledged;
mod blocked_sink;
mod client;
mod diamond;
mod embedded;
mod expansion;
mod hot_key;
mod idle_source;
mod large_message;
mod letters;
mod long_texts;
mod memory;
mod pressure;
mod rejected;
mod rekeys;
mod restarts;
mod signals;
mod two_sinks;

use std::io::Write as _;

use wallaroo::Options;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os(signals::ADDRESS).is_some() {
        return signals::run();
    }
    if std::env::var_os(embedded::DIRECTORY).is_some() {
        return embedded::run();
    }
    if std::env::var_os(acknowledged::ADDRESS).is_some() {
        return acknowledged::run();
    }
    if std::env::var_os(memory::DIRECTORY).is_some() {
        return memory::run();
    }
    let [scenario, workers] = arguments.as_slice() else {
        panic!("give the name of a scenario and a number of workers, not {arguments:?}");
    };
    let workers = workers.parse().expect("the number of workers is a number");
    let options = Options::with_workers(workers);
    let report = match scenario.as_str() {
        "blocked-sink" => blocked_sink::run(options),
        "diamond" => diamond::run(options),
        "expansion" => expansion::run(options),
        "hot-key" => hot_key::run(options),
        "idle-source" => idle_source::run(options),
        "large-message" => large_message::run(options),
        "letters" => letters::run(options),
        "long-texts" => long_texts::run(options),
        "rejected" => rejected::run(options),
        "rekeys" => rekeys::run(options),
        "restarts" => restarts::run(&options),
        "two-sinks" => two_sinks::run(options),
        unknown => panic!("there is no scenario {unknown:?}"),
    };
    let report = serde_json::to_string(&report).expect("a report has a JSON form");
    writeln!(std::io::stdout(), "{report}").expect("the parent reads it");
}
