//! Keys of the head's messages, written out for stages that are away from the messages they were found in.
//!
//! **Invariants.** A key that cannot be had is no failure where it is written out: the stage that looks for the
//! object of that key fails, under its own policy, as it would where nothing has to be written out.

use std::cell::Cell;
use std::sync::Arc;

use wallaroo_core::{KeyError, Messages, StoredKey};

use super::{Executor, HeadKeys, guarded};
use crate::host::{Cause, Failed, KeyExtractor};

/// The key of a message, or why it has none.
pub(crate) type FoundKey = Result<StoredKey, Arc<NoKey>>;

/// Why a message has no key.
#[derive(Debug)]
pub(crate) enum NoKey {
    /// It cannot be stored.
    Refused(KeyError),
    /// The key extractor panicked, although it had found the key before.
    Panicked(String),
}

impl NoKey {
    /// What a stage that needs the key fails with.
    pub(super) fn cause(&self) -> Cause {
        match self {
            NoKey::Refused(error) => Cause::Key(error.clone()),
            NoKey::Panicked(text) => Cause::Panic(text.clone()),
        }
    }
}

/// The key of one message.
pub(super) fn key_of(
    extractor: &mut dyn KeyExtractor,
    messages: &dyn Messages,
    index: usize,
) -> FoundKey {
    let found = guarded(&Cell::new(index), || {
        extractor.key(messages, index).map_err(|error| Failed {
            index,
            cause: Cause::Key(error),
        })
    });
    found.map_err(|failed| {
        Arc::new(match failed.cause {
            Cause::Key(error) => NoKey::Refused(error),
            Cause::Panic(text) => NoKey::Panicked(text),
            Cause::Error(error) | Cause::Exit(error) => NoKey::Panicked(error.to_string()),
        })
    })
}

impl Executor {
    /// Writes the keys of the head out, before its messages are taken away from stages that still need their keys.
    pub(super) fn store_keys_of_head(&mut self) {
        let Some(head) = &mut self.head else { return };
        let HeadKeys::Extract(extractor) = head.keys else {
            return;
        };
        let code = self.extractors[extractor].1.as_mut();
        if let Some(messages) = self.stack[0].messages.as_deref() {
            let keys = (0..messages.len()).map(|index| key_of(code, messages, index));
            head.keys = HeadKeys::Stored(keys.collect());
        }
    }

    /// The keys of the messages of frame `depth`; none where they have no keys. For frame 0 its messages have
    /// just been taken out of it.
    pub(super) fn keys_of_frame(&mut self, depth: usize, taken: &dyn Messages) -> Vec<FoundKey> {
        let frame = &self.stack[depth];
        let len = taken.len();
        match &self.head.as_ref().expect("a frame has a head").keys {
            HeadKeys::None => Vec::new(),
            HeadKeys::Stored(keys) => (0..len)
                .map(|index| keys[frame.head_index(index)].clone())
                .collect(),
            HeadKeys::Extract(extractor) => {
                let code = self.extractors[*extractor].1.as_mut();
                let messages = match self.stack[0].messages.as_deref() {
                    Some(messages) => messages,
                    None if depth == 0 => taken,
                    None => unreachable!("keys are stored before the head is taken"),
                };
                (0..len)
                    .map(|index| key_of(code, messages, frame.head_index(index)))
                    .collect()
            }
        }
    }

    /// The key of a head message, if it can be had.
    pub(super) fn key_of_head(&mut self, head_index: usize) -> Option<StoredKey> {
        match &self.head.as_ref()?.keys {
            HeadKeys::None => None,
            HeadKeys::Stored(keys) => keys.get(head_index)?.as_ref().ok().cloned(),
            HeadKeys::Extract(extractor) => {
                let messages = self.stack.first()?.messages.as_deref()?;
                key_of(self.extractors[*extractor].1.as_mut(), messages, head_index).ok()
            }
        }
    }
}
