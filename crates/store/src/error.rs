//! [`StoreError`]: what can be wrong with a store, and what to do about it.
//!
//! **Invariants.** Every error names the object or the option it is about and the store's address, says what was found, and
//! ends with what to do. [`StoreError::number`] never changes its meaning.

use crate::storage::{ErrorKind, StorageError};

/// Why something could not be done with a store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A read, write, listing or deletion failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object does not hold what was written, or what a commit record says of it.
    #[error("{object:?} in the store {place} is damaged: {what}; {advice}", advice = ADVICE_DAMAGED)]
    Corrupt {
        /// The object.
        object: String,
        /// The store's address.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file or an object of an input log does not hold what was written, or is not there.
    #[error("{object:?} in the input log {place} is damaged: {what}; {advice}", advice = ADVICE_INPUT)]
    DamagedInput {
        /// The file or object.
        object: String,
        /// The directory of the log, or the store's address.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// An object that a kept commit names is not there.
    #[error("{object:?}, which {named_by} needs, is not in the store {place}; {advice}", advice = ADVICE_DAMAGED)]
    Missing {
        /// The object.
        object: String,
        /// What names it: `commit 41`.
        named_by: String,
        /// The store's address.
        place: String,
    },
    /// Another process has taken the store over; this one must stop and publish nothing.
    #[error(
        "another process has taken over the store {place}{by}; this process has stopped writing to it: let only one process run the application"
    )]
    Fenced {
        /// The store's address.
        place: String,
        /// By which record, where it is known: ` with record 17, generation 4`.
        by: String,
    },
    /// Another process has the store open.
    #[error(
        "the store {place} is in use by {owner}; stop that process, or start with --take-over if it cannot be stopped"
    )]
    Locked {
        /// The store's address.
        place: String,
        /// Who has it: `process 4711, started …`.
        owner: String,
    },
    /// The store belongs to another application.
    #[error(
        "the store {place} belongs to the application {found:?}, and this is {expected:?}; give this application a store of its own, or its old name back"
    )]
    WrongApplication {
        /// The store's address.
        place: String,
        /// The application that was started.
        expected: String,
        /// The application in the store.
        found: String,
    },
    /// The store was made with another number of key groups, which is fixed for ever.
    #[error(
        "the store {place} has {found} key groups, and the application was started with {expected}; start it with {found}, or with a new store"
    )]
    KeyGroups {
        /// The store's address.
        place: String,
        /// The number the application was started with.
        expected: u16,
        /// The number in the store.
        found: u16,
    },
    /// An object is of a format that a later release wrote.
    #[error(
        "{object:?} in the store {place} has {what} {found}, and this release knows {supported}; start with a later release"
    )]
    TooNew {
        /// The object.
        object: String,
        /// The store's address.
        place: String,
        /// What is too new: `format`, `version`, `key encoding`.
        what: &'static str,
        /// What was found.
        found: String,
        /// What this release can read.
        supported: String,
    },
    /// A savepoint, commit, state or key that was asked for is not in the store.
    #[error("the store {place} has no {what}; {advice}")]
    NotFound {
        /// The store's address.
        place: String,
        /// What was asked for: `savepoint "monday"`.
        what: String,
        /// What there is instead.
        advice: String,
    },
    /// The application is not the one that made the commit to go on from.
    #[error(
        "the application does not fit its checkpoint in the store {place}, and nothing was changed: {differences}"
    )]
    Plan {
        /// The store's address.
        place: String,
        /// What is different, and the options that allow it.
        differences: String,
    },
    /// Something would be made that must not be there yet, or that must have another name.
    #[error("cannot make {what} in the store {place}: {cause}")]
    Refused {
        /// The store's address.
        place: String,
        /// What was to be made: `savepoint "monday"`.
        what: String,
        /// Why not, and what to do.
        cause: String,
    },
    /// A state object was read whole, and whoever asked for it cannot use it.
    #[error(
        "cannot restore the object of key {key} of state {state:?} from the store {place}: {cause}"
    )]
    Restore {
        /// The store's address.
        place: String,
        /// The name of the state.
        state: String,
        /// The canonical bytes of the key, in hexadecimal digits, the first 64 of them.
        key: String,
        /// Why not, as the state's codec says it.
        cause: String,
    },
}

/// What to do about a damaged input log.
const ADVICE_INPUT: &str = "what was lost with it cannot be read again; the page on operations says how to go on without it";
const ADVICE_DAMAGED: &str =
    "verify the store to see what else is, and go back to a savepoint or an earlier commit";

impl StoreError {
    /// Whether it may pass without anybody changing the program or its options: a full disk, a store out of reach.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Storage(error) if error.kind != ErrorKind::Broken)
    }

    /// The stable number of the error, to be shown behind `WAL-`.
    #[must_use]
    pub const fn number(&self) -> u16 {
        match self {
            StoreError::Storage(_) => 701,
            StoreError::Corrupt { .. } | StoreError::DamagedInput { .. } => 702,
            StoreError::Missing { .. } => 703,
            StoreError::Fenced { .. } => 704,
            StoreError::Locked { .. } => 705,
            StoreError::WrongApplication { .. } => 706,
            StoreError::KeyGroups { .. } => 707,
            StoreError::TooNew { .. } => 708,
            StoreError::NotFound { .. } => 709,
            StoreError::Refused { .. } => 710,
            StoreError::Restore { .. } => 711,
            StoreError::Plan { .. } => 712,
        }
    }
}
