//! The two threads behind checkpoints: one begins epochs, one commits them.
//!
//! **Invariants.** At most [`AHEAD`] epochs are begun and not committed; then sources wait. A store that cannot be written stops
//! neither thread: it is tried again, and `status` says why. Both threads end when the run has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task;
use std::thread::JoinHandle;
use std::time::Duration;

use wallaroo_core::{Clock, SystemClock, Timestamp};
use wallaroo_engine::{Epoch, Failure, Program, RunHandle};
use wallaroo_store::StoreError;
use wallaroo_store::commit::SourcePosition;

use super::collector::Collector;
use super::committed::Committed;
use super::committer::{Committer, Stopped};
use super::input::InputLogs;
use super::pace::{self, Cost};
use super::recovery::{Commits, GoBack, Point};
use super::staged::Staged;
use super::stored::Stored;

/// Epochs that may be uncommitted.
pub(super) const AHEAD: u64 = 3;
/// How long a failed write waits before it is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How long the threads wait when there is nothing to do; only a bound.
pub(super) const REST: Duration = Duration::from_secs(1);

/// How checkpoints go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStatus {
    /// The epoch whose checkpoint the application went on from; none if the store was new.
    pub resumed_from: Option<u64>,
    /// The last epoch that is committed.
    pub epoch: u64,
    /// When it was committed, in nanoseconds since the Unix epoch; 0 if none was since the start.
    pub committed_at: Timestamp,
    /// From the end of its epoch until it was committed and published.
    pub duration: Duration,
    /// Bytes that it added to the store.
    pub bytes: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Epochs that have ended and are not committed.
    pub uncommitted: usize,
    /// Bytes that the input logs occupy; 0 without one.
    pub input_log_bytes: u64,
    /// Why nothing can be committed at present, or nothing taken from sources because their input log cannot be written.
    pub paused: Option<String>,
    /// How often the application has gone back to its last commit since the start, because a source, a sink or a worker failed.
    pub recoveries: u64,
    /// Why it last did.
    pub last_failure: Option<String>,
}

/// Checkpoints of a run.
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    /// Until the run has started; behind a lock only so that this can be shared.
    committer: Mutex<Option<Committer>>,
    threads: Vec<JoinHandle<()>>,
}

pub(super) struct Shared {
    collector: Arc<Collector>,
    staged: Arc<Staged>,
    interval: Duration,
    state: Mutex<State>,
    news: Condvar,
    clock: SystemClock,
    /// The committer has them.
    logs: Weak<InputLogs>,
}

#[derive(Default)]
pub(super) struct State {
    status: CheckpointStatus,
    /// Where the sources stood at the last epoch that this run has settled; none before the first.
    pub(super) positions: Vec<SourcePosition>,
    /// Tasks that wait for the next settled epoch.
    pub(super) tasks: BTreeMap<u64, task::Waker>,
    pub(super) next_task: u64,
    /// Threads that wait for it.
    pub(super) waiting: usize,
    /// The last epoch that needs no commit any more.
    settled: u64,
    /// The epoch that is open.
    open: u64,
    /// CPU time that the last commit took, and merges that have ended with it.
    cost: Cost,
    /// Begin an epoch as soon as those before it are settled.
    wanted: bool,
    /// Begin an epoch: sinks keep much of the open one.
    full: bool,
    asked: Vec<Asked>,
    pub(super) ended: bool,
    pub(super) failed: bool,
}

/// What the thread that commits is asked, between two epochs.
enum Asked {
    /// To keep the newest commit under a name.
    Savepoint(String, Answer<Result<(), StoreError>>),
    /// Where to go back to.
    Point(Answer<Result<Point, StoreError>>),
    /// To keep what is read.
    Reads(Arc<Stored>),
}

type Answer<T> = Arc<Mutex<Option<T>>>;

