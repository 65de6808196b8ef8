//! Compares what is stored and published with the model.
//!
//! **Invariants.** At every commit, of whichever process: the stored objects, read through the store's own reader, and the calls
//! that made them are those of exactly the records before the commit's positions, each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallaroo::DeadLetter;
use wallaroo_core::StoredKey;
use wallaroo_store::Memory;
use wallaroo_store::StoreError;
use wallaroo_store::commit::Commit;
use wallaroo_store::inspect::Inspector;
use wallaroo_store::loader::Loader;

use super::disk::{Disk, has_positions};
use super::log_disk::LogDisk;
use super::senders::Acknowledged;
use crate::build::{dead_name, node_name};
use crate::case::Case;
use crate::check::{self, Replayed, apply};
use crate::input::{Item, partition_name};
use crate::model::expected;
use crate::observe::{Call, Heard, History};
use crate::run::Observed;
use crate::topology::{Failing, Node};

/// By source and partition the number of the next record.
type Positions = BTreeMap<(String, String), u64>;

/// What is known of an application's history.
#[derive(Debug)]
pub struct Judge {
    case: Case,
    /// Number of the newest commit seen.
    number: u64,
    positions: Positions,
    objects: Replayed,
    /// All calls that are part of the history.
    calls: Vec<Call>,
}

/// Which files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Those of sinks that publish.
    Published,
    /// Also those that are visible at once and can be taken back.
    Exact,
}

impl Judge {
    /// Before the first process.
    #[must_use]
    pub fn new(case: Case) -> Self {
        Judge {
            case,
            number: 0,
            positions: Positions::new(),
            objects: Replayed::new(),
            calls: Vec::new(),
        }
    }

    /// The number of the newest commit seen.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Looks whether there is a commit that has not been seen, made by the process that has made these calls.
    ///
    /// # Errors
    /// What is wrong.
    pub fn observe(
        &mut self,
        store: &Memory,
        logs: &LogDisk,
        calls: &[Call],
    ) -> Result<(), String> {
        let Some((number, commit)) = newest(store)? else {
            return if self.number == 0 {
                Ok(())
            } else {
                Err("all commits are gone".to_owned())
            };
        };
        if number < self.number {
            return Err(format!(
                "commit {} was acknowledged, and {number} is the newest",
                self.number
            ));
        }
        if number == self.number {
            return Ok(());
        }
        let wrong = |what: String| format!("commit {number}, epoch {}: {what}", commit.epoch);
        let mut positions = Positions::new();
        for at in &commit.positions {
            let place = (at.source.clone(), at.partition.clone());
            let next = self.next_item(logs, &place, at.next_number)?;
            positions.insert(place, next);
        }
        for (partition, before) in &self.positions {
            if positions.get(partition) < Some(before) {
                return Err(wrong(format!(
                    "{partition:?} went back from {before}: {positions:?}"
                )));
            }
        }
        let new = calls
            .iter()
            .filter(|call| is_in(&positions, &call.item) && !is_in(&self.positions, &call.item));
        for call in new {
            let place = (crate::build::state_name(call.state), call.key.clone());
            let before = self.objects.get(&place).copied().unwrap_or_default();
            if call.before != before {
                return Err(wrong(format!(
                    "{call:?}: the object was expected to be {before:?}"
                )));
            }
            apply(&self.case, call, &mut self.objects);
            self.calls.push(call.clone());
        }
        self.number = number;
        self.positions = positions;
        let stored = stored(store, &commit).map_err(|error| wrong(error.to_string()))?;
        check::same_replayed("the store", &stored, &self.objects).map_err(wrong)?;
        let case = self.so_far();
        check::calls(&case, &self.observed(), &expected(&case)).map_err(wrong)
    }

    /// Compares files with the commits seen.
    ///
    /// # Errors
    /// What is wrong.
    pub fn files(&self, disk: &Disk, logs: &LogDisk, which: Files) -> Result<(), String> {
        let case = self.so_far();
        let mut observed = self.observed();
        for (node, kind) in case.topology.nodes.iter().enumerate() {
            let is_read =
                |encoded: bool, name: &str| encoded || which == Files::Exact && has_positions(name);
            if let Node::Sink { encoded, .. } = kind
                && is_read(*encoded, &node_name(node))
            {
                observed
                    .sinks
                    .insert(node, items(&disk.read(&node_name(node)))?);
            }
            if let Some(Failing::DeadLetter { encoded }) = failing(kind)
                && is_read(encoded, &dead_name(node))
            {
                let letters = items::<DeadLetter>(&disk.read(&dead_name(node)))?;
                let letters = self.with_numbers_of_items(logs, letters)?;
                observed.dead.insert(node, letters);
            }
        }
        let expected = expected(&case);
        let wrong = |what| format!("after commit {}: {what}", self.number);
        check::sinks(&case, &observed, &expected).map_err(wrong)?;
        check::dead_letters(&case, &observed, &expected).map_err(wrong)?;
        if which == Files::Exact {
            check::meetings(&case, &observed).map_err(wrong)?;
            check::counts(&case, &observed).map_err(wrong)?;
            self.at_once(disk, &expected)?;
        }
        Ok(())
    }

