//! How much output waits for the end of its epoch: when it is much, the next epoch begins early.
//!
//! **Invariants.** Told by workers, once per batch; nothing here waits. What is told after an epoch has begun and still belongs to
//! the one before counts for the new one, which then ends a little earlier.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wallaroo_engine::host::Kept;

use crate::connectors::Ask;

/// What is kept of the open epoch.
pub(crate) struct Staged {
    limit: usize,
    bytes: AtomicUsize,
    /// Lets the next epoch begin.
    full: OnceLock<Ask>,
}

impl Staged {
    pub(super) fn new(limit: usize) -> Self {
        Staged {
            limit,
            bytes: AtomicUsize::new(0),
            full: OnceLock::new(),
        }
    }

    /// For sinks, to tell what they keep.
    pub(super) fn kept(self: &Arc<Self>) -> Kept {
        let staged = Arc::clone(self);
        Arc::new(move |bytes| staged.add(bytes))
    }

    /// Says what is to be called when an epoch has too much. Once.
    pub(super) fn when_full(&self, full: Ask) {
        // Checkpoints are made once for a program.
        let _ = self.full.set(full);
    }

    /// An epoch has begun.
    pub(super) fn begin(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_over = before <= self.limit && before.saturating_add(bytes) > self.limit;
        if is_over && let Some(full) = self.full.get() {
            full();
        }
    }
}
