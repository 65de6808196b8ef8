//! `application.json`: which application a store belongs to.
//!
//! **Invariants.** It is made once, before the first record of the log, and never changes. A log without it is a damaged store,
//! not a new one.

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::json_format;
use crate::storage::Storage;

/// The object's name.
pub const NAME: &str = "application.json";

const FORMAT: u32 = 1;
const KEY_HASH: &str = "xxh3-64";
const KEY_ENCODING: u32 = 1;

/// What it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The version of the store's layout.
    pub format: u32,
    /// The application's name.
    pub application: String,
    /// Random, to tell stores apart: 32 hexadecimal digits.
    pub id: String,
    /// The number of key groups.
    pub key_groups: u16,
    /// How a key's hash is made.
    pub key_hash: String,
    /// The version of the canonical bytes of keys.
    pub key_encoding: u32,
}

impl Application {
    /// What a new store says.
    #[must_use]
    pub fn new(application: &str, key_groups: u16, id: u128) -> Self {
        Application {
            format: FORMAT,
            application: application.to_owned(),
            id: format!("{id:032x}"),
            key_groups,
            key_hash: KEY_HASH.to_owned(),
            key_encoding: KEY_ENCODING,
        }
    }

    /// What the store says; none if it is not there.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of a later release.
    pub fn read(storage: &dyn Storage) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = storage.read(NAME)? else {
            return Ok(None);
        };
        let place = || storage.place().to_owned();
        let damaged = |error: serde_json::Error| StoreError::Corrupt {
            object: NAME.to_owned(),
            place: place(),
            what: format!("it cannot be understood: {error}"),
        };
        let too_new = |what, found: &dyn ToString, supported: &dyn ToString| StoreError::TooNew {
            object: NAME.to_owned(),
            place: place(),
            what,
            found: found.to_string(),
            supported: supported.to_string(),
        };
        json_format::check(NAME, storage.place(), &bytes, FORMAT)?;
        let found: Application = serde_json::from_slice(&bytes).map_err(damaged)?;
        if found.key_hash != KEY_HASH {
            return Err(too_new("key hash", &found.key_hash, &KEY_HASH));
        }
        if found.key_encoding != KEY_ENCODING {
            return Err(too_new("key encoding", &found.key_encoding, &KEY_ENCODING));
        }
        Ok(Some(found))
    }

    /// Makes sure that the store belongs to this application, and makes a store of it where there is nothing yet.
    ///
    /// # Errors
    /// When it belongs to another, was made with another number of key groups, is damaged, or is of a later release.
    pub fn claim(self, storage: &dyn Storage) -> Result<Self, StoreError> {
        let found = match Self::read(storage)? {
            Some(found) => found,
            None => self.make(storage)?,
        };
        let place = || storage.place().to_owned();
        if found.application != self.application {
            return Err(StoreError::WrongApplication {
                place: place(),
                expected: self.application,
                found: found.application,
            });
        }
        if found.key_groups != self.key_groups {
            return Err(StoreError::KeyGroups {
                place: place(),
                expected: self.key_groups,
                found: found.key_groups,
            });
        }
        Ok(found)
    }

    fn make(&self, storage: &dyn Storage) -> Result<Self, StoreError> {
        let lost = || StoreError::Corrupt {
            object: NAME.to_owned(),
            place: storage.place().to_owned(),
            what: "it is not there, and the store has a log".to_owned(),
        };
        if !storage.list("log/")?.is_empty() {
            return Err(lost());
        }
        let bytes = serde_json::to_vec_pretty(self).map_err(|_| lost())?;
        // whoever was first: what counts is what is there then
        storage.create(NAME, &bytes)?;
        Self::read(storage)?.ok_or_else(lost)
    }
}

/// The error for a place where there is no store.
pub(crate) fn not_found(place: &str) -> StoreError {
    StoreError::NotFound {
        place: place.to_owned(),
        what: format!("{NAME:?}"),
        advice: "check the address: an application makes it when it is started with --store"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::Memory;

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
            let storage = Memory::new();
            storage.put(NAME, bytes);
            let _ = Application::read(&storage);
        }

        /// What is read is what an application is compared with: a start finds every change but one of the random number, which
        /// nothing is decided by.
        #[test]
        fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), to: u8) {
            let made = Application::new("stocks", 1_024, 7);
            let mut bytes = serde_json::to_vec_pretty(&made).expect("it can be written");
            let at = at.index(bytes.len());
            bytes[at] = to;
            let storage = Memory::new();
            storage.put(NAME, bytes);
            if let Ok(found) = made.clone().claim(&storage) {
                let expected = Application { id: found.id.clone(), ..made };
                prop_assert_eq!(found, expected);
            }
        }
    }
}
