//! [`Lock`]: one process at a time in a directory.
//!
//! A lock of the operating system on a file, so it is gone with its process, however that ends. It is a help for people who
//! start a program twice; what is safe in any case is decided by the log.
//!
//! Who takes a store over cannot have the lock of a process that hangs. It locks another file beside, and nobody starts without
//! insisting while any of them is locked: else the next start, when the first process is gone, would fence the one that works.
//!
//! **Invariants.** The file says who has the lock, for messages only, and is never removed: a lock on a removed file would be
//! none.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use wallaroo_core::{Clock, SystemClock};

use crate::error::StoreError;
use crate::storage::{ErrorKind, StorageError};

/// The right to write in a directory, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _files: Vec<File>,
}

/// How many processes may hang at a time of which each took the store from the one before, and one that works.
const MAX_OWNERS: u32 = 16;

/// More than an owner ever is.
const OWNER_BYTES: u64 = 200;

impl Lock {
    /// Takes the lock of which `path` is the first file, in the store at `place`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, with the number of the last that took it; or when the file cannot be made.
    pub fn acquire(path: &Path, place: &str) -> Result<Self, StoreError> {
        let mut files = vec![lock(path, place)];
        let others = (2..=MAX_OWNERS).map(|number| nth(path, number));
        files.extend(
            others
                .filter(|other| other.exists())
                .map(|other| lock(&other, place)),
        );
        // Of those that have one, the last has taken it from the others.
        if let Some(refused) = files.iter().rposition(Result::is_err) {
            return files
                .swap_remove(refused)
                .map(|file| Lock { _files: vec![file] });
        }
        let files: Result<Vec<File>, StoreError> = files.into_iter().collect();
        Ok(Lock { _files: files? })
    }

    /// Takes a lock that nobody else has, beside those of processes that cannot be stopped.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when there are too many of them; or when a file cannot be made.
    pub fn acquire_next(path: &Path, place: &str) -> Result<Self, StoreError> {
        let mut number = 2;
        loop {
            match lock(&nth(path, number), place) {
                Err(StoreError::Locked { .. }) if number < MAX_OWNERS => number += 1,
                locked => return locked.map(|file| Lock { _files: vec![file] }),
            }
        }
    }
}

/// The file of the process that took the store as the `number`th.
fn nth(path: &Path, number: u32) -> PathBuf {
    path.with_extension(number.to_string())
}

fn lock(path: &Path, place: &str) -> Result<File, StoreError> {
    let failed = |error: io::Error| {
        StoreError::Storage(StorageError {
            action: "open",
            name: "lock".to_owned(),
            place: place.to_owned(),
            cause: error.to_string(),
            kind: ErrorKind::Denied,
        })
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Locked {
                place: place.to_owned(),
                owner: owner(&mut file),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    note_owner(&mut file).map_err(failed)?;
    Ok(file)
}

fn note_owner(file: &mut File) -> io::Result<()> {
    let seconds = SystemClock::new().now().0 / 1_000_000_000;
    file.set_len(0)?;
    file.rewind()?;
    write!(
        file,
        "process {}, which opened it at {}",
        std::process::id(),
        utc(seconds)
    )
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    // without a reason to fail: the file may be empty for a moment, and is only for people
    let read = file.take(OWNER_BYTES).read_to_string(&mut text);
    match read {
        Ok(_) if text.starts_with("process ") => text,
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// Seconds since the Unix epoch as a date and time of day, for people: `2026-03-01 12:00:14 UTC`.
#[must_use]
pub fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // civil_from_days (Hinnant 2013, "chrono-compatible low-level date algorithms"), for days after 1970
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_379_696), "2026-11-22 20:34:56 UTC");
    }

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let lock = Lock::acquire(&path, "here").expect("nobody has it");
        let error = Lock::acquire(&path, "here").expect_err("is taken");
        let StoreError::Locked { owner, .. } = &error else {
            panic!("{error}");
        };
        let expected = format!("process {}, which opened it at 20", std::process::id());
        assert!(owner.starts_with(&expected), "{owner}");
        drop(lock);
        Lock::acquire(&path, "here").expect("is free again");
    }

    #[test]
    fn who_took_it_over_keeps_it_when_the_first_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let refused = || {
            let error = Lock::acquire(&path, "here").expect_err("is taken");
            assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        };
        let first = Lock::acquire(&path, "here").expect("nobody has it");
        let second = Lock::acquire_next(&path, "here").expect("it insists");
        let third = Lock::acquire_next(&path, "here").expect("it insists, too");
        refused();
        drop(first);
        refused();
        drop(second);
        refused();
        drop(third);
        let all = Lock::acquire(&path, "here").expect("is free again");
        refused();
        let next = Lock::acquire_next(&path, "here").expect("it insists");
        drop(all);
        refused();
        drop(next);
        Lock::acquire(&path, "here").expect("is free again");
    }
}
