//! Reads a file, on the worker's own thread.
//!
//! Reading from a file does not wait for others, so no thread stands between it and the worker: frames are
//! decoded where they were read.
//!
//! **Invariants.** The position is behind the last record given to the intake. A reader opened at a position
//! reads the header again and then goes there. One call reads a bounded number of bytes, whatever the decoder
//! filters out.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wallaroo_core::source::Lag;
use wallaroo_core::{Code, ConnectorError, Intake, PartitionId, Position, Read, Reader};

use super::window::Window;
use super::{Place, Records};
use crate::connectors::framing::{Cut, Cutter, Framing};
use crate::connectors::reason::reason;

/// How often a file that is followed is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
/// Bytes that one call looks at before it lets the worker do something else.
const BYTES_PER_CALL: u64 = 1024 * 1024;

/// Reads one file.
pub(super) struct FileReader<T> {
    path: PathBuf,
    file: File,
    follow: bool,
    framing: Framing,
    window: Window,
    cutter: Cutter,
    records: Records<T>,
    /// The place of the first byte in view.
    place: Place,
    /// Where to go once the header has been read.
    resume: Option<Place>,
    at_end: bool,
}

/// The name of the partition, when the file can be read.
pub(super) fn check(path: &Path) -> Result<String, ConnectorError> {
    open(path).map(|_| path.display().to_string())
}

fn open(path: &Path) -> Result<File, ConnectorError> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "it is a directory"
        } else {
            "it is no regular file"
        };
        return Err(
            ConnectorError::new(format!("cannot read the file {path:?}: {what}"))
                .with_help("give the path of a file; streams can be sent to a TCP source")
                .with_code(Code::SourceUnreadable),
        );
    }
    File::open(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> ConnectorError {
    let missing = error.kind() == ErrorKind::NotFound;
    let place = if path.is_relative() {
        "; a relative path starts at the working directory"
    } else {
        ""
    };
    let (help, code) = match error.kind() {
        ErrorKind::NotFound => (format!("check the path{place}"), Code::SourceMissing),
        ErrorKind::PermissionDenied => (
            "let the user that runs the program read the file and its directories".to_owned(),
            Code::SourceUnreadable,
        ),
        _ => (
            "check the file and the disk it is on".to_owned(),
            Code::SourceUnreadable,
        ),
    };
    let text = if missing {
        format!("the file {path:?} does not exist")
    } else {
        format!("cannot read the file {path:?}: {}", reason(&error))
    };
    ConnectorError::new(text).with_help(help).with_code(code)
}

impl<T: 'static> FileReader<T> {
    pub(super) fn open(
        path: &Path,
        follow: bool,
        framing: Framing,
        records: Records<T>,
        from: Option<Place>,
    ) -> Result<Self, ConnectorError> {
        let mut reader = FileReader {
            path: path.to_owned(),
            file: open(path)?,
            follow,
            framing,
            window: Window::new(),
            cutter: framing.cutter(false),
            records,
            place: Place::default(),
            resume: None,
            at_end: false,
        };
        let Some(place) = from else {
            reader.read_header()?;
            return Ok(reader);
        };
        let bytes = reader.size()?;
        if bytes < place.offset {
            return Err(ConnectorError::new(format!(
                "cannot continue the file {path:?} at byte {}: it has only {bytes} bytes",
                place.offset
            ))
            .with_help("bring back the file that was read before, or start from the beginning under another source name")
            .with_code(Code::SourceUnreadable));
        }
        if reader.records.awaits_header() {
            reader.resume = Some(place);
        } else {
            reader.go_to(place)?;
        }
        Ok(reader)
    }

    fn size(&self) -> Result<u64, ConnectorError> {
        self.file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(|error| unreadable(&self.path, error))
    }

    fn go_to(&mut self, place: Place) -> Result<(), ConnectorError> {
        self.file
            .seek(SeekFrom::Start(place.offset))
            .map_err(|error| unreadable(&self.path, error))?;
        self.window.clear();
        self.cutter = self.framing.cutter(place.skip);
        self.place = place;
        Ok(())
    }

    /// Reads the header, so that a column that is missing is found before anything runs. A file that is followed may
    /// get its header later.
    fn read_header(&mut self) -> Result<(), ConnectorError> {
        // Nothing in front of the header is a record.
        let mut none = Intake::new(PartitionId(0), 1, 0, 0);
        while self.records.awaits_header() && !self.follow {
            let bytes = self.window.bytes();
            let cut = if self.at_end {
                self.cutter.cut_last(bytes)
            } else {
                self.cutter.cut(bytes)
            };
            let need = if let Cut::Partial { need } = cut {
                need
            } else {
                0
            };
            if self.step(cut, &mut none)? {
                continue;
            }
            if self.at_end {
                return Ok(());
            }
            self.fill(need)?;
        }
        Ok(())
    }

    /// The header, which is no record.
    fn header(&mut self, start: usize, end: usize, next: usize) -> Result<(), ConnectorError> {
        self.records
            .header(&self.window.bytes()[start..end])
            .map_err(|error| in_file(&self.path, &error))?;
        self.window.consume(next);
        self.place.offset += next as u64;
        match self.resume.take() {
            Some(place) if place.offset > self.place.offset => self.go_to(place),
            Some(_) | None => Ok(()),
        }
    }

    /// Handles what stands at the start of the window; false when that needs more bytes.
    #[inline]
    fn step(&mut self, cut: Cut, intake: &mut Intake<T>) -> Result<bool, ConnectorError> {
        let next = match cut {
            Cut::Frame { start, end, next } => {
                if self.records.awaits_header() {
                    return self.header(start, end, next).map(|()| true);
                }
                let frame = &self.window.bytes()[start..end];
                self.records
                    .take(frame, intake)
                    .map_err(|error| in_file(&self.path, &error))?;
                self.place.record += 1;
                next
            }
            Cut::Reject { fault, .. } | Cut::Broken { fault, .. }
                if self.records.awaits_header() =>
            {
                return Err(in_file(&self.path, &fault.error()));
            }
            Cut::Reject { shown, next, fault } => {
                intake.reject(&self.window.bytes()[..shown], fault.error());
                self.place.record += 1;
                next
            }
            Cut::Skip { next } => next,
            Cut::Broken { fault, .. } => {
                return Err(at_byte(&self.path, self.place.offset, &fault.error()));
            }
            Cut::Partial { .. } => return Ok(false),
        };
        self.window.consume(next);
        self.place.offset += next as u64;
        Ok(true)
    }

    /// Reads on; what to tell the worker when nothing came.
    fn fill(&mut self, need: usize) -> Result<Option<Read>, ConnectorError> {
        let count = self
            .window
            .fill(&mut self.file, need)
            .map_err(|error| unreadable(&self.path, error))?;
        if count > 0 {
            return Ok(None);
        }
        if !self.follow {
            self.at_end = true;
            return Ok(None);
        }
        let (read, bytes) = (
            self.place.offset + self.window.bytes().len() as u64,
            self.size()?,
        );
        if bytes < read {
            return Err(ConnectorError::new(format!(
                "the file {:?} got shorter while it was read: {bytes} bytes, {read} had been read",
                self.path
            ))
            .with_help("only append to a file that is followed; to start anew, write a new file and restart")
            .with_code(Code::SourceUnreadable));
        }
        Ok(Some(Read::IdleFor(FOLLOW_EVERY)))
    }
}

