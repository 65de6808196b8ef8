//! The storage as a process sees it that can die with any call.
//!
//! **Invariants.** Nothing that a dead process calls has an effect.

use std::ops::Range;
use std::sync::Arc;

use wallaroo_store::Memory;
use wallaroo_store::Storage;
use wallaroo_store::inspect::Inspector;
use wallaroo_store::object_name::{ObjectKind, ObjectName};
use wallaroo_store::storage::{Created, ErrorKind, ObjectInfo, StorageError, Upload};
use wallaroo_store::testing::{Faults, Faulty};

use super::process::{Moment, Process};

/// Called when a commit is about to be appended.
pub type Appending = Box<dyn Fn() + Send + Sync>;

/// The storage of one process.
pub struct Mortal {
    /// With failures that pass.
    pub faulty: Arc<Faulty>,
    /// What is there.
    pub memory: Memory,
    /// Whose storage it is.
    pub process: Arc<Process>,
    /// What fails in passing.
    pub weather: Arc<std::sync::Mutex<Faults>>,
    /// Whether the store is being opened.
    pub opening: Arc<std::sync::atomic::AtomicBool>,
    /// Is told of appends.
    pub appending: Appending,
}

impl std::fmt::Debug for Mortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mortal")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl Mortal {
    fn dead(&self, action: &'static str, name: &str) -> StorageError {
        StorageError {
            action,
            name: name.to_owned(),
            place: self.faulty.place().to_owned(),
            cause: "the process is dead".to_owned(),
            kind: ErrorKind::Broken,
        }
    }

    fn is_opening(&self) -> bool {
        self.opening.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// The moment that writing an object is.
    fn moment_of(&self, name: &str) -> Moment {
        if self.is_opening() {
            return Moment::Recovering;
        }
        if name.starts_with("log/") {
            (self.appending)();
            return Moment::Committing;
        }
        match ObjectName::parse(name) {
            Some(object) if object.kind == ObjectKind::Segment => {
                let inspector = Inspector::open(Arc::new(self.memory.clone()));
                let newest = inspector.and_then(|inspector| inspector.commit(None));
                if newest.is_ok_and(|(_, newest)| newest.epoch >= object.epoch) {
                    Moment::Merging
                } else {
                    Moment::WritingSegment
                }
            }
            Some(_) => Moment::WritingOutbox,
            None => Moment::Deleting,
        }
    }

    /// Makes a call, unless the process is dead or dies with it.
    fn call<T>(
        &self,
        moment: Moment,
        action: &'static str,
        name: &str,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let dies = self.process.meets(moment);
        if self.process.is_dead() {
            return Err(self.dead(action, name));
        }
        if !dies {
            return call();
        }
        if self.process.one_in(2) {
            // Done, and nobody will ever know; the loss of power may undo it.
            self.faulty.set_faults(Faults {
                after_per_mille: 1000,
                ..Faults::default()
            });
            let _ = call();
            self.faulty.set_faults(self.weather());
        }
        self.process.die();
        Err(self.dead(action, name))
    }

    fn weather(&self) -> Faults {
        self.weather
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn look<T>(
        &self,
        action: &'static str,
        name: &str,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let dies = self.is_opening() && self.process.meets(Moment::Recovering);
        if dies {
            self.process.die();
        }
        if self.process.is_dead() {
            return Err(self.dead(action, name));
        }
        call()
    }
}

impl Storage for Mortal {
    fn place(&self) -> &str {
        self.faulty.place()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        let moment = self.moment_of(name);
        self.call(moment, "create", name, || self.faulty.create(name, bytes))
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        if self.process.is_dead() {
            return Err(self.dead("create", name));
        }
        let upload = self.faulty.upload(name)?;
        Ok(Box::new(MortalUpload {
            mortal: self,
            name: name.to_owned(),
            upload,
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.call(Moment::Deleting, "replace", name, || {
            self.faulty.replace(name, bytes)
        })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.look("read", name, || self.faulty.read(name))
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        self.look("read", name, || self.faulty.size(name))
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.look("read", name, || self.faulty.read_range(name, range))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.look("list", prefix, || self.faulty.list(prefix))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call(Moment::Deleting, "delete", name, || {
            self.faulty.delete(name)
        })
    }
}

struct MortalUpload<'m> {
    mortal: &'m Mortal,
    name: String,
    upload: Box<dyn Upload + 'm>,
}

impl Upload for MortalUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let MortalUpload {
            mortal,
            name,
            upload,
        } = self;
        let moment = mortal.moment_of(name);
        mortal.call(moment, "create", name, || upload.write(bytes))
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let MortalUpload {
            mortal,
            name,
            upload,
        } = *self;
        let moment = match mortal.moment_of(&name) {
            Moment::WritingSegment => Moment::WroteSegment,
            other => other,
        };
        mortal.call(moment, "create", &name, || upload.finish())
    }
}