fn give<T>(answer: &Answer<T>, value: T) {
    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

impl Shared {
    // Nothing that holds the lock can panic half way.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all who wait, threads and tasks, that an epoch is settled or none will be any more.
    fn tell(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        self.news.notify_all();
        tasks.into_values().for_each(task::Waker::wake);
    }

    /// Wants an epoch to begin.
    pub(super) fn ask(&self) {
        if !std::mem::replace(&mut self.state().wanted, true) {
            self.news.notify_all();
        }
    }

    /// Asks the thread that commits; none when it answers no more.
    fn ask_committer<T>(&self, asking: impl FnOnce(Answer<T>) -> Asked) -> Option<T> {
        let answer = Arc::new(Mutex::new(None));
        let mut state = self.state();
        state.asked.push(asking(Arc::clone(&answer)));
        self.collector.wake();
        loop {
            let found = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if found.is_some() || state.ended || state.failed {
                return found;
            }
            state = self.wait(state, REST);
        }
    }

    /// Messages were read before, and are in the open epoch only now: if somebody waits for one, the epoch may end.
    fn released(&self) {
        let state = self.state();
        let is_waited_for = state.waiting > 0 || !state.tasks.is_empty();
        drop(state);
        if is_waited_for {
            self.ask();
        }
    }

    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        time: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.news.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Commits for Shared {
    fn count(&self) -> u64 {
        self.state().status.commits
    }

    fn lost(&self, failure: &Failure) {
        let (code, text) = (failure.code(), failure.to_string());
        tracing::warn!(%code, "the workers are lost, and begin again from the last commit: {text}");
        let status = &mut self.state().status;
        status.recoveries += 1;
        status.paused = Some(format!("going back to the last commit: {text}"));
        status.last_failure = Some(text);
    }

    fn roll_back(&self) -> Option<Result<Point, StoreError>> {
        if !self.collector.drain() {
            return None;
        }
        self.collector.forget_open();
        let point = self.ask_committer(Asked::Point)?;
        self.staged.begin();
        let mut state = self.state();
        state.open = state.settled + 1;
        state.full = false;
        Some(point)
    }

    fn resumed(&self, stored: Arc<Stored>) {
        let mut state = self.state();
        state.asked.push(Asked::Reads(stored));
        state.status.paused = None;
        drop(state);
        self.collector.wake();
    }
}

/// Looks at checkpoints, and keeps nothing going.
pub(crate) struct CheckpointView(Arc<Shared>);

impl CheckpointView {
    pub(crate) fn status(&self) -> CheckpointStatus {
        let mut status = self.0.state().status.clone();
        status.uncommitted = self.0.collector.waiting();
        if let Some(logs) = self.0.logs.upgrade() {
            status.input_log_bytes = logs.bytes();
            status.paused = status.paused.or_else(|| logs.waits_for());
        }
        status
    }

    /// Lets the open epoch end; returns it.
    pub(crate) fn begin_commit(&self) -> u64 {
        self.0.ask();
        self.0.state().open
    }

    /// Whether an epoch needs no commit any more.
    pub(crate) fn is_committed(&self, epoch: u64) -> bool {
        let mut state = self.0.state();
        let is_settled = state.settled >= epoch;
        // Asked again, should the question have come between two epochs.
        state.wanted |= !is_settled && state.open == epoch;
        drop(state);
        self.0.news.notify_all();
        is_settled
    }
}

impl Checkpoints {
    pub(crate) fn new(
        committer: Committer,
        staged: Arc<Staged>,
        interval: Duration,
        epoch: Epoch,
        is_new: bool,
    ) -> Self {
        let epoch = u64::from(epoch.0);
        let state = State {
            settled: epoch,
            open: epoch + 1,
            status: CheckpointStatus {
                resumed_from: (!is_new).then_some(epoch),
                epoch,
                ..CheckpointStatus::default()
            },
            ..State::default()
        };
        let shared = Arc::new(Shared {
            collector: Arc::default(),
            staged: Arc::clone(&staged),
            interval,
            state: Mutex::new(state),
            news: Condvar::new(),
            clock: SystemClock::new(),
            logs: committer.logs(),
        });
        let asked = Arc::downgrade(&shared);
        staged.when_full(Arc::new(move || {
            if let Some(shared) = asked.upgrade() {
                shared.state().full = true;
                shared.news.notify_all();
            }
        }));
        let released = Arc::downgrade(&shared);
        committer.when_released(Arc::new(move || {
            if let Some(shared) = released.upgrade() {
                shared.released();
            }
        }));
        Checkpoints {
            shared,
            committer: Mutex::new(Some(committer)),
            threads: Vec::new(),
        }
    }

    /// Who is told of epochs.
    pub(crate) fn listener(&self) -> Arc<Collector> {
        Arc::clone(&self.shared.collector)
    }

    /// Begins to make checkpoints of a run.
    pub(crate) fn start(&mut self, run: &RunHandle) -> std::io::Result<()> {
        let committer = self.committer.get_mut();
        let Some(committer) = committer.unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        run.hold_after(Some(epoch(self.shared.state().settled + AHEAD)));
        let (shared, handle) = (Arc::clone(&self.shared), run.clone());
        self.threads.push(spawn("wallaroo-commits", move || {
            commit_epochs(&shared, committer, &handle);
        })?);
        let (shared, handle) = (Arc::clone(&self.shared), run.clone());
        self.threads.push(spawn("wallaroo-epochs", move || {
            begin_epochs(&shared, &handle);
        })?);
        Ok(())
    }

    pub(crate) fn status(&self) -> CheckpointStatus {
        self.view().status()
    }

    /// To look at from elsewhere.
    pub(crate) fn view(&self) -> CheckpointView {
        CheckpointView(Arc::clone(&self.shared))
    }

    /// Waits until everything is committed that has been handled before the call. False when the run has ended before.
    pub(crate) fn commit_now(&self) -> bool {
        let mut state = self.shared.state();
        let open = state.open;
        state.wanted = true;
        self.shared.news.notify_all();
        while state.settled < open && !state.ended && !state.failed {
            state.wanted |= state.open <= open;
            state = self.shared.wait(state, REST);
        }
        state.settled >= open
    }

    /// Keeps the newest commit under a name.
    pub(crate) fn savepoint(&self, name: &str) -> Option<Result<(), StoreError>> {
        self.shared
            .ask_committer(|answer| Asked::Savepoint(name.to_owned(), answer))
    }

    /// Knows how to go back to the last commit, at most so often in a row without another. Before the start.
    pub(crate) fn recovery(&self, program: Program, most: u32) -> Option<Arc<GoBack>> {
        let committer = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let storage = committer.as_ref().map(Committer::storage)?;
        let commits = Arc::clone(&self.shared) as Arc<dyn Commits>;
        Some(Arc::new(GoBack::new(commits, program, storage, most)))
    }

    /// What is committed, for those who wait for it.
    pub(crate) fn committed(&self) -> Committed {
        Committed::new(Arc::clone(&self.shared))
    }

    /// Lets nobody wait any more: the run has failed, and nothing more is to be committed.
    pub(crate) fn give_up(&self) {
        self.shared.state().failed = true;
        self.shared.collector.close();
        self.shared.tell();
    }
}

/// The run has ended by then.
impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.tell();
        self.shared.collector.close();
        self.shared.collector.wake();
        for thread in self.threads.drain(..) {
            // They do not panic: what they call of others is caught.
            let _ = thread.join();
        }
    }
}

