//! [`Look`]: a store that is looked into while somebody else may write to it.
//!
//! **Invariants.** What an application has deleted meanwhile, because it is not kept any more, is never told as damage.

use std::path::PathBuf;
use std::sync::Arc;

use wallaroo_store::inspect::{Inspector, Verified};
use wallaroo_store::storage::{input_directory, open_to_read};
use wallaroo_store::{Commit, Storage, StoreError};

/// How often the newest commit is asked for again when it is gone while it is read.
// 5: an application keeps three commits, so each of these has the time of three epochs at least.
const TRIES: usize = 5;

/// A store that is looked into.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) inspector: Inspector,
    pub(crate) storage: Stored,
    /// Where its input logs are, if they are files.
    input: Option<PathBuf>,
}

/// Its storage.
pub(crate) struct Stored(pub(crate) Arc<dyn Storage>);

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.place())
    }
}

impl Look {
    pub(crate) fn into(address: &str) -> Result<Self, StoreError> {
        let storage = open_to_read(address)?;
        Ok(Look {
            inspector: Inspector::open(Arc::clone(&storage))?,
            storage: Stored(storage),
            input: input_directory(address)?,
        })
    }

    /// Reads from the commit of a number, or from the newest.
    pub(crate) fn at<T>(
        &self,
        number: Option<u64>,
        read: impl Fn(u64, &Commit) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tries = TRIES;
        loop {
            let (found, commit) = self.inspector.commit(number)?;
            let error = match read(found, &commit) {
                Ok(read) => return Ok(read),
                Err(error @ StoreError::NotFound { .. }) => return Err(error),
                Err(error) => error,
            };
            tries -= 1;
            if self.kept()?.contains(&found) || tries == 0 {
                return Err(error);
            }
            if number.is_some() {
                return Err(self.not_kept(found));
            }
        }
    }

    /// The error for a commit that may not be whole any more.
    pub(crate) fn not_kept(&self, number: u64) -> StoreError {
        self.not_found(
            format!("kept commit {number}"),
            "list the checkpoints to see which are kept",
        )
    }

    pub(crate) fn not_found(&self, what: String, advice: &str) -> StoreError {
        StoreError::NotFound {
            place: self.storage.0.place().to_owned(),
            what,
            advice: advice.to_owned(),
        }
    }

    /// The numbers of kept commits.
    pub(crate) fn kept(&self) -> Result<Vec<u64>, StoreError> {
        self.inspector.kept()
    }

    /// Everything that is kept, or the part of one commit, with what is wrong with it.
    pub(crate) fn verify(&self, number: Option<u64>) -> Result<Vec<Verified>, StoreError> {
        if let Some(number) = number
            && !self.inspector.kept_as_far_as_known()?.contains(&number)
        {
            self.inspector.commit(Some(number))?;
            return Err(self.not_kept(number));
        }
        let mut verified = self.inspector.verify()?;
        if let Some(number) = number {
            let record = wallaroo_store::log::record::name(number);
            verified.retain(|found| found.object == record || found.commits.contains(&number));
        }
        if number.is_none() {
            verified.extend(self.inspector.verify_input(self.input.as_deref())?);
        }
        let is_whole = |found: &Verified| found.result.is_ok();
        // the log first: its records are of no commits, and stand as they were found
        if !verified
            .iter()
            .all(|found| is_whole(found) || found.commits.is_empty())
        {
            let kept = self.inspector.kept_as_far_as_known()?;
            verified.retain(|found| {
                is_whole(found)
                    || found.commits.is_empty()
                    || found.commits.iter().any(|number| kept.contains(number))
            });
        }
        Ok(verified)
    }
}
