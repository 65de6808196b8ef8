//! [`Inspector`]: a look into a store, for people and tools. It takes no fence and writes nothing.
//!
//! **Invariants.** Only reads and listings are used, so it can look into a store that another process owns; objects may then
//! be deleted while it looks.

use std::path::Path;
use std::sync::Arc;

use crate::application::{self, Application};
use crate::checkpointer::KEPT_RECORDS;
use crate::commit::Commit;
use crate::error::StoreError;
use crate::input_log::{self, SystemDisk};
use crate::loader::Loader;
use crate::log::access::{Body, Found, Log};
use crate::log::record;
use crate::outbox::read_outbox;
use crate::savepoint::Savepoint;
use crate::storage::Storage;

/// A store that is looked into.
pub struct Inspector {
    storage: Arc<dyn Storage>,
    log: Log,
    application: Application,
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector")
            .field("place", &self.storage.place())
            .finish_non_exhaustive()
    }
}

/// A commit in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The number of its record.
    pub number: u64,
    /// The epoch that ends with it.
    pub epoch: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The generation that made it.
    pub generation: u64,
    /// Segments and outboxes.
    pub objects: u64,
    /// Their size.
    pub bytes: u64,
    /// Whether it is kept: all its objects must be there.
    pub is_kept: bool,
    /// Savepoints that keep it.
    pub savepoints: Vec<String>,
}

/// What was found of one object.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The object.
    pub object: String,
    /// Its size, as far as it is known.
    pub bytes: u64,
    /// Kept commits that need it.
    pub commits: Vec<u64>,
    /// Of an input log: so many bytes at its end are of a write that was not completed. That is no damage; the next start cuts them off.
    pub torn: u64,
    /// What is wrong with it, or nothing.
    pub result: Result<(), StoreError>,
}

/// How much of a state there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// Its name.
    pub state: String,
    /// Its objects.
    pub objects: u64,
    /// Size of their keys and values.
    pub bytes: u64,
    /// Key groups that have any.
    pub groups: u64,
}

