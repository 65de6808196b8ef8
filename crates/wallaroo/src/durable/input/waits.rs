//! Why input logs cannot be written at present.
//!
//! **Invariants.** What is told is told until the same log has been written. Nothing is done here when a log is written at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The logs that wait, by place, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<BTreeMap<String, String>>);

impl Waits {
    /// A log could not be written, and is tried again.
    pub(super) fn begin(&self, place: &str, error: &dyn std::fmt::Display) {
        let why = format!("the input log cannot be written: {error}");
        self.lock().insert(place.to_owned(), why);
    }

    /// A log that waited has been written.
    pub(super) fn end(&self, place: &str) {
        self.lock().remove(place);
    }

    /// Why one of them waits.
    pub(super) fn why(&self) -> Option<String> {
        self.lock().values().next().cloned()
    }

    // Nothing that holds the lock can panic half way.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
