//! [`ReadOnly`]: a storage for those who only look.
//!
//! **Invariants.** No call that changes something reaches the storage behind it.

use std::ops::Range;

use super::{Created, ErrorKind, ObjectInfo, Storage, StorageError, Upload};

/// A storage of which only reads, sizes and listings are let through.
pub(crate) struct ReadOnly<S>(pub(crate) S);

impl<S: Storage> ReadOnly<S> {
    fn refused(&self, action: &'static str, name: &str) -> StorageError {
        StorageError {
            action,
            name: name.to_owned(),
            place: self.place().to_owned(),
            cause: "it is open for reading only".to_owned(),
            kind: ErrorKind::Denied,
        }
    }
}

impl<S: Storage> Storage for ReadOnly<S> {
    fn place(&self) -> &str {
        self.0.place()
    }

    fn create(&self, name: &str, _: &[u8]) -> Result<Created, StorageError> {
        Err(self.refused("create", name))
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        Err(self.refused("create", name))
    }

    fn replace(&self, name: &str, _: &[u8]) -> Result<(), StorageError> {
        Err(self.refused("replace", name))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.0.read(name)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        self.0.size(name)
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.0.read_range(name, range)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.0.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        Err(self.refused("delete", name))
    }
}