impl Inspector {
    /// Looks into a store.
    ///
    /// # Errors
    /// When there is no store, or it is damaged or of a later release.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, StoreError> {
        let Some(application) = Application::read(&*storage)? else {
            return Err(application::not_found(storage.place()));
        };
        let log = Log::new(Arc::clone(&storage));
        Ok(Inspector {
            storage,
            log,
            application,
        })
    }

    /// Whose store it is.
    #[must_use]
    pub fn application(&self) -> &Application {
        &self.application
    }

    /// All commits whose records are there, newest first, also those that are not kept any more.
    ///
    /// # Errors
    /// When a record or savepoint cannot be read.
    pub fn commits(&self) -> Result<Vec<Listed>, StoreError> {
        let kept = self.kept()?;
        let savepoints = Savepoint::list(&*self.storage)?;
        let mut commits: Vec<Listed> = Vec::new();
        for number in self.log.numbers()?.into_iter().rev() {
            let found = match self.log.read(number) {
                // one that somebody has gone back past is of no interest until it is trimmed
                Err(StoreError::Corrupt { .. }) if !kept.contains(&number) => continue,
                found => found?,
            };
            let Some(Found {
                body: Body::Commit(commit),
                ..
            }) = found
            else {
                continue;
            };
            let named = savepoints
                .iter()
                .filter(|savepoint| savepoint.number == number);
            commits.push(Listed {
                number,
                epoch: commit.epoch,
                time_ms: commit.time_ms,
                generation: commit.generation,
                objects: commit.objects().count() as u64,
                bytes: commit.bytes(),
                is_kept: kept.contains(&number),
                savepoints: named.map(|savepoint| savepoint.name.clone()).collect(),
            });
        }
        let is_missing = |number: &&u64| commits.iter().all(|found| found.number != **number);
        match kept.iter().find(is_missing) {
            // It has not been trimmed meanwhile.
            Some(number) if self.kept()?.contains(number) => Err(self.missing(*number, BY_LATER)),
            _ => Ok(commits),
        }
    }

    /// The numbers of kept commits, newest first: as the newest record and savepoints say, also if their own records are gone.
    ///
    /// # Errors
    /// When a savepoint or the newest record cannot be read.
    pub fn kept(&self) -> Result<Vec<u64>, StoreError> {
        let newest = match self.log.numbers()?.last() {
            Some(&newest) => self.log.read(newest)?,
            None => None,
        };
        Ok(kept_by(newest, &Savepoint::list(&*self.storage)?))
    }

    /// The same as far as it can be read: as the savepoints and the newest record say that are not damaged.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn kept_as_far_as_known(&self) -> Result<Vec<u64>, StoreError> {
        let names = Savepoint::names(&*self.storage)?;
        let read = names
            .iter()
            .filter_map(|name| Savepoint::read(&*self.storage, name).ok().flatten());
        let savepoints: Vec<Savepoint> = read.collect();
        let numbers = self.log.numbers()?.into_iter().rev();
        let mut readable = numbers.filter_map(|number| self.log.read(number).ok().flatten());
        Ok(kept_by(readable.next(), &savepoints))
    }

    /// One commit, or the newest of the path.
    ///
    /// # Errors
    /// When there is no such commit, or it cannot be read.
    pub fn commit(&self, number: Option<u64>) -> Result<(u64, Commit), StoreError> {
        let not_found = |what: String, advice: &str| StoreError::NotFound {
            place: self.storage.place().to_owned(),
            what,
            advice: advice.to_owned(),
        };
        let number = match number {
            Some(number) => number,
            None => {
                let newest = match self.log.numbers()?.last() {
                    Some(&newest) => self.log.read(newest)?,
                    None => None,
                };
                let head = newest.and_then(|found| found.entry.head());
                let none_yet = || not_found("commit".to_owned(), "none has been made yet");
                head.ok_or_else(none_yet)?
            }
        };
        match self.log.read(number)? {
            Some(Found {
                body: Body::Commit(commit),
                ..
            }) => Ok((number, *commit)),
            _ => Err(not_found(
                format!("commit {number}"),
                "list them to see which there are",
            )),
        }
    }

    /// Reads everything that is kept and compares all checksums: the log, kept commits, each object that they name, once, and savepoints.
    ///
    /// # Errors
    /// When the storage cannot be listed. What is wrong with an object is in the result.
    pub fn verify(&self) -> Result<Vec<Verified>, StoreError> {
        let mut verified = self.verify_log()?;
        self.verify_savepoints(&mut verified)?;
        let kept = self.kept_as_far_as_known()?;
        for number in self.missing_numbers()? {
            let is_kept = kept.contains(&number).then_some(number);
            let by = format!("record {}", number + 1);
            verified.push(self.missing_record(number, is_kept, &by));
        }
        let mut seen: Vec<Verified> = Vec::new();
        for number in kept {
            let Ok((_, commit)) = self.commit(Some(number)) else {
                if !verified
                    .iter()
                    .any(|found| found.object == record::name(number))
                {
                    verified.push(self.missing_record(number, Some(number), BY_LATER));
                }
                continue;
            };
            for segment in &commit.segments {
                note(&mut seen, number, &segment.name, segment.bytes, || {
                    let loader =
                        Loader::open(Arc::clone(&self.storage), std::slice::from_ref(segment))?;
                    count(&loader).map(drop)
                });
            }
            for outbox in &commit.outboxes {
                note(&mut seen, number, &outbox.name, outbox.bytes, || {
                    read_outbox(&*self.storage, outbox).map(drop)
                });
            }
        }
        verified.append(&mut seen);
        Ok(verified)
    }

    /// Whether each savepoint can be read, and the record that it names is the one that it was made of.
    fn verify_savepoints(&self, verified: &mut Vec<Verified>) -> Result<(), StoreError> {
        for name in Savepoint::names(&*self.storage)? {
            let read = Savepoint::read(&*self.storage, &name);
            let (commits, result) = match read {
                // deleted since it was listed
                Ok(None) => continue,
                Ok(Some(savepoint)) => {
                    let number = savepoint.number;
                    let record = record::name(number);
                    let is_told =
                        |found: &Verified| found.object == record && found.result.is_err();
                    let is_there = self.log.numbers()?.contains(&number);
                    let result = match verified.iter().any(is_told) || !is_there {
                        // The record is told.
                        true => Ok(()),
                        false => savepoint.commit(&*self.storage, &self.log).map(drop),
                    };
                    (vec![number], result)
                }
                Err(error) => (Vec::new(), Err(error)),
            };
            let object = Savepoint::object(&name);
            let bytes = self.storage.read(&object)?;
            verified.push(Verified {
                bytes: bytes.map_or(0, |bytes| bytes.len() as u64),
                object,
                commits,
                torn: 0,
                result,
            });
        }
        Ok(())
    }

    /// Reads the input logs and compares all checksums: of what is in the storage, and below `directory` if they are files.
    ///
    /// # Errors
    /// When they cannot be listed. What is wrong with a file or an object is in the result.
    pub fn verify_input(&self, directory: Option<&Path>) -> Result<Vec<Verified>, StoreError> {
        let found = match directory {
            Some(directory) => input_log::verify_files(&SystemDisk, directory)?,
            None => input_log::verify_objects(&*self.storage)?,
        };
        let verified = found.into_iter().map(|found| Verified {
            object: found.name,
            bytes: found.bytes,
            commits: Vec::new(),
            torn: found.torn,
            result: found.result,
        });
        Ok(verified.collect())
    }

    /// Every record of the log, and whether each names the one before it.
    fn verify_log(&self) -> Result<Vec<Verified>, StoreError> {
        let mut verified = Vec::new();
        let mut before: Option<(u64, u64)> = None;
        for number in self.log.numbers()? {
            let object = record::name(number);
            let found = self.log.read(number);
            let next = found.as_ref().ok().and_then(|found| found.as_ref());
            let next = next.map(|found| (number, found.checksum));
            let bytes = found.as_ref().ok().and_then(|found| found.as_ref());
            let bytes = bytes.map_or(0, |found| found.bytes);
            let result = match (found, before) {
                (Ok(Some(found)), Some((last, checksum)))
                    if last + 1 == number && found.previous != checksum =>
                {
                    Err(StoreError::Corrupt {
                        object: object.clone(),
                        place: self.storage.place().to_owned(),
                        what: format!("record {last} is not the one it was written behind"),
                    })
                }
                (Ok(_), _) => Ok(()),
                (Err(error), _) => Err(error),
            };
            let commits = Vec::new();
            verified.push(Verified {
                object,
                bytes,
                commits,
                torn: 0,
                result,
            });
            before = next;
        }
        Ok(verified)
    }

    /// Numbers without a record among those that nobody trims. What an application trims meanwhile is not among them.
    fn missing_numbers(&self) -> Result<Vec<u64>, StoreError> {
        let mut missing = Vec::new();
        for look in 0..2 {
            let numbers = self.log.numbers()?;
            let last = numbers.last().copied().unwrap_or(0);
            let untrimmed = last.saturating_sub(KEPT_RECORDS - 1).max(1)..=last;
            let is_there = |number: &u64| numbers.binary_search(number).is_ok();
            if look == 0 {
                missing = untrimmed.filter(|number| !is_there(number)).collect();
            } else {
                // A list that was made while records were deleted and made may be of neither moment.
                missing.retain(|number| untrimmed.contains(number) && !is_there(number));
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(missing)
    }

    fn missing_record(&self, number: u64, commit: Option<u64>, named_by: &str) -> Verified {
        Verified {
            object: record::name(number),
            bytes: 0,
            commits: Vec::from_iter(commit),
            torn: 0,
            result: Err(self.missing(number, named_by)),
        }
    }

    fn missing(&self, number: u64, named_by: &str) -> StoreError {
        StoreError::Missing {
            object: record::name(number),
            named_by: named_by.to_owned(),
            place: self.storage.place().to_owned(),
        }
    }

    /// How much of each state a commit has.
    ///
    /// # Errors
    /// When there is no such commit, or its segments cannot be read.
    pub fn states(&self, number: Option<u64>) -> Result<Vec<StateCount>, StoreError> {
        count(&self.loader(number)?)
    }

    /// The encoded object of a key in a commit; none if there is none.
    ///
    /// # Errors
    /// When there is no such commit, or its segments cannot be read.
    pub fn get(
        &self,
        number: Option<u64>,
        state: &str,
        group: u16,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.loader(number)?.get(state, group, key)
    }

    fn loader(&self, number: Option<u64>) -> Result<Loader, StoreError> {
        let (_, commit) = self.commit(number)?;
        Loader::open(Arc::clone(&self.storage), &commit.segments)
    }
}

/// What names a record that is gone.
const BY_LATER: &str = "a later commit, or a savepoint,";

/// The numbers of the commits that the newest record and the savepoints keep, newest first.
fn kept_by(newest: Option<Found>, savepoints: &[Savepoint]) -> Vec<u64> {
    let mut kept: Vec<u64> = savepoints
        .iter()
        .map(|savepoint| savepoint.number)
        .collect();
    if let Some(found) = newest {
        kept.extend(found.entry.head());
        kept.extend(match found.body {
            Body::Fence(fence) => fence.keeps,
            Body::Commit(commit) => commit.keeps,
        });
    }
    kept.sort_unstable_by(|left, right| right.cmp(left));
    kept.dedup();
    kept
}

/// Notes that a commit needs an object, which is checked the first time.
fn note(
    seen: &mut Vec<Verified>,
    number: u64,
    object: &str,
    bytes: u64,
    check: impl FnOnce() -> Result<(), StoreError>,
) {
    if let Some(known) = seen.iter_mut().find(|known| known.object == object) {
        known.commits.push(number);
        return;
    }
    seen.push(Verified {
        object: object.to_owned(),
        bytes,
        commits: vec![number],
        torn: 0,
        result: check(),
    });
}

/// Reads every block of every state.
fn count(loader: &Loader) -> Result<Vec<StateCount>, StoreError> {
    let mut counts = Vec::new();
    for state in loader.states() {
        let (mut objects, mut bytes, mut groups) = (0, 0, 0);
        for group in loader.groups(state) {
            let before = objects;
            loader.load(state, group.group, &mut |key, value| {
                objects += 1;
                bytes += (key.len() + value.len()) as u64;
                Ok(())
            })?;
            groups += u64::from(objects > before);
        }
        counts.push(StateCount {
            state: state.to_owned(),
            objects,
            bytes,
            groups,
        });
    }
    Ok(counts)
}
