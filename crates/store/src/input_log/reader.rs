//! Reads a log back, and finds out where it was torn.
//!
//! **Invariants.** What is cut off was never synced, and a file of which nothing is left is deleted. A file is held in memory while it is read: it has
//! [`FILE_BYTES`](super::FILE_BYTES) and one block at most.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{self, Entry, HEADER_BYTES};
use super::chain::{self, File};
use super::header::End;
use super::{Disk, failed};
use crate::error::StoreError;

/// The records of a log from one number on.
#[derive(Debug)]
pub struct Replay {
    disk: Arc<dyn Disk>,
    /// Each with the number at which the next one goes on: what is behind that in this one was appended by a process that had been
    /// fenced, or is the rest of a write that failed.
    files: VecDeque<(File, u64)>,
    from: u64,
    /// Where the file being read ends for the reader.
    end: u64,
    /// The file being read.
    open: Option<Open>,
    /// The last one that had been read, and was not empty.
    before: Option<Before>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: Vec<u8>,
    /// How far it has been read.
    offset: usize,
}

#[derive(Debug)]
struct Before {
    path: PathBuf,
    end: End,
    /// Whether bytes behind its end are to be cut off, which the next file may say are damage.
    is_torn: bool,
}

impl Replay {
    /// The records from number `from` on of the log in `directory`; none if there is no such directory.
    ///
    /// # Errors
    /// When the directory or the beginning of a file cannot be read.
    pub fn open(disk: &Arc<dyn Disk>, directory: &Path, from: u64) -> Result<Replay, StoreError> {
        let mut files = chain::files(&**disk, directory)?.chain;
        // The last file that begins at or before the number, and those behind it.
        let first = files
            .partition_point(|file| file.first <= from)
            .saturating_sub(1);
        files.drain(..first);
        let ends: Vec<u64> = files[1.min(files.len())..]
            .iter()
            .map(|file| file.first)
            .chain([u64::MAX])
            .collect();
        Ok(Replay {
            disk: Arc::clone(disk),
            files: files.into_iter().zip(ends).collect(),
            from,
            end: u64::MAX,
            open: None,
            before: None,
        })
    }

    /// Hands the records of the next block to `each`; false when there is none.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or is not there; those of `each`.
    pub fn next<E: From<StoreError>>(
        &mut self,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        loop {
            let Some(Open {
                file,
                bytes,
                offset,
            }) = &mut self.open
            else {
                if !self.open_next()? {
                    self.cut_before()?;
                    return Ok(false);
                }
                continue;
            };
            let Some(block) = block::read(&bytes[*offset..], *offset as u64) else {
                not_torn(&file.path, bytes, *offset)?;
                self.close()?;
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

    /// Reads the next file that is there; false if there is none.
    fn open_next(&mut self) -> Result<bool, StoreError> {
        while let Some((file, end)) = self.files.pop_front() {
            self.end = end;
            let read = match self.disk.read(&file.path) {
                // Nothing of it is wanted: it may be the rest of a write that failed, or have been trimmed.
                read if self.from >= end => unless_trimmed(read),
                read => read.map(Some),
            };
            let Some(bytes) = read.map_err(|error| failed("read", &file.path, &error))? else {
                // Those before it have been trimmed as well.
                self.before = None;
                continue;
            };
            if let Some(before) = &self.before {
                file.goes_on_after(before.end)?;
            }
            self.cut_before()?;
            let offset = file.begin();
            self.open = Some(Open {
                file,
                bytes,
                offset,
            });
            return Ok(true);
        }
        Ok(false)
    }

    /// Ends the file being read, behind its last valid block.
    fn close(&mut self) -> Result<(), StoreError> {
        let Some(Open {
            file,
            bytes,
            offset,
        }) = self.open.take()
        else {
            return Ok(());
        };
        let Some(end) = file.end(offset) else {
            // Its name says that the log goes on with it, which would hide what comes to have that number.
            let deleted = unless_trimmed(self.disk.delete(&file.path));
            deleted.map_err(|error| failed("delete", &file.path, &error))?;
            return Ok(());
        };
        self.before = Some(Before {
            path: file.path,
            end,
            is_torn: offset < bytes.len(),
        });
        Ok(())
    }

    /// Cuts off what is torn of the file before.
    fn cut_before(&mut self) -> Result<(), StoreError> {
        let torn = self.before.as_mut().filter(|before| before.is_torn);
        if let Some(before) = torn {
            let cut = unless_trimmed(self.disk.cut(&before.path, before.end.length));
            cut.map_err(|error| failed("cut", &before.path, &error))?;
            before.is_torn = false;
        }
        Ok(())
    }

    /// The file at which the log ends that has been read, and its end.
    pub(super) fn left(&self) -> Option<(PathBuf, End)> {
        let before = self.before.as_ref()?;
        Some((before.path.clone(), before.end))
    }

    /// The number behind the last record returned so far.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.from
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
    Err(StoreError::DamagedInput {
        object: name.to_string_lossy().into_owned(),
        place: path.parent().unwrap_or(path).display().to_string(),
        what: format!(
            "the block at byte {offset} is not what was written, and {synced} bytes had been on the disk"
        ),
    })
}
