//! Names of files, and readers that go back in their log.
//!
//! **Invariants.** Each test has a directory of its own.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use wallaroo_core::PartitionId;
use wallaroo_store::input_log::{DiskFile, SystemDisk};

use super::*;

#[test]
fn names_survive_as_file_names() {
    for name in ["ticks", "tcp://127.0.0.1:7010 (worker 0)", "ä/..", "%41"] {
        assert_eq!(from_file_name(&to_file_name(name)).as_deref(), Some(name));
    }
    assert_eq!(to_file_name("../a"), "%2e%2e%2fa");
}

/// Gives the numbers from 1 on, one with each call; its position is the last one, as that of a channel. At 4 it fails, once,
/// with a number taken.
#[derive(Default)]
struct Numbers {
    last: u64,
    has_failed: bool,
}

impl Reader<u64> for Numbers {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        self.last += 1;
        intake.push(self.last);
        if self.last == 4 && !std::mem::replace(&mut self.has_failed, true) {
            return Err(ConnectorError::new("it fails in passing"));
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.last)
    }
}

/// What the next call of a reader gives that gives anything, and the position behind it: the next number of the log, and what the reader within names.
fn read(reader: &mut LoggedReader<u64>, next: &mut u64) -> Result<(Vec<u64>, u64, u64), String> {
    let mut intake = Intake::new(PartitionId(0), *next, 100, 10_000);
    while intake.messages().is_empty() {
        let result = reader.read(&mut intake);
        result.map_err(|error| error.to_string())?;
    }
    *next = intake.next_number();
    let Place { next, within } = reader.position().get().expect("it is a place");
    let within = within.get().expect("it is a number");
    Ok((intake.messages().to_vec(), next, within))
}

fn opened(directory: &Path, from: Option<&Position>) -> LoggedReader<u64> {
    let log = SourceLog {
        logs: Arc::new(InputLogs::Files(FileLogs::new(
            directory.to_owned(),
            Arc::new(SystemDisk),
            1,
        ))),
        source: "numbers".to_owned(),
    };
    let numbers = Box::new(Numbers::default());
    let place = from.map(|from| from.get::<Place>().expect("it is a place"));
    let next = place.map_or(1, |place| place.next);
    LoggedReader::open(&log, "channel", next, Some(numbers)).expect("it opens")
}

/// Who waits for a message of a channel looks at the position within. While the log is read again that must not be where the
/// channel is, but where it was.
#[test]
fn a_log_that_is_read_again_names_what_the_reader_had_reached_there() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (mut reader, mut next) = (opened(directory.path(), None), 1);
    assert_eq!(read(&mut reader, &mut next), Ok((vec![1], 2, 1)));
    let early = reader.position();
    assert_eq!(read(&mut reader, &mut next), Ok((vec![2], 3, 2)));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![3], 4, 3)));
    assert!(reader.rewind(Some(&early)).expect("it can"));
    next = 2;
    assert_eq!(read(&mut reader, &mut next), Ok((vec![2], 3, 1)));
    // Again, before the end.
    assert!(reader.rewind(None).expect("it can"));
    next = 1;
    assert_eq!(read(&mut reader, &mut next), Ok((vec![1], 2, 0)));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![2], 3, 0)));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![3], 4, 3)));
    // What came before the error is in the log, and the error comes behind it.
    assert_eq!(read(&mut reader, &mut next), Ok((vec![4], 5, 4)));
    let error = read(&mut reader, &mut next);
    assert_eq!(error, Err("it fails in passing".to_owned()));
    assert!(reader.rewind(Some(&early)).expect("it can"));
    next = 2;
    // Also the last record of the log is all that somebody may wait for; nothing may come behind it.
    for (number, within) in [(2, 1), (3, 1), (4, 4)] {
        let expected = Ok((vec![number], number + 1, within));
        assert_eq!(read(&mut reader, &mut next), expected);
    }
    assert_eq!(read(&mut reader, &mut next), Ok((vec![5], 6, 5)));
    // A position of an earlier process says nothing of the channel of this one.
    let late = reader.position();
    drop(reader);
    let (mut reader, mut next) = (opened(directory.path(), Some(&late)), 6);
    assert!(reader.rewind(Some(&late)).expect("it can"));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![1], 7, 1)));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![2], 8, 2)));
    assert!(reader.rewind(Some(&late)).expect("it can"));
    next = 6;
    assert_eq!(read(&mut reader, &mut next), Ok((vec![1], 7, 0)));
    assert_eq!(read(&mut reader, &mut next), Ok((vec![2], 8, 2)));
}

/// What a reader gave and the log did not take is lost with it: such a reader cannot go back.
#[test]
fn a_log_that_cannot_be_written_for_good_cannot_be_read_again() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (mut reader, mut next) = (opened(directory.path(), None), 1);
    std::fs::remove_dir_all(directory.path()).expect("it is there");
    let error = read(&mut reader, &mut next).expect_err("there is no directory");
    assert!(error.contains("cannot create"), "{error}");
    assert!(!reader.rewind(None).expect("it says so"));
}

/// A disk that is full until it is not.
#[derive(Debug, Default)]
struct Filling {
    is_full: AtomicBool,
}

impl Disk for Filling {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.create(path)
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.make_directory(directory)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        SystemDisk.names(directory)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemDisk.read(path)
    }

    fn read_start(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
        SystemDisk.read_start(path, bytes)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.size(path)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        SystemDisk.cut(path, length)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync(path)
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        SystemDisk.delete(path)
    }
}

/// Gives one number, and says that there is nothing more until it wakes.
#[derive(Default)]
struct Once(u64);

impl Reader<u64> for Once {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        self.0 += 1;
        if self.0 == 1 {
            intake.push(1);
        }
        Ok(Read::Idle)
    }

    fn position(&self) -> Position {
        Position::of(self.0)
    }
}

/// The reader woke while its message waited for room, and nobody had anything to read; then it was left to sleep on.
#[test]
fn a_reader_that_woke_while_the_disk_was_full_is_asked_again() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let disk = Arc::new(Filling::default());
    disk.is_full.store(true, Ordering::Relaxed);
    let log = SourceLog {
        logs: Arc::new(InputLogs::Files(FileLogs::new(
            directory.path().to_owned(),
            Arc::clone(&disk) as Arc<dyn Disk>,
            1,
        ))),
        source: "numbers".to_owned(),
    };
    let opened = LoggedReader::open(&log, "channel", 1, Some(Box::new(Once::default())));
    let mut reader: LoggedReader<u64> = opened.expect("it opens");
    let mut read = || {
        let mut intake = Intake::new(PartitionId(0), 1, 100, 10_000);
        let read = reader.read(&mut intake).expect("it is no failure");
        (read, intake.messages().to_vec())
    };
    for _ in 0..2 {
        let (read, messages) = read();
        assert!(matches!(read, Read::IdleFor(_)), "{read:?}");
        assert!(messages.is_empty(), "{messages:?} are not in the log");
        let why = log.logs.waits_for().expect("it waits");
        assert!(
            why.starts_with("the input log cannot be written: cannot create"),
            "{why}"
        );
    }
    disk.is_full.store(false, Ordering::Relaxed);
    let (read, messages) = read();
    assert_eq!(messages, [1]);
    assert!(matches!(read, Read::More), "{read:?}: it has woken");
    assert_eq!(log.logs.waits_for(), None);
}
