//! `key_by` and `collect`.
//!
//! **Invariants.** A key is hashed once: by the worker that reads the message if it may have to travel, else
//! by the worker that looks for its slot.

use std::cell::Cell;
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
        for (index, message) in messages[keyed.range].iter().enumerate() {
            keyed.progress.set(start + index);
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
        let mut slot_of =
            |at: &Cell<usize>, position: usize, message: &T, hash: Option<KeyHash>| {
                at.set(position);
                self.find
                    .with(message, |key| {
                        index.resolve(hash.unwrap_or_else(|| key.hash()), key)
                    })
                    .map(|resolved| {
                        index.touch(resolved.slot);
                        slots.push(resolved.slot);
                    })
                    .map_err(|error| Failed {
                        index: position,
                        cause: Cause::Key(error),
                    })
            };
        match (origin, hashes) {
            (None, None) => {
                let start = range.start;
                messages[range]
                    .iter()
                    .enumerate()
                    .try_for_each(|(offset, message)| {
                        slot_of(progress, start + offset, message, None)
                    })
            }
            (None, Some(hashes)) => {
                let start = range.start;
                let known = messages[range.clone()]
                    .iter()
                    .zip(&hashes[range])
                    .enumerate();
                known.into_iter().try_for_each(|(offset, (message, hash))| {
                    slot_of(progress, start + offset, message, Some(*hash))
                })
            }
            (Some(origin), hashes) => range.into_iter().try_for_each(|position| {
                let at = origin[position] as usize;
                slot_of(
                    progress,
                    position,
                    &messages[at],
                    hashes.map(|hashes| hashes[at]),
                )
            }),
        }
    }

    fn key(&mut self, messages: &dyn Messages, index: usize) -> Result<StoredKey, KeyError> {
        self.find
            .with(&downcast::<Vec<T>>(messages)[index], Key::to_stored)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}
