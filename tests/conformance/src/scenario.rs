//! Scenarios as they stand in their files; `README.md` explains every field.
//!
//! **Invariants.** A field that is not known is an error: a scenario is never run in part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The fact that the scenario shows.
    pub about: String,
    /// What runs, unless a run says otherwise.
    pub application: Option<Application>,
    /// Whether all runs share a store.
    #[serde(default)]
    pub store: bool,
    /// Processes, one after another, in one directory.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// One run in the test kit, with simulated time.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What the test kit must show.
    #[serde(default)]
    pub expect: Expected,
}

/// An application as data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// States by name.
    #[serde(default)]
    pub states: BTreeMap<String, StateSpec>,
    /// Streams, each made from those above it.
    pub plan: Vec<Line>,
}

/// A state.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSpec {
    /// One of the classes of [`states`](crate::states).
    pub class: String,
    /// Seconds.
    pub expire_after: Option<u64>,
}

/// A stream: where it comes from, what is done, and where it goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// It begins at this source.
    pub source: Option<String>,
    /// It goes on from this stream.
    pub from: Option<String>,
    /// It is these two streams together.
    pub merge: Option<(String, String)>,
    /// What is done, in this order.
    #[serde(default)]
    pub stages: Vec<String>,
    /// It is divided by this predicate.
    pub split: Option<String>,
    /// The two streams that it is divided into.
    pub into: Option<(String, String)>,
    /// Its name.
    pub name: Option<String>,
    /// It ends in this sink.
    pub sink: Option<String>,
    /// It ends.
    #[serde(default)]
    pub end: bool,
}

/// A process.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What runs, if not the application of the scenario.
    pub application: Option<Application>,
    /// What is appended to the file of each source: an event, or the text of a line.
    #[serde(default)]
    pub messages: BTreeMap<String, Vec<Value>>,
    /// How many events are appended to the file of each source.
    #[serde(default)]
    pub generate: BTreeMap<String, u64>,
    /// Options of the start.
    #[serde(default)]
    pub options: StartOptions,
    /// How often the process is killed while it works.
    #[serde(default)]
    pub kills: u32,
    /// What the run must leave behind.
    #[serde(default)]
    pub expect: Expected,
}

/// Options of a start with a store.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartOptions {
    /// States to give up.
    #[serde(default)]
    pub drop_states: Vec<String>,
    /// New by old names of states.
    #[serde(default)]
    pub rename_states: BTreeMap<String, String>,
}

/// A step in the test kit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Events for each source.
    #[serde(default)]
    pub send: BTreeMap<String, Vec<(String, i64)>>,
    /// Seconds that pass.
    pub advance: Option<u64>,
}

/// What must come out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// All events of each sink so far; those of one key in this order.
    #[serde(default)]
    pub sinks: BTreeMap<String, Vec<(String, i64)>>,
    /// Of each sink and key, how many events there are: their values count from 1 without a gap.
    #[serde(default)]
    pub counted: BTreeMap<String, BTreeMap<String, u64>>,
    /// All dead letters of each sink.
    #[serde(default)]
    pub letters: BTreeMap<String, Vec<Letter>>,
    /// The objects of each state, by key.
    #[serde(default)]
    pub states: BTreeMap<String, BTreeMap<String, Value>>,
    /// The failure that ends the run.
    pub error: Option<Failure>,
}

/// A dead letter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The stage.
    pub stage: String,
    /// The record number.
    pub position: u64,
    /// The key as text.
    pub key: Option<String>,
    /// The message as text.
    pub message: String,
    /// What the error has in it.
    pub error: String,
}

/// A failure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its code.
    pub code: String,
    /// What its text has in it.
    pub says: Vec<String>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a scenario.
    pub fn read(path: &Path) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path:?}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{path:?}: {error}"))
    }

    /// What one of the runs runs.
    ///
    /// # Errors
    /// When neither the run nor the scenario has an application.
    pub fn application_of(&self, run: usize) -> Result<&Application, String> {
        let own = self.runs.get(run).and_then(|run| run.application.as_ref());
        own.or(self.application.as_ref())
            .ok_or_else(|| format!("run {run} has no application"))
    }
}

/// All scenarios, by name.
///
/// # Panics
/// When their directory cannot be read.
#[must_use]
pub fn all() -> BTreeMap<String, PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(directory).expect("the scenarios are there");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    paths
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            (name.into_owned(), path)
        })
        .collect()
}
