//! Savepoints: commits that are kept under a name until somebody deletes them.
//!
//! **Invariants.** A savepoint names a commit by number and checksum, so it never leads to another commit. It is made once.

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::json_format;
use crate::log::access::{Body, Found, Log};
use crate::storage::Storage;

const FOLDER: &str = "savepoints/";
const FORMAT: u32 = 1;
const MAX_NAME_BYTES: usize = 64;

/// A commit that is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// The version of the format.
    pub format: u32,
    /// Its name: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// The number of the commit.
    pub number: u64,
    /// The checksum of the commit record: 16 hexadecimal digits.
    pub checksum: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: u64,
}

impl Savepoint {
    /// A savepoint of a commit record.
    #[must_use]
    pub fn new(name: &str, number: u64, checksum: u64, time_ms: u64) -> Self {
        Savepoint {
            format: FORMAT,
            name: name.to_owned(),
            number,
            checksum: format!("{checksum:016x}"),
            time_ms,
        }
    }

    /// The name of its object.
    #[must_use]
    pub fn object(name: &str) -> String {
        format!("{FOLDER}{name}.json")
    }

    /// Whether a savepoint can have this name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed)
    }

    /// All savepoints of a store, by name.
    ///
    /// # Errors
    /// When they cannot be listed or read, are damaged, or are of a later release.
    pub fn list(storage: &dyn Storage) -> Result<Vec<Savepoint>, StoreError> {
        let names = Self::names(storage)?;
        // deleted since they were listed, otherwise
        let read = names
            .iter()
            .filter_map(|name| Self::read(storage, name).transpose());
        read.collect()
    }

    /// Their names, also of those that cannot be read.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn names(storage: &dyn Storage) -> Result<Vec<String>, StoreError> {
        let objects = storage.list(FOLDER)?;
        let names = objects.iter().filter_map(|object| {
            let name = object.name.strip_prefix(FOLDER)?;
            Some(name.strip_suffix(".json")?.to_owned())
        });
        Ok(names.collect())
    }

    /// The savepoint of a name; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of a later release.
    pub fn read(storage: &dyn Storage, name: &str) -> Result<Option<Savepoint>, StoreError> {
        if !Self::is_name(name) {
            return Ok(None);
        }
        let object = Self::object(name);
        let Some(bytes) = storage.read(&object)? else {
            return Ok(None);
        };
        let damaged = |what: String| StoreError::Corrupt {
            object: object.clone(),
            place: storage.place().to_owned(),
            what,
        };
        json_format::check(&object, storage.place(), &bytes, FORMAT)?;
        let savepoint: Savepoint = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(format!("it cannot be understood: {error}")))?;
        if savepoint.name != name {
            return Err(damaged(format!(
                "it is of the savepoint {:?}",
                savepoint.name
            )));
        }
        Ok(Some(savepoint))
    }

    /// The commit record that it names.
    ///
    /// # Errors
    /// When the record is not there, or is not the one that the savepoint was made of.
    pub fn commit(&self, storage: &dyn Storage, log: &Log) -> Result<Found, StoreError> {
        let object = crate::log::record::name(self.number);
        let Some(found) = log.read(self.number)? else {
            return Err(StoreError::Missing {
                object,
                named_by: format!("savepoint {:?}", self.name),
                place: storage.place().to_owned(),
            });
        };
        let is_commit = matches!(found.body, Body::Commit(_));
        if !is_commit || format!("{:016x}", found.checksum) != self.checksum {
            return Err(StoreError::Corrupt {
                object,
                place: storage.place().to_owned(),
                what: format!(
                    "it is not the commit that the savepoint {:?} was made of",
                    self.name
                ),
            });
        }
        Ok(found)
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
            storage.put(Savepoint::object("before"), bytes);
            let _ = Savepoint::read(&storage, "before");
            let _ = Savepoint::list(&storage);
        }

        /// Also by what is still JSON: one digit more or less names another commit, and its checksum is another.
        #[test]
        fn a_changed_byte_leads_to_no_other_commit(at in any::<prop::sample::Index>(), to: u8) {
            let made = Savepoint::new("before", 17, 0x1234_5678_9abc_def0, 1_767_225_600_000);
            let mut bytes = serde_json::to_vec_pretty(&made).expect("it can be written");
            let at = at.index(bytes.len());
            bytes[at] = to;
            let storage = Memory::new();
            storage.put(Savepoint::object("before"), bytes);
            if let Ok(Some(read)) = Savepoint::read(&storage, "before") {
                let names_both = (read.number == made.number) || (read.checksum == made.checksum);
                prop_assert!(names_both, "{read:?} names another commit, with a checksum that was not written");
                prop_assert_eq!(read.name, "before");
            }
        }
    }

    #[test]
    fn another_format_is_refused_before_its_fields_are_looked_at() {
        for (text, told) in [
            (r#"{"format": 0}"#, "its format is 0"),
            (r#"{"format": 2, "of": "later"}"#, "format 2"),
        ] {
            let storage = Memory::new();
            storage.put(Savepoint::object("before"), text);
            let read = Savepoint::read(&storage, "before");
            let error = read.expect_err("it is no savepoint of this release");
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
