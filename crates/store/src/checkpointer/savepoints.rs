//! Savepoints of an open store.
//!
//! **Invariants.** A savepoint that was reported is of a commit whose objects are there: after it is made, the store is still
//! this process's, and so nobody else has deleted anything it needs.

use super::Store;
use crate::error::StoreError;
use crate::savepoint::Savepoint;
use crate::storage::Created;

impl Store {
    /// Keeps the newest commit under a name.
    ///
    /// # Errors
    /// When the name is taken by another commit or not one that savepoints can have, when there is no commit yet or it is not settled, when
    /// this process is fenced, and when the storage fails: it may have been made then, and can be tried again.
    pub fn savepoint(&mut self, name: &str) -> Result<Savepoint, StoreError> {
        let what = format!("savepoint {name:?}");
        let refused = |store: &Store, cause: &str| StoreError::Refused {
            place: store.storage.place().to_owned(),
            what: what.clone(),
            cause: cause.to_owned(),
        };
        if !Savepoint::is_name(name) {
            let rule = "a savepoint's name has 1 to 64 letters, digits, \"-\" or \"_\"";
            return Err(refused(self, rule));
        }
        let (Some(number), Some(head)) = (self.owner.head, &self.head) else {
            return Err(refused(
                self,
                "nothing is committed yet; try again after the first epoch",
            ));
        };
        let savepoint = Savepoint::new(name, number, head.checksum, (self.clock)());
        self.check_owner(&what)?;
        let object = Savepoint::object(name);
        let bytes = serde_json::to_vec_pretty(&savepoint)
            .map_err(|error| refused(self, &error.to_string()))?;
        if self.storage.create(&object, &bytes)? == Created::Existed {
            let found = Savepoint::read(&*self.storage, name)?;
            return match found {
                Some(found) if found.checksum == savepoint.checksum => Ok(found),
                _ => Err(refused(self, "there is one of that name; choose another")),
            };
        }
        if let Err(error) = self.check_owner(&what) {
            if self.is_fenced {
                self.storage.delete(&object)?;
            }
            return Err(error);
        }
        Ok(savepoint)
    }

    /// All savepoints, by name.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub fn savepoints(&self) -> Result<Vec<Savepoint>, StoreError> {
        Savepoint::list(&*self.storage)
    }

    /// Keeps a commit no longer under this name.
    ///
    /// # Errors
    /// When there is no savepoint of that name, when this process is fenced, and when the storage fails.
    pub fn delete_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.check_owner("a savepoint go")?;
        let Some(savepoint) = Savepoint::read(&*self.storage, name)? else {
            return Err(StoreError::NotFound {
                place: self.storage.place().to_owned(),
                what: format!("savepoint {name:?}"),
                advice: "`wallaroo checkpoint savepoints` lists them".to_owned(),
            });
        };
        Ok(self.storage.delete(&Savepoint::object(&savepoint.name))?)
    }
}
