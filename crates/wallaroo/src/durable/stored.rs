//! The state objects of a commit, as the engine loads them.
//!
//! **Invariants.** The segments they are read from are not deleted while a key group is left that nobody has read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_core::{KeyGroup, Position};
use wallaroo_engine::{EachObject, Epoch, LoadError, Resume, SourcePosition, StoredStates};
use wallaroo_store::StoreError;
use wallaroo_store::commit::{self, PlanIdentity};
use wallaroo_store::loader::Loader;

/// Where a run goes on, and the state objects it reads there.
pub(super) fn resume_from(
    epoch: u64,
    positions: &[commit::SourcePosition],
    plan: &PlanIdentity,
    loader: Loader,
) -> (Resume, Arc<Stored>) {
    let positions = positions.iter().map(|stood| SourcePosition {
        source: stood.source.clone(),
        partition: stood.partition.clone(),
        position: Position::of(&stood.position),
        next_number: stood.next_number,
    });
    let stored = Arc::new(Stored::new(plan, loader));
    let resume = Resume {
        epoch: Epoch(u32::try_from(epoch).unwrap_or(u32::MAX)),
        positions: positions.collect(),
        states: Arc::clone(&stored) as Arc<dyn StoredStates>,
    };
    (resume, stored)
}

/// The state objects of a commit.
pub(crate) struct Stored {
    loader: Loader,
    /// By name of the state its name in segments.
    names: BTreeMap<String, String>,
    /// Key groups that are not yet read, by state.
    left: Mutex<BTreeSet<(String, KeyGroup)>>,
}

impl Stored {
    fn new(plan: &PlanIdentity, loader: Loader) -> Self {
        let names = plan.states.iter();
        let stored = Stored {
            names: names
                .map(|state| (state.name.clone(), state.stored_name().to_owned()))
                .collect(),
            loader,
            left: Mutex::default(),
        };
        let all = stored.names.keys().flat_map(|state| {
            let groups = stored.groups(state).into_iter();
            groups.map(|group| (state.clone(), group))
        });
        let all = all.collect();
        *stored.left() = all;
        stored
    }

    /// The objects of the store that are still to be read.
    pub(super) fn objects(&self) -> Vec<String> {
        if self.left().is_empty() {
            return Vec::new();
        }
        self.loader.segments().map(ToOwned::to_owned).collect()
    }

    // Nothing that holds the lock can panic half way.
    fn left(&self) -> MutexGuard<'_, BTreeSet<(String, KeyGroup)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredStates for Stored {
    fn groups(&self, state: &str) -> Vec<KeyGroup> {
        let Some(stored) = self.names.get(state) else {
            return Vec::new();
        };
        let groups = self.loader.groups(stored);
        groups.iter().map(|group| KeyGroup(group.group)).collect()
    }

    fn load(
        &self,
        state: &str,
        group: KeyGroup,
        each: &mut EachObject<'_>,
    ) -> Result<(), LoadError> {
        let Some(stored) = self.names.get(state) else {
            return Ok(());
        };
        self.loader
            .load(stored, group.0, each)
            .map_err(|error| LoadError {
                code: super::code_of(&error),
                is_passing: error.is_passing(),
                text: match error {
                    StoreError::Restore { cause, .. } => format!(
                        "{cause}; give new fields a default and renamed ones an alias, or give up all its objects with --drop-state {state}"
                    ),
                    error => error.to_string(),
                },
            })?;
        self.left().remove(&(state.to_owned(), group));
        Ok(())
    }
}
