//! Group commit of the input log in objects: one thread writes what all partitions have read since the last object.
//!
//! **Invariants.** Groups become durable in order, one at a time. After a failure that does not pass nothing is written any more, and
//! all who wait are told. The thread ends when the log is dropped; a request that is under way then is not waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use wallaroo_core::{Clock, ConnectorError, SystemClock, Waker};
use wallaroo_store::input_log::{BlockBuilder, ObjectLog, Section};
use wallaroo_store::{Storage, StoreError};

use super::waits::Waits;
use crate::durable::nonce;

/// A group of so many bytes is written at once: 8 MiB, a tenth of a second at 80 MB/s.
const FULL: usize = 8 << 20;
/// How long a failed write waits before it is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// All partitions share its log.
const PLACE: &str = "input/";
/// How long one wait lasts; only a bound, waits end by a signal.
const WAIT: Duration = Duration::from_secs(1);

/// The log of a process.
#[derive(Debug)]
pub(crate) struct GroupLog(Arc<Shared>);

/// The log as its readers and its thread share it.
pub(super) struct Shared {
    pub(super) log: Arc<ObjectLog>,
    every: Duration,
    state: Mutex<State>,
    news: Condvar,
    released: OnceLock<Arc<dyn Fn() + Send + Sync>>,
    pub(super) waits: Waits,
}

#[derive(Default)]
struct State {
    /// What is to be in the next object, by source and partition.
    sections: BTreeMap<(String, String), Section>,
    bytes: usize,
    /// The group that is gathered; those before it are written or being written.
    group: u64,
    /// Groups up to this one are durable.
    durable: u64,
    /// To be woken when the group that is gathered is durable.
    wakers: Vec<Waker>,
    failed: Option<StoreError>,
    is_closed: bool,
}

impl GroupLog {
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        generation: u64,
        every: Duration,
    ) -> Result<Self, StoreError> {
        let log = ObjectLog::open(storage, generation, nonce::random())?;
        let shared = Arc::new(Shared {
            log: Arc::new(log),
            every,
            state: Mutex::new(State {
                group: 1,
                ..State::default()
            }),
            news: Condvar::new(),
            released: OnceLock::new(),
            waits: Waits::default(),
        });
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("wallaroo-input".to_owned());
        let spawned = thread.spawn(move || writing.write());
        spawned.map_err(|error| StoreError::Refused {
            place: "input/".to_owned(),
            what: "the thread of the input log".to_owned(),
            cause: error.to_string(),
        })?;
        Ok(GroupLog(shared))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    pub(super) fn partitions(&self, source: &str) -> Vec<String> {
        self.0.log.partitions(source)
    }

    pub(super) fn trim(
        &self,
        source: &str,
        partition: &str,
        number: u64,
    ) -> Result<(), StoreError> {
        self.0.log.trim(source, partition, number)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.log.bytes()
    }

    pub(super) fn when_released(&self, call: Arc<dyn Fn() + Send + Sync>) {
        // Told once, by what makes checkpoints.
        let _ = self.0.released.set(call);
    }
}

impl Drop for GroupLog {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.news.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Shared {
    // Nothing that holds the lock can panic half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block to the group that is gathered, and empties it; returns the group. `waker` is woken when it is durable.
    pub(super) fn add(
        &self,
        (source, partition): (&str, &str),
        block: &mut BlockBuilder,
        waker: &Waker,
    ) -> u64 {
        let (first, next) = (block.first().unwrap_or(0), block.next());
        let mut state = self.state();
        let section = state
            .sections
            .entry((source.to_owned(), partition.to_owned()))
            .or_insert_with(|| Section {
                source: source.to_owned(),
                partition: partition.to_owned(),
                first,
                next,
                blocks: Vec::new(),
            });
        let bytes = block.finish(0, 0);
        section.blocks.extend_from_slice(bytes);
        section.next = next;
        state.bytes += bytes.len();
        state.wakers.push(waker.clone());
        let group = state.group;
        drop(state);
        block.clear();
        self.news.notify_all();
        group
    }

    /// The last durable group.
    ///
    /// # Errors
    /// Why none will be durable any more.
    pub(super) fn durable(&self) -> Result<u64, ConnectorError> {
        let state = self.state();
        match &state.failed {
            Some(error) => Err(super::failed(error)),
            None => Ok(state.durable),
        }
    }

    /// Waits until a group is durable.
    ///
    /// # Errors
    /// When it will not be.
    pub(super) fn wait_for(&self, group: u64) -> Result<(), ConnectorError> {
        let mut state = self.state();
        loop {
            if state.durable >= group {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(super::failed(error));
            }
            if state.is_closed {
                return Err(ConnectorError::new(
                    "the application has ended before the input log was written",
                ));
            }
            state = self.wait(state, WAIT);
        }
    }

    /// Messages that waited are handed on.
    pub(super) fn released(&self) {
        if let Some(call) = self.released.get() {
            call();
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.news.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The thread.
    fn write(&self) {
        let clock = SystemClock::new();
        // The first group is not to wait.
        let mut began = None;
        while let Some((sections, mut wakers)) = self.next_group(&clock, began) {
            began = Some(clock.now());
            let failed = self.put(&sections).err();
            let mut state = self.state();
            match failed {
                None => state.durable += 1,
                Some(error) => state.failed = Some(error),
            }
            let has_failed = state.failed.is_some();
            if has_failed {
                wakers.append(&mut state.wakers);
            }
            drop(state);
            self.news.notify_all();
            wakers.iter().for_each(Waker::wake);
            if has_failed {
                return;
            }
        }
    }

    /// What has been gathered, when it is time for it; none when the log is closed.
    fn next_group(
        &self,
        clock: &SystemClock,
        began: Option<wallaroo_core::Timestamp>,
    ) -> Option<(Vec<Section>, Vec<Waker>)> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            let since = began.map_or(self.every, |began| clock.now().since(began));
            let is_due = since >= self.every || state.bytes >= FULL;
            if !state.sections.is_empty() && is_due {
                state.group += 1;
                state.bytes = 0;
                let sections = std::mem::take(&mut state.sections);
                let wakers = std::mem::take(&mut state.wakers);
                return Some((sections.into_values().collect(), wakers));
            }
            let time = if state.sections.is_empty() {
                WAIT
            } else {
                self.every - since
            };
            state = self.wait(state, time);
        }
    }

    fn put(&self, sections: &[Section]) -> Result<(), StoreError> {
        let prepared = self.log.prepare(sections, nonce::random());
        let mut patience = FIRST_RETRY;
        loop {
            let error = match self.log.put(&prepared) {
                Ok(()) => {
                    self.waits.end(PLACE);
                    return Ok(());
                }
                Err(error) => error,
            };
            if !error.is_passing() {
                return Err(error);
            }
            tracing::warn!("the input log waits: {error}; trying again");
            self.waits.begin(PLACE, &error);
            let state = self.state();
            if state.is_closed {
                return Err(error);
            }
            drop(self.wait(state, patience));
            patience = (patience * 2).min(LAST_RETRY);
        }
    }
}
