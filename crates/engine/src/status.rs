//! Counters that a running application shows.
//!
//! **Invariants.** Counters are added to once per batch, never per message, and are only for people and
//! tests: nothing is decided by them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::failure::UndrainedSink;
use crate::watch::StuckStage;

/// Messages of one node, counted over all workers.
#[derive(Debug, Default)]
pub(crate) struct NodeCounts {
    input: AtomicU64,
    output: AtomicU64,
    dropped: AtomicU64,
    /// Of a sink: messages that have come to it and that its writer has not taken.
    waiting: AtomicU64,
    /// Of a sink: whether it has not delivered all it took, at the end.
    flushing: AtomicBool,
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

    pub(crate) fn add_waiting(&self, count: usize) {
        self.waiting.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn sub_waiting(&self, count: usize) {
        self.waiting.fetch_sub(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_flushing(&self, flushing: bool) {
        self.flushing.store(flushing, Ordering::Relaxed);
    }

    /// The writers of a sink are gone, with what waited for them.
    pub(crate) fn forget_waiting(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.flushing.store(false, Ordering::Relaxed);
    }

    /// Messages that have come to a sink and that its writer has not taken.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What a sink has not delivered, if anything.
    pub(crate) fn undrained(&self, name: &str) -> Option<UndrainedSink> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let is_flushing = self.flushing.load(Ordering::Relaxed);
        (waiting > 0 || is_flushing).then(|| UndrainedSink {
            name: name.to_owned(),
            waiting,
            is_flushing,
        })
    }

    pub(crate) fn status(&self, name: &str) -> NodeStatus {
        NodeStatus {
            name: name.to_owned(),
            messages_in: self.input.load(Ordering::Relaxed),
            messages_out: self.output.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
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
    /// Messages that a sink was handed and its writer has not taken; 0 elsewhere.
    pub waiting: u64,
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
    /// Functions that have been running for longer than [`Options::stuck_after`](crate::Options::stuck_after).
    pub stuck: Vec<StuckStage>,
}
