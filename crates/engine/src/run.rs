//! A running application: opens its sources and sinks, and runs generations one after another.
//!
//! **Invariants.** Everything outside that can be wrong at the start (a missing file, a taken port) is found
//! before the first message is read, and nothing runs then. A run ends exactly once, with an outcome that
//! every waiter gets.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use wallaroo_core::{Clock, Code, ConnectorError, KeyGroupCount, NodeKind, PlanError, SystemClock};

use crate::control::{Control, Epoch, Limits, PartitionName};
use crate::failure::{Connector, Failure, UndrainedSink};
use crate::generation::{spawn, unpoisoned};
use crate::host::HostRuntime;
use crate::layout::Layout;
use crate::listener::EpochListener;
use crate::program::Program;
use crate::recovery::{self, Lost, Recovered, Recovery};
use crate::restore::Resume;
use crate::status::{Counts, Status};

mod body;
mod opening;

pub use body::Body;
pub(crate) use opening::open_sink;

/// Makes a run a function of its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Decides the order of all steps, the size of every read, and when time moves on.
    pub seed: u64,
    /// Begin the next epoch after one in this many reads, on average; never if absent.
    pub epoch_every: Option<usize>,
}

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Number of workers.
    pub workers: NonZeroUsize,
    /// Number of key groups.
    pub groups: KeyGroupCount,
    /// Limits of flow control.
    pub limits: Limits,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who is told what each epoch holds.
    pub listener: Option<Arc<dyn EpochListener>>,
    /// The checkpoint to go on from; from the start if there is none.
    pub resume: Option<Resume>,
    /// What to do when a generation is lost; the run ends then if there is none.
    pub recovery: Option<Arc<dyn Recovery>>,
    /// After this time in one call, a function is told to be stuck: in the log (WAL-0503), and in
    /// [`Status::stuck`]. Default: 5 seconds.
    pub stuck_after: Duration,
    /// Run as a function of a seed. The clock must be a simulated one then.
    pub simulation: Option<Simulation>,
    /// What the language of the host needs around the work of operators; there is one worker then.
    pub host: Option<Arc<dyn HostRuntime>>,
}

/// After this time a function is told to be stuck, unless set otherwise.
// Far above what a handler should take, and soon enough for a person who wonders why nothing happens.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// How long an abandoned run has for ending in good order.
// A worker that is not inside of a function sees that the run has failed within milliseconds.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: NonZeroUsize::MIN,
            groups: KeyGroupCount::default(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock::new()),
            listener: None,
            resume: None,
            recovery: None,
            stuck_after: STUCK_AFTER,
            simulation: None,
            host: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a run could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A source cannot be opened.
    #[error("cannot open the source {name:?}: {}", .error.full_text())]
    Source {
        /// The source.
        name: String,
        /// Why.
        error: ConnectorError,
    },
    /// A sink cannot be opened.
    #[error("cannot open the sink {name:?}: {}", .error.full_text())]
    Sink {
        /// The sink.
        name: String,
        /// Why.
        error: ConnectorError,
    },
    /// The code of a source or sink panicked.
    #[error("the {connector} panicked while it was opened: {text}; correct its code")]
    Panic {
        /// Which one.
        connector: Connector,
        /// The panic's text.
        text: String,
    },
    /// The program would abort at the first panic.
    #[error(
        "this program is built with panic = \"abort\", so a failing computation could not be reported; build it with panic = \"unwind\""
    )]
    PanicAbort,
    /// No thread can be had.
    #[error("cannot start a thread: {0}; check the limit on threads")]
    Thread(std::io::Error),
}

impl StartError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            StartError::Plan(error) => error.code(),
            StartError::Source { error, .. } => error.code().unwrap_or(Code::SourceUnreadable),
            StartError::Sink { error, .. } => error.code().unwrap_or(Code::SinkOpen),
            StartError::Panic { .. } => Code::UserPanic,
            StartError::PanicAbort => Code::PanicAbort,
            StartError::Thread(_) => Code::Resources,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// All input has ended, or the run was stopped, and everything accepted has gone through the sinks.
    Completed,
    /// Something failed.
    Failed(Arc<Failure>),
}

