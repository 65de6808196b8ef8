//! Snapshots of the objects that an epoch has changed, taken while the next epoch is being worked on.
//!
//! At the end of an epoch the objects that have changed in it are noted. A few are saved at once. Of many, the rest is saved
//! a portion at a time between batches, in the order of their slots, and any of them before something changes it again. So the
//! pause is short however many there are, and a snapshot is of its epoch nevertheless.
//!
//! **Invariants.** An object that is still to be saved is as it was at the end of its epoch. The objects of an epoch are saved
//! before the next one ends. What is saved is told once, when it is all there.

use std::time::Duration;

use wallaroo_core::Key as _;
use wallaroo_state::{Dirty, KeyIndex, Slot, StateChanges};

use super::Executor;
use super::expiry::Expiry;
use super::state::{Table, panicked};
use crate::baton::Random;
use crate::failure::Failure;
use crate::host::StateObjects;
use crate::listener::EpochListener;
use crate::panics::caught;

/// What is saved in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    objects: usize,
    bytes: usize,
}

impl Portion {
    /// Everything there is.
    pub(crate) const ALL: Portion = Portion {
        objects: usize::MAX,
        bytes: usize::MAX,
    };
    /// About a millisecond: small objects take 100 to 200 ns each, large ones about 1 ns per byte.
    const AT_ONCE: Portion = Portion {
        objects: 8 << 10,
        bytes: 1 << 20,
    };
    /// About 30 µs: what a message may wait for on its way.
    const BETWEEN: Portion = Portion {
        objects: 256,
        bytes: 32 << 10,
    };
}

/// Changes are handed over in parts of about this size, as one that grows would be copied again and again.
const PART_BYTES: usize = 1 << 20;

/// The least and the most time that saving takes between two batches. Otherwise it takes as long as the batches: it must come
/// to an end also where each message takes long.
const LEAST: Duration = Duration::from_micros(100);
const MOST: Duration = Duration::from_millis(5);

/// How much is saved when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// In simulation portions are small and drawn.
    random: Option<Random>,
}

impl Pace {
    pub(crate) fn simulated(seed: u64) -> Self {
        Pace {
            random: Some(Random::new(seed)),
        }
    }

    /// At the end of the epoch.
    pub(crate) fn at_once(&mut self) -> Portion {
        let Some(random) = &mut self.random else {
            return Portion::AT_ONCE;
        };
        Portion {
            objects: random.below(4),
            ..Portion::ALL
        }
    }

    /// Between batches.
    pub(crate) fn between(&mut self) -> Portion {
        let Some(random) = &mut self.random else {
            return Portion::BETWEEN;
        };
        Portion {
            objects: 1 + random.below(3),
            ..Portion::ALL
        }
    }

    /// For how long, after batches that have taken so long; in simulation for one portion.
    pub(crate) fn time_after(&self, batches: Duration) -> Duration {
        match self.random {
            Some(_) => Duration::ZERO,
            None => batches.clamp(LEAST, MOST),
        }
    }
}

/// What an ended epoch has changed in a table.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// A bit for each slot whose object is still to be saved.
    left: Vec<u64>,
    count: usize,
    /// No bit is set in the words before.
    first: usize,
    /// What has been saved. The last part is still open.
    parts: Vec<StateChanges>,
    /// Memory for more parts.
    spare: Vec<StateChanges>,
    /// So many parts were needed last.
    needed: usize,
}

impl Saving {
    fn note(&mut self, slots: &[Slot]) {
        let highest = slots.iter().map(|slot| slot.index() / 64 + 1).max();
        self.left = vec![0; highest.unwrap_or(0)];
        for slot in slots {
            self.left[slot.index() / 64] |= 1 << (slot.index() % 64);
        }
        self.count = slots.len();
        self.first = 0;
    }

    #[inline]
    fn has(&self, slot: Slot) -> bool {
        let word = self.left.get(slot.index() / 64);
        word.is_some_and(|word| word >> (slot.index() % 64) & 1 == 1)
    }

    fn remove(&mut self, slot: Slot) {
        debug_assert!(self.has(slot));
        self.left[slot.index() / 64] &= !(1 << (slot.index() % 64));
        self.count -= 1;
    }

    /// The lowest slot that is left.
    fn next(&mut self) -> Option<Slot> {
        let empty = self.left[self.first..].iter().position(|word| *word != 0)?;
        self.first += empty;
        let bit = self.left[self.first].trailing_zeros();
        let number = self.first * 64 + bit as usize;
        Some(Slot(u32::try_from(number).expect("it was a slot")))
    }

    /// What has been saved of the epoch, now that nothing is left.
    fn take_parts(&mut self) -> Vec<StateChanges> {
        let parts = std::mem::take(&mut self.parts);
        *self = Saving {
            needed: parts.len(),
            ..Saving::default()
        };
        parts
    }

