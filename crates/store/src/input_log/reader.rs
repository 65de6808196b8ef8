//! Reads a log back, and finds out where it was torn.
//!
//! **Invariants.** What is cut off was never synced, and a file of which nothing is left is deleted. A file is held in memory while it is read: it has
//! [`FILE_BYTES`](super::FILE_BYTES) and one block at most.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{self, Entry, HEADER_BYTES};
use super::{Disk, failed, files};
use crate::error::StoreError;

/// The records of a log from one number on.
#[derive(Debug)]
pub struct Replay {
    disk: Arc<dyn Disk>,
    /// Each with the number at which the next one goes on: what is behind that in this one was appended by a process that had been
    /// fenced, or is the rest of a write that failed.
    files: VecDeque<(PathBuf, u64)>,
    from: u64,
    /// Where the file being read ends for the reader.
    end: u64,
    /// The file being read, and how far it has been.
    open: Option<(PathBuf, Vec<u8>, usize)>,
}

impl Replay {
    /// The records from number `from` on of the log in `directory`; none if there is no such directory.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(disk: &Arc<dyn Disk>, directory: &Path, from: u64) -> Result<Replay, StoreError> {
        let files = files(&**disk, directory)?;
        // The last file that begins at or before the number, and those behind it.
        let first = files
            .partition_point(|(first, _)| *first <= from)
            .saturating_sub(1);
        Ok(Replay {
            disk: Arc::clone(disk),
            files: files[first..]
                .iter()
                .enumerate()
                .map(|(index, (_, path))| {
                    let next = files.get(first + index + 1);
                    (path.clone(), next.map_or(u64::MAX, |(number, _)| *number))
                })
                .collect(),
            from,
            end: u64::MAX,
            open: None,
        })
    }

    /// Hands the records of the next block to `each`; false when there is none.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged; those of `each`.
    pub fn next<E: From<StoreError>>(
        &mut self,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        loop {
            let Some((path, bytes, offset)) = &mut self.open else {
                let Some((path, end)) = self.files.pop_front() else {
                    return Ok(false);
                };
                self.end = end;
                let read = match self.disk.read(&path) {
                    // Nothing of it is wanted: it is the rest of a write that failed.
                    read if self.from >= end => unless_trimmed(read),
                    read => read.map(Some),
                };
                let read = read.map_err(|error| E::from(failed("read", &path, &error)))?;
                self.open = read.map(|bytes| (path, bytes, 0));
                continue;
            };
            if *offset == bytes.len() {
                delete_if_empty(&*self.disk, path, *offset)?;
                self.open = None;
                continue;
            }
            let Some(block) = block::read(&bytes[*offset..], *offset as u64) else {
                cut_if_torn(&*self.disk, path, bytes, *offset)?;
                delete_if_empty(&*self.disk, path, *offset)?;
                self.open = None;
                continue;
            };
            *offset += block.length;
            for entry in block.entries {
                if (self.from..self.end).contains(&entry.number) {
                    self.from = entry.number + 1;
                    each(entry)?;
                }
            }
            return Ok(true);
        }
    }

    /// The number behind the last record returned so far.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.from
    }
}

/// Deletes a file of which nothing is left: its name says that the log goes on with it, which would hide what comes to have that
/// number.
fn delete_if_empty(disk: &dyn Disk, path: &Path, length: usize) -> Result<(), StoreError> {
    if length > 0 {
        return Ok(());
    }
    match unless_trimmed(disk.delete(path)) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed("delete", path, &error)),
    }
}

/// Commits go on while a log is read, and delete files whose records have been; then what is left of such a file is of no interest.
pub(super) fn unless_trimmed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An error if a block behind `offset`, where no valid block is, says that the file had been synced beyond: then it is no torn end.
pub(super) fn not_torn(path: &Path, bytes: &[u8], offset: usize) -> Result<(), StoreError> {
    let later = (offset + 1..bytes.len().saturating_sub(HEADER_BYTES))
        .filter(|at| bytes[*at] == b'W')
        .filter_map(|at| block::read(&bytes[at..], at as u64));
    let synced = later.map(|block| block.synced).max().unwrap_or(0);
    if synced <= offset as u64 {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default();
    Err(StoreError::Corrupt {
        object: name.to_string_lossy().into_owned(),
        place: path.parent().unwrap_or(path).display().to_string(),
        what: format!(
            "the block at byte {offset} is not what was written, and {synced} bytes had been on the disk"
        ),
    })
}

/// Cuts the file at `offset`, where no valid block is, unless a later block says that it had been synced beyond.
fn cut_if_torn(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    offset: usize,
) -> Result<(), StoreError> {
    not_torn(path, bytes, offset)?;
    match unless_trimmed(disk.cut(path, offset as u64)) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed("cut", path, &error)),
    }
}
