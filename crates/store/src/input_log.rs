//! [`InputLog`]: the messages of a source partition that cannot replay, kept so that it can. That is in a directory; in a storage of
//! write-once objects it is [`ObjectLog`].
//!
//! A partition has one directory of files, each named by the number of its first record. Messages are appended in blocks, one
//! per portion read; [`InputLog::append`] hands a block to the system, so that it survives the death of the process,
//! and [`Sync::sync`], on another thread, brings it to the disk. A commit waits for that.
//!
//! **Invariants**
//! - Record numbers ascend through all blocks of all files. A block is whole or not there.
//! - A damaged block behind everything that was ever synced is the torn end of an interrupted write: it and what follows is
//!   cut off. Before that it is damage, and an error. Each block says how far its file had been synced when it was written.
//! - A failed write or sync ends the file: nothing is appended to it any more, the log goes on in a new one.
//! - A file begins when the one before is on the disk: the loss of power leaves no hole, behind which a note would say that a record was
//!   taken which is in none of them. It says where that one ended, so that damage of its end is told from a torn write.
//! - What a process that has been fenced appends or begins does not count.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::header::{End, Header};
use crate::error::StoreError;
use crate::storage::{ErrorKind, StorageError};

mod block;
mod chain;
mod disk;
mod header;
mod objects;
mod reader;
mod verify;

pub use block::{BlockBuilder, Entry, Kind};
pub use disk::{Disk, DiskFile, SystemDisk};
pub use objects::{ObjectLog, ObjectReplay, Prepared, Section};
pub use reader::Replay;
pub use verify::{Found, verify_files, verify_objects};

/// Above this a file is closed and the next is begun, so that what is no longer needed can be deleted.
const FILE_BYTES: u64 = 32 << 20;

/// The input log of one source partition, open for appending.
#[derive(Debug)]
pub struct InputLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    generation: u64,
    file: Option<Arc<LogFile>>,
    /// The file before, which has to be on the disk when the next begins.
    ended: Option<Arc<LogFile>>,
    /// The same of the file that an earlier process has left.
    left: Option<PathBuf>,
    /// Where the log ends before the next file.
    after: Option<End>,
    /// Bytes of the open file.
    length: u64,
    block: BlockBuilder,
}

/// A file of a log, shared by the worker that appends and the thread that syncs.
#[derive(Debug)]
struct LogFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    first: u64,
    attempt: u32,
    written: AtomicU64,
    synced: AtomicU64,
}

/// Brings the end of a log to the disk, from another thread.
#[derive(Debug, Clone)]
pub struct Sync(Arc<LogFile>);

