//! A storage in which a test decides when writes and reads happen.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use wallaroo_store::Storage;
use wallaroo_store::storage::{Created, ObjectInfo, StorageError, Upload};

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A storage that lets writes wait at a gate, and reads of parts of objects at another.
#[derive(Clone)]
pub(crate) struct Gated {
    within: Arc<dyn Storage>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
    reads: Arc<(Mutex<Reads>, Condvar)>,
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

#[derive(Default)]
struct Reads {
    /// Whose reads do not wait; reads wait if there is such a thread.
    free: Option<ThreadId>,
    /// So many may pass.
    permits: u64,
    passed: u64,
    waiting: usize,
}

impl Gated {
    pub(crate) fn new(within: Arc<dyn Storage>) -> Self {
        Gated {
            within,
            gate: Arc::default(),
            reads: Arc::default(),
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

    /// Reads of other threads wait from here on.
    pub(crate) fn hold_reads(&self) {
        self.reads.0.lock().expect("nobody panics with it").free = Some(thread::current().id());
    }

    /// Reads wait no longer.
    fn free_reads(&self) {
        self.reads.0.lock().expect("nobody panics with it").free = None;
        self.reads.1.notify_all();
    }

    /// Lets so many reads pass, and waits until another one waits; returns how many have passed.
    pub(crate) fn let_read(&self, count: u64) -> u64 {
        let mut reads = self.reads.0.lock().expect("nobody panics with it");
        reads.permits += count;
        self.reads.1.notify_all();
        let goes_on = |reads: &mut Reads| reads.waiting == 0 || reads.permits > 0;
        let waited = self.reads.1.wait_timeout_while(reads, PATIENCE, goes_on);
        let (reads, timeout) = waited.expect("nobody panics with it");
        let passed = reads.passed;
        drop(reads);
        assert!(!timeout.timed_out(), "nothing more is read behind {passed}");
        passed
    }

    fn pass_read(&self) {
        let mut reads = self.reads.0.lock().expect("nobody panics with it");
        let is_held = |reads: &Reads| {
            reads
                .free
                .is_some_and(|free| free != thread::current().id())
        };
        if !is_held(&reads) {
            return;
        }
        reads.waiting += 1;
        self.reads.1.notify_all();
        while is_held(&reads) && reads.permits == 0 {
            reads = self.reads.1.wait(reads).expect("nobody panics with it");
        }
        reads.waiting -= 1;
        reads.permits = reads.permits.saturating_sub(1);
        reads.passed += 1;
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

/// Opens the gates, so that a test that fails ends.
pub(crate) struct Open(pub(crate) Gated);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set_closed(false);
        self.0.free_reads();
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
        self.pass_read();
        self.within.read_range(name, range)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.within.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.within.delete(name)
    }
}
