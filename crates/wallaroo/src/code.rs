//! User functions as the engine calls them: the Rust host.
//!
//! Each type here wraps a user function and goes through a batch in a loop that is compiled for it.
//!
//! **Invariants.** No allocation, lock or hash per message here. The index of the message is noted before
//! each call, so that a panic is attributed to the right one.

mod adapters;
mod keys;
mod stages;

pub(crate) use adapters::{SinkOf, SourceOf};
pub(crate) use keys::{ByReference, ByValue, KeyCode, OneKey};
pub(crate) use stages::{ContextCode, EncodeCode, SplitCode, StageCode, StateCode};

use wallaroo_core::Messages;
use wallaroo_core::messages::downcast;

/// A message as JSON, for people.
fn as_json<T: serde::Serialize + Send + 'static>(messages: &dyn Messages, index: usize) -> Vec<u8> {
    serde_json::to_vec(&downcast::<Vec<T>>(messages)[index])
        .unwrap_or_else(|error| format!("(no JSON form: {error})").into_bytes())
}
