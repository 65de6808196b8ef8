//! Merges segments while commits go on.
//!
//! A merge reads segments that commits name and writes one that none names yet, so it needs nothing of the commits and they
//! nothing of it. What it has made takes the place of what it read in a later commit.
//!
//! **Invariants.** One merge at a time. Until a merge is taken up or given up, what it reads and what it writes is
//! [protected](Merges::protected): nothing of it is deleted. When this is dropped no merge goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wallaroo_store::compaction::{self, Merging};
use wallaroo_store::segment::SegmentMeta;
use wallaroo_store::{Storage, StoreError};

/// What to merge.
#[derive(Debug)]
pub(super) struct Merge {
    /// Neighbours, the oldest first.
    pub(super) inputs: Vec<SegmentMeta>,
    /// Whether the first of them is the oldest of all.
    pub(super) has_oldest: bool,
    /// Stored names of states; objects of others are left out.
    pub(super) states: BTreeSet<String>,
    /// Of what is made.
    pub(super) name: String,
    pub(super) generation: u64,
}

/// A merge that has ended.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) inputs: Vec<SegmentMeta>,
    pub(super) result: Result<SegmentMeta, StoreError>,
    /// CPU time that it took.
    pub(super) cost: Duration,
}

/// Whether there is a merge.
#[derive(Debug)]
pub(super) enum Merges {
    None,
    /// On a thread of its own.
    Running(Running),
    /// To be done by whoever asks for it, when it is time.
    Waiting(Merge),
    /// Done, and not yet taken up.
    Done(Merged),
}

/// A merge on a thread of its own.
#[derive(Debug)]
pub(super) struct Running {
    /// What may not be deleted.
    names: Vec<String>,
    stop: Arc<AtomicBool>,
    /// Until it has been joined.
    thread: Option<JoinHandle<Merged>>,
}

impl Merges {
    /// Begins a merge on a thread of its own.
    pub(super) fn run(storage: &Arc<dyn Storage>, merge: Merge) -> std::io::Result<Self> {
        let names = names(&merge.inputs, Some(&merge.name));
        let stop = Arc::new(AtomicBool::new(false));
        let (storage, stopped) = (Arc::clone(storage), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("wallaroo-merges".to_owned())
            .spawn(move || merge.perform(&*storage, &stopped))?;
        Ok(Merges::Running(Running {
            names,
            stop,
            thread: Some(thread),
        }))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Merges::None)
    }

    /// Takes a step of a merge that has no thread.
    pub(super) fn step(&mut self, storage: &dyn Storage) {
        if let Merges::Waiting(merge) = std::mem::replace(self, Merges::None) {
            *self = Merges::Done(merge.perform(storage, &AtomicBool::new(false)));
        }
    }

    /// What a merge has made, if it has ended.
    pub(super) fn take(&mut self) -> Option<Merged> {
        match std::mem::replace(self, Merges::None) {
            Merges::Running(mut running) if running.has_ended() => {
                // A panic is a bug, and the segments are what they were.
                running.thread.take().and_then(|thread| thread.join().ok())
            }
            Merges::Done(merged) => Some(merged),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Names of objects that may not be deleted.
    pub(super) fn protected(&self) -> Vec<String> {
        match self {
            Merges::None => Vec::new(),
            Merges::Running(running) => running.names.clone(),
            Merges::Waiting(merge) => names(&merge.inputs, Some(&merge.name)),
            Merges::Done(merged) => {
                let made = merged.result.as_ref().ok().map(|made| &made.name);
                names(&merged.inputs, made)
            }
        }
    }
}

impl Running {
    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends with the key group that it is at.
            let _ = thread.join();
        }
    }
}

fn names(inputs: &[SegmentMeta], made: Option<&String>) -> Vec<String> {
    let inputs = inputs.iter().map(|input| &input.name);
    inputs.chain(made).cloned().collect()
}

impl Merge {
    fn perform(self, storage: &dyn Storage, stop: &AtomicBool) -> Merged {
        let began = cpu_time::ThreadTime::now();
        let how = Merging {
            drops_tombstones: self.has_oldest,
            keeps: &|state| self.states.contains(state),
            goes_on: &|| !stop.load(Ordering::Relaxed),
        };
        let result =
            compaction::merge_with(storage, &self.inputs, &how, &self.name, self.generation);
        Merged {
            result,
            inputs: self.inputs,
            cost: began.elapsed(),
        }
    }
}
