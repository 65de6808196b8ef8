//! Publishes committed epochs to a file.
//!
//! **Invariants.** The rows of an epoch are written where the epoch before ended, so that writing them again changes
//! nothing. They and the file's name are on the disk before their end is told. The file never holds rows that were not committed.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use wallaroo_core::{Code, ConnectorError, Messages, Position, Publisher, Rows};

use super::csv::Preamble;
use super::file::{cannot_open, sync_name};
use crate::connectors::reason::reason;

/// Publishes to one regular file.
pub(super) struct FilePublisher {
    path: PathBuf,
    file: File,
    append: bool,
    /// What comes before the first row of an empty file.
    preamble: Preamble,
    /// Where the last published epoch ends.
    end: u64,
    /// Whether the file has rows, or rows have been prepared for it.
    has_rows: bool,
}

impl FilePublisher {
    /// For the file at `path`, which is made if there is none; absent for what is no regular file.
    pub(super) fn open(
        path: &Path,
        append: bool,
        preamble: Preamble,
    ) -> Result<Option<FilePublisher>, ConnectorError> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| cannot_open(path, error))?;
        let metadata = file.metadata().map_err(|error| cannot_open(path, error))?;
        if !metadata.is_file() {
            return Ok(None);
        }
        sync_name(path).map_err(|error| cannot_open(path, error))?;
        Ok(Some(FilePublisher {
            path: path.to_owned(),
            file,
            append,
            preamble,
            end: 0,
            has_rows: false,
        }))
    }

    fn length(&self) -> Result<u64, ConnectorError> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| self.failed(&error))
    }

    fn cut(&self, length: u64) -> Result<(), ConnectorError> {
        self.file
            .set_len(length)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> ConnectorError {
        ConnectorError::new(format!(
            "cannot write the file {:?}: {}",
            self.path,
            reason(error)
        ))
        .with_help("make room or correct the cause; the output is kept in the store until then")
        .with_code(Code::SinkWrite)
    }
}

impl Publisher for FilePublisher {
    fn resume(&mut self, from: Option<&Position>, reset: bool) -> Result<Position, ConnectorError> {
        let length = self.length()?;
        self.end = match from {
            None if self.append => length,
            None => {
                self.cut(0)?;
                0
            }
            Some(from) => from.get()?,
        };
        if reset && length != self.end {
            self.end = self.end.min(length);
            self.cut(self.end)?;
        } else if from.is_some() && length < self.end {
            return Err(ConnectorError::new(format!(
                "the file {:?} has {length} bytes, but {} had been written: its end is lost",
                self.path, self.end
            ))
            .with_help("put the file back as it was, or go on behind its present end with --reset-sink and the name of the sink")
            .with_code(Code::SinkOpen));
        }
        self.has_rows = self.end > 0;
        Ok(Position::of(self.end))
    }

    fn prepare(&mut self, rows: &mut Rows) {
        if Messages::is_empty(rows) || std::mem::replace(&mut self.has_rows, true) {
            return;
        }
        if let Some(preamble) = self.preamble.get().filter(|preamble| !preamble.is_empty()) {
            let mut complete = Rows::default();
            complete.push(preamble);
            complete.append(rows);
            *rows = complete;
        }
    }

    fn publish(&mut self, _epoch: u64, rows: &Rows) -> Result<Position, ConnectorError> {
        let bytes = rows.remaining();
        self.file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(bytes))
            .and_then(|()| self.file.sync_data())
            .map_err(|error| self.failed(&error))?;
        self.end += bytes.len() as u64;
        self.has_rows = true;
        Ok(Position::of(self.end))
    }

    fn resumed(&mut self) -> Result<(), ConnectorError> {
        let length = self.length()?;
        if length <= self.end {
            return Ok(());
        }
        Err(ConnectorError::new(format!(
            "the file {:?} has {} bytes more than this store ever committed",
            self.path,
            length - self.end
        ))
        .with_help("another program wrote to it, or the application went back to an older checkpoint; cut it with --reset-sink and the name of the sink, or use another file")
        .with_code(Code::SinkOpen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Rows {
        let mut rows = Rows::default();
        texts.iter().for_each(|text| rows.push(text.as_bytes()));
        rows
    }

    fn publisher(path: &Path, append: bool) -> FilePublisher {
        let preamble = Preamble::default();
        preamble.set(b"head\n".to_vec()).expect("it is not yet set");
        FilePublisher::open(path, append, preamble)
            .expect("the directory is there")
            .expect("it is a regular file")
    }

    #[test]
    fn an_epoch_published_again_is_there_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        let mut first = publisher(&path, false);
        let start = first.resume(None, false).expect("a fresh file");
        let mut epoch = rows(&["a\n", "b\n"]);
        first.prepare(&mut epoch);
        let end = first.publish(1, &epoch).expect("there is room");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"head\na\nb\n");

        let mut again = publisher(&path, false);
        again
            .resume(Some(&start), false)
            .expect("nothing is missing");
        assert_eq!(again.publish(1, &epoch).expect("there is room"), end);
        again.resumed().expect("nothing is left over");
        let mut second = rows(&["c\n"]);
        again.prepare(&mut second);
        again.publish(2, &second).expect("there is room");
        assert_eq!(
            std::fs::read(&path).expect("it is there"),
            b"head\na\nb\nc\n"
        );
    }

    #[test]
    fn a_torn_publication_is_completed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        std::fs::write(&path, b"before\n").expect("it can be written");
        let mut first = publisher(&path, true);
        let start = first.resume(None, false).expect("it may be appended to");
        std::fs::write(&path, b"before\nro").expect("it can be written");
        let mut second = publisher(&path, true);
        second
            .resume(Some(&start), false)
            .expect("nothing is missing");
        second.publish(1, &rows(&["row\n"])).expect("there is room");
        second.resumed().expect("nothing is left over");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"before\nrow\n");
    }

    #[test]
    fn what_was_lost_or_added_is_told_and_can_be_reset() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        std::fs::write(&path, b"12345678").expect("it can be written");
        let five = Position::of(5);
        let error = publisher(&path, false)
            .resume(Some(&Position::of(9)), false)
            .expect_err("a byte is missing");
        assert!(error.to_string().contains("has 8 bytes, but 9"), "{error}");
        let mut longer = publisher(&path, false);
        longer
            .resume(Some(&five), false)
            .expect("nothing is missing");
        let error = longer.resumed().expect_err("there are three bytes more");
        assert!(error.to_string().contains("3 bytes more"), "{error}");
        let mut reset = publisher(&path, false);
        assert_eq!(reset.resume(Some(&five), true).expect("it is cut"), five);
        reset.resumed().expect("nothing is left over");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"12345");
    }
}
