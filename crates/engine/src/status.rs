//! Counters that a running application shows.
//!
//! **Invariants.** Counters are added to once per batch, never per message, and are only for people and
//! tests: nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages of one node, counted over all workers.
#[derive(Debug, Default)]
pub(crate) struct NodeCounts {
    input: AtomicU64,
    output: AtomicU64,
    dropped: AtomicU64,
}

impl NodeCounts {
    pub(crate) fn add_in(&self, count: usize) {
        self.input.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_out(&self, count: usize) {
        self.output.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn status(&self, name: &str) -> NodeStatus {
        NodeStatus {
            name: name.to_owned(),
            messages_in: self.input.load(Ordering::Relaxed),
            messages_out: self.output.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// What a source, stage or sink has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Messages it took; for a source, those it read.
    pub messages_in: u64,
    /// Messages it passed on.
    pub messages_out: u64,
    /// Messages for which it failed and went on, under `Skip` or `DeadLetter`.
    pub dropped: u64,
}

/// A running application at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many workers there are.
    pub workers: usize,
    /// All sources, stages and sinks, in plan order.
    pub nodes: Vec<NodeStatus>,
    /// Bytes queued between operators.
    pub queued_bytes: usize,
}
