//! The disk with the input logs: it loses what was not synced.
//!
//! **Invariants.** A dead process changes nothing, nor does one that was taken over: what it holds open has no lock any more, see the
//! limits in docs/reliability.md. Deleted files are kept for the judge.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo::testing::durable::INPUT;
use wallaroo_engine::Random;
use wallaroo_store::StoreError;
use wallaroo_store::input_log::{self, Kind, Replay};

use super::process::{Moment, Process};
use crate::input::Item;

/// The disk, as one process sees it.
#[derive(Clone, Debug)]
pub struct LogDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
    process: Arc<Process>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many survive the loss of power.
    synced: usize,
    is_deleted: bool,
}

/// A file that is written.
#[derive(Debug)]
struct LogFile {
    disk: LogDisk,
    path: PathBuf,
}

impl LogDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(process: Arc<Process>) -> Self {
        LogDisk {
            files: Arc::default(),
            process,
        }
    }

    /// The same disk for another process.
    #[must_use]
    pub fn seen_by(&self, process: Arc<Process>) -> Self {
        LogDisk {
            process,
            ..self.clone()
        }
    }

    /// The power fails: of what was not synced some is gone. True when a file is torn.
    pub fn power_loss(&self, random: &mut Random) -> bool {
        let mut is_torn = false;
        for content in self.files().values_mut() {
            let unsynced = content.bytes.len() - content.synced;
            let left = match random.below(3) {
                0 => 0,
                1 => unsynced,
                _ => random.below(unsynced + 1),
            };
            is_torn |= left < unsynced;
            content.bytes.truncate(content.synced + left);
            // What is there after the power has come back is on the disk.
            content.synced = content.bytes.len();
        }
        is_torn
    }

    /// All records that were ever in the log of a partition, deleted ones too: the number of each, and the number of its item.
    ///
    /// # Errors
    /// When the log is damaged.
    ///
    /// # Panics
    /// When something else than items is in it.
    pub fn logged(&self, source: &str, partition: &str) -> Result<BTreeMap<u64, u64>, String> {
        let copy: BTreeMap<PathBuf, Content> = self
            .files()
            .iter()
            .map(|(path, content)| {
                let is_deleted = false;
                let content = content.clone();
                (
                    path.clone(),
                    Content {
                        is_deleted,
                        ..content
                    },
                )
            })
            .collect();
        let nobody = Process::nobody();
        let disk: Arc<dyn input_log::Disk> = Arc::new(LogDisk {
            files: Arc::new(Mutex::new(copy)),
            process: Arc::new(nobody),
        });
        let directory = Path::new(INPUT).join(source).join(partition);
        let mut items = BTreeMap::new();
        let mut replay = Replay::open(&disk, &directory, 1).map_err(|error| error.to_string())?;
        let mut each = |entry: input_log::Entry<'_>| -> Result<(), StoreError> {
            let item: Option<Item> = match entry.kind {
                Kind::Message => rmp_serde::from_slice(entry.bytes).ok(),
                Kind::Rejected => {
                    let rejected: Option<(Vec<u8>, String)> =
                        rmp_serde::from_slice(entry.bytes).ok();
                    rejected.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok())
                }
                Kind::Note => return Ok(()),
            };
            items.insert(
                entry.number,
                item.expect("what is logged is an item").number,
            );
            Ok(())
        };
        while replay.next(&mut each).map_err(|error| error.to_string())? {}
        Ok(items)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Content>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what this process does has an effect.
    fn has_effect(&self) -> io::Result<bool> {
        if self.process.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        Ok(!self.process.has_slept())
    }

    /// Changes a file, which is there.
    fn change(&self, path: &Path, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        if self.has_effect()? {
            let mut files = self.files();
            let content = files.get_mut(path).filter(|content| !content.is_deleted);
            change(content.ok_or(io::ErrorKind::NotFound)?);
        }
        Ok(())
    }

    fn see<T>(&self, path: &Path, see: impl FnOnce(&Content) -> T) -> io::Result<T> {
        self.has_effect()?;
        let files = self.files();
        let content = files.get(path).filter(|content| !content.is_deleted);
        Ok(see(content.ok_or(io::ErrorKind::NotFound)?))
    }
}

impl input_log::Disk for LogDisk {
    fn make_directory(&self, _: &Path) -> io::Result<()> {
        self.has_effect().map(|_| ())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.has_effect()?;
        let files = self.files();
        let there = files.iter().filter(|(_, content)| !content.is_deleted);
        let below = there.filter_map(|(path, _)| path.strip_prefix(directory).ok());
        let mut names: Vec<String> = below
            .filter_map(|path| Some(path.iter().next()?.to_str()?.to_owned()))
            .collect();
        names.dedup();
        if names.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn input_log::DiskFile>> {
        if self.has_effect()? {
            let mut files = self.files();
            if files.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.insert(path.to_owned(), Content::default());
        }
        Ok(Box::new(LogFile {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.see(path, |content| content.bytes.clone())
    }

    fn read_start(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
        self.see(path, |content| {
            let length = content.bytes.len().min(bytes);
            content.bytes[..length].to_vec()
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.see(path, |content| content.bytes.len() as u64)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        self.change(path, |content| {
            content.bytes.truncate(length as usize);
            content.synced = content.bytes.len();
        })
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.change(path, |content| content.synced = content.bytes.len())
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        self.change(path, |content| content.is_deleted = true)?;
        // Of an empty one nothing is to be remembered, and its name is free.
        let mut files = self.files();
        files.retain(|_, content| !content.is_deleted || !content.bytes.is_empty());
        Ok(())
    }
}

impl input_log::DiskFile for LogFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let process = &self.disk.process;
        let write = |count: usize| {
            let extend = |content: &mut Content| content.bytes.extend_from_slice(&bytes[..count]);
            self.disk.change(&self.path, extend)
        };
        if process.meets(Moment::Taken) {
            process.die();
        }
        if process.meets(Moment::Logging) {
            // At least one byte is missing: the whole would be what is met next.
            write(process.below(bytes.len()))?;
            process.die();
        }
        if !process.is_dead() && process.one_in(15) {
            write(process.below(bytes.len()))?;
            process.note(Moment::Full);
            return Err(io::ErrorKind::StorageFull.into());
        }
        write(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        input_log::Disk::sync(&self.disk, &self.path)
    }
}
