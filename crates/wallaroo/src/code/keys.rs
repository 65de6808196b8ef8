//! `key_by` and `collect`.
//!
//! **Invariants.** A key is hashed once: by the worker that reads the message if it may have to travel, else
//! by the worker that looks for its slot.

use std::marker::PhantomData;
use std::sync::Arc;

use wallaroo_core::messages::downcast;
use wallaroo_core::{Key, KeyError, KeyHash, Messages, StoredKey};
use wallaroo_engine::host::{Cause, Failed, KeyExtractor, Keyed};
use wallaroo_state::{KeyIndex, Slot};

use super::as_json;
use crate::message::Message;

/// Finds the key of a message of type `T`.
pub(crate) trait Find<T> {
    type Key: Key + ?Sized;

    fn with<R>(&self, message: &T, use_key: impl FnOnce(&Self::Key) -> R) -> R;
}

/// The key is a part of the message.
pub(crate) struct ByReference<F, K: ?Sized>(pub(crate) Arc<F>, pub(crate) PhantomData<fn(&K)>);

impl<T, K: Key + ?Sized, F: Fn(&T) -> &K> Find<T> for ByReference<F, K> {
    type Key = K;

    #[inline]
    fn with<R>(&self, message: &T, use_key: impl FnOnce(&K) -> R) -> R {
        use_key((self.0)(message))
    }
}

/// The key is made from the message.
pub(crate) struct ByValue<F, K>(pub(crate) Arc<F>, pub(crate) PhantomData<fn() -> K>);

impl<T, K: Key, F: Fn(&T) -> K> Find<T> for ByValue<F, K> {
    type Key = K;

    #[inline]
    fn with<R>(&self, message: &T, use_key: impl FnOnce(&K) -> R) -> R {
        use_key(&(self.0)(message))
    }
}

/// All messages have the same key.
pub(crate) struct OneKey;

impl<T> Find<T> for OneKey {
    type Key = str;

    #[inline]
    fn with<R>(&self, _: &T, use_key: impl FnOnce(&str) -> R) -> R {
        use_key("")
    }
}

/// The slot of a message, if its key could be stored.
#[inline]
fn slot_of(resolved: Result<Slot, KeyError>, position: usize) -> Result<Slot, Failed> {
    resolved.map_err(|error| Failed {
        index: position,
        cause: Cause::Key(error),
    })
}

/// How many messages before its turn the place of a key is fetched.
const FETCH_AHEAD: usize = 16;

/// The code of a `key_by`.
pub(crate) struct KeyCode<T, F> {
    find: F,
    messages: PhantomData<fn(&T)>,
}

impl<T, F: Find<T>> KeyCode<T, F> {
    pub(crate) fn new(find: F) -> Self {
        KeyCode {
            find,
            messages: PhantomData,
        }
    }
}

impl<T: Message, F: Find<T>> KeyExtractor for KeyCode<T, F> {
    fn hash(&mut self, keyed: Keyed<'_>, hashes: &mut Vec<KeyHash>) {
        let messages = downcast::<Vec<T>>(keyed.messages);
        let start = keyed.range.start;
        hashes.reserve(keyed.range.len());
        let Some(origin) = keyed.origin else {
            for (index, message) in messages[keyed.range].iter().enumerate() {
                keyed.progress.set(start + index);
                hashes.push(self.find.with(message, Key::hash));
            }
            return;
        };
        for position in keyed.range {
            keyed.progress.set(position);
            let message = &messages[origin[position] as usize];
            hashes.push(self.find.with(message, Key::hash));
        }
    }

    fn resolve(
        &mut self,
        keyed: Keyed<'_>,
        index: &mut KeyIndex,
        slots: &mut Vec<Slot>,
    ) -> Result<(), Failed> {
        let Keyed {
            messages,
            origin,
            range,
            hashes,
            progress,
        } = keyed;
        let messages = downcast::<Vec<T>>(messages);
        slots.reserve(range.len());
        let start = range.start;
        // Three loops rather than one with choices in it: this is the hottest code there is.
        match (origin, hashes) {
            (None, None) => {
                for (offset, message) in messages[range].iter().enumerate() {
                    progress.set(start + offset);
                    let resolved = self
                        .find
                        .with(message, |key| index.resolve_touched(key.hash(), key));
                    slots.push(slot_of(resolved, start + offset)?);
                }
            }
            (None, Some(hashes)) => {
                let hashes = &hashes[range.clone()];
                let ahead = index.worth_fetching(hashes);
                let hashed = messages[range].iter().zip(hashes);
                for (offset, (message, hash)) in hashed.enumerate() {
                    progress.set(start + offset);
                    if let Some(hash) = ahead.get(offset + FETCH_AHEAD) {
                        index.prefetch(*hash);
                    }
                    let resolved = self
                        .find
                        .with(message, |key| index.resolve_touched(*hash, key));
                    slots.push(slot_of(resolved, start + offset)?);
                }
            }
            (Some(origin), hashes) => {
                for position in range {
                    progress.set(position);
                    let at = origin[position] as usize;
                    let resolved = self.find.with(&messages[at], |key| {
                        let hash = hashes.map_or_else(|| key.hash(), |hashes| hashes[at]);
                        index.resolve_touched(hash, key)
                    });
                    slots.push(slot_of(resolved, position)?);
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, messages: &dyn Messages, index: usize) -> Result<StoredKey, KeyError> {
        self.find
            .with(&downcast::<Vec<T>>(messages)[index], Key::to_stored)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}