impl<T: Send + 'static> Reader<T> for FileReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        let began = self.place.offset;
        // Behind the header the place may jump forward: then the call is over, which costs nothing.
        while intake.has_room() && self.place.offset - began < BYTES_PER_CALL {
            let bytes = self.window.bytes();
            let cut = if self.at_end {
                self.cutter.cut_last(bytes)
            } else {
                self.cutter.cut(bytes)
            };
            let need = if let Cut::Partial { need } = cut {
                need
            } else {
                0
            };
            if self.step(cut, intake)? {
                continue;
            }
            if self.at_end {
                return Ok(Read::End);
            }
            if let Some(read) = self.fill(need)? {
                return Ok(read);
            }
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        let place = self.resume.unwrap_or(self.place);
        Position::of(Place {
            skip: place.skip || (self.resume.is_none() && self.cutter.is_skipping()),
            ..place
        })
    }

    fn lag(&self) -> Lag {
        let size = self.file.metadata().ok().map(|metadata| metadata.len());
        Lag {
            messages: None,
            bytes: size.map(|size| size.saturating_sub(self.resume.unwrap_or(self.place).offset)),
        }
    }
}

/// The error of a decoder, with the file that it does not know.
fn in_file(path: &Path, error: &ConnectorError) -> ConnectorError {
    let code = error.code().unwrap_or(Code::SourceUnreadable);
    ConnectorError::new(format!("cannot read the file {path:?}: {error}")).with_code(code)
}

fn at_byte(path: &Path, offset: u64, error: &ConnectorError) -> ConnectorError {
    let code = error.code().unwrap_or(Code::SourceUnreadable);
    ConnectorError::new(format!(
        "cannot read the file {path:?} behind byte {offset}: {error}"
    ))
    .with_code(code)
}
