//! [`Store`]: a store that this process owns: it commits, keeps savepoints, and deletes what nobody needs.
//!
//! What is kept is said by the newest commit itself: `keeps` of its record, and the savepoints. So a process that takes over,
//! one that only looks, and one that slept and goes on deleting all agree on it. A commit may only stop keeping what
//! earlier ones kept, never keep again what they gave up.
//!
//! **Invariants.** What a kept commit names is never deleted. After [`CommitError::Fenced`] nothing is written. A commit of
//! unclear fate is settled, with the same bytes, before anything else is appended.

mod collect;
mod open;
mod savepoints;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::collect::Collected;
pub use self::open::{Accepts, OpenOptions, Recovered, StartFrom};
use crate::commit::Commit;
use crate::error::StoreError;
use crate::log::access::{Log, Outcome};
use crate::log::entry::Entry;
use crate::log::protocol::{Appended, Owner};
use crate::log::record;
use crate::object_name::{ObjectKind, ObjectName};
use crate::storage::{Storage, StorageError};

/// How many records of the log [`Store::trim`] leaves, beside those of kept commits: for people who look back. A check of the store
/// expects them.
pub const KEPT_RECORDS: u64 = 100;

/// A store that this process owns.
pub struct Store {
    storage: Arc<dyn Storage>,
    log: Log,
    owner: Owner,
    /// Of the owner's last record.
    last_checksum: u64,
    head: Option<Head>,
    /// Earlier commits that are kept, newest first.
    keeps: Vec<u64>,
    retain: usize,
    pending: Option<Pending>,
    is_fenced: bool,
    has_committed: bool,
    /// What kept commits name, by their numbers: so that each record is read once.
    named: BTreeMap<u64, Vec<String>>,
    clock: Box<dyn Fn() -> u64 + Send>,
    nonces: Box<dyn FnMut() -> u128 + Send>,
}

/// The newest commit of the path.
struct Head {
    epoch: u64,
    checksum: u64,
    /// Whether whoever asked for it knows.
    is_acknowledged: bool,
}

/// A commit of unclear fate.
struct Pending {
    entry: Entry,
    bytes: Vec<u8>,
    asked: Commit,
    commit: Commit,
}

/// A commit that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of its record.
    pub number: u64,
}

