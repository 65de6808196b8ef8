//! A storage in which a test decides when writes happen.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};

use wallaroo_store::Storage;
use wallaroo_store::storage::{Created, ObjectInfo, StorageError, Upload};

/// A storage that lets writes wait at a gate.
#[derive(Clone)]
pub(crate) struct Gated {
    within: Arc<dyn Storage>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
    /// What happens before a segment is opened.
    before_segments: Arc<Mutex<Option<Then>>>,
}

type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Gate {
    is_closed: bool,
    /// Writes that wait at the gate.
    waiting: usize,
}

impl Gated {
    pub(crate) fn new(within: Arc<dyn Storage>) -> Self {
        Gated {
            within,
            gate: Arc::default(),
            before_segments: Arc::default(),
        }
    }

    /// Lets something happen before the next segment is opened: at a start, behind the fence.
    pub(crate) fn before_segments(&self, then: impl FnOnce() + Send + 'static) {
        *self.before_segments.lock().expect("nobody panics with it") = Some(Box::new(then));
    }

    pub(crate) fn set_closed(&self, is_closed: bool) {
        self.gate.0.lock().expect("nobody panics with it").is_closed = is_closed;
        self.gate.1.notify_all();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.gate.0.lock().expect("nobody panics with it").waiting
    }

    fn pass(&self) {
        let mut gate = self.gate.0.lock().expect("nobody panics with it");
        gate.waiting += 1;
        while gate.is_closed {
            gate = self.gate.1.wait(gate).expect("nobody panics with it");
        }
        gate.waiting -= 1;
    }
}

/// Opens the gate, so that a test that fails ends.
pub(crate) struct Open(pub(crate) Gated);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set_closed(false);
    }
}

impl Storage for Gated {
    fn place(&self) -> &str {
        self.within.place()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        self.pass();
        self.within.create(name, bytes)
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        self.pass();
        self.within.upload(name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.within.replace(name, bytes)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.within.read(name)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        let then = self.before_segments.lock();
        let then = then.expect("nobody panics with it").take();
        then.into_iter().for_each(|then| then());
        self.within.size(name)
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.within.read_range(name, range)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.within.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.within.delete(name)
    }
}
