//! [`Log`]: carries out on a storage what the decisions ask for.
//!
//! **Invariants.** A record that is made names the checksum of the record before it. What cannot be read as a record is an
//! error, and never the end of the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::commit::Commit;
use crate::error::StoreError;
use crate::log::entry::{Entry, Kind};
use crate::log::protocol::{Answer, Appended, Appending, Ask, Opened, Opening, Step};
use crate::log::record::{self, Record, RecordError};
use crate::storage::{Storage, StorageError};

/// What a fence says beside its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The number of the commit to go on from; none in a new store.
    pub base: Option<u64>,
    /// Numbers of earlier commits of the path that are still kept, newest first.
    #[serde(default)]
    pub keeps: Vec<u64>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Who made it, for people: `process 4711`.
    #[serde(default)]
    pub process: String,
}

/// A record with its body read.
#[derive(Clone, Debug)]
pub enum Body {
    /// Of a fence.
    Fence(Fence),
    /// Of a commit.
    Commit(Box<Commit>),
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// What the decisions see of it.
    pub entry: Entry,
    /// What it says.
    pub body: Body,
    /// Its own checksum.
    pub checksum: u64,
    /// The checksum that it names of the record before it.
    pub previous: u64,
    /// Its size.
    pub bytes: u64,
}

/// The log of a store.
#[derive(Clone)]
pub struct Log {
    storage: Arc<dyn Storage>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("place", &self.storage.place())
            .finish_non_exhaustive()
    }
}

/// Makes the body of a fence, or refuses it: from the newest record and the fence's entry.
pub type FenceBody<'a> = dyn FnMut(Option<&Found>, &Entry) -> Result<Fence, StoreError> + 'a;

/// How an append ended, and why it is unclear where it is.
#[derive(Debug)]
pub enum Outcome {
    /// What the decisions say.
    Decided(Appended),
    /// It is unclear because of this.
    Unclear(StorageError),
}

