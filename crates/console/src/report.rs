//! [`Report`]: an application at a moment, as its owner tells it.
//!
//! **Invariants.** Every value of these types can be shown. Names of fields in JSON are part of docs/status.md; fields may be
//! added, and none changes its meaning.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// An application at a moment. All counts are since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub application: String,
    /// What the run is doing.
    #[serde(flatten)]
    pub phase: Phase,
    /// How many workers there are.
    pub workers: usize,
    /// How long the run has lasted.
    #[serde(rename = "uptime_seconds", serialize_with = "seconds")]
    pub uptime: Duration,
    /// Bytes queued between operators.
    pub queued_bytes: u64,
    /// All sources, stages and sinks, in the order of the plan. Their names differ.
    pub nodes: Vec<Node>,
    /// Functions that have been running for long.
    pub stuck: Vec<Stuck>,
    /// The size of states, as far as it is known. Their names differ.
    pub states: Vec<StateSize>,
    /// Checkpoints; none without a store.
    pub checkpoint: Option<Checkpoint>,
}

/// What a run is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It opens its store, sources and sinks, and reads state back.
    #[default]
    Starting,
    /// Messages are read as they come.
    Running,
    /// Sources are held until the store can be written again.
    Paused {
        /// Why it cannot, for people.
        reason: String,
    },
    /// Nothing is read any more; what was read goes through the sinks.
    Ending,
}

impl Phase {
    /// The names of all phases.
    pub(crate) const NAMES: [&str; 4] = ["starting", "running", "paused", "ending"];

    /// The phase in one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Paused { .. } => "paused",
            Phase::Ending => "ending",
        }
    }
}

/// What of the plan a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A source.
    Source,
    /// A stage.
    #[default]
    Stage,
    /// A sink.
    Sink,
}

impl Kind {
    /// The kind in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Stage => "stage",
            Kind::Sink => "sink",
        }
    }
}

/// What a source, stage or sink has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Messages it took; for a source, those it read.
    pub messages_in: u64,
    /// Messages it passed on.
    pub messages_out: u64,
    /// Messages, or records of a source, for which it failed, whatever its error policy.
    pub errors: u64,
    /// Those of them that were passed over, under `skip` or `dead_letter`.
    pub dropped: u64,
    /// Messages that are there for it and that it has not taken: at a source not read, at a sink not taken by its writer.
    /// None where that cannot be known.
    pub lag_messages: Option<u64>,
    /// The same in bytes: what of a file is not read.
    pub lag_bytes: Option<u64>,
}

/// A function that has been running for long.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stuck {
    /// The stage.
    pub stage: String,
    /// The worker that is in it, counted from zero.
    pub worker: usize,
    /// For how long at least.
    #[serde(rename = "running_for_seconds", serialize_with = "seconds")]
    pub running_for: Duration,
}

/// The size of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateSize {
    /// Its name.
    pub name: String,
    /// Keys that have a state object.
    pub keys: u64,
    /// What the objects occupy, as far as it is known; none if it is not.
    pub bytes: Option<u64>,
}

/// How far an application has got with its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Checkpoint {
    /// The last checkpoint; none before the first.
    pub last: Option<Committed>,
    /// Epochs that have ended and are not committed. Sources are held at three.
    pub uncommitted_epochs: u64,
    /// The size of the input log; 0 without one.
    pub input_log_bytes: u64,
    /// How often the application has gone back to its last commit since the start of the process.
    pub recoveries: u64,
    /// Why it last did, for people; none if it never did.
    pub last_failure: Option<String>,
}

/// A checkpoint that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Committed {
    /// The epoch that ends with it.
    pub epoch: u64,
    /// The time since it was committed.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Duration,
    /// The time from the end of the epoch to the commit.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// What was written for it: segment and outbox.
    pub bytes: u64,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
