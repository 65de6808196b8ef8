//! Where a run goes on from a checkpoint: positions of sources, and state objects that are loaded when they are needed.
//!
//! **Invariants.** A key group of a state is loaded once, by the worker that owns it at that time, before any message of it is
//! handled. What is loaded is not a change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wallaroo_core::{Code, KeyGroup, KeyGroupCount};

use crate::control::Epoch;
use crate::listener::SourcePosition;

/// Takes the key and the snapshot of one state object.
pub type EachObject<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), String> + 'a;

/// Why state objects of a checkpoint could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The stable code.
    pub code: Code,
    /// What is wrong, and what to do.
    pub text: String,
    /// Whether it may work later.
    pub is_passing: bool,
}

/// The state objects of a checkpoint.
pub trait StoredStates: Send + Sync {
    /// The key groups of a state that have objects.
    fn groups(&self, state: &str) -> Vec<KeyGroup>;

    /// Hands the objects of a key group to `each`. Called on workers, which wait for it.
    ///
    /// # Errors
    /// When they cannot be read, or `each` refuses one.
    fn load(
        &self,
        state: &str,
        group: KeyGroup,
        each: &mut EachObject<'_>,
    ) -> Result<(), LoadError>;
}

/// A checkpoint to go on from.
#[derive(Clone)]
pub struct Resume {
    /// The epoch of the checkpoint; the run begins with the next.
    pub epoch: Epoch,
    /// Where the sources stood. Partitions that are not named are read from their start.
    pub positions: Vec<SourcePosition>,
    /// The state objects.
    pub states: Arc<dyn StoredStates>,
}

impl Resume {
    /// Where a partition stood.
    pub(crate) fn position(&self, source: &str, partition: &str) -> Option<&SourcePosition> {
        let mut positions = self.positions.iter();
        positions.find(|stood| stood.source == source && stood.partition == partition)
    }
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume")
            .field("epoch", &self.epoch)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}

/// What has not yet been loaded; shared by all workers and generations of a run.
pub(crate) struct Restore {
    pub(crate) stored: Arc<dyn StoredStates>,
    /// By state and key group.
    unloaded: BTreeMap<String, Vec<AtomicBool>>,
}

impl Restore {
    pub(crate) fn new<'a>(
        stored: Arc<dyn StoredStates>,
        states: impl IntoIterator<Item = &'a str>,
        groups: KeyGroupCount,
    ) -> Self {
        let flags = |state: &str| {
            let flags: Vec<AtomicBool> = groups.groups().map(|_| AtomicBool::new(false)).collect();
            for group in stored.groups(state) {
                if let Some(flag) = flags.get(group.index()) {
                    flag.store(true, Ordering::Relaxed);
                }
            }
            (state.to_owned(), flags)
        };
        Restore {
            unloaded: states.into_iter().map(flags).collect(),
            stored,
        }
    }

    /// Whether a key group is not yet loaded.
    pub(crate) fn is_unloaded(&self, state: &str, group: KeyGroup) -> bool {
        self.unloaded
            .get(state)
            .is_some_and(|flags| flags[group.index()].load(Ordering::Acquire))
    }

    pub(crate) fn set_loaded(&self, state: &str, group: KeyGroup) {
        if let Some(flags) = self.unloaded.get(state) {
            flags[group.index()].store(false, Ordering::Release);
        }
    }
}