impl Log {
    /// The log in a storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Log { storage }
    }

    /// All numbers, in ascending order.
    ///
    /// # Errors
    /// When the log cannot be listed.
    pub fn numbers(&self) -> Result<Vec<u64>, StorageError> {
        let objects = self.storage.list("log/")?;
        let mut numbers: Vec<u64> = objects
            .iter()
            .filter_map(|object| record::number(&object.name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The record of a number; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of a later release.
    pub fn read(&self, number: u64) -> Result<Option<Found>, StoreError> {
        let Some(bytes) = self.storage.read(&record::name(number))? else {
            return Ok(None);
        };
        self.decode(number, &bytes).map(Some)
    }

    fn decode(&self, number: u64, bytes: &[u8]) -> Result<Found, StoreError> {
        let object = record::name(number);
        let damaged = |what: String| StoreError::Corrupt {
            object: object.clone(),
            place: self.storage.place().to_owned(),
            what,
        };
        let record = record::decode(number, bytes).map_err(|error| match error {
            RecordError::TooNew(version) => StoreError::TooNew {
                object: object.clone(),
                place: self.storage.place().to_owned(),
                what: "version",
                found: version.to_string(),
                supported: "1".to_owned(),
            },
            error @ (RecordError::Damaged(_) | RecordError::TooLong(_)) => {
                damaged(error.to_string())
            }
        })?;
        let body = match record.kind {
            Kind::Fence => serde_json::from_slice(&record.body).map(Body::Fence),
            Kind::Commit => {
                serde_json::from_slice(&record.body).map(|commit| Body::Commit(Box::new(commit)))
            }
        }
        .map_err(|error| damaged(format!("its body cannot be understood: {error}")))?;
        Ok(Found {
            entry: Entry {
                number,
                generation: record.generation,
                nonce: record.nonce,
                kind: record.kind,
                follows: match &body {
                    Body::Fence(fence) => fence.base,
                    Body::Commit(commit) => commit.parent,
                },
            },
            body,
            checksum: record::checksum(bytes),
            previous: record.previous,
            bytes: bytes.len() as u64,
        })
    }

    /// The bytes of a record.
    ///
    /// # Errors
    /// When its body is too long, or does not become JSON.
    pub fn encode(
        &self,
        entry: &Entry,
        previous: u64,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, StoreError> {
        let refused = |cause: String| StoreError::Refused {
            place: self.storage.place().to_owned(),
            what: format!("{:?}", record::name(entry.number)),
            cause,
        };
        let body = serde_json::to_vec(body).map_err(|error| refused(error.to_string()))?;
        record::encode(&Record {
            kind: entry.kind,
            number: entry.number,
            generation: entry.generation,
            nonce: entry.nonce,
            previous,
            body,
        })
        .map_err(|error| refused(error.to_string()))
    }

    /// Appends a record of these bytes, as far as that can be told.
    ///
    /// # Errors
    /// When the record under its number is damaged, or the storage contradicts itself.
    pub fn append(&self, entry: Entry, bytes: &[u8]) -> Result<Outcome, StoreError> {
        let mut failure = None;
        let mut appending = Appending::new(entry);
        loop {
            let answer = self.answer(appending.ask(), bytes, &mut failure)?.0;
            match appending.answer(answer) {
                Step::Go(next) => appending = next,
                Step::Done(Appended::Vanished) => return Err(self.vanished(entry.number)),
                Step::Done(Appended::Unclear) => {
                    return Ok(
                        failure.map_or(Outcome::Decided(Appended::Unclear), Outcome::Unclear)
                    );
                }
                Step::Done(decided) => return Ok(Outcome::Decided(decided)),
            }
        }
    }

    /// Finds the newest record and appends a fence behind it. Also returns the checksum of the fence.
    ///
    /// # Errors
    /// When a record is damaged, the storage contradicts itself, or `body` refuses.
    pub fn open(
        &self,
        mut opening: Opening,
        body: &mut FenceBody<'_>,
    ) -> Result<(Result<Opened, StorageError>, u64), StoreError> {
        let mut failure = None;
        let mut tail: Option<Found> = None;
        let mut bytes = Vec::new();
        loop {
            let ask = opening.ask();
            if let Ask::Create(fence) = ask {
                if fence.number == 1 {
                    tail = None;
                }
                let previous = tail.as_ref().map_or(0, |tail| tail.checksum);
                bytes = self.encode(&fence, previous, &body(tail.as_ref(), &fence)?)?;
            }
            let asked = self.answer(ask, &bytes, &mut failure);
            let (answer, found) = match (asked, ask) {
                (Err(error @ StoreError::Corrupt { .. }), Ask::Read(number))
                    if opening.passes_tail() =>
                {
                    let stand_in = self.stand_in(number, error)?;
                    (Answer::Found(Some(stand_in.entry)), Some(stand_in))
                }
                (asked, _) => asked?,
            };
            if found.is_some() {
                tail = found;
            }
            match opening.answer(answer) {
                Step::Go(next) => opening = next,
                Step::Done(Opened::Vanished) => return Err(self.vanished(0)),
                Step::Done(opened) => {
                    let opened = match (opened, failure) {
                        (Opened::Unclear, Some(failure)) => Err(failure),
                        (opened, _) => Ok(opened),
                    };
                    return Ok((opened, record::checksum(&bytes)));
                }
            }
        }
    }

    /// What stands for a damaged newest record when somebody goes back to before it: as a fence behind the newest record that can be
    /// read, with what that one keeps.
    ///
    /// Each record has at most one generation more than the one before it, so with one more per number, there or trimmed, it
    /// is not below that of the damaged one.
    fn stand_in(&self, number: u64, error: StoreError) -> Result<Found, StoreError> {
        let numbers = self.numbers()?;
        for before in numbers.into_iter().rev().filter(|before| *before < number) {
            let found = match self.read(before) {
                Ok(Some(found)) => found,
                Ok(None) | Err(StoreError::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            let bytes = self.storage.read(&record::name(number))?;
            let bytes = bytes.unwrap_or_default();
            let base = found.entry.head();
            let keeps = match found.body {
                Body::Fence(fence) => fence.keeps,
                Body::Commit(commit) => commit.keeps,
            };
            return Ok(Found {
                entry: Entry {
                    number,
                    generation: found.entry.generation + (number - before),
                    nonce: 0,
                    kind: Kind::Fence,
                    follows: base,
                },
                body: Body::Fence(Fence {
                    base,
                    keeps,
                    time_ms: 0,
                    process: String::new(),
                }),
                checksum: record::checksum(&bytes),
                previous: found.checksum,
                bytes: bytes.len() as u64,
            });
        }
        Err(error)
    }

    /// Whether a record is the newest of all.
    ///
    /// # Errors
    /// When the log cannot be listed.
    pub fn is_newest(&self, number: u64) -> Result<bool, StorageError> {
        Ok(self.numbers()?.last() == Some(&number))
    }

    fn answer(
        &self,
        ask: Ask,
        bytes: &[u8],
        failure: &mut Option<StorageError>,
    ) -> Result<(Answer, Option<Found>), StoreError> {
        let answer = match ask {
            Ask::Highest => self
                .numbers()
                .map(|numbers| Answer::Highest(numbers.last().copied().unwrap_or(0))),
            Ask::Create(entry) => self
                .storage
                .create(&record::name(entry.number), bytes)
                .map(Answer::Created),
            Ask::Read(number) => match self.read(number) {
                Ok(found) => {
                    let entry = found.as_ref().map(|found| found.entry);
                    return Ok((Answer::Found(entry), found));
                }
                Err(StoreError::Storage(error)) => Err(error),
                Err(error) => return Err(error),
            },
        };
        Ok((
            answer.unwrap_or_else(|error| {
                *failure = Some(error);
                Answer::Unclear
            }),
            None,
        ))
    }

    fn vanished(&self, number: u64) -> StoreError {
        StoreError::Corrupt {
            object: record::name(number),
            place: self.storage.place().to_owned(),
            what: "it was made just now, and a listing does not show it: somebody deletes objects, or listings are not up to date"
                .to_owned(),
        }
    }
}
