//! What a state computation can ask for besides its message and its state object.
//!
//! **Invariants.** A context is valid during one call. Time is that of the batch, so that a replay and a
//! simulation see what the first run saw.

use std::fmt;

use wallaroo_core::{KeyView, Timestamp};
use wallaroo_state::{KeyIndex, Slot};

use crate::output::Emitter;

/// The surroundings of one call of a state computation; see [`Stream::to_state_with`](crate::Stream::to_state_with).
pub struct Context<'a, O> {
    pub(crate) keys: &'a KeyIndex,
    pub(crate) slot: Slot,
    pub(crate) now: Timestamp,
    pub(crate) emitter: Emitter<'a, O>,
    pub(crate) forget: bool,
}

impl<O> Context<'_, O> {
    /// The key of the message and of the state object.
    #[must_use]
    pub fn key(&self) -> KeyView<'_> {
        self.keys.key(self.slot).view()
    }

    /// The present time, the same for all messages of a batch.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Passes a message on, before those that the call returns.
    pub fn emit(&mut self, message: O) {
        self.emitter.emit(message);
    }

    /// Drops the state object after this call. The next message of the key finds a new one.
    ///
    /// Has no effect when the call fails.
    pub fn forget(&mut self) {
        self.forget = true;
    }
}

impl<O> fmt::Debug for Context<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("key", &self.key())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