    /// Everything that senders were told is durable is in the input logs, each record once and in order.
    ///
    /// # Errors
    /// What is wrong.
    pub fn acknowledged(&self, logs: &LogDisk, told: &Acknowledged) -> Result<(), String> {
        for (source, partitions) in &self.case.records {
            if !self.case.logged.contains(source) {
                continue;
            }
            for partition in 0..partitions.len() {
                let (source_name, name) = (node_name(*source), partition_name(partition));
                let logged = logs.logged(&source_name, &name)?;
                let wrong = |what| {
                    Err(format!(
                        "the input log of {source_name} {name} {what}: {logged:?}"
                    ))
                };
                if !logged.values().copied().eq(1..=logged.len() as u64) {
                    return wrong("does not have each record once".to_owned());
                }
                let told = told.get(&(*source, partition)).copied().unwrap_or(0);
                if told > logged.len() as u64 {
                    return wrong(format!("ends before record {told}, which was acknowledged"));
                }
            }
        }
        Ok(())
    }

    /// The number of the first item that a position does not include.
    fn next_item(
        &self,
        logs: &LogDisk,
        place: &(String, String),
        next: u64,
    ) -> Result<u64, String> {
        if !self.is_logged(&place.0) {
            return Ok(next);
        }
        let logged = logs.logged(&place.0, &place.1)?;
        Ok(1 + logged.range(..next).count() as u64)
    }

    /// Dead letters, not with the record numbers of a log but with those of what was sent.
    fn with_numbers_of_items(
        &self,
        logs: &LogDisk,
        mut letters: Vec<DeadLetter>,
    ) -> Result<Vec<DeadLetter>, String> {
        let mut known = BTreeMap::new();
        for letter in &mut letters {
            if !self.is_logged(&letter.source) {
                continue;
            }
            let place = (letter.source.clone(), letter.partition.clone());
            if !known.contains_key(&place) {
                known.insert(place.clone(), logs.logged(&place.0, &place.1)?);
            }
            let item = known[&place].get(&letter.position).copied();
            letter.position = item.ok_or_else(|| format!("there is no such record: {letter:?}"))?;
        }
        Ok(letters)
    }

    fn is_logged(&self, source: &str) -> bool {
        let mut logged = self.case.logged.iter();
        logged.any(|node| node_name(*node) == source)
    }

    /// Output that is visible at once and cannot be taken back is there at least once, and nothing else is.
    fn at_once(&self, disk: &Disk, expected: &crate::model::Expected) -> Result<(), String> {
        for (node, kind) in self.case.topology.nodes.iter().enumerate() {
            let name = node_name(node);
            let Node::Sink { encoded: false, .. } = kind else {
                continue;
            };
            if has_positions(&name) {
                continue;
            }
            let sorted = |items: Vec<Item>| {
                let mut items: Vec<Item> = items.iter().map(Item::without_counts).collect();
                items.sort_unstable();
                items.dedup();
                items
            };
            let got = sorted(items(&disk.read(&name))?);
            let all = sorted(expected.arrived.get(&node).cloned().unwrap_or_default());
            if got != all {
                return Err(format!(
                    "{name} has {} different messages, expected {}",
                    got.len(),
                    all.len()
                ));
            }
        }
        Ok(())
    }

    /// Whether all records are in the newest commit.
    #[must_use]
    pub fn is_at_the_end(&self) -> bool {
        self.so_far() == self.case
    }

    fn observed(&self) -> Observed {
        Observed {
            sinks: BTreeMap::new(),
            dead: BTreeMap::new(),
            calls: self.calls.clone(),
            heard: Heard::default(),
        }
    }

    /// The case without the records behind the positions.
    fn so_far(&self) -> Case {
        let mut case = self.case.clone();
        for (source, partitions) in &mut case.records {
            for (partition, records) in partitions.iter_mut().enumerate() {
                let place = (node_name(*source), partition_name(partition));
                let next = self.positions.get(&place).copied().unwrap_or(1);
                records.truncate(next as usize - 1);
            }
        }
        case
    }
}

fn is_in(positions: &Positions, item: &Item) -> bool {
    let place = (node_name(item.source), partition_name(item.partition));
    item.number < positions.get(&place).copied().unwrap_or(1)
}

/// The newest commit, if there is one.
///
/// # Errors
/// When it cannot be read.
pub fn newest(store: &Memory) -> Result<Option<(u64, Commit)>, String> {
    let found = Inspector::open(Arc::new(store.clone())).and_then(|store| store.commit(None));
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn stored(store: &Memory, commit: &Commit) -> Result<Replayed, StoreError> {
    let loader = Loader::open(Arc::new(store.clone()), &commit.segments)?;
    let mut objects = Replayed::new();
    for state in loader.states() {
        for group in loader.groups(state) {
            loader.load(state, group.group, &mut |key, value| {
                let key = StoredKey::from_canonical(key).map_err(|error| error.to_string())?;
                let object: History =
                    rmp_serde::from_slice(value).map_err(|error| error.to_string())?;
                match objects.insert((state.to_owned(), key.to_string()), object) {
                    None => Ok(()),
                    Some(_) => Err(format!("{key} is there twice")),
                }
            })?;
        }
    }
    Ok(objects)
}

fn items<M: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<Vec<M>, String> {
    let read: Result<Vec<M>, _> = serde_json::Deserializer::from_slice(bytes)
        .into_iter()
        .collect();
    read.map_err(|error| error.to_string())
}

fn failing(node: &Node) -> Option<Failing> {
    match node {
        Node::Source { failing, .. }
        | Node::Stage { failing, .. }
        | Node::State { failing, .. } => Some(*failing),
        Node::KeyBy { .. }
        | Node::Merge { .. }
        | Node::Half { .. }
        | Node::Sink { .. }
        | Node::End { .. } => None,
    }
}
