//! Goes on from the last commit in the same process, after a generation of workers is lost.
//!
//! What ended before the failure is committed first; what had not ended is forgotten. Then everything is as after a restart of the
//! process, but nobody has to be fenced, and readers that can go back in place keep what they hold of the outside.
//!
//! **Invariants.** Tried again only so often without a commit in between. Nothing is published here: what is committed has been by
//! then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{NodeKind, Position};
use wallaroo_engine::{Failure, NodeCode, Program, Recovery, Resume, Unresumed};
use wallaroo_store::commit::{PlanIdentity, SinkState, SourcePosition};
use wallaroo_store::loader::Loader;
use wallaroo_store::segment::SegmentMeta;
use wallaroo_store::{Storage, StoreError};

use super::stored::{Stored, resume_from};

/// How long the first try waits; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Where a run goes back to.
pub(crate) struct Point {
    /// The last epoch that has ended; the commit may be of an earlier one, if nothing happened since.
    pub(crate) epoch: u64,
    pub(crate) segments: Vec<SegmentMeta>,
    pub(crate) positions: Vec<SourcePosition>,
    /// Of the sinks whose output is visible at once, where they can be put back.
    pub(crate) sinks: BTreeMap<String, SinkState>,
    /// The sinks that publish after a commit.
    pub(crate) publishing: Vec<String>,
    pub(crate) plan: PlanIdentity,
}

/// Whoever commits the epochs of a run.
pub(crate) trait Commits: Send + Sync {
    /// How many commits there were.
    fn count(&self) -> u64;
    /// A generation is lost.
    fn lost(&self, failure: &Failure);
    /// Commits what has ended, and forgets what has not. None when nothing will be committed any more.
    ///
    /// # Errors
    /// When another process has taken over, or it cannot be told.
    fn roll_back(&self) -> Option<Result<Point, StoreError>>;
    /// Everything is back at the last commit, and its state objects are read from there.
    fn resumed(&self, stored: Arc<Stored>);
}

/// Brings a run back to its last commit.
pub(crate) struct GoBack {
    commits: Arc<dyn Commits>,
    program: Program,
    storage: Arc<dyn Storage>,
    /// So often in a row without a commit.
    most: u32,
    tried: Mutex<Tried>,
}

#[derive(Default)]
struct Tried {
    /// Since the last commit.
    times: u32,
    commits: u64,
}

impl GoBack {
    pub(crate) fn new(
        commits: Arc<dyn Commits>,
        program: Program,
        storage: Arc<dyn Storage>,
        most: u32,
    ) -> Self {
        GoBack {
            commits,
            program,
            storage,
            most,
            tried: Mutex::default(),
        }
    }

    // Nothing that holds the lock can panic half way.
    fn tried(&self) -> MutexGuard<'_, Tried> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the sinks back whose output is visible at once.
    fn put_sinks_back(&self, point: &Point) -> Result<(), Unresumed> {
        for (node, code) in self.program.plan.nodes.iter().zip(&self.program.code) {
            let NodeCode::Sink(code) = code else { continue };
            debug_assert_eq!(node.kind, NodeKind::Sink);
            if point.publishing.contains(&node.name) {
                continue;
            }
            let from = point.sinks.get(&node.name);
            let from = from.map(|sink| Position::of(&sink.state));
            let mut code = code.lock().unwrap_or_else(PoisonError::into_inner);
            code.resume(from.as_ref()).map_err(|error| {
                let name = &node.name;
                Unresumed::ForNow(format!("the sink {name:?}: {}", error.full_text()))
            })?;
        }
        Ok(())
    }
}

impl Recovery for GoBack {
    fn pause(&self, failure: &Failure) -> Option<Duration> {
        let mut tried = self.tried();
        let commits = self.commits.count();
        if commits > tried.commits {
            *tried = Tried { times: 0, commits };
        }
        if tried.times == self.most {
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << tried.times.min(16));
        tried.times += 1;
        drop(tried);
        self.commits.lost(failure);
        Some(pause.min(LAST_PAUSE))
    }

    fn resume(&self) -> Result<Resume, Unresumed> {
        let point = self.commits.roll_back();
        let point = point.ok_or(Unresumed::ForGood(None))?.map_err(unresumed)?;
        self.tried().commits = self.commits.count();
        let loader = Loader::open(Arc::clone(&self.storage), &point.segments);
        let loader = loader.map_err(unresumed)?;
        self.put_sinks_back(&point)?;
        let (resume, stored) = resume_from(point.epoch, &point.positions, &point.plan, loader);
        self.commits.resumed(stored);
        Ok(resume)
    }
}

fn unresumed(error: StoreError) -> Unresumed {
    if error.is_passing() {
        return Unresumed::ForNow(error.to_string());
    }
    Unresumed::ForGood(Some(Failure::Store {
        code: super::code_of(&error),
        error: error.to_string(),
    }))
}
