//! Files that outlive a process: the destinations of its sinks.
//!
//! **Invariants.** A dead process changes nothing. Output is published only when a commit record names its epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo::{ConnectorError, Position, Rows};
use wallaroo_core::Publisher;
use wallaroo_engine::Random;
use wallaroo_store::Memory;
use wallaroo_store::inspect::Inspector;

use super::process::{Moment, Process};

/// The files, as one process sees them.
#[derive(Clone, Debug)]
pub struct Disk {
    files: Arc<Mutex<BTreeMap<String, Content>>>,
    /// The store beside them.
    store: Memory,
    process: Arc<Process>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many survive the loss of power.
    synced: usize,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct File {
    disk: Disk,
    name: String,
    /// Whether output that is visible at once can be taken back.
    has_positions: bool,
}

impl Disk {
    /// No files.
    #[must_use]
    pub fn new(store: Memory, process: Arc<Process>) -> Self {
        Disk {
            files: Arc::default(),
            store,
            process,
        }
    }

    /// The same files for another process.
    #[must_use]
    pub fn seen_by(&self, process: Arc<Process>) -> Self {
        Disk {
            process,
            ..self.clone()
        }
    }

    /// A file, which is empty if it is not there.
    #[must_use]
    pub fn file(&self, name: &str) -> File {
        File {
            disk: self.clone(),
            name: name.to_owned(),
            has_positions: has_positions(name),
        }
    }

    /// What is in a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let files = self.files();
        files
            .get(name)
            .map(|content| content.bytes.clone())
            .unwrap_or_default()
    }

    /// The power fails: of what was not synced some is gone.
    pub fn power_loss(&self, random: &mut Random) {
        for content in self.files().values_mut() {
            let unsynced = content.bytes.len() - content.synced;
            content
                .bytes
                .truncate(content.synced + random.below(unsynced + 1));
        }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Content>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dead(&self) -> Result<(), ConnectorError> {
        if self.process.is_dead() {
            return Err(ConnectorError::new("the process is dead"));
        }
        Ok(())
    }
}

/// Whether output to this file that is visible at once can be taken back; of half of them it can.
#[must_use]
pub fn has_positions(name: &str) -> bool {
    name.bytes()
        .map(usize::from)
        .sum::<usize>()
        .is_multiple_of(2)
}

impl File {
    /// As a sink that is visible at once: goes on behind a position.
    ///
    /// # Errors
    /// When the file is shorter.
    ///
    /// # Panics
    /// When what is there is not what was noted.
    pub fn resume_writing(
        &self,
        from: Option<&Position>,
    ) -> Result<Option<Position>, ConnectorError> {
        self.disk.dead()?;
        if !self.has_positions {
            return Ok(None);
        }
        let end: usize = from.map(Position::get).transpose()?.unwrap_or(0);
        if self.disk.process.has_slept() {
            // A file has no fence: see the limits in docs/reliability.md.
            return Ok(Some(Position::of(end)));
        }
        let mut files = self.disk.files();
        let content = files.entry(self.name.clone()).or_default();
        assert!(
            content.bytes.len() >= end,
            "the end of {} is lost",
            self.name
        );
        content.bytes.truncate(end);
        content.synced = end;
        Ok(Some(Position::of(end)))
    }

    /// Whether writing fails.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.disk.process.loses(Moment::SinkFails)
    }

    /// Writes at the end, unless the process is gone.
    pub fn write(&self, bytes: &[u8]) {
        if self.disk.process.is_dead() || self.disk.process.has_slept() {
            return;
        }
        let mut files = self.disk.files();
        let content = files.entry(self.name.clone()).or_default();
        content.bytes.extend_from_slice(bytes);
        if !self.has_positions {
            // As what has gone to somebody else.
            content.synced = content.bytes.len();
        }
    }

    /// Makes it durable, and tells where it ends.
    #[must_use]
    pub fn synced(&self) -> Option<Position> {
        if !self.has_positions {
            return None;
        }
        let mut files = self.disk.files();
        let content = files.entry(self.name.clone()).or_default();
        content.synced = content.bytes.len();
        Some(Position::of(content.synced))
    }

    /// Publishes to the file.
    #[must_use]
    pub fn publisher(&self) -> FilePublisher {
        FilePublisher {
            file: self.clone(),
            end: 0,
            is_open: false,
        }
    }
}

/// Publishes committed epochs to a file.
#[derive(Debug)]
pub struct FilePublisher {
    file: File,
    end: usize,
    /// Whether recovery is over.
    is_open: bool,
}

impl FilePublisher {
    /// Writes where the last epoch ended, as far as `count` bytes.
    fn write(&self, bytes: &[u8], count: usize, is_synced: bool) {
        let mut files = self.file.disk.files();
        let content = files.entry(self.file.name.clone()).or_default();
        let end = self.end + count;
        assert!(
            content.bytes.len() >= self.end,
            "{}: a hole",
            self.file.name
        );
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[self.end..end].copy_from_slice(&bytes[..count]);
        if is_synced {
            content.synced = content.synced.max(end);
        }
    }

    fn is_committed(&self, epoch: u64) -> bool {
        let inspector = Inspector::open(Arc::new(self.file.disk.store.clone()));
        let newest = inspector.and_then(|inspector| inspector.commit(None));
        newest.is_ok_and(|(_, commit)| commit.epoch >= epoch)
    }
}

impl Publisher for FilePublisher {
    fn resume(&mut self, from: Option<&Position>, _: bool) -> Result<Position, ConnectorError> {
        self.file.disk.dead()?;
        self.end = from.map(Position::get).transpose()?.unwrap_or(0);
        let length = self.file.disk.read(&self.file.name).len();
        if length < self.end {
            return Err(ConnectorError::new("the end of the file is lost"));
        }
        Ok(Position::of(self.end))
    }

    fn publish(&mut self, epoch: u64, rows: &Rows) -> Result<Position, ConnectorError> {
        let process = Arc::clone(&self.file.disk.process);
        let dies = |moment| {
            let dies = process.meets(moment);
            if dies {
                process.die();
            }
            dies
        };
        let recovers = !self.is_open && dies(Moment::Recovering);
        if recovers || dies(Moment::Publishing) {
            return Err(ConnectorError::new("the process dies"));
        }
        self.file.disk.dead()?;
        assert!(
            self.is_committed(epoch),
            "epoch {epoch} is published before its commit"
        );
        let bytes = rows.remaining();
        if dies(Moment::Published) {
            self.write(bytes, process.below(bytes.len() + 1), false);
            return Err(ConnectorError::new("the process dies"));
        }
        if process.one_in(20) {
            self.write(bytes, process.below(bytes.len() + 1), false);
            return Err(ConnectorError::new("it fails in passing"));
        }
        self.write(bytes, bytes.len(), true);
        if dies(Moment::Recording) {
            return Err(ConnectorError::new("the process dies"));
        }
        self.end += bytes.len();
        Ok(Position::of(self.end))
    }

    fn resumed(&mut self) -> Result<(), ConnectorError> {
        self.is_open = true;
        let length = self.file.disk.read(&self.file.name).len();
        if length > self.end {
            return Err(ConnectorError::new(format!(
                "the file {} has {} bytes more than were ever committed",
                self.file.name,
                length - self.end
            )));
        }
        Ok(())
    }
}
