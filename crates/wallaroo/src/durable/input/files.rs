//! Input logs in a directory: each partition appends to files of its own.
//!
//! **Invariants.** A message is handed to the engine only when its block is with the system; a commit waits until it is on the
//! disk ([`FileLogs::sync`]). When a log cannot be written, what has been read waits and nothing more is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wallaroo_core::source::{Lag, Read, Stop, Taken};
use wallaroo_core::{ConnectorError, Intake, Position, Reader};
use wallaroo_store::StoreError;
use wallaroo_store::input_log::{self, Disk, InputLog, Replay, Sync};

use super::waits::Waits;
use super::{InputLogs, Place, SourceLog, failed, records};
use crate::message::Message;

/// How long a reader waits before it tries again to write its log.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The input logs below a directory.
#[derive(Debug)]
pub(crate) struct FileLogs {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    generation: u64,
    /// The files that have to be synced before a commit, by source and partition; the last one is still written.
    open: Mutex<BTreeMap<(String, String), Vec<Sync>>>,
    waits: Waits,
}

impl FileLogs {
    /// The logs below `root`, for a process of this generation.
    pub(crate) fn new(root: PathBuf, disk: Arc<dyn Disk>, generation: u64) -> Self {
        FileLogs {
            root,
            disk,
            generation,
            open: Mutex::default(),
            waits: Waits::default(),
        }
    }

