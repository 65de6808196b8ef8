//! What the workers of one generation share: time, the wish to stop, failure, pressure.
//!
//! Timely's timestamp holds two clocks, the epoch in its upper half and the tick in the lower. Any worker may
//! begin the next tick; sources of all workers follow. Pressure is the number of bytes that are queued
//! between operators, by the level of the region that is to take them: a region waits while too much is
//! queued on levels above its own.
//!
//! **Invariants.** Time never goes back. The first failure wins. Pressure of a level counts only what the
//! regions of that level can take without waiting for lower levels, so the highest level that is under
//! pressure can always go on unless a sink is blocked; waiting cannot form a circle. Work on the earliest open
//! epoch is never held.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wallaroo_core::{Clock, PartitionId, Waker};

use crate::failure::{Failure, Origin};
use crate::host::HostRuntime;
use crate::stash::Stash;
use crate::watch::Watch;

/// Timely's timestamp: `epoch << 32 | tick`.
pub(crate) type Time = u64;

/// The interval between two checkpoints, counted from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The epoch that a time is in.
pub(crate) fn epoch_of(time: Time) -> Epoch {
    Epoch(u32::try_from(time >> 32).expect("the upper half of a u64 fits"))
}

/// Limits of flow control, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What the sources of one process may have read and not yet seen through all sinks.
    pub credit_bytes: usize,
    /// What may be queued above a region before it waits; and what may wait for the end of an epoch before
    /// work on later ones is held.
    pub queued_bytes: usize,
    /// What sinks that publish after a commit may keep of one epoch before the next begins. At most three epochs are kept.
    pub staged_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Together well below the 256 MiB that a process under full back-pressure may take: user types
        // with much on the heap count for a fraction of what they occupy.
        Limits {
            credit_bytes: 24 << 20,
            queued_bytes: 24 << 20,
            staged_bytes: 64 << 20,
        }
    }
}

/// Names of a source partition, for texts.
#[derive(Clone, Debug)]
pub(crate) struct PartitionName {
    pub(crate) source: String,
    pub(crate) partition: String,
}

/// Shared by the workers of one generation and by whoever steers them.
pub(crate) struct Control {
    time: AtomicU64,
    stopping: AtomicBool,
    pausing: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
    queued: Vec<AtomicI64>,
    /// By level: whether a region of it waits for those above.
    waiting: Vec<AtomicBool>,
    /// What waits for the end of an epoch.
    stash: Stash,
    /// The last epoch in which sources may read.
    last_read: AtomicU64,
    /// Sources read nothing, in no epoch.
    held: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) partitions: Vec<PartitionName>,
    pub(crate) watch: Watch,
    /// What the language of the host needs around the work of operators.
    pub(crate) host: Option<Arc<dyn HostRuntime>>,
    /// Operators of sources that may still read, of all workers.
    sources: AtomicUsize,
}

