//! Threads of connectors, all started here.
//!
//! **Invariants.** Every thread of a connector has a name and ends when the reader or writer that it works
//! for is dropped.

use std::thread::{Builder, JoinHandle};

use wallaroo_core::{Code, ConnectorError};

use super::reason::reason;

/// Memory for the stack of one thread: connector threads call no user code and recurse nowhere.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a thread. Linux shows the first 15 bytes of its name.
pub(super) fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ConnectorError> {
    Builder::new()
        .name(name.clone())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|error| {
            ConnectorError::new(format!(
                "cannot start the thread {name:?}: {}",
                reason(&error)
            ))
            .with_help("raise the limit of threads of this user or container")
            .with_code(Code::Resources)
        })
}
