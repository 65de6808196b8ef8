//! Messages on their way from one operator to another, with their columns.
//!
//! A batch is one pointer, so that timely can move it cheaply; what it points to is used again: the consumer
//! puts it back into the pool of the edge, from where the next producer takes it.
//!
//! **Invariants.** Columns that are present have one entry per message. A batch that reaches an operator is
//! never empty. Batches do not leave the process.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use timely::communication::Push;
use timely::container::Accountable;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;
use wallaroo_core::{KeyHash, Messages, Provenance};

use crate::executor::FoundKey;

/// Messages and their columns.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) messages: Box<dyn Messages>,
    /// Key hashes, where the messages go to the owner of their key and there is more than one worker.
    pub(crate) hashes: Vec<KeyHash>,
    /// Keys, where the messages have left the stage that knows how to find them.
    pub(crate) keys: Vec<FoundKey>,
    pub(crate) provenance: Provenance,
    /// Bytes, as flow control counts them.
    pub(crate) bytes: usize,
}

impl Contents {
    pub(crate) fn new(messages: Box<dyn Messages>) -> Self {
        Contents {
            messages,
            hashes: Vec::new(),
            keys: Vec::new(),
            provenance: Provenance::default(),
            bytes: 0,
        }
    }

    /// Forgets the messages and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.hashes.clear();
        self.keys.clear();
        self.provenance.clear();
        self.bytes = 0;
    }
}

/// What timely carries: contents for one worker, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) contents: Option<Box<Contents>>,
    /// Index of the worker that is to get it.
    pub(crate) destination: usize,
}

impl Accountable for Batch {
    fn record_count(&self) -> i64 {
        // Progress tracking only needs to know that there is something; counting batches spares it from
        // calling through the messages' table of methods.
        i64::from(self.contents.is_some())
    }
}

/// Only batches between processes are turned into bytes, and there is one process.
impl ContainerBytes for Batch {
    fn from_bytes(_: timely::bytes::arc::Bytes) -> Self {
        unreachable!("batches stay in the process")
    }

    fn length_in_bytes(&self) -> usize {
        unreachable!("batches stay in the process")
    }

    fn into_bytes<W: std::io::Write>(&self, _: &mut W) {
        unreachable!("batches stay in the process")
    }
}

/// Hands each batch to its destination; the messages have been scattered before.
#[derive(Debug)]
pub(crate) struct ByDestination;

impl Distributor<Batch> for ByDestination {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        batch: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let destination = batch.destination;
        Message::push_at(batch, stamp.clone(), &mut pushers[destination]);
        // What the channel hands back is empty or spent.
        batch.contents = None;
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// Spent contents of one edge that no worker keeps for itself.
#[derive(Debug, Clone)]
pub(crate) struct SharedPool {
    spent: Arc<ArrayQueue<Box<Contents>>>,
}

/// Spent contents of one edge, as one worker sees them: first its own, then those of all.
///
/// A worker fills again what it has emptied itself, last emptied first: that is still in its cache, while what another
/// core has emptied must be fetched from there, line by line.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    #[expect(
        clippy::vec_box,
        reason = "they come and go in boxes; unboxing would copy them twice"
    )]
    own: Rc<RefCell<Vec<Box<Contents>>>>,
    shared: SharedPool,
}

/// Spent batches that a worker keeps per edge.
// What a worker sends and gets between two rests; more would only be colder.
const OWN_BATCHES: usize = 8;

/// Spent batches kept per edge for all workers.
// More than a few batches are in flight between two busy workers; what does not fit is freed.
const POOL_BATCHES: usize = 64;

/// Larger batches than this are freed: a burst of them would otherwise stay in memory.
// Several times a full batch of ordinary messages (2,048 of 100 bytes).
const POOLED_BYTES: usize = 1 << 20;

impl SharedPool {
    pub(crate) fn new() -> Self {
        SharedPool {
            spent: Arc::new(ArrayQueue::new(POOL_BATCHES)),
        }
    }
}

impl Pool {
    /// The pool of a worker.
    pub(crate) fn of(shared: &SharedPool) -> Self {
        Pool {
            own: Rc::default(),
            shared: shared.clone(),
        }
    }

    /// Empty contents with buffers that have been used before, if there are any.
    pub(crate) fn take(&self) -> Option<Box<Contents>> {
        let own = self.own.borrow_mut().pop();
        own.or_else(|| self.shared.spent.pop())
    }

    /// Gives contents back.
    pub(crate) fn give(&self, mut contents: Box<Contents>) {
        if contents.bytes > POOLED_BYTES {
            return;
        }
        contents.clear();
        let mut own = self.own.borrow_mut();
        if own.len() < OWN_BATCHES {
            own.push(contents);
        } else {
            // A full pool drops them, which is what should happen to them.
            let _ = self.shared.spent.push(contents);
        }
    }
}
