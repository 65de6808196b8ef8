//! [`Claim`]: one process at a time writes a file of which rows are taken back.
//!
//! The log of a store fences a process that was taken over, but no file does: what such a process writes or cuts would be there.
//! So the file is locked, as the directory of a store is: by a lock of the operating system, which ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use wallaroo_core::{Code, ConnectorError};

use super::file::cannot_open;
use crate::connectors::reason::reason;

/// The right to write a file, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _file: File,
}

impl Claim {
    /// Claims the file at `path`, which is made if there is none; absent for what is no regular file, and is not taken back.
    ///
    /// # Errors
    /// When another process has it, or its file system has no locks.
    pub(super) fn on(path: &Path) -> Result<Option<Claim>, ConnectorError> {
        // Opening a pipe would wait for its reader.
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(None);
        }
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = opened.map_err(|error| cannot_open(path, error))?;
        let refused = |text: String, help: &str| {
            Err(ConnectorError::new(text)
                .with_help(help)
                .with_code(Code::SinkOpen))
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim { _file: file })),
            Err(TryLockError::WouldBlock) => refused(
                format!("another process writes the file {path:?}, whose rows are visible at once"),
                "end that process, also if its store has been taken over; or let rows be visible when they are committed",
            ),
            Err(TryLockError::Error(error)) => refused(
                format!(
                    "cannot lock the file {path:?}, whose rows are visible at once: {}",
                    reason(&error)
                ),
                "put it on a file system with locks, or let rows be visible when they are committed",
            ),
        }
    }
}