impl InputLog {
    /// Opens the log in `directory`, which is made if there is none, for a process of this generation of the store: what processes
    /// of earlier ones begin from now on does not count. What is in it is replayed before something is appended
    /// ([`InputLog::go_on_after`]), or is not wanted.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        generation: u64,
    ) -> Result<InputLog, StoreError> {
        disk.make_directory(directory)
            .map_err(|error| failed("create", directory, &error))?;
        Ok(InputLog {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            generation,
            file: None,
            ended: None,
            left: None,
            after: None,
            length: 0,
            block: BlockBuilder::default(),
        })
    }

    /// Says that everything has been replayed, before the first call of [`InputLog::append`].
    pub fn go_on_after(&mut self, replay: &Replay) {
        debug_assert!(self.file.is_none(), "nothing has been appended");
        (self.left, self.after) = replay.left().unzip();
    }

    /// The block that [`InputLog::append`] will write, to be added to.
    pub fn block(&mut self) -> &mut BlockBuilder {
        &mut self.block
    }

    /// Hands the pushed entries to the system. When that begins a file, what syncs it from now on comes back.
    ///
    /// # Errors
    /// When they cannot be written. They are kept; the next call tries again, in a new file.
    pub fn append(&mut self) -> Result<Option<Sync>, StoreError> {
        let Some(first) = self.block.first() else {
            return Ok(None);
        };
        if self.length >= FILE_BYTES {
            self.end_file();
        }
        let (file, is_new) = match &self.file {
            Some(file) => (Arc::clone(file), false),
            None => (self.create(first)?, true),
        };
        let written = if is_new {
            let header = Header {
                generation: self.generation,
                after: self.after,
            };
            let bytes = self.block.finish(header::BYTES as u64, 0);
            // Once for a file.
            let bytes = [&header.to_bytes()[..], bytes].concat();
            file.file.append(&bytes).map(|()| bytes.len())
        } else {
            let synced = file.synced.load(Ordering::Acquire);
            let bytes = self.block.finish(self.length, synced);
            file.file.append(bytes).map(|()| bytes.len())
        };
        match written {
            Ok(bytes) => self.length += bytes as u64,
            Err(error) => {
                self.end_file();
                return Err(failed("write", &file.path, &error));
            }
        }
        file.written.store(self.length, Ordering::Release);
        self.block.clear();
        Ok(is_new.then_some(Sync(file)))
    }

    /// Appends nothing more to the file.
    fn end_file(&mut self) {
        self.ended = self.file.take();
        if let Some(file) = self.ended.as_ref().filter(|_| self.length > 0) {
            self.after = Some(End {
                first: file.first,
                attempt: file.attempt,
                length: self.length,
            });
        }
    }

    fn create(&mut self, first: u64) -> Result<Arc<LogFile>, StoreError> {
        if let Some(path) = &self.left {
            // What an earlier process has written may be with the system only.
            let synced = reader::unless_trimmed(self.disk.sync(path));
            synced.map_err(|error| for_good(failed("sync", path, &error)))?;
            self.left = None;
        }
        if let Some(ended) = &self.ended {
            Sync(Arc::clone(ended)).sync().map_err(for_good)?;
            self.ended = None;
        }
        let mut attempt = 0;
        let (path, created) = loop {
            let path = self.directory.join(file_name(first, attempt));
            let created = self.disk.create(&path);
            let is_taken =
                |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
            if !created.as_ref().is_err_and(is_taken) {
                break (path, created);
            }
            attempt += 1;
        };
        let file = created.map_err(|error| failed("create", &path, &error))?;
        self.length = 0;
        let file = Arc::new(LogFile {
            file,
            path,
            first,
            attempt,
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        });
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

impl Sync {
    /// Whether everything appended so far is on the disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.0.synced.load(Ordering::Acquire) >= self.0.written.load(Ordering::Acquire)
    }

    /// Brings everything appended so far to the disk.
    ///
    /// # Errors
    /// When it may not be there. It must not be tried again: what was lost is not known.
    pub fn sync(&self) -> Result<(), StoreError> {
        let written = self.0.written.load(Ordering::Acquire);
        if self.0.synced.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        let synced = self.0.file.sync();
        synced.map_err(|error| failed("sync", &self.0.path, &error))?;
        self.0.synced.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

/// Brings everything in the log of a directory to the disk, that an earlier process may have left with the system.
///
/// # Errors
/// When it may not be there.
pub fn sync_files(disk: &dyn Disk, directory: &Path) -> Result<(), StoreError> {
    for chain::File { path, .. } in chain::files(disk, directory)?.chain {
        let synced = disk.sync(&path);
        synced.map_err(|error| failed("sync", &path, &error))?;
    }
    Ok(())
}

/// Deletes the files of a log that hold no record from `number` on.
///
/// # Errors
/// When the directory cannot be read or a file not deleted.
pub fn trim(disk: &dyn Disk, directory: &Path, number: u64) -> Result<(), StoreError> {
    let chain::Files { chain, fenced } = chain::files(disk, directory)?;
    let followed = chain.windows(2).filter(|pair| pair[1].first <= number);
    let followed = followed.map(|pair| &pair[0]);
    let fenced = fenced.iter().filter(|file| file.first <= number);
    for chain::File { path, .. } in followed.chain(fenced) {
        disk.delete(path)
            .map_err(|error| failed("delete", path, &error))?;
    }
    Ok(())
}

fn file_name(first: u64, attempt: u32) -> String {
    format!("{first:020}-{attempt:04}.log")
}

fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (first, attempt) = name.strip_suffix(".log")?.split_once('-')?;
    Some((first.parse().ok()?, attempt.parse().ok()?))
}

/// What a failed sync has lost is not known, also when it failed for want of space.
fn for_good(error: StoreError) -> StoreError {
    match error {
        StoreError::Storage(error) => StoreError::Storage(StorageError {
            kind: ErrorKind::Broken,
            ..error
        }),
        other => other,
    }
}

fn failed(action: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::Interrupted | Io::WouldBlock | Io::TimedOut => ErrorKind::Unavailable,
        _ => ErrorKind::Broken,
    };
    let name = path.file_name().unwrap_or(path.as_os_str());
    StoreError::Storage(StorageError {
        action,
        name: name.to_string_lossy().into_owned(),
        place: path.parent().unwrap_or(path).display().to_string(),
        cause: error.to_string(),
        kind,
    })
}

#[cfg(test)]
mod tests;
