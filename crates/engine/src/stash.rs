//! How much waits for the end of an epoch, over all workers.
//!
//! Messages that come to a region while an earlier epoch is open there are stashed. They wait for others, so
//! they cannot be counted as pressure. But without a bound a worker that is far ahead could fill the memory while a
//! slow one holds the epoch open. So work on an epoch is held while too many bytes of that epoch, or of
//! earlier ones, are stashed.
//!
//! **Invariants.** What is stashed belongs to a later epoch than the one that is open where it waits. So work on
//! the earliest open epoch is never held, that epoch comes to its end, and what waited for it goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::control::Epoch;

/// Stands for no epoch.
const NONE: u64 = u64::MAX;

/// The stashed bytes of all regions on all workers.
#[derive(Debug)]
pub(crate) struct Stash {
    limit_bytes: usize,
    bytes: Mutex<BTreeMap<Epoch, usize>>,
    /// The first epoch of which work is held.
    held: AtomicU64,
}

impl Stash {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Stash {
            limit_bytes,
            bytes: Mutex::default(),
            held: AtomicU64::new(NONE),
        }
    }

    pub(crate) fn add(&self, epoch: Epoch, bytes: usize) {
        self.change(|stashed| *stashed.entry(epoch).or_default() += bytes);
    }

    /// Takes bytes away; says whether work goes on that was held.
    pub(crate) fn remove(&self, epoch: Epoch, bytes: usize) -> bool {
        self.change(|stashed| {
            if let Some(known) = stashed.get_mut(&epoch) {
                *known -= bytes;
            }
            stashed.retain(|_, bytes| *bytes > 0);
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Epoch, usize>)) -> bool {
        let mut stashed = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut stashed);
        let mut sum = 0;
        let held = stashed.iter().find(|(_, bytes)| {
            sum += **bytes;
            sum > self.limit_bytes
        });
        let held = held.map_or(NONE, |(epoch, _)| u64::from(epoch.0));
        self.held.swap(held, Ordering::AcqRel) < held
    }

    /// Whether work on this epoch has to wait.
    pub(crate) fn holds(&self, epoch: Epoch) -> bool {
        u64::from(epoch.0) >= self.held.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> usize {
        let stashed = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        stashed.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_held_from_the_epoch_on_with_which_the_limit_is_passed() {
        let stash = Stash::new(10);
        let held = |epoch| stash.holds(Epoch(epoch));
        stash.add(Epoch(1), 10);
        assert!(!held(1));
        stash.add(Epoch(3), 1);
        assert_eq!([0, 1, 2, 3, 4].map(held), [false, false, false, true, true]);
        stash.add(Epoch(1), 5);
        assert_eq!([0, 1, 2, 3, 4].map(held), [false, true, true, true, true]);
        assert_eq!(stash.bytes(), 16);
        assert!(stash.remove(Epoch(1), 15));
        assert!(!held(4));
        assert!(!stash.remove(Epoch(3), 1));
    }
}
