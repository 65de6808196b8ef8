//! What an application is told about its store.
//!
//! **Invariants.** Nothing is opened here.

use std::time::Duration;

/// The shortest time between two checkpoints.
const SHORTEST: Duration = Duration::from_millis(1);
/// At most five requests in a second, about 13 million in a month of steady input.
const LOG_INPUT_EVERY: Duration = Duration::from_millis(200);

/// So often in a row a run goes back to its last commit by itself.
// With the pauses of 100 ms, doubled each time, about 3 seconds: a connection that is made anew, a file system that stalls.
const RECOVERIES: u32 = 5;

/// Where an application keeps its checkpoints, and how often it makes them.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use wallaroo::{Options, StoreOptions};
///
/// let store = StoreOptions::new("./data").every(Duration::from_millis(200));
/// let options = Options { store: Some(store), ..Options::with_workers(2) };
/// # drop(options);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    pub(crate) address: String,
    pub(crate) every: Option<Duration>,
    pub(crate) retain: usize,
    pub(crate) recoveries: u32,
    pub(crate) log_input_every: Duration,
    pub(crate) take_over: bool,
    pub(crate) from: Option<String>,
    pub(crate) savepoint: Option<String>,
    pub(crate) drop_savepoints: Vec<String>,
    pub(crate) drop_states: Vec<String>,
    pub(crate) rename_states: Vec<(String, String)>,
    pub(crate) drop_sources: Vec<String>,
    pub(crate) drop_sinks: Vec<String>,
    pub(crate) reset_sinks: Vec<String>,
}

impl StoreOptions {
    /// A store at `address`: a directory, which is made if there is none, or `s3://BUCKET/PREFIX`.
    pub fn new(address: impl Into<String>) -> Self {
        StoreOptions {
            address: address.into(),
            every: None,
            retain: 3,
            recoveries: RECOVERIES,
            log_input_every: LOG_INPUT_EVERY,
            take_over: false,
            from: None,
            savepoint: None,
            drop_savepoints: Vec::new(),
            drop_states: Vec::new(),
            rename_states: Vec::new(),
            drop_sources: Vec::new(),
            drop_sinks: Vec::new(),
            reset_sinks: Vec::new(),
        }
    }

    /// The time between two checkpoints, at least: it becomes longer when they would take more than a fifth of a core. 1 millisecond
    /// is the shortest.
    /// Default: 1 second in a directory, 10 seconds in an object store.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval);
        self
    }

    /// How many checkpoints are kept, beside savepoints; at least 1, by default 3.
    #[must_use]
    pub fn retain(mut self, checkpoints: usize) -> Self {
        self.retain = checkpoints.max(1);
        self
    }

    /// How often in a row, without a commit in between, the application goes back to its last commit by itself when a source, a sink
    /// or a worker fails; then it ends with the failure, as it does at once with 0. Default: 5, over about 3 seconds.
    /// Errors and panics of your own functions and records that cannot be decoded end it at once, whatever is set here.
    #[must_use]
    pub fn recoveries(mut self, times: u32) -> Self {
        self.recoveries = times;
        self
    }

    /// The time between two objects of the input log, at least, in an object store; default: 200 ms. Messages of sources that cannot
    /// replay (TCP, channels) are handled when the object with them is there: up to so much later, and the time of a request. In a
    /// directory messages are logged at once, and this means nothing.
    #[must_use]
    pub fn log_input_every(mut self, interval: Duration) -> Self {
        self.log_input_every = interval.max(SHORTEST);
        self
    }

    /// Takes the store from a process that has it open and cannot be stopped: that process can commit nothing more.
    #[must_use]
    pub fn take_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
        self
    }

    /// Goes on from a savepoint, or from a commit by its number, instead of the last commit. What came after it is no longer
    /// part of the application's history.
    #[must_use]
    pub fn from(mut self, savepoint: impl Into<String>) -> Self {
        self.from = Some(savepoint.into());
        self
    }

    /// Keeps the checkpoint that this start goes on from as a savepoint (1 to 64 of letters, digits, `-`, `_`), so that the
    /// program can be started from it again, whatever this start will do.
    #[must_use]
    pub fn savepoint(mut self, name: impl Into<String>) -> Self {
        self.savepoint = Some(name.into());
        self
    }

    /// Deletes a savepoint at this start; the checkpoint itself goes as all do that are kept no longer. It may be the one that
    /// [`from`](StoreOptions::from) goes back to.
    #[must_use]
    pub fn drop_savepoint(mut self, name: impl Into<String>) -> Self {
        self.drop_savepoints.push(name.into());
        self
    }

    /// Lets the application start without a state that the store has. Its objects are gone with the next checkpoint.
    #[must_use]
    pub fn drop_state(mut self, name: impl Into<String>) -> Self {
        self.drop_states.push(name.into());
        self
    }

    /// Gives the objects of the state `old` in the store to the state `new` of the application.
    #[must_use]
    pub fn rename_state(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.rename_states.push((old.into(), new.into()));
        self
    }

    /// Lets the application start without a source that the store has positions of, which are given up.
    #[must_use]
    pub fn drop_source(mut self, name: impl Into<String>) -> Self {
        self.drop_sources.push(name.into());
        self
    }

    /// Lets the application start without a sink that the store has, or with another kind of it. What is kept of it is given up.
    #[must_use]
    pub fn drop_sink(mut self, name: impl Into<String>) -> Self {
        self.drop_sinks.push(name.into());
        self
    }

    /// Lets a sink go on although its destination is not as the checkpoint left it: it is cut back to there, or goes on at its end if
    /// that is lost. A file that is visible at once begins anew: empty, unless it is appended to.
    #[must_use]
    pub fn reset_sink(mut self, name: impl Into<String>) -> Self {
        self.reset_sinks.push(name.into());
        self
    }

    /// The time between two checkpoints.
    pub(crate) fn interval(&self) -> Duration {
        let default = if self.address.starts_with("s3://") {
            Duration::from_secs(10)
        } else {
            Duration::from_secs(1)
        };
        self.every.unwrap_or(default).max(SHORTEST)
    }
}

impl From<&str> for StoreOptions {
    fn from(address: &str) -> Self {
        StoreOptions::new(address)
    }
}
