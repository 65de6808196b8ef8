//! A bounded hand-over of rows from the worker to a thread that writes them.
//!
//! There are two buffers: the worker fills one while the thread writes the other.
//!
//! **Invariants.** Rows leave in the order in which they came, whole. Each buffer holds at most
//! [`LIMIT_BYTES`] and one row. The worker never waits: it is told, and woken when there is room again.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{Code, ConnectorError, Messages, Rows, Waker, Write};

/// Bound of each of the two buffers; together about 4 MiB.
pub(super) const LIMIT_BYTES: usize = 2 * 1024 * 1024;
/// How long one wait lasts before the state is looked at again; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// The hand-over; worker and thread share it.
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    news: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Inner {
    waiting: Rows,
    /// Whether the thread has rows that are not yet written.
    writing: bool,
    /// Whether the worker wants to be woken.
    wanted: bool,
    /// Whether the application is ending.
    ending: bool,
    closed: bool,
    failed: Option<Failure>,
}

/// Why the thread has given up.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) help: &'static str,
    pub(super) code: Code,
}

impl Failure {
    fn error(&self) -> ConnectorError {
        ConnectorError::new(self.text.clone())
            .with_help(self.help)
            .with_code(self.code)
    }
}

impl Outbox {
    pub(super) fn new(waker: &Waker) -> Self {
        Outbox {
            inner: Mutex::default(),
            news: Condvar::new(),
            waker: waker.clone(),
        }
    }

    // No code of others runs under the lock, so a panic there would be ours, and the data is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Worker: hands rows over, as many as there is room for.
    pub(super) fn put(&self, rows: &mut Rows) -> Result<Write, ConnectorError> {
        let mut inner = self.lock();
        if let Some(failure) = &inner.failed {
            return Err(failure.error());
        }
        if Messages::is_empty(&inner.waiting) && rows.remaining().len() <= LIMIT_BYTES {
            // The empty buffer goes back to the worker, with its memory.
            std::mem::swap(&mut inner.waiting, rows);
        } else {
            let mut bytes = inner.waiting.remaining().len();
            let mut taken = 0;
            for row in rows.iter() {
                if bytes > 0 && bytes + row.len() > LIMIT_BYTES {
                    break;
                }
                bytes += row.len();
                taken += 1;
                inner.waiting.push(row);
            }
            rows.consume(taken);
        }
        inner.wanted = !Messages::is_empty(rows);
        let write = if inner.wanted {
            Write::Blocked
        } else {
            Write::Done
        };
        self.news.notify_one();
        Ok(write)
    }

    /// Worker: whether everything has been written.
    pub(super) fn flush(&self) -> Result<Write, ConnectorError> {
        let mut inner = self.lock();
        if let Some(failure) = &inner.failed {
            return Err(failure.error());
        }
        inner.wanted = inner.writing || !Messages::is_empty(&inner.waiting);
        Ok(if inner.wanted {
            Write::Blocked
        } else {
            Write::Done
        })
    }

    /// Worker: says that the application is ending.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.news.notify_one();
    }

    /// Worker: asks the thread to end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    /// Thread: says that `rows` have all been written, and exchanges them for the next. False when the worker
    /// has gone and nothing is left.
    pub(super) fn next(&self, rows: &mut Rows) -> bool {
        rows.clear();
        let mut inner = self.lock();
        inner.writing = false;
        loop {
            let wanted = std::mem::take(&mut inner.wanted);
            let found = !Messages::is_empty(&inner.waiting);
            if found {
                std::mem::swap(&mut inner.waiting, rows);
                inner.writing = true;
            }
            let closed = inner.closed;
            if found || closed || wanted {
                drop(inner);
                if wanted {
                    self.waker.wake();
                }
                if found || closed {
                    return found;
                }
                inner = self.lock();
                continue;
            }
            inner = match self.news.wait_timeout(inner, WAIT) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Thread: gives up.
    pub(super) fn fail(&self, failure: Failure) {
        self.lock().failed = Some(failure);
        self.waker.wake();
    }

    /// Thread: waits, unless it is asked to end, or the application begins to. Says whether it is asked.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let inner = self.lock();
        if inner.closed {
            return true;
        }
        let ending = inner.ending;
        match self
            .news
            .wait_timeout_while(inner, time, |inner| !inner.closed && inner.ending == ending)
        {
            Ok((inner, _)) => inner.closed,
            Err(poisoned) => poisoned.into_inner().0.closed,
        }
    }

    /// Thread: whether the application is ending.
    pub(super) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Thread: how many rows wait that it has not got.
    pub(super) fn waiting(&self) -> usize {
        Messages::len(&self.lock().waiting)
    }

    /// Thread: whether it is asked to end.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }
}
