//! [`Memory`]: objects in memory, for tests and simulations.
//!
//! **Invariants.** Behaves as a directory that never fails. Clones share the objects.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Created, ErrorKind, ObjectInfo, Storage, StorageError, Upload, name};

/// A place of objects in memory. Clones share the objects, as processes share a directory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

const PLACE: &str = "memory:";

impl Memory {
    /// An empty place.
    #[must_use]
    pub fn new() -> Self {
        Memory::default()
    }

    /// A copy of all objects as they are, by name.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().clone()
    }

    /// Puts an object where it is or is not, whatever is there: to damage one.
    pub fn put(&self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.lock().insert(name.into(), bytes.into());
    }

    /// Changes the bytes of an object behind everybody's back.
    ///
    /// # Panics
    /// When there is no object of that name.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(
            self.lock()
                .get_mut(name)
                .expect("only an object that is there can be damaged"),
        );
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(action: &'static str, name: &str, cause: &str) -> StorageError {
    StorageError {
        action,
        name: name.to_owned(),
        place: PLACE.to_owned(),
        cause: cause.to_owned(),
        kind: ErrorKind::Broken,
    }
}

impl Storage for Memory {
    fn place(&self) -> &str {
        PLACE
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        name::check("create", name, PLACE)?;
        let mut objects = self.lock();
        if objects.contains_key(name) {
            return Ok(Created::Existed);
        }
        objects.insert(name.to_owned(), bytes.to_vec());
        Ok(Created::New)
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        name::check("create", name, PLACE)?;
        Ok(Box::new(MemoryUpload {
            memory: self,
            name: name.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        name::check("replace", name, PLACE)?;
        self.put(name, bytes);
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        name::check("read", name, PLACE)?;
        Ok(self.lock().get(name).cloned())
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        name::check("read", name, PLACE)?;
        Ok(self.lock().get(name).map(|bytes| bytes.len() as u64))
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        name::check("read", name, PLACE)?;
        let objects = self.lock();
        let bytes = objects
            .get(name)
            .ok_or_else(|| error("read", name, "there is no such object"))?;
        bytes
            .get(range.start as usize..range.end as usize)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| error("read", name, "it ends before the bytes asked for"))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        Ok(self
            .lock()
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, bytes)| ObjectInfo {
                name: name.clone(),
                bytes: bytes.len() as u64,
            })
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        name::check("delete", name, PLACE)?;
        self.lock().remove(name);
        Ok(())
    }
}

struct MemoryUpload<'m> {
    memory: &'m Memory,
    name: String,
    bytes: Vec<u8>,
}

impl Upload for MemoryUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        match self.memory.create(&self.name, &self.bytes)? {
            Created::New => Ok(()),
            Created::Existed => Err(error(
                "create",
                &self.name,
                "there is an object of that name",
            )),
        }
    }
}