/// Why a commit does not count, or not yet.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// It never will: another process has taken over. Stop, and publish nothing.
    #[error(transparent)]
    Fenced(StoreError),
    /// It may count already, or come to. Call [`Store::commit`] again with the same commit.
    #[error("cannot tell whether epoch {epoch} is committed; it is tried again")]
    Unsettled {
        /// The epoch.
        epoch: u64,
        /// Why not.
        #[source]
        cause: Option<StorageError>,
    },
    /// It was not tried, or the store is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.storage.place())
            .field("owner", &self.owner)
            .field("is_fenced", &self.is_fenced)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The generation that this process is, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.owner.generation
    }

    /// The number of the newest commit; none in a new store.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.owner.head
    }

    /// A name for an object of this generation that nobody ever used, and nobody will again.
    pub fn object_name(&mut self, kind: ObjectKind, epoch: u64) -> String {
        let name = ObjectName {
            kind,
            generation: self.owner.generation,
            epoch,
            nonce: (self.nonces)(),
        };
        name.to_string()
    }

    /// Makes a checkpoint count. Its objects are written and durable; epochs ascend.
    ///
    /// # Errors
    /// See [`CommitError`]. After [`CommitError::Unsettled`] call it again with the same commit, or with another one: the first
    /// is settled before, and its objects must not be deleted until then.
    pub fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        if self.is_fenced {
            return Err(CommitError::Fenced(self.fenced(None)));
        }
        if let Some(pending) = self.pending.take() {
            let is_same = pending.asked == commit;
            let number = self.append(pending)?;
            if is_same {
                return Ok(self.acknowledge(number));
            }
        }
        self.check_epoch(commit.epoch)?;
        let nonce = (self.nonces)();
        let entry = self.owner.next_commit(nonce);
        let asked = commit.clone();
        let commit = Commit {
            parent: entry.follows,
            keeps: self.kept_by_the_next(),
            time_ms: (self.clock)(),
            generation: entry.generation,
            ..commit
        };
        let bytes = self.log.encode(&entry, self.last_checksum, &commit)?;
        let number = self.append(Pending {
            entry,
            bytes,
            asked,
            commit,
        })?;
        Ok(self.acknowledge(number))
    }

    fn acknowledge(&mut self, number: u64) -> Committed {
        if let Some(head) = &mut self.head {
            head.is_acknowledged = true;
        }
        Committed { number }
    }

    fn check_epoch(&self, epoch: u64) -> Result<(), StoreError> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        if epoch > head.epoch || (epoch == head.epoch && !head.is_acknowledged) {
            return Ok(());
        }
        Err(StoreError::Refused {
            place: self.storage.place().to_owned(),
            what: format!("a commit of epoch {epoch}"),
            cause: format!(
                "the last commit is of epoch {}; report this as a bug",
                head.epoch
            ),
        })
    }

    fn kept_by_the_next(&self) -> Vec<u64> {
        let earlier = self
            .owner
            .head
            .into_iter()
            .chain(self.keeps.iter().copied());
        earlier.take(self.retain - 1).collect()
    }

    fn append(&mut self, pending: Pending) -> Result<u64, CommitError> {
        let outcome = match self.log.append(pending.entry, &pending.bytes) {
            Ok(outcome) => outcome,
            Err(error) => {
                // what was sent may still arrive
                self.pending = Some(pending);
                return Err(CommitError::Store(error));
            }
        };
        let epoch = pending.commit.epoch;
        match outcome {
            Outcome::Decided(Appended::Won) => {
                let number = pending.entry.number;
                self.owner.has_won(&pending.entry);
                self.last_checksum = record::checksum(&pending.bytes);
                self.head = Some(Head {
                    epoch,
                    checksum: self.last_checksum,
                    is_acknowledged: false,
                });
                let named = pending.commit.objects().map(str::to_owned).collect();
                self.named.insert(number, named);
                self.keeps = pending.commit.keeps;
                self.has_committed = true;
                Ok(number)
            }
            Outcome::Decided(Appended::Lost { by }) => {
                self.is_fenced = true;
                Err(CommitError::Fenced(self.fenced(by)))
            }
            Outcome::Decided(Appended::Unclear | Appended::Vanished) => {
                self.pending = Some(pending);
                Err(CommitError::Unsettled { epoch, cause: None })
            }
            Outcome::Unclear(cause) => {
                self.pending = Some(pending);
                let cause = Some(cause);
                Err(CommitError::Unsettled { epoch, cause })
            }
        }
    }

    fn fenced(&self, by: Option<Entry>) -> StoreError {
        StoreError::Fenced {
            place: self.storage.place().to_owned(),
            by: by.map_or_else(String::new, |by| {
                format!(" with record {}, generation {}", by.number, by.generation)
            }),
        }
    }

    /// Makes sure that no other process has taken the store over, as far as that can be told now: before something is changed
    /// outside of the store, where nothing else stops a process that has been taken over.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another has; when it cannot be told.
    pub fn check_not_fenced(&mut self) -> Result<(), StoreError> {
        self.check_owner("its outputs")
    }

    /// Makes sure, as far as can be told now, that this process is not fenced and nothing is pending.
    fn check_owner(&mut self, what: &str) -> Result<(), StoreError> {
        if let Some(pending) = &self.pending {
            return Err(StoreError::Refused {
                place: self.storage.place().to_owned(),
                what: what.to_owned(),
                cause: format!(
                    "it cannot be told yet whether epoch {} is committed; try again when it is",
                    pending.commit.epoch
                ),
            });
        }
        if !self.is_fenced && !self.log.is_newest(self.owner.last)? {
            self.is_fenced = true;
        }
        if self.is_fenced {
            return Err(self.fenced(None));
        }
        Ok(())
    }
}