/// What steers a run.
#[derive(Default)]
struct Steering {
    control: Option<Arc<Control>>,
    stop: bool,
    hold_after: Option<Epoch>,
    held: bool,
    rescale: Option<NonZeroUsize>,
    workers: usize,
    outcome: Option<Outcome>,
    /// Nobody waits for its threads any more.
    abandoned: bool,
    /// Why the run shall end, said from outside while no generation ran.
    failure: Option<Failure>,
}

struct Inner {
    program: Arc<Program>,
    counts: Arc<Counts>,
    steering: Mutex<Steering>,
    ended: Condvar,
}

impl Inner {
    fn status(&self) -> Status {
        let steering = unpoisoned(&self.steering);
        let control = steering.control.as_ref();
        Status {
            workers: steering.workers,
            nodes: self.counts.nodes_of(&self.program.plan),
            states: self.counts.states(),
            queued_bytes: control.map_or(0, |control| control.queued_bytes()),
            stuck: control.map_or_else(Vec::new, |control| control.watch.stuck()),
        }
    }

    fn next_epoch(&self) -> Option<Epoch> {
        unpoisoned(&self.steering)
            .control
            .as_ref()
            .map(|control| control.next_epoch())
    }

    fn hold_after(&self, epoch: Option<Epoch>) {
        let mut steering = unpoisoned(&self.steering);
        steering.hold_after = epoch;
        if let Some(control) = &steering.control {
            control.hold_after(epoch);
        }
    }

    /// Lets a generation be steered; false when nobody waits for it any more.
    fn begin(&self, control: &Arc<Control>, workers: NonZeroUsize) -> Result<bool, Failure> {
        let mut steering = unpoisoned(&self.steering);
        steering.control = Some(Arc::clone(control));
        steering.workers = workers.get();
        control.hold_after(steering.hold_after);
        control.hold(steering.held);
        if steering.stop {
            control.stop();
        }
        if steering.rescale.is_some() {
            control.pause();
        }
        if steering.abandoned {
            return Ok(false);
        }
        steering.failure.take().map_or(Ok(true), Err)
    }

    fn recover(
        &self,
        lost: Lost,
        options: &Options,
        names: &[PartitionName],
    ) -> Result<Recovered, Failure> {
        // Real time has no place in a simulation.
        let is_simulated = options.simulation.is_some();
        let pause = |time| self.pause(if is_simulated { Duration::ZERO } else { time });
        recovery::recover(lost, &self.program, options, names, &self.counts, &pause)
    }

    /// Waits, unless the run is to end; says whether it is to go on.
    fn pause(&self, time: Duration) -> bool {
        let is_to_go_on = |steering: &Steering| {
            !steering.stop && !steering.abandoned && steering.failure.is_none()
        };
        let steering = unpoisoned(&self.steering);
        let waited = self
            .ended
            .wait_timeout_while(steering, time, |steering| is_to_go_on(steering));
        let (steering, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        is_to_go_on(&steering)
    }

    fn hold(&self, held: bool) {
        let mut steering = unpoisoned(&self.steering);
        steering.held = held;
        if let Some(control) = &steering.control {
            control.hold(held);
        }
    }

    fn fail(&self, failure: Failure) {
        let mut steering = unpoisoned(&self.steering);
        match &steering.control {
            Some(control) => control.fail(failure),
            None => {
                steering.failure.get_or_insert(failure);
                self.ended.notify_all();
            }
        }
    }
}

/// Steers a run from outside, and does nothing when it is gone.
#[derive(Clone)]
pub struct RunHandle {
    inner: Weak<Inner>,
}

impl RunHandle {
    /// Begins the next epoch, and returns the one that ends: the listener is told when all of it has had its
    /// effect. Several may be begun before the first has ended. None when no generation runs: the last epoch
    /// of the one before has been reported, and the next begins with an epoch of its own.
    #[must_use]
    pub fn next_epoch(&self) -> Option<Epoch> {
        self.inner.upgrade()?.next_epoch()
    }

