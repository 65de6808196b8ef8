//! Reads a log back, and finds out where it was torn.
//!
//! **Invariants.** What is cut off was never synced. A file is held in memory while it is read: it has
//! [`FILE_BYTES`](super::FILE_BYTES) and one block at most.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::block::{self, Entry, HEADER_BYTES};
use super::{failed, files};
use crate::error::StoreError;

/// The records of a log from one number on.
#[derive(Debug)]
pub struct Replay {
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
    pub fn open(directory: &Path, from: u64) -> Result<Replay, StoreError> {
        let files = files(directory)?;
        // The last file that begins at or before the number, and those behind it.
        let first = files
            .partition_point(|(first, _)| *first <= from)
            .saturating_sub(1);
        Ok(Replay {
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
                let bytes =
                    fs::read(&path).map_err(|error| E::from(failed("read", &path, &error)))?;
                self.open = Some((path, bytes, 0));
                continue;
            };
            if *offset == bytes.len() {
                self.open = None;
                continue;
            }
            let Some(block) = block::read(&bytes[*offset..], *offset as u64) else {
                cut_if_torn(path, bytes, *offset)?;
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

/// Cuts the file at `offset`, where no valid block is, unless a later block says that it had been synced beyond.
fn cut_if_torn(path: &Path, bytes: &[u8], offset: usize) -> Result<(), StoreError> {
    let later = (offset + 1..bytes.len().saturating_sub(HEADER_BYTES))
        .filter(|at| bytes[*at] == b'W')
        .filter_map(|at| block::read(&bytes[at..], at as u64));
    let synced = later.map(|block| block.synced).max().unwrap_or(0);
    if synced > offset as u64 {
        return Err(StoreError::Corrupt {
            object: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            place: path.parent().unwrap_or(path).display().to_string(),
            what: format!(
                "the block at byte {offset} is not what was written, and {synced} bytes had been on the disk"
            ),
        });
    }
    let cut = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(offset as u64).and_then(|()| file.sync_all()));
    cut.map_err(|error| failed("cut", path, &error))
}
