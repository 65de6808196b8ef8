//! [`Results`]: what a test leaves behind.
//!
//! **Invariants.** Objects are what their stored form says. A test that fails while it has its results says with which seed it ran.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use wallaroo_core::{Key, Messages, NodeKind, Plan, StoredKey};

use super::capture::Snapshots;
use super::known;
use crate::message::StateObject;

/// What a test leaves behind: what came to the sinks, and the states.
///
/// If the test panics while it has these, the seed is printed.
pub struct Results {
    pub(super) seed: u64,
    pub(super) plan: Plan,
    pub(super) sinks: BTreeMap<String, Option<Box<dyn Messages>>>,
    pub(super) snapshots: Snapshots,
}

impl Results {
    /// What came to a sink, in this order; of a sink of bytes its rows as text, without line ends. Dead-letter
    /// sinks are sinks.
    ///
    /// # Panics
    /// When there is no such sink, or its messages are of another type.
    #[must_use]
    #[track_caller]
    pub fn sink<T: Send + 'static>(&self, name: &str) -> &[T] {
        let Some(messages) = self.sinks.get(name) else {
            panic!(
                "there is no sink {name:?}; {}",
                known(&self.plan, |kind| *kind == NodeKind::Sink)
            );
        };
        let Some(messages) = messages else {
            return &[];
        };
        match messages.as_any().downcast_ref::<Vec<T>>() {
            Some(messages) => messages,
            None => panic!(
                "the sink {name:?} has taken a {}, not a Vec<{}>",
                messages.type_name(),
                std::any::type_name::<T>()
            ),
        }
    }

    /// The objects of a state, by key. They are what their serialized form says; fields that serde skips have
    /// their defaults.
    ///
    /// # Panics
    /// When there is no such state, or its objects are of another type.
    #[must_use]
    #[track_caller]
    pub fn state<S: StateObject>(&self, name: &str) -> BTreeMap<StoredKey, S> {
        self.snapshots_of::<S>(name)
            .map(|(key, bytes)| (key.clone(), object(name, bytes)))
            .collect()
    }

    /// The object of a key, if it has one.
    ///
    /// # Panics
    /// When there is no such state, its objects are of another type, or the key is longer than 64 KiB.
    #[must_use]
    #[track_caller]
    pub fn state_of<S: StateObject>(&self, name: &str, key: &(impl Key + ?Sized)) -> Option<S> {
        let key = key
            .to_stored()
            .unwrap_or_else(|error| panic!("there is no such key in the state {name:?}: {error}"));
        self.snapshots_of::<S>(name)
            .find(|(known, _)| **known == key)
            .map(|(_, bytes)| object(name, bytes))
    }

    #[track_caller]
    fn snapshots_of<S>(&self, name: &str) -> impl Iterator<Item = (&StoredKey, &Vec<u8>)> {
        let mut types = self.plan.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::State { state, state_type } if state == name => Some(state_type),
            _ => None,
        });
        let Some(known_type) = types.next() else {
            let names: Vec<String> = self
                .plan
                .states()
                .iter()
                .map(|state| format!("{state:?}"))
                .collect();
            panic!("there is no state {name:?} among {}", names.join(", "));
        };
        let asked = std::any::type_name::<S>();
        assert!(
            known_type == asked,
            "the objects of the state {name:?} are of type {known_type}, not {asked}"
        );
        self.snapshots.get(name).into_iter().flatten()
    }

    /// The stored forms of the objects of a state.
    pub(crate) fn stored_objects(&self, name: &str) -> impl Iterator<Item = (&StoredKey, &[u8])> {
        let objects = self.snapshots.get(name).into_iter().flatten();
        objects.map(|(key, bytes)| (key, bytes.as_slice()))
    }

    /// What came to a sink, whatever its type; none if there is no such sink, or nothing came.
    pub(crate) fn captured(&self, name: &str) -> Option<&dyn Messages> {
        self.sinks.get(name)?.as_deref()
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

#[track_caller]
fn object<S: DeserializeOwned>(state: &str, bytes: &[u8]) -> S {
    rmp_serde::from_slice(bytes).unwrap_or_else(|error| {
        panic!("cannot read an object of the state {state:?} back: {error}; its type must read what it writes")
    })
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |messages: &Option<Box<dyn Messages>>| {
            messages.as_ref().map_or(0, |messages| messages.len())
        };
        let mut sinks = f.debug_struct("Results");
        sinks.field("seed", &self.seed);
        for (name, messages) in &self.sinks {
            sinks.field(name, &count(messages));
        }
        sinks.finish_non_exhaustive()
    }
}

/// In a test that fails, says how to repeat it.
impl Drop for Results {
    #[allow(clippy::print_stderr, reason = "the output of a test that fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the test ran with WALLAROO_SEED={}", self.seed);
        }
    }
}
