//! Writes a file, on the worker's own thread, through a buffer.
//!
//! Writing to a file of a disk waits for no one but the system, so no thread stands between. What is no regular
//! file (a pipe, a terminal) may wait for its reader and gets a thread.
//!
//! **Invariants.** After a failed write nothing more is written to the file, and every later call fails in the same
//! words. Flushed bytes are with the system; only a checkpoint brings them to the disk.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use wallaroo_core::{Code, ConnectorError, Messages, Position, Rows, Waker, Write, Writer};

use super::csv::Preamble;
use super::stream;
use crate::connectors::reason::reason;

/// What is collected before it is written.
// 64 KiB: one system call per several hundred rows; larger buffers gain nothing measurable.
const BUFFER_BYTES: usize = 64 * 1024;

/// Opens the file.
pub(super) fn open(
    path: &Path,
    append: bool,
    preamble: Preamble,
    waker: &Waker,
) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(append)
        .write(true)
        .truncate(!append);
    let file = options
        .open(path)
        .map_err(|error| cannot_open(path, error))?;
    let metadata = file.metadata().map_err(|error| cannot_open(path, error))?;
    let preamble = if metadata.len() > 0 {
        Preamble::default()
    } else {
        preamble
    };
    if !metadata.is_file() {
        return stream::through_thread(Box::new(file), format!("{path:?}"), preamble, waker);
    }
    Ok(Box::new(FileWriter {
        path: path.to_owned(),
        file,
        buffer: Vec::new(),
        preamble: Some(preamble),
        failed: None,
    }))
}

/// The length of the file; 0 if there is none.
pub(super) fn length(path: &Path) -> Result<u64, ConnectorError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(cannot_open(path, error)),
    }
}

/// Cuts the file to `length`, where a checkpoint ended. False for what is no regular file, and cannot be cut.
pub(super) fn cut(path: &Path, length: u64) -> Result<bool, ConnectorError> {
    let file = OpenOptions::new()
        .write(true)
        .create(length == 0)
        .truncate(false)
        .open(path)
        .map_err(|error| cannot_open(path, error))?;
    let metadata = file.metadata().map_err(|error| cannot_open(path, error))?;
    if !metadata.is_file() {
        return Ok(false);
    }
    if metadata.len() < length {
        return Err(ConnectorError::new(format!(
            "the file {path:?} has {} bytes, but {length} had been written: its end is lost",
            metadata.len()
        ))
        .with_help(
            "put the file back as it was, or begin it anew with --drop-sink and the name of the sink",
        )
        .with_code(Code::SinkOpen));
    }
    file.set_len(length)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_name(path))
        .map_err(|error| cannot_open(path, error))?;
    Ok(true)
}

/// Makes the name of a file durable: without it, what was synced of a new file is lost with the power.
pub(super) fn sync_name(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|above| !above.as_os_str().is_empty());
    match File::open(directory.unwrap_or_else(|| Path::new("."))) {
        Ok(directory) if cfg!(unix) => directory.sync_all(),
        // One may write in a directory and not read it; then its names cannot be synced.
        Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn cannot_open(path: &Path, error: std::io::Error) -> ConnectorError {
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let help = match (error.kind(), directory) {
        (ErrorKind::NotFound, Some(directory)) => {
            format!("the directory {directory:?} does not exist: create it, or correct the path")
        }
        (ErrorKind::PermissionDenied, Some(directory)) => {
            format!(
                "let the user that runs the program write in the directory {directory:?}, or to the file if it exists"
            )
        }
        (ErrorKind::IsADirectory, _) => "give the path of a file in it".to_owned(),
        (_, _) => "check the path and the disk".to_owned(),
    };
    ConnectorError::new(format!(
        "cannot write the file {path:?}: {}",
        reason(&error)
    ))
    .with_help(help)
    .with_code(Code::SinkOpen)
}

/// Writes one file.
struct FileWriter<F = File> {
    path: PathBuf,
    file: F,
    buffer: Vec<u8>,
    /// The header, until it has been written.
    preamble: Option<Preamble>,
    /// Why nothing more can be written.
    failed: Option<String>,
}

impl<F: std::io::Write> FileWriter<F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ConnectorError> {
        if self.failed.is_none()
            && let Err(error) = self.file.write_all(bytes)
        {
            self.failed = Some(reason(&error));
        }
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(ConnectorError::new(format!(
                "cannot write the file {:?}: {reason}",
                self.path
            ))
            .with_help("its last row may be cut; make room or correct the cause, and start again")
            .with_code(Code::SinkWrite)),
        }
    }

    fn put_buffer(&mut self) -> Result<(), ConnectorError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = if buffer.is_empty() {
            Ok(())
        } else {
            self.put(&buffer)
        };
        buffer.clear();
        self.buffer = buffer;
        result
    }
}

/// What a file on a disk can do and a stand-in of tests need not.
trait Durable {
    /// Brings everything written to the disk, and tells the length.
    fn sync(&self) -> std::io::Result<u64>;
}

impl Durable for File {
    fn sync(&self) -> std::io::Result<u64> {
        self.sync_data()?;
        Ok(self.metadata()?.len())
    }
}

impl<F: std::io::Write + Durable + Send> Writer<Rows> for FileWriter<F> {
    fn write(&mut self, rows: &mut Rows) -> Result<Write, ConnectorError> {
        // The header is known as soon as there is a row.
        if !Messages::is_empty(rows)
            && let Some(preamble) = self.preamble.take()
        {
            self.buffer
                .extend_from_slice(preamble.get().map_or(&[], Vec::as_slice));
        }
        if self.buffer.len() + rows.remaining().len() > BUFFER_BYTES {
            self.put_buffer()?;
        }
        if rows.remaining().len() > BUFFER_BYTES {
            self.put(rows.remaining())?;
        } else {
            self.buffer.extend_from_slice(rows.remaining());
        }
        rows.clear();
        Ok(Write::Done)
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        self.put_buffer()?;
        // A failure stays one, also when nothing is left to write.
        self.put(&[]).map(|()| Write::Done)
    }

    fn checkpoint(&mut self) -> Result<Option<Position>, ConnectorError> {
        self.put_buffer()?;
        match self.file.sync() {
            Ok(length) => Ok(Some(Position::of(length))),
            Err(error) => {
                self.failed = Some(reason(&error));
                self.put(&[]).map(|()| None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