    /// The part to add to.
    fn part(&mut self, state: &str) -> &mut StateChanges {
        if self
            .parts
            .last()
            .is_none_or(|part| part.bytes() >= PART_BYTES)
        {
            let mut part = self.spare.pop().unwrap_or_default();
            part.clear();
            part.rename(state);
            self.parts.push(part);
        }
        self.parts.last_mut().expect("there is one now")
    }
}

impl Table {
    /// Notes what the epoch that ends has changed.
    fn close_epoch(&mut self, listener: &dyn EpochListener) {
        assert_eq!(self.saving.count, 0, "one epoch after the other");
        let Dirty { touched, removed } = self.index.take_dirty();
        self.saving.note(&touched);
        self.saving.spare = listener.spare(self.saving.needed);
        for key in removed {
            let group = self.index.group_count().group_of(key.hash());
            let part = self.saving.part(&self.name);
            part.removed(group.0, key.as_bytes());
        }
    }

    /// Saves objects that are left.
    fn save(&mut self, portion: Portion) -> Result<(), Failure> {
        let mut bytes = 0_usize;
        for _ in 0..portion.objects {
            if bytes >= portion.bytes {
                break;
            }
            let Some(slot) = self.saving.next() else {
                break;
            };
            bytes += self.save_object(slot)?;
        }
        Ok(())
    }

    /// Saves those of these objects that are left, as they are about to change.
    #[inline]
    pub(super) fn save_before_change(&mut self, slots: &[Slot]) -> Result<(), Failure> {
        if self.saving.count == 0 {
            return Ok(());
        }
        for slot in slots {
            if self.saving.has(*slot) {
                self.save_object(*slot)?;
            }
        }
        Ok(())
    }

    /// Whether the object of a slot is still to be saved.
    pub(super) fn is_to_be_saved(&self, slot: Slot) -> bool {
        self.saving.has(slot)
    }

    /// Returns how many bytes it took.
    fn save_object(&mut self, slot: Slot) -> Result<usize, Failure> {
        let Table {
            name,
            index,
            objects,
            expiry,
            saving,
            ..
        } = self;
        let part = saving.part(name);
        let before = part.bytes();
        write(part, slot, index, objects.as_mut(), expiry.as_ref()).map_err(|error| {
            Failure::State {
                state: name.clone(),
                key: index.key(slot).view().to_string(),
                error,
            }
        })?;
        let bytes = part.bytes() - before;
        saving.remove(slot);
        Ok(bytes)
    }
}

fn write(
    part: &mut StateChanges,
    slot: Slot,
    index: &KeyIndex,
    objects: &mut dyn StateObjects,
    expiry: Option<&Expiry>,
) -> Result<(), String> {
    let key = index.key(slot);
    part.object(index.group(slot).0, key.as_bytes(), |bytes| {
        if let Some(expiry) = expiry {
            expiry.write_stamp(slot, bytes);
        }
        caught(|| objects.snapshot(slot, bytes)).unwrap_or_else(panicked)
    })
}

impl Executor {
    /// Notes what the epoch that ends has changed in the states of the region. All of the epoch before is saved.
    pub(crate) fn close_epoch(&mut self, listener: &dyn EpochListener) {
        for table in &mut self.tables {
            table.close_epoch(listener);
        }
    }

    /// Saves those of these objects that are left, as a stage is about to change them.
    #[inline]
    pub(super) fn save_before_call(&mut self, table: usize, slots: &[Slot]) -> Result<(), Failure> {
        if self.tables[table].saving.count == 0 {
            return Ok(());
        }
        let began = self.control.clock.now();
        self.tables[table].save_before_change(slots)?;
        self.encoding_time += self.control.clock.now().since(began);
        Ok(())
    }

    /// How long objects have been saved since the last call.
    pub(crate) fn take_encoding_time(&mut self) -> Duration {
        std::mem::take(&mut self.encoding_time)
    }

    /// Saves objects that the last closed epoch has changed. Returns all its changes when none is left.
    pub(crate) fn save(&mut self, portion: Portion) -> Result<Option<Vec<StateChanges>>, Failure> {
        let began = self.control.clock.now();
        let mut is_more = false;
        for table in &mut self.tables {
            table.save(portion)?;
            is_more = table.saving.count > 0;
            if is_more {
                break;
            }
        }
        self.encoding_time += self.control.clock.now().since(began);
        if is_more {
            return Ok(None);
        }
        let saved = self.tables.iter_mut();
        Ok(Some(
            saved.flat_map(|table| table.saving.take_parts()).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_in_their_order_and_each_once() {
        let mut saving = Saving::default();
        saving.note(&[700, 3, 64, 63, 0].map(Slot));
        saving.remove(Slot(64));
        let mut given = Vec::new();
        while let Some(slot) = saving.next() {
            saving.remove(slot);
            given.push(slot.0);
        }
        assert_eq!(given, [0, 3, 63, 700]);
        assert_eq!(saving.count, 0);
        assert!(!saving.has(Slot(3)) && !saving.has(Slot(100_000)));
    }
}
