//! [`Directory`]: what a store in a directory needs beside `object_store`.
//!
//! `object_store` syncs the file, links it into place, and syncs the directory. When that last sync fails, or the process
//! dies before it, the object can be seen and may be gone after the loss of power. So directories in which that may have
//! happened are synced before anything is shown of them, and all of them when the store is opened.
//!
//! **Invariants.** Only the owner of the process may enter a directory made here. Temporary files of processes that have died
//! are removed by the next that has the lock.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ErrorKind, StorageError};

/// Where large objects are written until they are whole.
const UPLOADS: &str = "uploads";
/// The lock's file.
pub(crate) const LOCK: &str = "lock";
/// What has files of its own, which are not objects.
pub(crate) const INPUT: &str = "input";

const GONE: &str = "its directory has been deleted or replaced since it was opened; bring it back and start the application again, or start anew with an empty one";

/// A directory, and what in it may not be durable.
pub(crate) struct Directory {
    root: PathBuf,
    /// Which directory that was when it was opened; none where the system does not tell.
    identity: Option<(u64, u64)>,
    unsettled: Mutex<BTreeSet<PathBuf>>,
}

impl Directory {
    /// Makes the directory if it is not there, and makes everything durable that is in it.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        make(root)?;
        let directory = Directory::existing(root)?;
        sync_all_of(&directory.root)?;
        Ok(directory)
    }

    /// A directory that is there, to read from: nothing is made or synced.
    pub(crate) fn existing(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        Ok(Directory {
            identity: identity(&root)?,
            root,
            unsettled: Mutex::default(),
        })
    }

    /// Makes sure that it is still the directory that was opened. In another one in its place, made by a first write into it,
    /// a commit would name what is not there.
    pub(crate) fn check(&self) -> io::Result<()> {
        match identity(&self.root) {
            Ok(identity) if identity == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Err(io::Error::other(GONE)),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Notes that an entry of that name may be there and not be durable, or one of the directories above it.
    pub(crate) fn unsettle(&self, name: &str) {
        let path = self.root.join(name);
        let above = path.ancestors().skip(1);
        let within = above.take_while(|path| path.starts_with(&self.root));
        self.unsettled().extend(within.map(Path::to_path_buf));
    }

    /// Makes everything durable that was noted.
    pub(crate) fn settle(&self) -> io::Result<()> {
        let mut unsettled = self.unsettled();
        while let Some(path) = unsettled.last() {
            match sync(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => unsettled.pop_last(),
            };
        }
        Ok(())
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what processes that have died have left. Only for who has the lock.
    pub(crate) fn clean(&self) -> io::Result<()> {
        remove_staged(&self.root, true)
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|found| Some((found.dev(), found.ino())))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    fs::metadata(path).map(|_| None)
}

/// The name under which an object is written until it is whole.
pub(crate) fn upload_name(name: &str) -> String {
    format!("{UPLOADS}/{}", name.replace('/', "-"))
}

/// Whether a name in the directory is of something else than an object.
pub(crate) fn is_own(name: &str) -> bool {
    name == LOCK
        || name
            .strip_prefix(LOCK)
            .is_some_and(|rest| rest.starts_with('.'))
        || [UPLOADS, INPUT]
            .iter()
            .any(|own| name.starts_with(own) && name[own.len()..].starts_with('/'))
}

pub(crate) fn error(
    action: &'static str,
    name: &str,
    place: &str,
    error: &io::Error,
) -> StorageError {
    StorageError {
        action,
        name: name.to_owned(),
        place: place.to_owned(),
        cause: error.to_string(),
        kind: kind_of(error),
    }
}

pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::TimedOut
        | io::ErrorKind::Interrupted
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::StaleNetworkFileHandle => ErrorKind::Unavailable,
        _ => ErrorKind::Broken,
    }
}

/// Makes a directory for its owner only, with those above it, and makes their names durable. One that is there keeps its mode.
pub(crate) fn make(root: &Path) -> io::Result<()> {
    let first_existing = root
        .ancestors()
        .find(|path| !path.as_os_str().is_empty() && path.exists())
        .unwrap_or_else(|| Path::new("."))
        .to_path_buf();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(root)?;
    for path in root.canonicalize()?.ancestors() {
        sync(path)?;
        if path == first_existing.canonicalize()? {
            break;
        }
    }
    Ok(())
}

fn sync_all_of(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all_of(&entry.path())?;
        }
    }
    sync(path)
}

/// Makes the entries of a directory durable. There is no such thing on systems other than Unix.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Removes the temporary files of `object_store` (`NAME#1`) and whole uploads that were not linked into place.
fn remove_staged(path: &Path, is_root: bool) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_dir = entry.file_type()?.is_dir();
        let is_staged = name
            .to_str()
            .and_then(|name| name.split_once('#'))
            .is_some_and(|(_, number)| {
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            });
        if is_dir && is_root && name == UPLOADS {
            fs::remove_dir_all(entry.path())?;
        } else if is_dir && !(is_root && name == INPUT) {
            remove_staged(&entry.path(), false)?;
        } else if !is_dir && is_staged {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_durable_is_noted_up_to_the_root_and_synced_once() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(temporary.path()).expect("can be opened");
        let root = directory.root().to_path_buf();
        fs::create_dir(root.join("log")).expect("can be made");
        directory.unsettle("log/1");
        directory.unsettle("gone/1");
        let noted: Vec<PathBuf> = directory.unsettled().iter().cloned().collect();
        assert_eq!(noted, [root.clone(), root.join("gone"), root.join("log")]);
        directory
            .settle()
            .expect("a directory that is gone is no error");
        assert!(directory.unsettled().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn another_directory_in_its_place_is_noticed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = temporary.path().join("store");
        let directory = Directory::open(&root).expect("can be opened");
        directory.check().expect("it is there");
        let moved = temporary.path().join("moved");
        fs::rename(&root, &moved).expect("can be moved");
        let error = directory.check().expect_err("it is gone");
        assert!(error.to_string().contains("deleted or replaced"), "{error}");
        fs::create_dir(&root).expect("can be made");
        directory.check().expect_err("it is another one");
        fs::remove_dir(&root).expect("it is empty");
        fs::rename(&moved, &root).expect("can be moved");
        directory.check().expect("it is there again");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kinds_of_errors_say_what_can_be_done() {
        let cases = [
            (number::ENOSPC, ErrorKind::Full),
            (number::EDQUOT, ErrorKind::Full),
            (number::EACCES, ErrorKind::Denied),
            (number::EROFS, ErrorKind::Denied),
            (number::EIO, ErrorKind::Broken),
        ];
        for (number, expected) in cases {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(kind_of(&error), expected, "{error}");
        }
    }

    /// Numbers of Linux.
    #[cfg(target_os = "linux")]
    mod number {
        pub(super) const EIO: i32 = 5;
        pub(super) const EACCES: i32 = 13;
        pub(super) const ENOSPC: i32 = 28;
        pub(super) const EROFS: i32 = 30;
        pub(super) const EDQUOT: i32 = 122;
    }
}
