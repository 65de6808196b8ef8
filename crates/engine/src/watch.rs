//! Which function of the user each worker is in, and which of them do not come back.
//!
//! Workers say when they go into a function and when they are out again: a few plain stores per batch, and no look
//! at the clock. The supervisor looks now and then; a worker that is in the same call at two looks has not come
//! back in between.
//!
//! **Invariants.** Nothing is decided by it: a call that takes long is told, and goes on. Each desk is written by
//! one worker only. In simulation nobody looks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use wallaroo_core::{Code, NodeId, PartitionId, Plan, StoredKey, Timestamp};

use crate::control::Control;
use crate::failure::Origin;
use crate::generation::unpoisoned;

/// A function of yours that has been running for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckStage {
    /// The stage.
    pub stage: String,
    /// The worker that is in it, counted from zero.
    pub worker: usize,
    /// The key, as people read it; known for a stage with state that was called for a single message.
    pub key: Option<String>,
    /// Where the first message of the call came from.
    pub first: Origin,
    /// How many messages the stage was called for; it may be at any of them.
    pub messages: usize,
    /// For how long at least.
    pub running_for: Duration,
}

impl fmt::Display for StuckStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {:?}", self.stage)?;
        if let Some(key) = &self.key {
            write!(f, ", key {key}")?;
        }
        write!(f, ", {}", self.first)?;
        match self.messages {
            0 | 1 => Ok(()),
            messages => write!(f, " or one of the {} messages after it", messages - 1),
        }
    }
}

/// Where a worker says what it does.
#[derive(Default)]
struct Desk {
    /// Counts both the beginnings and the ends of calls: odd inside of one.
    calls: AtomicU64,
    node: AtomicU32,
    partition: AtomicU32,
    number: AtomicU64,
    messages: AtomicUsize,
    has_key: AtomicBool,
    /// Of the last call that had one.
    key: Mutex<Option<StoredKey>>,
}

/// The desks of all workers of a generation.
#[derive(Default)]
pub(crate) struct Watch {
    desks: Vec<Desk>,
    /// Workers that have not left.
    working: Mutex<usize>,
    left: Condvar,
    stuck: Mutex<Vec<StuckStage>>,
}

impl Watch {
    pub(crate) fn new(workers: usize) -> Self {
        Watch {
            desks: (0..workers).map(|_| Desk::default()).collect(),
            working: Mutex::new(workers),
            ..Watch::default()
        }
    }

    /// Worker: goes into a function, for `messages` messages of which the first is record `number` of a partition.
    #[inline]
    pub(crate) fn enter(
        &self,
        worker: usize,
        node: NodeId,
        (partition, number): (PartitionId, u64),
        messages: usize,
    ) {
        let desk = &self.desks[worker];
        desk.node.store(node.0.into(), Ordering::Relaxed);
        desk.partition.store(partition.0, Ordering::Relaxed);
        desk.number.store(number, Ordering::Relaxed);
        desk.messages.store(messages, Ordering::Relaxed);
        desk.has_key.store(false, Ordering::Relaxed);
        desk.step();
    }

    /// Worker: says the key of the one message it is called for.
    pub(crate) fn with_key(&self, worker: usize, key: &StoredKey) {
        let desk = &self.desks[worker];
        *unpoisoned(&desk.key) = Some(key.clone());
        desk.has_key.store(true, Ordering::Release);
    }

    /// Worker: is out again.
    #[inline]
    pub(crate) fn leave(&self, worker: usize) {
        self.desks[worker].step();
    }

    /// Worker: will not come back.
    pub(crate) fn leave_for_good(&self) {
        *unpoisoned(&self.working) -= 1;
        self.left.notify_all();
    }

    /// The functions that have been running for long.
    pub(crate) fn stuck(&self) -> Vec<StuckStage> {
        unpoisoned(&self.stuck).clone()
    }

    /// Supervisor: looks until all workers have left. What takes longer than `limit` is told.
    pub(crate) fn look_until_left(&self, plan: &Plan, control: &Control, limit: Duration) {
        let mut seen: Vec<Seen> = self.desks.iter().map(|_| Seen::default()).collect();
        // Often enough that a call is told soon after the limit, seldom enough to cost nothing.
        let pause = (limit / 4).max(Duration::from_millis(1));
        let mut working = unpoisoned(&self.working);
        while *working > 0 {
            let waited = self.left.wait_timeout(working, pause);
            working = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            let now = control.clock.now();
            let look = |(worker, seen)| self.look(worker, seen, now, plan, control, limit);
            *unpoisoned(&self.stuck) = seen.iter_mut().enumerate().filter_map(look).collect();
        }
    }

    /// Looks at one worker: what it has been in for longer than the limit.
    fn look(
        &self,
        worker: usize,
        seen: &mut Seen,
        now: Timestamp,
        plan: &Plan,
        control: &Control,
        limit: Duration,
    ) -> Option<StuckStage> {
        let desk = &self.desks[worker];
        let calls = desk.calls.load(Ordering::Acquire);
        if calls != seen.calls {
            *seen = Seen {
                calls,
                since: now,
                told: false,
            };
        }
        let running_for = now.since(seen.since);
        if calls.is_multiple_of(2) || running_for < limit {
            return None;
        }
        let node = NodeId(u16::try_from(desk.node.load(Ordering::Relaxed)).ok()?);
        let partition = PartitionId(desk.partition.load(Ordering::Relaxed));
        let messages = desk.messages.load(Ordering::Relaxed);
        let key = desk
            .has_key
            .load(Ordering::Acquire)
            .then(|| unpoisoned(&desk.key).as_ref().map(ToString::to_string))
            .flatten();
        let stuck = StuckStage {
            stage: plan.node(node).name.clone(),
            worker,
            key,
            first: control.origin(partition, desk.number.load(Ordering::Relaxed)),
            messages,
            running_for,
        };
        // Had it come back meanwhile, this would be a mixture of two calls.
        fence(Ordering::Acquire);
        if desk.calls.load(Ordering::Acquire) != calls {
            return None;
        }
        if !std::mem::replace(&mut seen.told, true) {
            tracing::warn!(
                code = %Code::UserStuck,
                at = %stuck,
                worker,
                seconds = running_for.as_secs_f64(),
                "a function has not returned; its worker does nothing else meanwhile"
            );
        }
        Some(stuck)
    }
}

impl Desk {
    #[inline]
    fn step(&self) {
        // One worker writes: no other addition can come in between.
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls + 1, Ordering::Release);
    }
}

/// What the supervisor saw at a desk.
#[derive(Clone, Copy, Default)]
struct Seen {
    calls: u64,
    since: Timestamp,
    told: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("workers", &self.desks.len())
            .finish_non_exhaustive()
    }
}
