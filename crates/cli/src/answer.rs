//! [`Answer`]: what a command found; [`Failure`]: why there is no answer.
//!
//! **Invariants.** Text and JSON say the same. Both end with a line end.

use std::fmt;

use serde::Serialize;
use wallaroo_core::Code;
use wallaroo_store::StoreError;

/// What a command found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: String,
    /// Whether something in the store is not as it was written.
    pub(crate) has_damage: bool,
}

impl Answer {
    /// All is well.
    pub(crate) fn new(text: String, json: &impl Serialize) -> Self {
        Answer {
            text,
            json: pretty(json),
            has_damage: false,
        }
    }
}

/// Indented JSON.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    let mut json = serde_json::to_string_pretty(value).expect("all keys are text");
    json.push('\n');
    json
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store does not have it, or is damaged or out of reach.
    Store(StoreError),
    /// The command line names something that cannot be a key.
    Key(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Store(error) => write!(f, "{}: {error}", code(error)),
            Failure::Key(what) => write!(f, "{}: {what}", Code::Option),
        }
    }
}

/// The code of an error, as it is shown.
pub(crate) fn code(error: &StoreError) -> String {
    format!("WAL-{:04}", error.number())
}
