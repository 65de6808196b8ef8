//! The comparator of several workers: threads that exchange batches by key.
//!
//! Each thread reads its own input and owns the stocks of half of the keys. Records for another thread are
//! collected and sent through a bounded channel; the receiver keeps the emptied buffer and fills it later, so
//! that nothing is allocated after the start. Its own records a thread collects too: to process them on the spot
//! cost 40 % more, as no processor can predict the branch.
//!
//! **Invariants**: a thread that finds the channel of another one full empties its own first, hence no two threads
//! wait for each other.

use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::engine::plain::BATCH;
use crate::workload::{Message, PlainMap, RingReader, Tally, Update, Work};

/// Batches that wait between two threads.
const QUEUE_BATCHES: usize = 8;

/// Runs one thread per reader.
pub(super) fn run<M: Message>(readers: Vec<RingReader<M>>, work: Work) -> Tally {
    let (senders, inboxes): (Vec<_>, Vec<_>) = readers
        .iter()
        .map(|_| bounded::<Vec<M>>(QUEUE_BATCHES))
        .unzip();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, (reader, inbox)) in readers.into_iter().zip(inboxes).enumerate() {
            let peers = senders
                .iter()
                .enumerate()
                .map(|(peer, sender)| (peer != index).then(|| sender.clone()));
            let peers = peers.collect();
            // Built in its thread, so that its buffers come from the heap of that thread.
            threads.push(scope.spawn(move || Worker::new(peers, inbox, work).run(reader)));
        }
        drop(senders);
        let tallies = threads
            .into_iter()
            .map(|thread| thread.join().expect("the comparator does not panic"));
        tallies.fold(Tally::default(), Tally::merge)
    })
}

struct Worker<M: Message> {
    /// By owner; `None` is this worker.
    peers: Vec<Option<Sender<Vec<M>>>>,
    inbox: Receiver<Vec<M>>,
    /// What is collected for each owner.
    parts: Vec<Vec<M>>,
    /// Empty buffers.
    pool: Vec<Vec<M>>,
    stocks: PlainMap<M::Key>,
    outputs: Vec<Update>,
    tally: Tally,
    work: Work,
}

impl<M: Message> Worker<M> {
    fn new(peers: Vec<Option<Sender<Vec<M>>>>, inbox: Receiver<Vec<M>>, work: Work) -> Self {
        Self {
            parts: peers.iter().map(|_| Vec::with_capacity(BATCH)).collect(),
            peers,
            inbox,
            pool: Vec::new(),
            stocks: PlainMap::default(),
            outputs: Vec::with_capacity(BATCH),
            tally: Tally::default(),
            work,
        }
    }

    fn run(mut self, mut reader: RingReader<M>) -> Tally {
        let mut batch = Vec::with_capacity(BATCH);
        while reader.fill(&mut batch, BATCH) > 0 {
            for message in batch.drain(..) {
                let owner = message.owner(self.peers.len());
                self.parts[owner].push(message);
                if self.parts[owner].len() == BATCH {
                    self.dispatch(owner);
                }
            }
            self.receive();
        }
        for owner in 0..self.peers.len() {
            self.dispatch(owner);
        }
        self.peers.clear(); // Tells the other threads that nothing follows.
        while let Ok(part) = self.inbox.recv() {
            self.process(part);
        }
        self.tally
    }

    /// Hands on what is collected for `owner`.
    fn dispatch(&mut self, owner: usize) {
        let empty = self.pool.pop().unwrap_or_else(|| Vec::with_capacity(BATCH));
        let mut part = std::mem::replace(&mut self.parts[owner], empty);
        let Some(peer) = self.peers[owner].clone() else {
            return self.process(part);
        };
        loop {
            match peer.try_send(part) {
                Ok(()) => return,
                Err(TrySendError::Full(returned)) => {
                    part = returned;
                    self.receive();
                }
                Err(TrySendError::Disconnected(_)) => panic!("a thread ended before its input"),
            }
        }
    }

    /// Processes what other threads have sent.
    fn receive(&mut self) {
        while let Ok(part) = self.inbox.try_recv() {
            self.process(part);
        }
    }

    fn process(&mut self, mut part: Vec<M>) {
        self.outputs.extend(part.iter().map(|message| {
            self.work.perform(message.ts());
            message
                .stock(&mut self.stocks)
                .on_price(message.ts(), message.price())
        }));
        self.tally.add(&self.outputs);
        self.outputs.clear();
        part.clear();
        self.pool.push(part);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::plain;
    use crate::harness::Stopwatch;
    use crate::workload::{Keys, Rec, Ring, Tick};

    fn check<M: Message>(keys: Keys) {
        let ring = Ring::<M>::new(keys, 10_001, 2);
        let readers = |count| ring.readers(count, &Arc::new(Stopwatch::start()));
        let (one, two) = (
            plain::run(readers(1), Work::NONE),
            run(readers(2), Work::NONE),
        );
        assert!(one.agrees(&two, false), "{one:?} {two:?}");
        assert_eq!(two.records(), 30_003);
    }

    #[test]
    fn exchange_computes_what_the_plain_loop_computes() {
        check::<Rec>(Keys::uniform(100));
        check::<Tick>(Keys::zipf(1_000));
    }
}