    /// Lets sources read nothing in epochs after `epoch`, until it is called again: with a later one, or with
    /// `None` for no limit. Epochs go on to end meanwhile, and a rescale goes through. A stop waits for sources that
    /// have to read until their end.
    pub fn hold_after(&self, epoch: Option<Epoch>) {
        if let Some(inner) = self.inner.upgrade() {
            inner.hold_after(epoch);
        }
    }

    /// Lets sources read nothing, whatever [`RunHandle::hold_after`] says, until it is called with `false`.
    pub fn hold(&self, held: bool) {
        if let Some(inner) = self.inner.upgrade() {
            inner.hold(held);
        }
    }

    /// Ends the run with a failure, unless it has ended.
    pub fn fail(&self, failure: Failure) {
        if let Some(inner) = self.inner.upgrade() {
            inner.fail(failure);
        }
    }

    /// What the application has done so far; none when it has gone.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Some(self.inner.upgrade()?.status())
    }

    /// Whether the run is coming to its end, or has come to it.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.inner.upgrade().is_none_or(|inner| {
            let steering = unpoisoned(&inner.steering);
            steering.stop || steering.outcome.is_some()
        })
    }

    /// How much has happened that a checkpoint has to hold: records of all sources that their stages have taken, and state objects that
    /// expired without one. It never becomes less.
    #[must_use]
    pub fn changes(&self) -> u64 {
        let Some(inner) = self.inner.upgrade() else {
            return 0;
        };
        let nodes = inner.program.plan.nodes.iter().zip(&inner.counts.nodes);
        let records: u64 = nodes
            .filter(|(node, _)| node.kind == NodeKind::Source)
            .map(|(node, counts)| counts.status(&node.name))
            .map(|status| status.messages_out + status.dropped)
            .sum();
        records + inner.counts.expired.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunHandle")
    }
}

/// A running application.
pub struct Run {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Run {
    /// Opens sources and sinks and starts.
    ///
    /// # Errors
    /// When the plan is wrong, or something outside is not as configured; nothing runs then.
    pub fn start(program: Program, options: Options) -> Result<Run, StartError> {
        let (mut run, body) = Run::prepare(program, options)?;
        run.run(body)?;
        Ok(run)
    }

    /// Runs the body on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be had; the run has ended then.
    pub fn run(&mut self, body: Body) -> Result<(), StartError> {
        let thread = spawn("wallaroo-supervisor", move || body.run());
        self.thread = Some(thread.map_err(StartError::Thread)?);
        Ok(())
    }

    /// Ends the run as a failure; what has been read does not go through any more.
    pub fn give_up(&self) {
        self.fail(self.undrained());
    }

    /// Opens sources and sinks, and leaves it to the caller to run the [`Body`], on a thread of its choice.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub fn prepare(program: Program, options: Options) -> Result<(Run, Body), StartError> {
        check_unwinds(cfg!(panic = "abort"))?;
        program.plan.check()?;
        let layout = Layout::of(&program.plan, |id| program.has_writer_per_worker(id))?;
        let program = Arc::new(program);
        let resume = options.resume.as_ref();
        let (assets, names) = opening::open(&program, options.workers.get(), resume)?;
        let inner = Arc::new(Inner {
            program: Arc::clone(&program),
            counts: Arc::new(Counts::of(&program.plan)),
            steering: Mutex::default(),
            ended: Condvar::new(),
        });
        let body = Body {
            inner: Arc::clone(&inner),
            layout,
            options,
            assets: Some(assets),
            names,
        };
        Ok((
            Run {
                inner,
                thread: None,
            },
            body,
        ))
    }

    /// Asks the sources to end. Everything accepted still goes through the sinks.
    pub fn stop(&self) {
        let mut steering = unpoisoned(&self.inner.steering);
        steering.stop = true;
        if let Some(control) = &steering.control {
            control.stop();
        }
        self.inner.ended.notify_all();
    }

