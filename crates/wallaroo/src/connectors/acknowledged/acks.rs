//! The thread that syncs the input log and tells senders what is durable.
//!
//! **Invariants.** A number is told only after the sync that covers it. What comes during a sync is covered by the next one.
//! After a failed sync nothing is told any more, and the reader fails.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::ConnectorError;
use wallaroo_core::source::LogSync;

use super::hub::Producer;

/// How long one wait lasts; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// What is to be synced and told.
#[derive(Default)]
pub(super) struct Acks {
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    syncs: Vec<LogSync>,
    /// By name of the sender the last number.
    numbers: BTreeMap<Vec<u8>, (Arc<Producer>, u64)>,
    is_closed: bool,
    failed: Option<ConnectorError>,
}

impl Acks {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These numbers are in the log; `sync` makes them durable. Without it, what is durable is told again.
    pub(super) fn put(&self, sync: Option<LogSync>, numbers: Vec<(Arc<Producer>, u64)>) {
        let mut queue = self.queue();
        queue.syncs.extend(sync);
        for (producer, number) in numbers {
            let name = producer.name.clone();
            let last = &mut queue.numbers.entry(name).or_insert((producer, 0)).1;
            *last = number.max(*last);
        }
        drop(queue);
        self.news.notify_all();
    }

    /// Why nothing is told any more, once.
    pub(super) fn failure(&self) -> Option<ConnectorError> {
        self.queue().failed.take()
    }

    /// Nothing more will be put in.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        self.news.notify_all();
    }

    pub(super) fn run(&self) {
        loop {
            let mut queue = self.queue();
            while queue.numbers.is_empty() && !queue.is_closed {
                let waited = self.news.wait_timeout(queue, WAIT);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let is_over = queue.numbers.is_empty();
            drop(queue);
            if is_over || !self.run_once() {
                return;
            }
        }
    }

    /// Syncs and tells what is there, without waiting for more; false after a failed sync.
    pub(super) fn run_once(&self) -> bool {
        let mut queue = self.queue();
        let mut syncs = std::mem::take(&mut queue.syncs);
        let numbers = std::mem::take(&mut queue.numbers);
        drop(queue);
        // The newest first: it covers the earlier ones of its file, which then find nothing to do.
        syncs.reverse();
        if let Err(error) = syncs.iter().try_for_each(|sync| sync()) {
            self.queue().failed = Some(error);
            return false;
        }
        for (producer, number) in numbers.into_values() {
            producer.durable.fetch_max(number, Ordering::SeqCst);
            tell(&producer);
        }
        true
    }
}

fn tell(producer: &Producer) {
    let mut current = producer.current();
    let durable = producer.durable.load(Ordering::SeqCst);
    let Some((_, stream)) = current.as_mut() else {
        return;
    };
    if stream.write_all(&durable.to_le_bytes()).is_err() {
        // It has gone, or does not read. It hears of it when it comes back.
        let _ = stream.shutdown(Shutdown::Both);
        *current = None;
    }
}
