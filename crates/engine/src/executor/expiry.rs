//! State objects that are dropped when no message has come for their key for some time.
//!
//! Time is counted in ticks, a small part of the duration. Each slot has the tick of its last touch, and stands in the queue
//! once, under the tick in which it was put there. When that is old enough the slot is looked at: either it has not been
//! touched since and is expired, or it is put in again under its last touch. So a touch writes one number, and every object
//! is looked at about once in the duration.
//!
//! **Invariants.** An object is never expired before its duration is over, and is expired [`Expiry::span`] ticks after the tick of
//! its last touch: a message that comes then finds a new object, whether or not the old one has been looked at. Nothing
//! depends on when objects are looked at but the memory they take.

use std::collections::BTreeMap;
use std::time::Duration;

use wallaroo_core::Timestamp;
use wallaroo_state::{ChunkIndex, Objects, Slot, stamp};

/// The part of its duration by which an object may expire late.
const TICKS: u64 = 64;
const LONGEST_TICK_MS: u64 = 60_000;

/// A number of ticks since the Unix epoch, from 1.
type Tick = u64;

/// Which objects of a table have expired.
#[derive(Debug)]
pub(crate) struct Expiry {
    tick_ms: u64,
    /// So many ticks after that of its last touch an object is expired.
    span: u64,
    times: Objects<Times>,
    /// Slots by the tick under which they were put in; those that stand somewhere else by now are passed over.
    queue: BTreeMap<Tick, Vec<Slot>>,
}

/// The tick of a slot's last touch, and the one under which it is in the queue; 0 if the slot is free.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    last: Tick,
    queued: Tick,
}

/// Whether an object of a state whose objects live for `after` without a message is gone at `now`, if it was last touched
/// `touched_ms` milliseconds after the Unix epoch.
#[must_use]
pub fn is_expired(after: Duration, touched_ms: u64, now: Timestamp) -> bool {
    let expiry = Expiry::new(after);
    expiry.is_expired(expiry.tick_of_stamp(touched_ms), expiry.tick_of(now))
}

