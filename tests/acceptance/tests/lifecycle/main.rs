//! The life of an application: how it is built, started, fed, rescaled, stopped and ended.

mod building;
mod draining;
mod embedding;
mod idle_readers;
mod logging;
mod memory;
mod program;
mod rescaling;
mod restarting;
mod sending;
mod signals;
mod status;
mod stuck;
mod two_applications;

use serde::{Deserialize, Serialize};

/// A state object that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count(u64);

impl Count {
    /// Passes the message on with its number among those of the key.
    fn number<M: Clone>(&mut self, message: &M) -> Option<(M, u64)> {
        self.0 += 1;
        Some((message.clone(), self.0))
    }
}
