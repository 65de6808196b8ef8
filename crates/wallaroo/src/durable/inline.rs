//! Checkpoints without threads: each epoch is committed by the worker that ends it. For simulations.
//!
//! **Invariants.** What is done, and in which order, depends on the epochs and the answers of [`Patience`] alone. When it has
//! failed nothing is committed any more, as if the process were dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_engine::{Epoch, EpochListener, Failure, SinkOutput, SourcePosition};
use wallaroo_state::StateChanges;
use wallaroo_store::{Storage, StoreError};

use super::checkpoints::AHEAD;
use super::collector::Collector;
use super::committer::{Committer, Stopped};
use super::recovery::{Commits, Point};
use super::stored::Stored;

/// So often in a row a commit is tried again; then the simulated store is taken for gone.
const TRIES: usize = 1000;

/// Is told what happens to commits, and decides what the time would decide.
pub(crate) trait Patience: Send {
    /// An epoch is committed and published.
    fn committed(&mut self, epoch: u64);
    /// An epoch cannot be committed for now: whether to try again before anything else happens.
    fn tries_again(&mut self, cause: &str) -> bool;
    /// How many steps merges of segments take after the next commit: a merge is begun, done, and taken up.
    fn merge_steps(&mut self) -> usize;
}

/// Commits epochs where they end.
pub(crate) struct Inline {
    collector: Collector,
    state: Mutex<State>,
}

struct State {
    /// Gone when it has failed.
    committer: Option<Committer>,
    /// Whether the committer has an epoch that is not yet committed.
    under_way: bool,
    patience: Box<dyn Patience>,
    failure: Option<String>,
}

impl Inline {
    pub(crate) fn new(committer: Committer, patience: Box<dyn Patience>) -> Self {
        Inline {
            collector: Collector::default(),
            state: Mutex::new(State {
                committer: Some(committer),
                under_way: false,
                patience,
                failure: None,
            }),
        }
    }

    /// Why nothing is committed any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Commits what has ended; all of it if it must, else as much as patience allows.
    fn commit(&self, must: bool) {
        let mut state = self.lock();
        let mut tries = 0;
        while state.failure.is_none() {
            let State {
                committer: Some(committer),
                under_way,
                patience,
                failure,
            } = &mut *state
            else {
                return;
            };
            if !*under_way {
                let Some(data) = self.collector.next(Duration::ZERO) else {
                    return;
                };
                committer.take(data);
                *under_way = true;
            }
            committer.merge_in_steps(patience.merge_steps());
            match committer.advance() {
                Ok(done) => {
                    *under_way = false;
                    tries = 0;
                    self.collector.give_back(committer.take_written());
                    self.collector.settle();
                    if done.committed {
                        patience.committed(committer.epoch());
                    }
                }
                Err(Stopped::ForNow(cause)) => {
                    tries += 1;
                    let must = must || self.collector.waiting() as u64 > AHEAD;
                    let again = patience.tries_again(&cause);
                    if !again && !must {
                        return;
                    }
                    *failure = (tries == TRIES).then_some(cause);
                }
                Err(Stopped::ForGood(failed)) => *failure = Some(failed.to_string()),
            }
        }
        // As the end of a process: what holds the store open is gone, and nothing is waited for.
        state.committer = None;
        self.collector.close();
    }

    /// Where it writes; none when it has failed.
    pub(crate) fn storage(&self) -> Option<Arc<dyn Storage>> {
        self.lock().committer.as_ref().map(Committer::storage)
    }

    // Nothing that holds the lock can panic half way, but the patience of a test, which ends with it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits for Inline {
    fn count(&self) -> u64 {
        self.lock().committer.as_ref().map_or(0, Committer::commits)
    }

    fn lost(&self, _: &Failure) {}

    fn roll_back(&self) -> Option<Result<Point, StoreError>> {
        self.commit(true);
        self.collector.forget_open();
        self.lock().committer.as_mut().map(Committer::point)
    }

    fn resumed(&self, stored: Arc<Stored>) {
        if let Some(committer) = &mut self.lock().committer {
            committer.reads(stored);
        }
    }
}

impl EpochListener for Inline {
    fn states_changed(&self, epoch: Epoch, worker: usize, changes: Vec<StateChanges>) {
        self.collector.states_changed(epoch, worker, changes);
    }

    fn spare(&self, count: usize) -> Vec<StateChanges> {
        self.collector.spare(count)
    }

    fn sink_reached(&self, epoch: Epoch, output: SinkOutput) {
        self.collector.sink_reached(epoch, output);
    }

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        self.collector.epoch_ended(epoch, positions);
        self.commit(false);
    }

    fn generation_ended(&self) {
        self.commit(true);
        self.collector.generation_ended();
    }
}
