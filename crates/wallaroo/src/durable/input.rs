//! Input logs: what makes sources replay that cannot.
//!
//! A source that cannot replay is read through its log: what its reader takes is written there before it is handled, and after
//! a restart the log is read first, from the committed position on. In a directory each partition has its own files, and appends to
//! them ([`files`]); in S3, where nothing can be appended, what all partitions read within an interval becomes one object
//! ([`group`], [`grouped`]).
//!
//! **Invariants.** A message is handed to the engine only when its block is in the log. Record numbers are those of the log: the same
//! message has the same number after a restart. When the log cannot be written, what has been read waits, and nothing more is
//! read than a bound.

mod files;
mod group;
mod grouped;
mod records;
mod waits;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo_core::{ConnectorError, Position, Read, Reader, Waker};
use wallaroo_store::input_log::Disk;
use wallaroo_store::{Storage, StoreError};

use self::files::FileLogs;
use self::group::GroupLog;
use crate::message::Message;

/// Where the input logs of an application are.
#[derive(Clone, Debug)]
pub(crate) enum InputPlace {
    /// In the files below a directory of a disk.
    Files(PathBuf, Arc<dyn Disk>),
    /// In objects of the store, one at most in this time.
    Objects(Duration),
    /// Nowhere: what such sources had delivered since the last commit is lost with the process.
    Nowhere,
}

/// The input logs of an application.
#[derive(Debug)]
pub(crate) enum InputLogs {
    Files(FileLogs),
    Objects(GroupLog),
}

impl InputLogs {
    /// Opens the logs for a process of this generation.
    pub(crate) fn open(
        place: InputPlace,
        storage: &Arc<dyn Storage>,
        generation: u64,
    ) -> Result<Option<Self>, StoreError> {
        Ok(match place {
            InputPlace::Files(root, disk) => {
                Some(InputLogs::Files(FileLogs::new(root, disk, generation)))
            }
            InputPlace::Objects(every) => {
                let log = GroupLog::open(Arc::clone(storage), generation, every)?;
                Some(InputLogs::Objects(log))
            }
            InputPlace::Nowhere => None,
        })
    }

    /// Brings everything that has been handed to the engine to the disk. Objects are there before.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match self {
            InputLogs::Files(logs) => logs.sync(),
            InputLogs::Objects(_) => Ok(()),
        }
    }

    /// Deletes what lies before a committed record number.
    pub(crate) fn trim(
        &self,
        source: &str,
        partition: &str,
        number: u64,
    ) -> Result<(), StoreError> {
        match self {
            InputLogs::Files(logs) => logs.trim(source, partition, number),
            InputLogs::Objects(logs) => logs.trim(source, partition, number),
        }
    }

    /// What all logs occupy, as far as it can be told.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            InputLogs::Files(logs) => logs.bytes(),
            InputLogs::Objects(logs) => logs.bytes(),
        }
    }

    /// Why one of them cannot be written at present, if one cannot: what has been read waits then, and no more is read.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match self {
            InputLogs::Files(logs) => logs.waits().why(),
            InputLogs::Objects(logs) => logs.shared().waits.why(),
        }
    }

    /// Has a function called whenever messages that waited for the log are handed on.
    pub(crate) fn when_released(&self, call: Arc<dyn Fn() + Send + Sync>) {
        if let InputLogs::Objects(logs) = self {
            logs.when_released(call);
        }
    }
}

/// Told to a source when the application has a store.
pub(crate) type SourceDurability = Arc<OnceLock<SourceLog>>;

/// The input logs of one source.
#[derive(Clone, Debug)]
pub(crate) struct SourceLog {
    pub(crate) logs: Arc<InputLogs>,
    pub(crate) source: String,
}

impl SourceLog {
    /// The partitions that have a log.
    pub(crate) fn partitions(&self) -> Vec<String> {
        match &*self.logs {
            InputLogs::Files(logs) => logs.partitions(&self.source),
            InputLogs::Objects(logs) => logs.partitions(&self.source),
        }
    }

    /// A reader of a partition through its log; `reader` is absent when only the log is left.
    pub(crate) fn reader<T: Message>(
        &self,
        partition: &str,
        from: Option<&Position>,
        mut reader: Option<Box<dyn Reader<T>>>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        let place = from.map(Position::get::<Place>).transpose()?;
        if let Some(place) = &place
            && let Some(reader) = reader.as_mut().and_then(|reader| reader.acknowledging())
        {
            reader.recall_position(&place.within)?;
        }
        let next = place.map_or(1, |place| place.next);
        Ok(match &*self.logs {
            InputLogs::Files(_) => {
                Box::new(files::LoggedReader::open(self, partition, next, reader)?)
            }
            InputLogs::Objects(logs) => Box::new(grouped::GroupedReader::open(
                logs.shared(),
                (&self.source, partition),
                next,
                reader,
                waker,
            )),
        })
    }
}

/// The position of a logged partition.
#[derive(Serialize, Deserialize)]
struct Place {
    /// Number of the next record.
    next: u64,
    /// The position that the reader behind the log names; it counts from this start of the process.
    within: Position,
}

/// What the reader behind the log of a partition had reached at a committed position.
pub(super) fn within<V: serde::de::DeserializeOwned>(position: &Position) -> Option<V> {
    position.get::<Place>().ok()?.within.get().ok()
}

/// A failure of the log as the reader's, with its code.
fn failed(error: &StoreError) -> ConnectorError {
    ConnectorError::new(error.to_string()).with_code(super::code_of(error))
}

/// What a reader says of messages that have waited, given what it said when they were read. That they were all is old by now:
/// it may have woken in the meantime, and been heard, when there was nothing to be had but these. So it is asked again.
fn after_waiting(read: Read) -> Read {
    match read {
        Read::End => Read::End,
        Read::More | Read::Idle | Read::IdleFor(_) => Read::More,
    }
}
