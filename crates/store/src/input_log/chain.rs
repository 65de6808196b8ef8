//! Which files of a directory are the log, and whether each goes on where the one before ends.
//!
//! **Invariants.** A file of a process that had been fenced when it began it is none of the log. A file says after which it goes on:
//! that one is there, with all that it had then, or it has been trimmed.

use std::path::{Path, PathBuf};

use super::header::{self, End, Header};
use super::reader::unless_trimmed;
use super::{Disk, failed, file_name, parse_name};
use crate::error::StoreError;

/// One file of a log.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) attempt: u32,
    /// None if its beginning is torn or damaged, or it is of a version without.
    pub(super) header: Option<Header>,
}

/// All files of a directory, by their first record.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that are the log.
    pub(super) chain: Vec<File>,
    /// Those of processes that had been fenced.
    pub(super) fenced: Vec<File>,
}

/// The files of the log in `directory`; none if there is no such directory.
pub(super) fn files(disk: &dyn Disk, directory: &Path) -> Result<Files, StoreError> {
    let names = unless_trimmed(disk.names(directory));
    let names = names.map_err(|error| failed("list", directory, &error))?;
    let mut numbered: Vec<_> = names
        .iter()
        .flatten()
        .filter_map(|name| parse_name(name))
        .collect();
    numbered.sort_unstable();
    let mut files = Files::default();
    let mut newest = 0;
    for (first, attempt) in numbered {
        let path = directory.join(file_name(first, attempt));
        let start = unless_trimmed(disk.read_start(&path, header::BYTES));
        let Some(start) = start.map_err(|error| failed("read", &path, &error))? else {
            continue;
        };
        let file = File {
            path,
            first,
            attempt,
            header: Header::read(&start),
        };
        // Its process had begun it when another of a later generation had gone on with the log.
        if file.header.is_some_and(|header| header.generation < newest) {
            files.fenced.push(file);
            continue;
        }
        newest = file.header.map_or(newest, |header| header.generation);
        files.chain.push(file);
    }
    Ok(files)
}

impl File {
    /// The end of this file when it has `length` valid bytes; none if there is nothing in it.
    pub(super) fn end(&self, length: usize) -> Option<End> {
        (length > self.begin()).then_some(End {
            first: self.first,
            attempt: self.attempt,
            length: length as u64,
        })
    }

    /// Where its first block is.
    pub(super) fn begin(&self) -> usize {
        self.header.map_or(0, |_| header::BYTES)
    }

    /// An error unless this file goes on after `end`, the end of the file that is before it.
    pub(super) fn goes_on_after(&self, end: End) -> Result<(), StoreError> {
        let Some(after) = self.header.and_then(|header| header.after) else {
            return Ok(());
        };
        let before = file_name(after.first, after.attempt);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let what = if (after.first, after.attempt) != (end.first, end.attempt) {
            format!("it is not there, and {name} goes on after it")
        } else if end.length < after.length {
            format!(
                "the block at byte {} is not what was written, and {} bytes had been on the disk when {name} was begun",
                end.length, after.length
            )
        } else {
            return Ok(());
        };
        Err(StoreError::DamagedInput {
            object: before,
            place: self
                .path
                .parent()
                .unwrap_or(&self.path)
                .display()
                .to_string(),
            what,
        })
    }
}