    /// As [`Run::stop`], and waits for the end, at most for `timeout`. A run that has not ended by then is
    /// abandoned: it fails with [`Failure::Undrained`], and its workers end as soon as they come back from what they
    /// are in. Threads that never come back are left behind.
    pub fn stop_within(&self, timeout: Duration) -> Outcome {
        self.stop();
        if let Some(outcome) = self.wait_timeout(timeout) {
            return outcome;
        }
        self.fail(self.undrained());
        if let Some(outcome) = self.wait_timeout(LAST_WAIT) {
            return outcome;
        }
        let failure = self.undrained();
        let mut steering = unpoisoned(&self.inner.steering);
        steering.abandoned = true;
        let outcome = steering
            .outcome
            .get_or_insert_with(|| Outcome::Failed(Arc::new(failure)))
            .clone();
        drop(steering);
        self.inner.ended.notify_all();
        outcome
    }

    fn fail(&self, failure: Failure) {
        self.inner.fail(failure);
    }

    /// A way to steer the run that does not keep it going.
    #[must_use]
    pub fn handle(&self) -> RunHandle {
        RunHandle {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// What has not gone through.
    fn undrained(&self) -> Failure {
        let Status {
            queued_bytes,
            stuck,
            ..
        } = self.status();
        let nodes = self.inner.program.plan.nodes.iter();
        let sinks: Vec<UndrainedSink> = nodes
            .zip(&self.inner.counts.nodes)
            .filter_map(|(node, counts)| counts.undrained(&node.name))
            .collect();
        Failure::Undrained {
            sinks,
            stuck,
            queued_bytes,
        }
    }

    /// Goes on with another number of workers: ends this generation and starts the next on the same state.
    pub fn rescale(&self, workers: NonZeroUsize) {
        let mut steering = unpoisoned(&self.inner.steering);
        steering.rescale = Some(workers);
        if let Some(control) = &steering.control {
            control.pause();
        }
    }

    /// As [`RunHandle::next_epoch`].
    pub fn next_epoch(&self) -> Option<Epoch> {
        self.inner.next_epoch()
    }

    /// As [`RunHandle::hold_after`].
    pub fn hold_after(&self, epoch: Option<Epoch>) {
        self.inner.hold_after(epoch);
    }

    /// What the application has done so far.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// Waits for the end, at most for `timeout`.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Outcome> {
        let steering = unpoisoned(&self.inner.steering);
        let (steering, _) = self
            .inner
            .ended
            .wait_timeout_while(steering, timeout, |steering| steering.outcome.is_none())
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        steering.outcome.clone()
    }

    /// Waits for the end.
    #[must_use]
    pub fn wait(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.wait_timeout(Duration::from_secs(3600)) {
                return outcome;
            }
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("application", &self.inner.program.plan.application)
            .finish_non_exhaustive()
    }
}

/// A run that nobody holds any more is stopped, and waited for.
impl Drop for Run {
    fn drop(&mut self) {
        self.stop();
        let abandoned = unpoisoned(&self.inner.steering).abandoned;
        if let Some(thread) = self.thread.take_if(|_| !abandoned) {
            // It does not panic: workers' panics are caught, and its own code only moves things.
            let _ = thread.join();
        }
    }
}

/// Refuses a program in which a panic ends the process: no failure could be caught.
fn check_unwinds(aborts: bool) -> Result<(), StartError> {
    if aborts {
        return Err(StartError::PanicAbort);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_aborts_at_a_panic_is_refused() {
        assert!(check_unwinds(false).is_ok());
        let error = check_unwinds(true).expect_err("it is refused");
        assert_eq!(error.code().to_string(), "WAL-0602");
        assert_eq!(
            error.to_string(),
            "this program is built with panic = \"abort\", so a failing computation could not be reported; \
             build it with panic = \"unwind\""
        );
    }
}
