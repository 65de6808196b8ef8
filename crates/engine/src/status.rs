//! Counters that a running application shows.
//!
//! **Invariants.** Counters are added to once per batch, never per message, and are only for people and
//! tests: nothing is decided by them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wallaroo_core::Plan;
use wallaroo_core::source::Lag;

use crate::failure::UndrainedSink;
use crate::gauge::{Gauge, Part};
use crate::watch::StuckStage;

/// What is counted of a run.
#[derive(Debug)]
pub(crate) struct Counts {
    /// In plan order.
    pub(crate) nodes: Box<[NodeCounts]>,
    /// By name.
    pub(crate) states: BTreeMap<String, StateCounts>,
    /// State objects that expired while an epoch went on: without a message, the next checkpoint has to know.
    pub(crate) expired: AtomicU64,
}

impl Counts {
    pub(crate) fn of(plan: &Plan) -> Self {
        let states = plan.states().into_iter();
        Counts {
            nodes: plan.nodes.iter().map(|_| NodeCounts::default()).collect(),
            states: states
                .map(|name| (name.to_owned(), StateCounts::default()))
                .collect(),
            expired: AtomicU64::new(0),
        }
    }

    pub(crate) fn nodes_of(&self, plan: &Plan) -> Vec<NodeStatus> {
        let nodes = plan.nodes.iter().zip(&self.nodes);
        nodes
            .map(|(node, counts)| counts.status(&node.name))
            .collect()
    }

    pub(crate) fn states(&self) -> Vec<StateStatus> {
        let states = self.states.iter();
        states
            .map(|(name, counts)| StateStatus {
                name: name.clone(),
                keys: counts.keys.get().unwrap_or(0),
                bytes: counts.bytes.get(),
            })
            .collect()
    }

    /// The writers of all sinks are gone, with what waited for them.
    pub(crate) fn forget_waiting(&self) {
        self.nodes.iter().for_each(NodeCounts::forget_waiting);
    }
}

/// The size of one state over all workers.
#[derive(Debug, Default)]
pub(crate) struct StateCounts {
    pub(crate) keys: Gauge,
    pub(crate) bytes: Gauge,
}

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
    /// Of a source: what its partitions have that has not been read.
    lag_messages: Gauge,
    lag_bytes: Gauge,
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

    /// A new partition of a source, for its lag.
    pub(crate) fn partition_lag(&self) -> PartitionLag {
        PartitionLag {
            messages: self.lag_messages.part(),
            bytes: self.lag_bytes.part(),
        }
    }

    fn forget_waiting(&self) {
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
            lag: Lag {
                messages: self.lag_messages.get(),
                bytes: self.lag_bytes.get(),
            },
        }
    }
}

/// What one partition adds to the lag of its source.
#[derive(Debug)]
pub(crate) struct PartitionLag {
    messages: Part,
    bytes: Part,
}

impl PartitionLag {
    pub(crate) fn set(&mut self, lag: Lag) {
        self.messages.set(lag.messages);
        self.bytes.set(lag.bytes);
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
    /// What was there for a source and not read, when its worker last looked, over all its partitions that know it; nothing
    /// is known of stages and sinks.
    pub lag: Lag,
}

/// How large a state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateStatus {
    /// Its name.
    pub name: String,
    /// Keys whose objects are in memory. After a restart those are loaded as messages come for their key groups,
    /// and when there is nothing else to do.
    pub keys: u64,
    /// Bytes of memory of the keys and objects, without what objects own on the heap. None if that would be nearly
    /// everything, as in Python, or nothing is known yet.
    pub bytes: Option<u64>,
}

/// A running application at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many workers there are.
    pub workers: usize,
    /// All sources, stages and sinks, in plan order.
    pub nodes: Vec<NodeStatus>,
    /// All states, in the order of their names.
    pub states: Vec<StateStatus>,
    /// Bytes queued between operators.
    pub queued_bytes: usize,
    /// Functions that have been running for longer than [`Options::stuck_after`](crate::Options::stuck_after).
    pub stuck: Vec<StuckStage>,
}
