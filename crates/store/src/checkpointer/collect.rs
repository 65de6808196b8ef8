//! Deleting what nobody needs: objects that no kept commit names, and old records of the log.
//!
//! **Invariants.** An object is deleted only if no commit can come to name it: it is of an earlier generation, which is fenced,
//! or of an epoch of this one that is committed. Of those in use by this process the caller knows, and protects them.

use std::collections::BTreeSet;

use super::Store;
use crate::error::StoreError;
use crate::log::access::Body;
use crate::log::{record, trimming};
use crate::object_name::{ObjectKind, ObjectName};
use crate::savepoint::Savepoint;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects.
    pub objects: u64,
    /// Their size.
    pub bytes: u64,
}

impl Store {
    /// Deletes segments and outboxes that no kept commit names. Before the first commit of this process it deletes nothing, so
    /// that whoever went back by mistake can still turn round.
    ///
    /// `protected` has the names of objects that are being written, are written and not yet committed, or are being read.
    ///
    /// # Errors
    /// When this process is fenced, when a commit is not settled, when a kept commit cannot be read, and when the storage fails. What was
    /// not deleted is deleted next time.
    pub fn collect_garbage(
        &mut self,
        protected: &BTreeSet<String>,
    ) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        let Some(head) = self.head.as_ref().filter(|_| self.has_committed) else {
            return Ok(collected);
        };
        let committed_epoch = head.epoch;
        self.check_owner("room by deleting objects")?;
        let named = self.named_objects()?;
        for kind in ObjectKind::ALL {
            for object in self.storage.list(kind.folder())? {
                // what is not named as we name things is not ours to delete
                let Some(name) = ObjectName::parse(&object.name) else {
                    continue;
                };
                let is_past = name.generation < self.owner.generation
                    || (name.generation == self.owner.generation && name.epoch <= committed_epoch);
                if !is_past || named.contains(&object.name) || protected.contains(&object.name) {
                    continue;
                }
                self.storage.delete(&object.name)?;
                collected.objects += 1;
                collected.bytes += object.bytes;
            }
        }
        Ok(collected)
    }

    /// Deletes old records of the log, and leaves those of kept commits and the `newest` (see [`super::KEPT_RECORDS`]).
    /// Returns how many were deleted.
    ///
    /// # Errors
    /// When this process is fenced, when a commit is not settled, and when the storage fails.
    pub fn trim(&mut self, newest: u64) -> Result<u64, StoreError> {
        if !self.has_committed {
            return Ok(0);
        }
        self.check_owner("room by trimming the log")?;
        let kept = self.kept_numbers()?;
        let plan = trimming::plan(self.log.numbers()?, self.owner.last, newest, &kept);
        for &number in &plan {
            self.storage.delete(&record::name(number))?;
        }
        Ok(plan.len() as u64)
    }

    /// The numbers of all commits that are kept.
    ///
    /// # Errors
    /// When savepoints cannot be read.
    pub fn kept_numbers(&self) -> Result<BTreeSet<u64>, StoreError> {
        let savepoints = Savepoint::list(&*self.storage)?;
        let mut kept: BTreeSet<u64> = savepoints.iter().map(|found| found.number).collect();
        kept.extend(self.owner.head);
        kept.extend(&self.keeps);
        Ok(kept)
    }

    fn named_objects(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let kept = self.kept_numbers()?;
        self.named.retain(|number, _| kept.contains(number));
        for &number in &kept {
            if self.named.contains_key(&number) {
                continue;
            }
            let found = self.log.read(number)?;
            let Some(Body::Commit(commit)) = found.map(|found| found.body) else {
                return Err(StoreError::Missing {
                    object: record::name(number),
                    named_by: "a later commit, or a savepoint,".to_owned(),
                    place: self.storage.place().to_owned(),
                });
            };
            let named = commit.objects().map(str::to_owned).collect();
            self.named.insert(number, named);
        }
        Ok(self.named.values().flatten().cloned().collect())
    }
}
