//! Two keyed stages in a row, and the same output in two files of different delivery.

use std::path::Path;

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, file_sink, source};

use crate::input::{Message, Numbers};

/// Groups of keys, counted by the second stage.
pub const GROUPS: u64 = 7;
/// The file that shows committed output only.
pub const COMMITTED: &str = "committed.csv";
/// The file that shows output at once.
pub const AT_ONCE: &str = "at-once.csv";

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

/// A message with what the object of its key has counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    partition: u64,
    number: u64,
    key: u64,
    count: u64,
}

/// A row of the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Partition of the message.
    pub partition: u64,
    /// Its number there.
    pub number: u64,
    /// Its key.
    pub key: u64,
    /// How many messages of the key there had been, with this one.
    pub count: u64,
    /// How many messages of the group of keys there had been, with this one.
    pub of_group: u64,
}

/// The application, writing to files in `directory`.
pub fn application(directory: &Path, numbers: Numbers) -> App {
    let (keys, groups) = (State::<Count>::new("keys"), State::<Count>::new("groups"));
    let rows = source("numbers", numbers)
        .key_by(|message: &Message| &message.key)
        .to_state(&keys, |count: &mut Count, message: &Message| {
            count.0 += 1;
            Some(Counted {
                partition: message.partition,
                number: message.number,
                key: message.key,
                count: count.0,
            })
        })
        .key_by_value(|counted: &Counted| counted.key % GROUPS)
        .to_state(&groups, |count: &mut Count, counted: &Counted| {
            count.0 += 1;
            Some(Row {
                partition: counted.partition,
                number: counted.number,
                key: counted.key,
                count: counted.count,
                of_group: count.0,
            })
        });
    let at_once = file_sink(directory.join(AT_ONCE)).visible_at_once(true);
    App::new("crash")
        .add(rows.clone().to_sink(
            "committed",
            file_sink(directory.join(COMMITTED)).csv::<Row>(),
        ))
        .add(rows.to_sink("at-once", at_once.csv::<Row>()))
}