impl Control {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one part of what the workers share"
    )]
    pub(crate) fn new(
        workers: usize,
        sources: usize,
        levels: usize,
        start: Time,
        limits: Limits,
        clock: Arc<dyn Clock>,
        partitions: Vec<PartitionName>,
        host: Option<Arc<dyn HostRuntime>>,
    ) -> Self {
        Control {
            time: AtomicU64::new(start),
            stopping: AtomicBool::new(false),
            pausing: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            queued: (0..=levels).map(|_| AtomicI64::new(0)).collect(),
            waiting: (0..=levels).map(|_| AtomicBool::new(false)).collect(),
            stash: Stash::new(limits.queued_bytes),
            last_read: AtomicU64::new(u64::MAX),
            held: AtomicBool::new(false),
            wakers: Mutex::new(Vec::new()),
            limits,
            clock,
            partitions,
            watch: Watch::new(workers),
            host,
            sources: AtomicUsize::new(sources * workers),
        }
    }

    /// Does the work of an operator, with what the language of the host needs around it.
    #[inline]
    pub(crate) fn within_host(&self, mut work: impl FnMut()) {
        match &self.host {
            None => work(),
            Some(host) => host.enter(&mut work),
        }
    }

    pub(crate) fn time(&self) -> Time {
        self.time.load(Ordering::Acquire)
    }

    /// Begins the tick after `now`, unless that has been done already.
    pub(crate) fn next_tick(&self, now: Time) {
        if self
            .time
            .compare_exchange(now, now + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.wake_all();
        }
    }

    /// Begins the next epoch and returns the one that ends.
    pub(crate) fn next_epoch(&self) -> Epoch {
        let previous = self
            .time
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |time| {
                Some(((time >> 32) + 1) << 32)
            })
            .unwrap_or_else(|time| time);
        self.wake_all();
        epoch_of(previous)
    }

    /// Lets sources read nothing in epochs after this one; in all if it is absent.
    pub(crate) fn hold_after(&self, epoch: Option<Epoch>) {
        let last = epoch.map_or(u64::MAX, |epoch| u64::from(epoch.0));
        self.last_read.store(last, Ordering::Release);
        self.wake_all();
    }

    /// Lets sources read nothing at all, or lets them read again.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
        self.wake_all();
    }

    /// Whether sources may read in an epoch. If not, all workers are woken when they may.
    pub(crate) fn may_read(&self, epoch: Epoch) -> bool {
        u64::from(epoch.0) <= self.last_read.load(Ordering::Acquire)
            && !self.held.load(Ordering::Acquire)
            && !self.holds(epoch)
    }

    /// Whether work on an epoch has to wait until less is stashed. If so, all workers are woken then.
    pub(crate) fn holds(&self, epoch: Epoch) -> bool {
        self.stash.holds(epoch)
    }

    /// Counts bytes that wait for the end of an epoch before theirs.
    pub(crate) fn stash(&self, epoch: Epoch, bytes: usize) {
        self.stash.add(epoch, bytes);
    }

    /// Counts bytes that no longer wait for it.
    pub(crate) fn unstash(&self, epoch: Epoch, bytes: usize) {
        if self.stash.remove(epoch, bytes) {
            self.wake_all();
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Lets the sources end this generation, without ending their partitions.
    pub(crate) fn pause(&self) {
        self.pausing.store(true, Ordering::Release);
        self.stop();
    }

    pub(crate) fn is_pausing(&self) -> bool {
        self.pausing.load(Ordering::Acquire)
    }

    /// Whether the run is to end, not only the generation: it has been stopped, or all has been read.
    pub(crate) fn is_ending(&self) -> bool {
        !self.is_pausing() && (self.is_stopping() || self.sources.load(Ordering::Acquire) == 0)
    }

    /// An operator of sources has nothing more to read.
    pub(crate) fn source_ended(&self) {
        if self.sources.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake_all();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn fail(&self, failure: Failure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(failure);
        }
        drop(first);
        self.failed.store(true, Ordering::Release);
        self.wake_all();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Adds a worker's way to be woken.
    pub(crate) fn add_waker(&self, waker: Waker) {
        self.wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(waker);
    }

    pub(crate) fn wake_all(&self) {
        for waker in self
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            waker.wake();
        }
    }

    /// Counts bytes that wait for a region of `level`.
    pub(crate) fn queue(&self, level: usize, bytes: usize) {
        self.queued[level].fetch_add(signed(bytes), Ordering::Relaxed);
    }

    /// Counts bytes that no longer wait.
    pub(crate) fn dequeue(&self, level: usize, bytes: usize) {
        self.queued[level].fetch_sub(signed(bytes), Ordering::SeqCst);
        for (waiting_level, waiting) in self.waiting[..level].iter().enumerate() {
            if waiting.load(Ordering::SeqCst)
                && !self.is_pressed(waiting_level)
                && waiting.swap(false, Ordering::AcqRel)
            {
                self.wake_all();
            }
        }
    }

    /// Whether a region of `level` must wait with its work on `epoch`: for the regions above it, or because too
    /// much is stashed. If so, all workers are woken when that is over.
    pub(crate) fn must_wait(&self, level: usize, epoch: Epoch) -> bool {
        if self.holds(epoch) {
            return true;
        }
        if !self.is_pressed(level) {
            return false;
        }
        self.waiting[level].store(true, Ordering::SeqCst);
        // Between the question and the mark the pressure may have gone, with nobody left to wake us.
        self.is_pressed(level)
    }

    fn is_pressed(&self, level: usize) -> bool {
        // With the order of `dequeue`, one of the two sees what the other has done: a waiting region is woken.
        let queued: i64 = self.queued[level + 1..]
            .iter()
            .map(|bytes| bytes.load(Ordering::SeqCst))
            .sum();
        queued > signed(self.limits.queued_bytes)
    }

    /// Bytes queued between operators, and stashed.
    pub(crate) fn queued_bytes(&self) -> usize {
        let queued: i64 = self
            .queued
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed))
            .sum();
        usize::try_from(queued).unwrap_or(0) + self.stash.bytes()
    }

    /// The names behind a record's origin.
    pub(crate) fn origin(&self, partition: PartitionId, position: u64) -> Origin {
        let name = &self.partitions[partition.0 as usize];
        Origin {
            source: name.source.clone(),
            partition: name.partition.clone(),
            position,
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("time", &self.time)
            .field("stopping", &self.stopping)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
