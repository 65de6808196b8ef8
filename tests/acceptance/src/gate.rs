//! A sink that blocks on command.
//!
//! **Invariants.** A closed gate takes nothing and says so. Opening it wakes the worker.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo::{ConnectorError, Sink, Waker, Write, Writer};

/// Takes one message.
type Take<T> = Box<dyn FnMut(T) + Send>;

/// A sink that hands each message to a function, as many per call as it is told. Clones are one gate.
pub struct Gate<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    per_call: AtomicUsize,
    refusals: AtomicUsize,
    take: Mutex<Take<T>>,
    waker: Mutex<Option<Waker>>,
}

impl<T> Clone for Gate<T> {
    fn clone(&self) -> Self {
        Gate {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Gate<T> {
    /// A gate that takes nothing until it is opened.
    pub fn closed(take: impl FnMut(T) + Send + 'static) -> Self {
        Gate::slow(0, take)
    }

    /// A gate that takes `per_call` messages in each call and then pretends to be full.
    pub fn slow(per_call: usize, take: impl FnMut(T) + Send + 'static) -> Self {
        Gate {
            shared: Arc::new(Shared {
                per_call: AtomicUsize::new(per_call),
                refusals: AtomicUsize::new(0),
                take: Mutex::new(Box::new(take)),
                waker: Mutex::default(),
            }),
        }
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.shared.per_call.store(usize::MAX, Ordering::SeqCst);
        if let Some(waker) = &*lock(&self.shared.waker) {
            waker.wake();
        }
    }

    /// Whether a message has been refused so far.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.shared.refusals.load(Ordering::SeqCst) > 0
    }
}

impl<T> fmt::Debug for Gate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("per_call", &self.shared.per_call)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Sink<Vec<T>> for Gate<T> {
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<Vec<T>>>, ConnectorError> {
        *lock(&self.shared.waker) = Some(waker.clone());
        Ok(Box::new(self.clone()))
    }
}

impl<T: Send> Writer<Vec<T>> for Gate<T> {
    fn write(&mut self, messages: &mut Vec<T>) -> Result<Write, ConnectorError> {
        let per_call = self.shared.per_call.load(Ordering::SeqCst);
        let mut take = lock(&self.shared.take);
        for message in messages.drain(..messages.len().min(per_call)) {
            take(message);
        }
        if messages.is_empty() {
            return Ok(Write::Done);
        }
        self.shared.refusals.fetch_add(1, Ordering::SeqCst);
        if per_call > 0
            && let Some(waker) = &*lock(&self.shared.waker)
        {
            waker.wake();
        }
        Ok(Write::Blocked)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
