//! Applications with a store in simulation: opened in any storage, and committed without threads.
//!
//! **Invariants.** With the same storage, nonces and answers the same is done in the same order.

use std::path::PathBuf;
use std::sync::Arc;

use wallaroo_core::{Clock, SystemClock};
use wallaroo_engine::{EpochListener, Program, Recovery, Resume};
use wallaroo_store::Storage;
use wallaroo_store::input_log::Disk;

use crate::app::{App, Options};
pub use crate::connectors::simulated;
use crate::durable::{self, GoBack, Inline, StoreOptions};
use crate::error::Error;
use crate::graph::Built;
use crate::running::Running;

/// The directory of the input logs.
pub const INPUT: &str = "input";

/// Where an application is kept, and what decides about its commits.
pub struct Place {
    /// Where its objects are.
    pub storage: Arc<dyn Storage>,
    /// The disk with its input logs, if sources that cannot replay are to be logged: below [`INPUT`].
    pub input: Option<Arc<dyn Disk>>,
    /// Milliseconds since the Unix epoch.
    pub clock: Box<dyn Fn() -> u64 + Send>,
    /// Numbers that no other process draws.
    pub nonces: Box<dyn FnMut() -> u128 + Send>,
    /// Called after each commit, when it is published, with its epoch.
    pub committed: Box<dyn FnMut(u64) + Send>,
    /// Asked when an epoch cannot be committed for now: whether to try again at once. If not, it is tried again with the
    /// next epoch that ends, unless too many wait.
    pub tries_again: Box<dyn FnMut(&str) -> bool + Send>,
    /// Asked before each commit how many steps merges of segments take after it: one is begun, done, and taken up. In
    /// production they have a thread of their own.
    pub merge_steps: Box<dyn FnMut() -> usize + Send>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("storage", &self.storage.place())
            .finish_non_exhaustive()
    }
}

/// An application that is ready to go on from its store.
pub struct Ready {
    /// To be run on the engine,
    pub program: Program,
    /// from here on,
    pub resume: Resume,
    /// and with this listener.
    pub commits: Commits,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready")
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

/// The commits of an application.
#[derive(Clone)]
pub struct Commits(Arc<Inline>);

impl Commits {
    /// What is to be told of epochs.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn EpochListener> {
        Arc::clone(&self.0) as Arc<dyn EpochListener>
    }

    /// What brings a run of `program` back to its last commit when a generation is lost, at most `most` times in a row without
    /// a commit; none when nothing is committed any more.
    #[must_use]
    pub fn recovery(&self, program: &Program, most: u32) -> Option<Arc<dyn Recovery>> {
        let commits = Arc::clone(&self.0);
        let storage = self.0.storage()?;
        Some(Arc::new(GoBack::new(
            commits,
            program.clone(),
            storage,
            most,
        )))
    }

    /// Why nothing is committed any more, if that is so: in production the run fails then.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.failure()
    }
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commits")
    }
}

struct Asked {
    committed: Box<dyn FnMut(u64) + Send>,
    tries_again: Box<dyn FnMut(&str) -> bool + Send>,
    merge_steps: Box<dyn FnMut() -> usize + Send>,
}

impl durable::Patience for Asked {
    fn committed(&mut self, epoch: u64) {
        (self.committed)(epoch);
    }

    fn tries_again(&mut self, cause: &str) -> bool {
        (self.tries_again)(cause)
    }

    fn merge_steps(&mut self) -> usize {
        (self.merge_steps)()
    }
}

/// Starts an application as [`App::start`] does, with threads and the real clock, on any storage instead of the address of its
/// store: to see what it does on one that is slow or fails. Sources that cannot replay are not logged.
///
/// # Errors
/// As [`App::start`]; when the options have no store.
pub fn start(app: App, options: Options, storage: Arc<dyn Storage>) -> Result<Running, Error> {
    let clock = SystemClock::new();
    let place = durable::Place {
        storage,
        lock: None,
        input: durable::InputPlace::Nowhere,
        clock: Box::new(move || clock.now().0 / 1_000_000),
        nonces: Box::new(durable::random_nonce),
    };
    app.start_in(Some(place), options)
}

/// Opens the store of an application in a place; the address in `with` is not looked at.
///
/// # Errors
/// As [`App::start`] with a store.
pub fn open(
    app: &App,
    options: &Options,
    with: &StoreOptions,
    place: Place,
) -> Result<Ready, Error> {
    let Built {
        program,
        durability,
        ..
    } = app.build();
    program.plan.check()?;
    let asked = Asked {
        committed: place.committed,
        tries_again: place.tries_again,
        merge_steps: place.merge_steps,
    };
    let place = durable::Place {
        storage: place.storage,
        lock: None,
        input: place.input.map_or(durable::InputPlace::Nowhere, |disk| {
            durable::InputPlace::Files(PathBuf::from(INPUT), disk)
        }),
        clock: place.clock,
        nonces: place.nonces,
    };
    let opened = durable::open_in(place, &program, &durability, options, with)?;
    Ok(Ready {
        program,
        resume: opened.resume,
        commits: Commits(Arc::new(Inline::new(opened.committer, Box::new(asked)))),
    })
}
