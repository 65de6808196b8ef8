//! An application whose sources cannot replay, on the command line: an acknowledged one and a plain one.
//!
//! **Invariants.** Addresses and directory come from `S3_INPUT_ACKNOWLEDGED`, `S3_INPUT_PLAIN` and `S3_APP_DIRECTORY`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, file_sink, source, tcp_listener};

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let directory = PathBuf::from(variable("S3_APP_DIRECTORY"));
    // A record is the name of its sender and its number.
    let of_sender = |record: &String| record.split(' ').next().unwrap_or_default().to_owned();
    let count = |count: &mut Count, record: &String| {
        count.0 += 1;
        Some(format!("{record} {}", count.0))
    };
    let acknowledged = tcp_listener(variable("S3_INPUT_ACKNOWLEDGED")).acknowledged();
    let acknowledged = source("acknowledged", acknowledged.lines())
        .key_by_value(of_sender)
        .to_state(&State::<Count>::new("acknowledged"), count);
    let plain = tcp_listener(variable("S3_INPUT_PLAIN")).lines();
    let plain = source("plain", plain)
        .key_by_value(of_sender)
        .to_state(&State::<Count>::new("plain"), count);
    let file = |name: &str| file_sink(directory.join(name));
    App::new("input")
        .add(acknowledged.to_sink("acknowledged-rows", file("acknowledged.txt").lines()))
        .add(
            plain
                .clone()
                .to_sink("plain-rows", file("plain.txt").lines()),
        )
        .add(plain.to_sink(
            "plain-at-once",
            file("plain-at-once.txt").visible_at_once(true).lines(),
        ))
        .main();
}