/// Begins an epoch whenever it is time and something has happened.
fn begin_epochs(shared: &Shared, run: &RunHandle) {
    let mut changes = run.changes();
    let mut began = shared.clock.now();
    let mut state = shared.state();
    while !state.ended && !state.failed {
        let interval = pace::interval(shared.interval, state.cost);
        let since = shared.clock.now().since(began);
        // Those who come while an epoch is being committed share the next one.
        let wanted = state.wanted && state.open <= state.settled + 1;
        let full = state.full && state.open <= state.settled + AHEAD;
        let is_due = since >= interval || wanted || full;
        if !is_due {
            state = shared.wait(state, interval - since);
            continue;
        }
        state.wanted &= !wanted;
        state.full &= !full;
        began = shared.clock.now();
        let found = run.changes();
        if (found != changes || wanted || full) && state.open <= state.settled + AHEAD {
            changes = found;
            shared.staged.begin();
            // Under the lock: a run that goes back to its last commit puts the number back.
            if let Some(ended) = run.next_epoch() {
                state.open = u64::from(ended.0) + 1;
            }
        }
    }
}

/// Commits epochs as they end, and tries again what fails.
fn commit_epochs(shared: &Shared, mut committer: Committer, run: &RunHandle) {
    loop {
        answer(shared, &mut committer);
        let Some(data) = shared.collector.next(REST) else {
            let mut state = shared.state();
            state.ended |= shared.collector.run_has_ended();
            if state.ended {
                drop(state);
                shared.tell();
                return;
            }
            continue;
        };
        let (began, cpu, ended) = (shared.clock.now(), cpu_time::ThreadTime::now(), data.epoch);
        let encoding = data.encoding_time();
        committer.take(data);
        let Some(done) = persist(shared, &mut committer, run) else {
            return;
        };
        let now = shared.clock.now();
        shared.collector.give_back(committer.take_written());
        let mut state = shared.state();
        state.settled = ended;
        state.open = state.open.max(ended + 1);
        state.cost = Cost {
            writing: cpu.elapsed() + committer.take_merge_cost(),
            encoding,
        };
        state.status.paused = None;
        state.status.epoch = committer.epoch();
        state.positions = committer.positions().to_vec();
        if done.committed {
            state.status.committed_at = now;
            state.status.duration = now.since(began);
            state.status.bytes = done.bytes;
            state.status.commits += 1;
        }
        drop(state);
        run.hold_after(Some(epoch(ended + AHEAD)));
        shared.collector.settle();
        shared.tell();
    }
}

/// Goes on with an epoch until it is committed; none when it never will be.
fn persist(
    shared: &Shared,
    committer: &mut Committer,
    run: &RunHandle,
) -> Option<super::committer::Done> {
    let mut patience = FIRST_RETRY;
    loop {
        match committer.advance() {
            Ok(done) => return Some(done),
            Err(Stopped::ForGood(failure)) => {
                run.fail(failure);
                shared.state().failed = true;
                shared.collector.close();
                shared.tell();
                return None;
            }
            Err(Stopped::ForNow(text)) => {
                tracing::warn!("checkpoints pause: {text}");
                let mut state = shared.state();
                state.status.paused = Some(text);
                // One that ends in good order waits for its commits: this one has failed.
                state.ended |= shared.collector.run_has_ended();
                if state.ended {
                    drop(state);
                    shared.tell();
                    return None;
                }
                drop(shared.wait(state, patience));
                patience = (patience * 2).min(LAST_RETRY);
            }
        }
    }
}

fn answer(shared: &Shared, committer: &mut Committer) {
    let asked = std::mem::take(&mut shared.state().asked);
    for asked in asked {
        match asked {
            Asked::Savepoint(name, answer) => give(&answer, committer.savepoint(&name)),
            Asked::Point(answer) => give(&answer, committer.point()),
            Asked::Reads(stored) => committer.reads(stored),
        }
        shared.news.notify_all();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn epoch(number: u64) -> Epoch {
    Epoch(u32::try_from(number).unwrap_or(u32::MAX))
}
