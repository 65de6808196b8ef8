//! `wallaroo state …`.
//!
//! **Invariants.** An object is shown as it is at the end of one epoch: all of one command is of one commit.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use wallaroo_core::{Key, KeyGroupCount, StoredKey};
use wallaroo_store::inspect::StateCount;
use wallaroo_store::loader::Loader;
use wallaroo_store::{Commit, StoreError};

use crate::answer::{Answer, Failure, pretty};
use crate::arguments::Store;
use crate::key;
use crate::look::Look;
use crate::object::Object;
use crate::table::Table;

#[derive(Serialize)]
struct States {
    checkpoint: u64,
    epoch: u64,
    states: Vec<Counted>,
}

#[derive(Serialize)]
struct Counted {
    state: String,
    objects: u64,
    bytes: u64,
    key_groups: u64,
}

impl Counted {
    fn new(state: &str, count: Option<&StateCount>) -> Self {
        Counted {
            state: state.to_owned(),
            objects: count.map_or(0, |count| count.objects),
            bytes: count.map_or(0, |count| count.bytes),
            key_groups: count.map_or(0, |count| count.groups),
        }
    }
}

/// The states of a checkpoint: their names, and the names under which they are in segments. Segments may still hold objects of
/// states that were dropped, which are not part of it.
fn states_of(commit: &Commit) -> impl Iterator<Item = (&str, &str)> {
    let states = commit.plan.states.iter();
    states.map(|state| (state.name.as_str(), state.stored_name()))
}

/// `state list`
pub(crate) fn list(store: &Store, checkpoint: Option<u64>) -> Result<Answer, Failure> {
    let look = Look::into(&store.address)?;
    let found = look.at(checkpoint, |number, commit| {
        let counts = look.inspector.states(Some(number))?;
        let counted = |(name, stored)| {
            let count = counts.iter().find(|count| count.state == stored);
            Counted::new(name, count)
        };
        Ok(States {
            checkpoint: number,
            epoch: commit.epoch,
            states: states_of(commit).map(counted).collect(),
        })
    })?;
    let mut table = Table::new(["STATE", "OBJECTS", "BYTES", "KEY GROUPS"]);
    for count in &found.states {
        table.row([
            count.state.as_str().into(),
            count.objects.into(),
            count.bytes.into(),
            count.key_groups.into(),
        ]);
    }
    let text = match table.is_empty() {
        true => "no state\n".to_owned(),
        false => table.to_string(),
    };
    Ok(Answer::new(text, &found))
}

#[derive(Serialize)]
struct Got<'a> {
    checkpoint: u64,
    epoch: u64,
    state: &'a str,
    key: Value,
    key_group: u16,
    object: Object,
}

/// `state get`
pub(crate) fn get(
    store: &Store,
    checkpoint: Option<u64>,
    name: &str,
    key: &str,
) -> Result<Answer, Failure> {
    let key = key::parse(key).map_err(Failure::Key)?;
    let look = Look::into(&store.address)?;
    let groups = key_groups(&look)?;
    let group = |key: &StoredKey| groups.group_of(key.hash()).0;
    let got = look.at(checkpoint, |number, commit| {
        let Some((_, stored)) = states_of(commit).find(|(known, _)| *known == name) else {
            return Err(no_state(&look, number, name, commit));
        };
        let loader = Loader::open(Arc::clone(&look.storage.0), &commit.segments)?;
        let read = |key: &StoredKey| loader.get(stored, group(key), key.as_bytes());
        let Some(bytes) = read(&key)? else {
            let other = key::other_reading(&key);
            let other = other.filter(|other| matches!(read(other), Ok(Some(_))));
            return Err(no_object(&look, number, name, &key, other.as_ref()));
        };
        let object = Object::decode(&bytes).map_err(|cause| StoreError::Restore {
            place: look.storage.0.place().to_owned(),
            state: name.to_owned(),
            key: key::hexadecimal(&key.as_bytes()[..key.as_bytes().len().min(32)]),
            cause,
        })?;
        Ok(Got {
            checkpoint: number,
            epoch: commit.epoch,
            state: name,
            key: key::to_json(key.view()),
            key_group: group(&key),
            object,
        })
    })?;
    Ok(Answer::new(pretty(&got.object), &got))
}

fn key_groups(look: &Look) -> Result<KeyGroupCount, StoreError> {
    let count = look.inspector.application().key_groups;
    KeyGroupCount::new(count).ok_or_else(|| StoreError::Corrupt {
        object: wallaroo_store::application::NAME.to_owned(),
        place: look.storage.0.place().to_owned(),
        what: format!(
            "it says {count} key groups, and there are 1 to {}",
            KeyGroupCount::MAX
        ),
    })
}

fn no_state(look: &Look, number: u64, name: &str, commit: &Commit) -> StoreError {
    let there: Vec<String> = states_of(commit)
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    let advice = match there.is_empty() {
        true => "it has no state at all".to_owned(),
        false => format!("it has {}", there.join(", ")),
    };
    look.not_found(format!("state {name:?} in commit {number}"), &advice)
}

fn no_object(
    look: &Look,
    number: u64,
    name: &str,
    key: &StoredKey,
    other: Option<&StoredKey>,
) -> StoreError {
    let what = format!("object of key {key} in state {name:?} of commit {number}");
    let advice = match other {
        Some(other) => format!("it has one of key {other}: write {}", key::argument(other)),
        None => {
            "keys are found only if all of them is right, and 1 and \"1\" are two keys".to_owned()
        }
    };
    look.not_found(what, &advice)
}