    /// Brings everything that has been handed to the engine to the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let open: Vec<Sync> = self.lock().values().flatten().cloned().collect();
        open.iter().try_for_each(Sync::sync)?;
        for files in self.lock().values_mut() {
            // A file that another has followed is not written any more.
            let mut followed = files.len();
            files.retain(|file| {
                followed -= 1;
                followed == 0 || !file.is_synced()
            });
        }
        Ok(())
    }

    /// Deletes what lies before a committed record number.
    pub(crate) fn trim(
        &self,
        source: &str,
        partition: &str,
        number: u64,
    ) -> Result<(), StoreError> {
        input_log::trim(&*self.disk, &self.directory(source, partition), number)
    }

    /// What all logs occupy, as far as it can be told.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = |path: &Path| {
            let names = self.disk.names(path).unwrap_or_default();
            names
                .into_iter()
                .map(|name| path.join(name))
                .collect::<Vec<_>>()
        };
        let sources = entries(&self.root).into_iter();
        let partitions = sources.flat_map(|source| entries(&source));
        let files = partitions.flat_map(|partition| entries(&partition));
        files.filter_map(|file| self.disk.size(&file).ok()).sum()
    }

    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// The partitions of a source that have a log.
    pub(crate) fn partitions(&self, source: &str) -> Vec<String> {
        let Ok(entries) = self.disk.names(&self.root.join(to_file_name(source))) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .iter()
            .filter_map(|name| from_file_name(name))
            .collect();
        names.sort();
        names
    }

    fn directory(&self, source: &str, partition: &str) -> PathBuf {
        self.root
            .join(to_file_name(source))
            .join(to_file_name(partition))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Vec<Sync>>> {
        // Nothing that holds the lock can panic half way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a partition through its log.
pub(super) struct LoggedReader<T> {
    logs: Arc<InputLogs>,
    source: String,
    partition: String,
    /// What is read first.
    replay: Option<Replay>,
    log: InputLog,
    /// Absent for a partition of which only the log is left.
    reader: Option<Box<dyn Reader<T>>>,
    next: u64,
    /// The number behind the last record that is in the log.
    logged: u64,
    /// The number at which this process began to write, once the log had been read; and what the reader named then.
    began: Option<(u64, Position)>,
    /// While the log is read again in the same process: what the reader had reached where that began.
    rewound: Option<Position>,
    /// Why the reader cannot be read any further, when what it had taken before is in the log.
    ended: Option<ConnectorError>,
    /// Something that was taken may not be in the log: it cannot be read again.
    is_broken: bool,
    /// What has been read while the log could not be written, with what the reader said.
    held: Option<(Taken<T>, Read)>,
    /// What the reader had reached at the end of what is in the log; one that acknowledges says so itself.
    within: Position,
    acknowledges: bool,
    /// Syncs the file that is written.
    sync: Option<Sync>,
}

impl<T: Message> LoggedReader<T> {
    pub(super) fn open(
        SourceLog { logs, source }: &SourceLog,
        partition: &str,
        next: u64,
        mut reader: Option<Box<dyn Reader<T>>>,
    ) -> Result<Self, ConnectorError> {
        let acknowledges = reader
            .as_mut()
            .is_some_and(|reader| reader.acknowledging().is_some());
        let directory = files(logs).directory(source, partition);
        let disk = &files(logs).disk;
        let replay = Replay::open(disk, &directory, next).map_err(|error| failed(&error))?;
        let generation = files(logs).generation;
        let log = InputLog::open(disk, &directory, generation).map_err(|error| failed(&error))?;
        let within = reader
            .as_ref()
            .map_or_else(|| Position::of(0), |reader| reader.position());
        Ok(LoggedReader {
            within,
            acknowledges,
            sync: None,
            logs: Arc::clone(logs),
            source: source.clone(),
            partition: partition.to_owned(),
            replay: Some(replay),
            log,
            reader,
            next,
            logged: next,
            began: None,
            rewound: None,
            ended: None,
            is_broken: false,
            held: None,
        })
    }

    /// Gives one block of the log; false when it has been read to its end.
    fn replay(&mut self, intake: &mut Intake<T>) -> Result<bool, ConnectorError> {
        let Some(replay) = &mut self.replay else {
            return Ok(false);
        };
        let path = files(&self.logs).directory(&self.source, &self.partition);
        let log = path.display().to_string();
        let mut reader = self
            .reader
            .as_mut()
            .filter(|_| self.began.is_none())
            .and_then(|reader| reader.acknowledging());
        let found = replay
            .next(|entry| records::give(entry, &log, intake, &mut reader))
            .map_err(records::Replaying::into_error)?;
        if !found {
            if let Some(reader) = reader {
                let disk = &*files(&self.logs).disk;
                input_log::sync_files(disk, &path).map_err(|error| failed(&error))?;
                reader.begin();
            }
            if self.began.is_none() {
                self.log.go_on_after(replay);
            }
            (self.replay, self.rewound) = (None, None);
            let began = || (intake.next_number(), self.within.clone());
            self.began.get_or_insert_with(began);
        }
        self.next = intake.next_number();
        self.logged = self.logged.max(self.next);
        Ok(found)
    }

    /// Writes what the reader gave to the log.
    fn write(&mut self, intake: &mut Intake<T>, read: Read) -> Result<Read, ConnectorError> {
        if let Some(last) = intake.records().last() {
            self.logged = last.number + 1;
        }
        records::write(self.log.block(), &self.source, intake, self.reader.as_mut())?;
        self.append(intake, read)
    }

    fn append(&mut self, intake: &mut Intake<T>, read: Read) -> Result<Read, ConnectorError> {
        match self.log.append() {
            Ok(sync) => {
                if let Some(sync) = sync {
                    let name = (self.source.clone(), self.partition.clone());
                    self.sync = Some(sync.clone());
                    files(&self.logs).lock().entry(name).or_default().push(sync);
                }
                let has_news = self.next < intake.next_number();
                self.next = intake.next_number();
                if let Some(reader) = &mut self.reader {
                    if has_news
                        && let Some(sync) = self.sync.clone()
                        && let Some(reader) = reader.acknowledging()
                    {
                        reader.logged(Arc::new(move || {
                            sync.sync().map_err(|error| failed(&error))
                        }));
                    }
                    if !self.acknowledges {
                        self.within = reader.position();
                    }
                }
                Ok(read)
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(source = self.source, "{error}; trying again");
                files(&self.logs).waits.begin(&self.place(), &error);
                self.held = Some((intake.put_aside(self.next), read));
                Ok(Read::IdleFor(TRY_AGAIN))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

/// The logs of which this is one.
fn files(logs: &InputLogs) -> &FileLogs {
    match logs {
        InputLogs::Files(files) => files,
        InputLogs::Objects(_) => unreachable!("its reader is another"),
    }
}

impl<T: Message> LoggedReader<T> {
    /// Where its log is, among others.
    fn place(&self) -> String {
        format!("{}/{}", self.source, self.partition)
    }

    /// Reads behind what is in the log, and writes it there.
    fn take(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        if let Some((taken, read)) = self.held.take() {
            intake.give_again(taken);
            let read = self.append(intake, super::after_waiting(read))?;
            if self.held.is_none() {
                files(&self.logs).waits.end(&self.place());
            }
            return Ok(read);
        }
        let Some(reader) = &mut self.reader else {
            return Ok(Read::End);
        };
        let read = match reader.read(intake) {
            Ok(read) => read,
            Err(error) => {
                // What came before the error is kept first; it is gone from where it was.
                self.ended = Some(error);
                Read::More
            }
        };
        self.write(intake, read)
    }
}

impl<T: Message> Reader<T> for LoggedReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        if self.replay(intake)? {
            return Ok(Read::More);
        }
        if self.held.is_none()
            && let Some(error) = self.ended.take()
        {
            return Err(error);
        }
        let read = self.take(intake);
        // Messages that have neither been written nor put aside are lost with this reader.
        self.is_broken |= read.is_err();
        read
    }

    fn position(&self) -> Position {
        Position::of(Place {
            next: self.next,
            within: match (&self.reader, &self.rewound) {
                (Some(reader), _) if self.acknowledges => reader.position(),
                (_, Some(rewound)) if self.next < self.logged => rewound.clone(),
                (_, _) => self.within.clone(),
            },
        })
    }

    /// The log is read again from there; then what the reader gives is, which keeps its connections and what waits in it.
    fn rewind(&mut self, from: Option<&Position>) -> Result<bool, ConnectorError> {
        if self.is_broken {
            return Ok(false);
        }
        let place = from.map(Position::get::<Place>).transpose()?;
        let next = place.as_ref().map_or(1, |place| place.next);
        let directory = files(&self.logs).directory(&self.source, &self.partition);
        let disk = &files(&self.logs).disk;
        let replay = Replay::open(disk, &directory, next).map_err(|error| failed(&error))?;
        self.replay = Some(replay);
        self.next = next;
        // What an earlier process has named says nothing of this one.
        self.rewound = self.began.as_ref().map(|(began, start)| match place {
            Some(place) if place.next > *began => place.within,
            _ => start.clone(),
        });
        Ok(true)
    }

    fn lag(&self) -> Lag {
        let reader = self.reader.as_ref();
        reader.map_or_else(Lag::default, |reader| reader.lag())
    }

    fn stop(&mut self) -> Stop {
        let stop = self
            .reader
            .as_mut()
            .map_or(Stop::Now, |reader| reader.stop());
        if self.held.is_some() || self.replay.is_some() {
            return Stop::AfterEnd;
        }
        stop
    }
}

/// A name as one part of a path: what is not a letter, digit, `-` or `_` becomes `%` and two hexadecimal digits.
fn to_file_name(name: &str) -> String {
    let mut file_name = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            file_name.push(char::from(byte));
        } else {
            file_name.push_str(&format!("%{byte:02x}"));
        }
    }
    file_name
}

fn from_file_name(file_name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file_name.len());
    let mut rest = file_name;
    while let Some(byte) = rest.bytes().next() {
        let length = if byte == b'%' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            3
        } else {
            bytes.push(byte);
            1
        };
        rest = rest.get(length..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
