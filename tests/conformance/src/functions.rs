//! The functions without state that scenarios are made of.
//!
//! **Invariants.** Every language has the same ones under the same names.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::Stream;

/// The message of all scenarios.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Usually its key.
    pub key: String,
    /// A number.
    pub value: i64,
}

impl Event {
    /// An event of the same key.
    #[must_use]
    pub fn with_value(&self, value: i64) -> Event {
        Event {
            key: self.key.clone(),
            value,
        }
    }
}

/// A function that gives at most one event.
pub type One = fn(&Event) -> Result<Option<Event>, String>;

/// The function of this name that gives at most one event.
#[must_use]
pub fn one(name: &str) -> Option<One> {
    Some(match name {
        "double" => |event| Ok(Some(event.with_value(2 * event.value))),
        "positive" => |event| Ok((event.value > 0).then(|| event.clone())),
        "refuse_zero" => |event| match event.value {
            0 => Err("the value is zero".to_owned()),
            _ => Ok(Some(event.clone())),
        },
        // A millisecond for every tenth event: a process that takes long enough to be killed.
        "slowly" => |event| {
            if event.value % 10 == 0 {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Ok(Some(event.clone()))
        },
        _ => return None,
    })
}

/// The function of this name that gives many events.
#[must_use]
pub fn many(name: &str) -> Option<fn(&Event) -> Vec<Event>> {
    Some(match name {
        "count_up" => |event| (1..=event.value).map(|n| event.with_value(n)).collect(),
        _ => return None,
    })
}

/// The predicate of this name.
#[must_use]
pub fn predicate(name: &str) -> Option<fn(&Event) -> bool> {
    Some(match name {
        "is_even" => |event| event.value % 2 == 0,
        _ => return None,
    })
}

/// The stream with the key of this name.
#[must_use]
pub fn keyed(stream: Stream<Event>, name: &str) -> Option<Stream<Event>> {
    Some(match name {
        "key" => stream.key_by(|event| &event.key),
        "parity" => stream.key_by_value(|event| event.value.rem_euclid(2)),
        "pair" => stream.key_by_value(|event| (event.key.clone(), event.value % 2 == 0)),
        _ => return None,
    })
}
