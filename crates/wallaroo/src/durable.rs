//! Applications with a store: checkpoints, recovery, and output that is there exactly once.

mod checkpoints;
mod collector;
mod committed;
mod committer;
mod inline;
mod input;
mod merges;
mod nonce;
mod open;
mod options;
mod pace;
mod recovery;
mod staged;
mod stored;

pub use checkpoints::CheckpointStatus;
pub(crate) use checkpoints::{CheckpointView, Checkpoints};
pub(crate) use committed::Committed;
pub(crate) use inline::{Inline, Patience};
use input::within;
pub(crate) use input::{InputPlace, SourceDurability, SourceLog};
pub(crate) use nonce::random as random_nonce;
pub(crate) use open::{Opened, Place, open, open_in, store_error};
pub use options::StoreOptions;
pub(crate) use recovery::GoBack;

use wallaroo_core::{Code, Position};
use wallaroo_store::StoreError;

/// The code of an error of the store.
fn code_of(error: &StoreError) -> Code {
    let number = error.number();
    let known = Code::ALL.iter().find(|code| code.number() == number);
    known.copied().unwrap_or(Code::StoreAccess)
}

/// A position as it stands in commit records.
fn to_json(position: &Position) -> serde_json::Value {
    serde_json::to_value(position).expect("a position is JSON")
}