impl Expiry {
    pub(crate) fn new(after: Duration) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
        let tick_ms = (after_ms / TICKS).clamp(1, LONGEST_TICK_MS);
        Expiry {
            tick_ms,
            // A touch at the end of its tick has to last for the whole duration.
            span: after_ms.div_ceil(tick_ms) + 1,
            times: Objects::default(),
            queue: BTreeMap::new(),
        }
    }

    pub(crate) fn tick_of(&self, now: Timestamp) -> Tick {
        now.0 / 1_000_000 / self.tick_ms + 1
    }

    /// A message has come for the key of a slot. Says whether its object had expired.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot, tick: Tick) -> bool {
        let times = self.times.get_mut(slot);
        if times.queued == 0 {
            self.put(slot, tick);
            return false;
        }
        let is_expired = tick >= times.last.saturating_add(self.span);
        // The system's clock may go back.
        times.last = times.last.max(tick);
        is_expired
    }

    /// Follows an object whose last touch was at `last`.
    pub(crate) fn put(&mut self, slot: Slot, last: Tick) {
        let queued = last;
        *self.times.get_mut(slot) = Times { last, queued };
        self.queue.entry(last).or_default().push(slot);
    }

    /// Ceases to follow a slot, which is free. Returns its last touch.
    pub(crate) fn take(&mut self, slot: Slot) -> Tick {
        self.times.take(slot).last
    }

    pub(crate) fn release_chunk(&mut self, chunk: ChunkIndex) {
        self.times.release_chunk(chunk);
    }

    /// Whether an object that was last touched at `last` is expired.
    pub(crate) fn is_expired(&self, last: Tick, tick: Tick) -> bool {
        tick >= last.saturating_add(self.span)
    }

    /// Appends slots whose objects are expired, looking at about `count` slots; they are to be [taken](Expiry::take). Says
    /// whether there may be more.
    pub(crate) fn expired(&mut self, tick: Tick, count: usize, slots: &mut Vec<Slot>) -> bool {
        let mut left = count;
        while let Some(entry) = self.queue.first_entry() {
            let queued = *entry.key();
            if tick < queued.saturating_add(self.span) {
                return false;
            }
            if left == 0 {
                return true;
            }
            let mut waiting = entry.remove();
            let rest = waiting.len().saturating_sub(left);
            left = left.saturating_sub(waiting.len());
            for slot in waiting.drain(rest..) {
                let Some(times) = self.times.get(slot).copied() else {
                    continue;
                };
                if times.queued != queued {
                    continue;
                }
                if self.is_expired(times.last, tick) {
                    slots.push(slot);
                    // Its last touch stays: the object may still have to be saved with it.
                    self.times.get_mut(slot).queued = 0;
                } else {
                    self.put(slot, times.last);
                }
            }
            if !waiting.is_empty() {
                self.queue.insert(queued, waiting);
            }
        }
        false
    }

    /// When an object may expire next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let (queued, _) = self.queue.first_key_value()?;
        let tick = queued.saturating_add(self.span - 1);
        Some(Timestamp(
            tick.saturating_mul(self.tick_ms).saturating_mul(1_000_000),
        ))
    }

    /// Writes when the object of a slot was last touched.
    pub(crate) fn write_stamp(&self, slot: Slot, bytes: &mut Vec<u8>) {
        let last = self.times.get(slot).map_or(0, |times| times.last);
        stamp::write(last.saturating_mul(self.tick_ms), bytes);
    }

    /// The tick of a time in a stamp: a time at the end of a tick.
    pub(crate) fn tick_of_stamp(&self, touched_ms: u64) -> Tick {
        touched_ms.saturating_sub(1) / self.tick_ms + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_MS: u64 = 1_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    /// For durations of all sizes: when an object expires at the earliest and at the latest.
    #[test]
    fn an_object_expires_after_its_duration_and_at_most_two_ticks_late() {
        for after_ms in [1, 2, 63, 64, 65, 100, 999, SECOND_MS, 3_600_000, 86_400_001] {
            let expiry = Expiry::new(Duration::from_millis(after_ms));
            let late_ms = (after_ms / 32).clamp(2, 120_000);
            for touched_ms in (0..200).map(|step| 1_000_000 + step * (after_ms / 77 + 1)) {
                let last = expiry.tick_of(at(touched_ms));
                let is_expired =
                    |ms: u64| expiry.is_expired(last, expiry.tick_of(at(touched_ms + ms)));
                assert!(!is_expired(after_ms - 1), "{after_ms} ms is too early");
                assert!(is_expired(after_ms + late_ms), "{after_ms} ms is too late");
                let mut stamp = Vec::new();
                let mut same = Expiry::new(Duration::from_millis(after_ms));
                same.put(Slot(0), last);
                same.write_stamp(Slot(0), &mut stamp);
                let (written, _) = stamp::split(&stamp);
                assert_eq!(written.map(|ms| same.tick_of_stamp(ms)), Some(last));
            }
        }
    }

    /// Compares with what the last touches say, for slots that come, are touched, go and come again.
    #[test]
    fn expired_slots_are_found_once_and_no_other() {
        let mut expiry = Expiry::new(Duration::from_millis(20));
        let span = expiry.span;
        let mut last: BTreeMap<Slot, Tick> = BTreeMap::new();
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut tick = 1;
        for _ in 0..20_000 {
            tick += u64::from(random(4) == 0);
            let slot = Slot(u32::try_from(random(200)).expect("it is small") * 41);
            match random(12) {
                0 => {
                    expiry.take(slot);
                    last.remove(&slot);
                }
                1 => {
                    let mut found = Vec::new();
                    while expiry.expired(tick, 3, &mut found) {}
                    found.sort_unstable();
                    let is_due = |touched: &Tick| touched + span <= tick;
                    let due: Vec<Slot> = last
                        .iter()
                        .filter(|(_, at)| is_due(at))
                        .map(|(slot, _)| *slot)
                        .collect();
                    assert_eq!(found, due);
                    last.retain(|_, touched| !is_due(touched));
                }
                _ => {
                    let before = last.insert(slot, tick);
                    let was_due = before.is_some_and(|touched| touched + span <= tick);
                    assert_eq!(expiry.touch(slot, tick), was_due);
                }
            }
        }
    }
}
