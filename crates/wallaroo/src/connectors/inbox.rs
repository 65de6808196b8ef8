//! A bounded queue from other threads to the one worker that reads.
//!
//! Threads wait when it is full; the worker never waits and is woken through its [`Waker`].
//!
//! **Invariants.** What was put in without an error is taken out, unless the reading side is dropped. The queue
//! holds at most its capacity, or one item that is larger. Once closed, nothing more comes in. No lock
//! is held while the worker is woken.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::Waker;

/// How long one wait lasts before the state is looked at again; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// The queue; both sides share it.
pub(super) struct Inbox<T> {
    capacity: usize,
    inner: Mutex<Inner<T>>,
    room: Condvar,
}

struct Inner<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    waker: Option<Waker>,
    /// Whether the worker has found the queue empty and must be woken.
    idle: bool,
    closed: bool,
    /// Threads that wait for room.
    waiting: usize,
}

/// Why something was not put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused<T> {
    Full(T),
    Closed(T),
}

/// What the reading side found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// As much as was asked for; there may be more.
    Items,
    /// The queue is empty; the worker will be woken.
    Empty,
    /// The queue is empty and closed.
    Closed,
}

impl<T> Inbox<T> {
    /// A queue for items that together weigh `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        let inner = Inner {
            items: VecDeque::new(),
            weight: 0,
            waker: None,
            idle: false,
            closed: false,
            waiting: 0,
        };
        Inbox {
            capacity,
            inner: Mutex::new(inner),
            room: Condvar::new(),
        }
    }

    // No code of others runs under the lock, so a panic there would be ours, and the data is whole.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which worker reads.
    pub(super) fn read_by(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    /// Puts an item in; waits while there is no room. Gives it back when the queue is closed.
    pub(super) fn put(&self, item: T, weight: usize) -> Result<(), T> {
        let mut inner = self.lock();
        while !inner.closed && inner.is_full(weight, self.capacity) {
            inner.waiting += 1;
            inner = match self.room.wait_timeout(inner, WAIT) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
            inner.waiting -= 1;
        }
        if inner.closed {
            return Err(item);
        }
        let waker = inner.add(item, weight);
        if inner.waiting > 0 && inner.weight < self.capacity {
            self.room.notify_one();
        }
        drop(inner);
        wake(waker);
        Ok(())
    }

    /// Puts an item in if there is room now.
    pub(super) fn try_put(&self, item: T, weight: usize) -> Result<(), Refused<T>> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed(item));
        }
        if inner.is_full(weight, self.capacity) {
            return Err(Refused::Full(item));
        }
        let waker = inner.add(item, weight);
        drop(inner);
        wake(waker);
        Ok(())
    }

    /// Takes up to `count` items.
    pub(super) fn take(&self, count: usize, mut each: impl FnMut(T)) -> Found {
        if count == 0 {
            return Found::Items;
        }
        let mut inner = self.lock();
        let taken = inner.items.len().min(count);
        let mut lighter = 0;
        for (item, weight) in inner.items.drain(..taken) {
            lighter += weight;
            each(item);
        }
        inner.weight -= lighter;
        let found = match (taken == count, inner.closed) {
            (true, _) => Found::Items,
            (false, true) => Found::Closed,
            (false, false) => Found::Empty,
        };
        inner.idle = found == Found::Empty;
        // One thread; if there is more room, it wakes the next. All at once would be hundreds for one chunk.
        if taken > 0 && inner.waiting > 0 {
            self.room.notify_one();
        }
        found
    }

    /// Lets nothing more in. What is in can still be taken.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waker = inner.take_waker();
        self.room.notify_all();
        drop(inner);
        wake(waker);
    }

    /// Lets nothing more in and forgets what is in.
    pub(super) fn abandon(&self) {
        self.close();
        let mut inner = self.lock();
        inner.weight = 0;
        // Dropped without the lock: items may be of a user's type.
        let items = std::mem::take(&mut inner.items);
        drop(inner);
        drop(items);
    }

    /// Whether nothing more is let in.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What the items in the queue weigh.
    pub(super) fn weight(&self) -> usize {
        self.lock().weight
    }
}

impl<T> Inner<T> {
    fn is_full(&self, weight: usize, capacity: usize) -> bool {
        self.weight > 0 && self.weight.saturating_add(weight) > capacity
    }

    fn add(&mut self, item: T, weight: usize) -> Option<Waker> {
        self.items.push_back((item, weight));
        self.weight += weight;
        self.take_waker()
    }

    /// The waker, if the worker must be woken; once for each time it found nothing.
    fn take_waker(&mut self) -> Option<Waker> {
        std::mem::take(&mut self.idle)
            .then(|| self.waker.clone())
            .flatten()
    }
}

fn wake(waker: Option<Waker>) {
    waker.iter().for_each(Waker::wake);
}
