//! [`Storage`]: where objects are kept. A directory, an object store, or memory in tests.
//!
//! **Invariants.** An object is there whole or not at all, and never changes, except [`Storage::replace`]d ones. When
//! [`Storage::create`] returns, the object survives the loss of power; and so does every object that a read, a size, a
//! listing or [`Created::Existed`] has shown after the call that makes it, so an unclear attempt can be settled by looking. Only a deletion may be undone
//! by the loss of power. Names are relative, of ASCII letters, digits and `-_./`, without empty parts and without `.` or
//! `..`.

pub(crate) mod directory;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod faulty;
pub(crate) mod memory;
mod name;
mod object;
mod open;
mod read_only;
#[cfg(feature = "s3")]
mod s3;

use std::ops::Range;

pub use self::open::{input_directory, open, open_in_spite_of_lock, open_to_read};

/// What [`Storage::create`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Created {
    /// The object is made and durable.
    New,
    /// There was an object of that name, which is unchanged.
    Existed,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its name, relative to the root.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What can be done about a failure of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It may work later: a network, a server, a busy device. The operation may have happened or not.
    Unavailable,
    /// There is no space left.
    Full,
    /// The store may not be written, or not be read.
    Denied,
    /// Something is wrong that time does not heal.
    Broken,
}

/// A failure of the store.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {name:?} in the store {place}: {cause}")]
pub struct StorageError {
    /// What was tried: `open`, `read`, `create`, `replace`, `list`, `delete`.
    pub action: &'static str,
    /// The object.
    pub name: String,
    /// The store's address.
    pub place: String,
    /// Why, as the system says it.
    pub cause: String,
    /// What can be done about it.
    pub kind: ErrorKind,
}

/// A place of write-once objects. All calls block; none is made on a worker.
pub trait Storage: Send + Sync {
    /// The address, for messages to people.
    fn place(&self) -> &str;

    /// Makes an object that must not exist, and makes it durable.
    ///
    /// # Errors
    /// When it is not certain that the object was made. It may exist nevertheless.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError>;

    /// Begins an object of a name that nobody else uses, to be written in pieces. Dropping the upload abandons it.
    ///
    /// # Errors
    /// When it cannot be begun.
    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError>;

    /// Makes an object or replaces it: only for hints, which may be stale.
    ///
    /// # Errors
    /// When it is not certain that it was replaced.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// The whole object; absent if there is none of that name.
    ///
    /// # Errors
    /// When it cannot be told, or not be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// The size of an object; absent if there is none of that name.
    ///
    /// # Errors
    /// When it cannot be told.
    fn size(&self, name: &str) -> Result<Option<u64>, StorageError>;

    /// A part of an object.
    ///
    /// # Errors
    /// When it cannot be read, or ends before the range does.
    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError>;

    /// All objects whose names begin with `prefix` (a whole directory such as `log/`), in order of their names.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError>;

    /// Deletes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When it is not certain that it is gone.
    fn delete(&self, name: &str) -> Result<(), StorageError>;
}

/// An object being written in pieces.
pub trait Upload {
    /// Adds bytes.
    ///
    /// # Errors
    /// When they cannot be written; the upload is worthless then.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes the object visible and durable.
    ///
    /// # Errors
    /// When it is not certain that it is, or when there is an object of that name.
    fn finish(self: Box<Self>) -> Result<(), StorageError>;
}
