//! A sink that keeps messages in memory, for tests and for programs that read their results themselves.
//!
//! **Invariants.** Messages are in the order in which the sink was given them. It has no bound: whoever makes
//! one takes the messages out.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{Clock, ConnectorError, Sink, SystemClock, Waker, Write, Writer};

/// Keeps messages in memory. The sink is its own handle: give a clone to the pipeline, and read from the
/// other.
///
/// # Example
/// ```
/// use wallaroo::connectors::memory;
///
/// let results = memory::<u64>();
/// let sink = results.clone(); // goes into `to_sink("results", …)`
/// assert!(results.take().is_empty());
/// # drop(sink);
/// ```
#[must_use]
pub fn memory<T>() -> MemorySink<T> {
    MemorySink {
        kept: Arc::new(Kept {
            messages: Mutex::new(Vec::new()),
            added: Condvar::new(),
        }),
    }
}

/// Messages in memory; see [`memory`]. Clones share them.
pub struct MemorySink<T> {
    kept: Arc<Kept<T>>,
}

struct Kept<T> {
    messages: Mutex<Vec<T>>,
    added: Condvar,
}

impl<T> Clone for MemorySink<T> {
    fn clone(&self) -> Self {
        MemorySink {
            kept: Arc::clone(&self.kept),
        }
    }
}

impl<T> fmt::Debug for MemorySink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySink")
            .field("len", &self.len())
            .finish()
    }
}

impl<T> MemorySink<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.kept
            .messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the messages that are there.
    #[must_use]
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock())
    }

    /// Copies of the messages that are there.
    #[must_use]
    pub fn snapshot(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.lock().clone()
    }

    /// Number of messages that are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no message is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until at least `count` messages are there, or until `timeout` has passed. Says whether they are.
    #[must_use]
    pub fn wait_for(&self, count: usize, timeout: Duration) -> bool {
        let clock = SystemClock::new();
        let began = clock.now();
        let mut messages = self.lock();
        while messages.len() < count {
            let Some(left) = timeout
                .checked_sub(clock.now().since(began))
                .filter(|left| !left.is_zero())
            else {
                return false;
            };
            messages = match self.kept.added.wait_timeout(messages, left) {
                Ok((messages, _)) => messages,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl<T: Send + 'static> Sink<Vec<T>> for MemorySink<T> {
    fn open(&mut self, _waker: &Waker) -> Result<Box<dyn Writer<Vec<T>>>, ConnectorError> {
        Ok(Box::new(self.clone()))
    }
}

impl<T: Send> Writer<Vec<T>> for MemorySink<T> {
    fn write(&mut self, messages: &mut Vec<T>) -> Result<Write, ConnectorError> {
        self.lock().append(messages);
        self.kept.added.notify_all();
        Ok(Write::Done)
    }
}
