//! A bounded queue from other threads to the one worker that reads.
//!
//! Threads and tasks wait when it is full; the worker never waits and is woken through its [`Waker`].
//!
//! **Invariants.** What was put in without an error is taken out, unless the reading side is dropped. The queue
//! holds at most its capacity, or one item that is larger. Once closed, nothing more comes in. No lock
//! is held while the worker or a task is woken. A task that was woken and goes away without putting anything in wakes
//! the next, so that no room is left unused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task;
use std::time::Duration;

use wallaroo_core::Waker;

/// How long one wait lasts before the state is looked at again; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// Called by the worker when it has taken an item of which somebody wants to know that it is committed.
pub(crate) type Ask = Arc<dyn Fn() + Send + Sync>;

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
    /// Tasks that wait for room, in the order in which they came.
    tasks: BTreeMap<u64, task::Waker>,
    next_task: u64,
    /// How many items were ever put in, and how many of them were taken.
    accepted: u64,
    taken: u64,
    /// Whom to tell when the items with these numbers are taken: the first and the last one asked for.
    asked: Option<(u64, u64, Ask)>,
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
    /// As much as was asked for. What is left weighs `left`.
    Items { left: usize },
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
            tasks: BTreeMap::new(),
            next_task: 0,
            accepted: 0,
            taken: 0,
            asked: None,
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
        self.put_asking(item, weight, None).map(|_| ())
    }

    /// As [`Inbox::put`]; returns the number of the item, counted from 1. `ask` is called when it is taken.
    pub(super) fn put_asking(&self, item: T, weight: usize, ask: Option<&Ask>) -> Result<u64, T> {
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
        let number = inner.ask(ask);
        let task = self.tell_of_room(&mut inner);
        drop(inner);
        wake(waker);
        task.into_iter().for_each(task::Waker::wake);
        Ok(number)
    }

    /// If there is room, tells one of those that wait for it: a thread, or a task, whose waker comes back. It tells the
    /// next when it has put something in.
    fn tell_of_room(&self, inner: &mut Inner<T>) -> Option<task::Waker> {
        if inner.weight >= self.capacity {
            return None;
        }
        // Threads do not starve tasks, nor tasks threads: each thread that puts something in tells a task too.
        if inner.waiting > 0 {
            self.room.notify_one();
        }
        inner.tasks.pop_first().map(|(_, task)| task)
    }

    /// Puts the item in if there is room; else the task of `context` is woken when there is. Gives the item back when
    /// the queue is closed, its number otherwise. `place` is where the task stands in the line; it belongs to one item.
    /// `ask` is called when the item is taken.
    pub(super) fn poll_put(
        &self,
        item: &mut Option<T>,
        weight: usize,
        place: &mut Option<u64>,
        ask: Option<&Ask>,
        context: &task::Context<'_>,
    ) -> task::Poll<Result<u64, Option<T>>> {
        let mut inner = self.lock();
        let inner_now = &mut *inner;
        if !inner_now.closed && item.is_some() && inner_now.is_full(weight, self.capacity) {
            let number = *place.get_or_insert_with(|| {
                inner_now.next_task += 1;
                inner_now.next_task
            });
            let before = inner_now.tasks.insert(number, context.waker().clone());
            drop(inner);
            // Of another program's executor: its drop is not ours to call under the lock.
            drop(before);
            return task::Poll::Pending;
        }
        let number = place.take();
        let mine = number.and_then(|number| inner.tasks.remove(&number));
        if inner.closed {
            drop(inner);
            drop(mine);
            return task::Poll::Ready(Err(item.take()));
        }
        let waker = item.take().and_then(|item| inner.add(item, weight));
        let number = inner.ask(ask);
        let next = self.tell_of_room(&mut inner);
        drop(inner);
        drop(mine);
        wake(waker);
        next.into_iter().for_each(task::Waker::wake);
        task::Poll::Ready(Ok(number))
    }

    /// A task goes away without having put anything in.
    pub(super) fn leave_line(&self, place: u64) {
        let mut inner = self.lock();
        let mine = inner.tasks.remove(&place);
        // It has been told of room that it does not use.
        let next = match mine {
            Some(_) => None,
            None => self.tell_of_room(&mut inner),
        };
        drop(inner);
        drop(mine);
        next.into_iter().for_each(task::Waker::wake);
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
            return Found::Items {
                left: self.weight(),
            };
        }
        let mut inner = self.lock();
        let taken = inner.items.len().min(count);
        let mut lighter = 0;
        for (item, weight) in inner.items.drain(..taken) {
            lighter += weight;
            each(item);
        }
        inner.weight -= lighter;
        inner.taken += taken as u64;
        let ask = inner.asked_of_taken();
        let found = match (taken == count, inner.closed) {
            (true, _) => Found::Items { left: inner.weight },
            (false, true) => Found::Closed,
            (false, false) => Found::Empty,
        };
        inner.idle = found == Found::Empty;
        // One thread or task; if there is more room, it wakes the next. All at once would be hundreds for one chunk.
        let task = (taken > 0).then(|| self.tell_of_room(&mut inner)).flatten();
        drop(inner);
        if let Some(ask) = ask {
            ask();
        }
        task.into_iter().for_each(task::Waker::wake);
        found
    }

    /// Lets nothing more in. What is in can still be taken.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waker = inner.take_waker();
        let tasks = std::mem::take(&mut inner.tasks);
        self.room.notify_all();
        drop(inner);
        wake(waker);
        tasks.into_values().for_each(task::Waker::wake);
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
        self.accepted += 1;
        self.take_waker()
    }

    /// Wants to be told when the item put in last is taken; returns its number.
    fn ask(&mut self, ask: Option<&Ask>) -> u64 {
        let number = self.accepted;
        match (&mut self.asked, ask) {
            (_, None) => {}
            (Some((_, last, _)), Some(_)) => *last = number,
            (asked @ None, Some(ask)) => *asked = Some((number, number, Arc::clone(ask))),
        }
        number
    }

    /// Whom to tell that items were taken. Between the first and the last one asked for it asks for all.
    fn asked_of_taken(&mut self) -> Option<Ask> {
        let taken = self.taken;
        let (first, last, ask) = self.asked.as_mut()?;
        if *first > taken {
            return None;
        }
        let ask = Arc::clone(ask);
        if *last > taken {
            *first = taken + 1;
        } else {
            self.asked = None;
        }
        Some(ask)
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
