//! Puts the parts of an epoch together, as the workers report them.
//!
//! **Invariants.** Epochs are handed on whole and in order. Workers only append here; nothing waits for the store, except the end
//! of a generation, which waits until all its epochs are committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_engine::{Epoch, EpochListener, SinkOutput, SourcePosition};
use wallaroo_state::StateChanges;

/// How long one wait lasts before the state is looked at again; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// Everything that a checkpoint of one epoch needs.
#[derive(Debug, Default)]
pub(crate) struct EpochData {
    pub(crate) epoch: u64,
    pub(crate) changes: Vec<StateChanges>,
    pub(crate) outputs: Vec<SinkOutput>,
    pub(crate) positions: Vec<SourcePosition>,
    /// By worker: how long it encoded the changes.
    encoding: BTreeMap<usize, Duration>,
}

impl EpochData {
    /// How long the slowest worker encoded the changes.
    pub(crate) fn encoding_time(&self) -> Duration {
        self.encoding.values().copied().max().unwrap_or_default()
    }
}

/// Collects epochs on one side, gives them out on the other.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    inner: Mutex<Inner>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<Epoch, EpochData>,
    ended: VecDeque<EpochData>,
    /// Changes that are written: memory for those to come.
    spare: Vec<StateChanges>,
    /// Epochs given out and not yet settled.
    under_way: usize,
    /// Nothing more will be committed.
    closed: bool,
    woken: bool,
    run_ended: bool,
}

impl Collector {
    /// The next ended epoch; none when `patience` is over, or after [`Collector::wake`].
    pub(crate) fn next(&self, patience: Duration) -> Option<EpochData> {
        let mut inner = self.lock();
        if inner.ended.is_empty() && !inner.woken && !inner.run_ended {
            let waited = self
                .news
                .wait_timeout_while(inner, patience, |inner| {
                    inner.ended.is_empty() && !inner.woken && !inner.run_ended
                })
                .unwrap_or_else(PoisonError::into_inner);
            inner = waited.0;
        }
        inner.woken = false;
        let next = inner.ended.pop_front();
        inner.under_way += usize::from(next.is_some());
        next
    }

    /// Says that an epoch given out is committed and published, or needs not be.
    pub(crate) fn settle(&self) {
        self.lock().under_way -= 1;
        self.news.notify_all();
    }

    /// Gives back changes that are written. As many are kept for later epochs as this one had, not more: after a large epoch
    /// its memory is held until a smaller one is written.
    pub(crate) fn give_back(&self, written: Vec<StateChanges>) {
        let mut inner = self.lock();
        let count = written.len();
        inner.spare.extend(written);
        let rest = inner.spare.split_off(count);
        drop(inner);
        // Outside the lock: memory takes time to be freed.
        drop(rest);
    }

    /// How many epochs have ended and are not yet settled.
    pub(crate) fn waiting(&self) -> usize {
        let inner = self.lock();
        inner.ended.len() + inner.under_way
    }

    /// Waits until everything that has ended is settled. False when nothing will be any more.
    pub(crate) fn drain(&self) -> bool {
        let mut inner = self.lock();
        while !inner.closed && (!inner.ended.is_empty() || inner.under_way > 0) {
            let waited = self.news.wait_timeout(inner, WAIT);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !inner.closed
    }

    /// Forgets what has not ended: its workers are gone.
    pub(crate) fn forget_open(&self) {
        self.lock().open.clear();
    }

    /// Lets [`Collector::next`] return.
    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.news.notify_all();
    }

    /// Whether the run has ended: no epoch comes any more.
    pub(crate) fn run_has_ended(&self) -> bool {
        self.lock().run_ended
    }

    /// Gives up: nobody will take epochs any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }

    // Nothing that holds the lock can panic half way.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EpochListener for Collector {
    fn states_changed(&self, epoch: Epoch, _worker: usize, changes: Vec<StateChanges>) {
        let changes = changes.into_iter().filter(|changes| !changes.is_empty());
        self.lock()
            .open
            .entry(epoch)
            .or_default()
            .changes
            .extend(changes);
    }

    fn encoded(&self, epoch: Epoch, worker: usize, took: Duration) {
        let mut inner = self.lock();
        let data = inner.open.entry(epoch).or_default();
        *data.encoding.entry(worker).or_default() += took;
    }

    fn spare(&self, count: usize) -> Vec<StateChanges> {
        let mut inner = self.lock();
        let kept = inner.spare.len().saturating_sub(count);
        inner.spare.split_off(kept)
    }

    fn sink_reached(&self, epoch: Epoch, output: SinkOutput) {
        self.lock()
            .open
            .entry(epoch)
            .or_default()
            .outputs
            .push(output);
    }

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        let mut inner = self.lock();
        let mut data = inner.open.remove(&epoch).unwrap_or_default();
        data.epoch = u64::from(epoch.0);
        data.positions = positions;
        inner.ended.push_back(data);
        drop(inner);
        self.news.notify_all();
    }

    fn generation_ended(&self) {
        self.drain();
    }

    fn run_ended(&self) {
        let mut inner = self.lock();
        inner.run_ended = true;
        inner.woken = true;
        drop(inner);
        self.news.notify_all();
    }
}
