//! Where each message of a batch came from: its source partition and its record number there.
//!
//! Records read one after another from one partition share a run, so the common case costs nothing per
//! message. After an exchange a batch holds scattered records of several batches; then each message has
//! its distance from the base of its run.
//!
//! **Invariants.** Runs are in the order of the messages and cover all of them. Record numbers count from
//! one and are the same when the partition is replayed.

use std::fmt;

/// A source partition, numbered within one running application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Records of one partition, from message `start` of the batch to the start of the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    partition: PartitionId,
    base: u64,
}

/// The origin of every message in a batch.
///
/// # Example
/// ```
/// use wallaroo_core::{PartitionId, Provenance};
///
/// let mut origin = Provenance::default();
/// origin.push(PartitionId(0), 7);
/// origin.push(PartitionId(0), 8);
/// origin.push(PartitionId(1), 3);
/// assert_eq!(origin.get(1), (PartitionId(0), 8));
/// assert_eq!(origin.get(2), (PartitionId(1), 3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    runs: Vec<Run>,
    /// Distance from the base of the run, for each message; empty while every run is contiguous.
    deltas: Vec<u32>,
    len: u32,
}

impl Provenance {
    /// Number of messages described.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no message is described.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all messages and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.deltas.clear();
        self.len = 0;
    }

    /// Adds a message: record `number` of `partition`.
    #[inline]
    pub fn push(&mut self, partition: PartitionId, number: u64) {
        if self.deltas.is_empty() {
            let contiguous = self.runs.last().is_some_and(|run| {
                run.partition == partition && run.base + u64::from(self.len - run.start) == number
            });
            if contiguous {
                self.len += 1;
                return;
            }
            // A few runs are cheaper than a distance per message; scattered records are not.
            if self.runs.len() < 4 {
                self.start_run(partition, number);
                self.len += 1;
                return;
            }
            self.spread();
        }
        self.push_scattered(partition, number);
    }

    /// Adds `count` messages with record numbers from `first` on.
    ///
    /// # Panics
    /// When the batch would hold 2^32 messages or more.
    pub fn push_range(&mut self, partition: PartitionId, first: u64, count: usize) {
        if self.deltas.is_empty() {
            if count > 0 {
                self.push(partition, first);
                if self.deltas.is_empty() {
                    self.len +=
                        u32::try_from(count - 1).expect("a batch holds fewer than 2^32 messages");
                    return;
                }
            }
            return (1..count as u64)
                .for_each(|index| self.push_scattered(partition, first + index));
        }
        for index in 0..count as u64 {
            self.push_scattered(partition, first + index);
        }
    }

    /// The partition and record number of message `index`.
    ///
    /// # Panics
    /// When there is no such message.
    #[must_use]
    pub fn get(&self, index: usize) -> (PartitionId, u64) {
        assert!(index < self.len(), "message {index} of {}", self.len());
        let run = &self.runs[self.runs.partition_point(|run| run.start as usize <= index) - 1];
        let delta = self.deltas.get(index).map_or_else(
            || index as u64 - u64::from(run.start),
            |delta| u64::from(*delta),
        );
        (run.partition, run.base + delta)
    }

    /// Adds the origins of the messages `indices` of `other`, which are in ascending order.
    pub fn extend_selected(&mut self, other: &Provenance, indices: &[u32]) {
        if let ([run], true) = (other.runs.as_slice(), other.deltas.is_empty()) {
            return self.extend_from_run(*run, indices);
        }
        let mut cursor = other.cursor();
        for index in indices {
            let (partition, number) = cursor.get(*index);
            self.push(partition, number);
        }
    }

    /// As [`Provenance::extend_selected`], for the common batch that was read in one go: no branch per message.
    fn extend_from_run(&mut self, run: Run, indices: &[u32]) {
        let Some(last) = indices.last() else { return };
        if self.deltas.is_empty() {
            self.spread();
        }
        let known = self
            .runs
            .last()
            .filter(|known| known.partition == run.partition);
        let distance = known.and_then(|known| run.base.checked_sub(known.base));
        let fits = |distance: &u32| distance.checked_add(*last).is_some();
        let distance = distance
            .and_then(|distance| u32::try_from(distance).ok())
            .filter(fits);
        let distance = distance.unwrap_or_else(|| {
            self.start_run(run.partition, run.base);
            0
        });
        self.deltas
            .extend(indices.iter().map(|index| distance + index));
        self.len += u32::try_from(indices.len()).expect("a batch holds fewer than 2^32 messages");
    }

    /// Reads origins in ascending order of the messages, faster than [`Provenance::get`].
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor {
            provenance: self,
            run: 0,
            end: self.end_of(0),
        }
    }

    fn end_of(&self, run: usize) -> u32 {
        self.runs.get(run + 1).map_or(self.len, |next| next.start)
    }

    fn start_run(&mut self, partition: PartitionId, base: u64) {
        self.runs.push(Run {
            start: self.len,
            partition,
            base,
        });
    }

    #[inline]
    fn push_scattered(&mut self, partition: PartitionId, number: u64) {
        if let Some(run) = self.runs.last()
            && run.partition == partition
            && let Some(distance) = number.checked_sub(run.base)
            && let Ok(delta) = u32::try_from(distance)
        {
            self.deltas.push(delta);
        } else {
            self.start_run(partition, number);
            self.deltas.push(0);
        }
        self.len += 1;
    }

    /// Writes out the distances of messages that were described by contiguous runs.
    fn spread(&mut self) {
        for (position, run) in self.runs.iter().enumerate() {
            let end = self
                .runs
                .get(position + 1)
                .map_or(self.len, |next| next.start);
            self.deltas.extend(0..end - run.start);
        }
    }
}

/// Reads the origins of a batch in ascending order; see [`Provenance::cursor`].
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    provenance: &'a Provenance,
    run: usize,
    end: u32,
}

impl Cursor<'_> {
    /// The partition and record number of message `index`, which is not below that of the last call.
    ///
    /// # Panics
    /// When there is no such message.
    #[inline]
    pub fn get(&mut self, index: u32) -> (PartitionId, u64) {
        while index >= self.end {
            self.run += 1;
            self.end = self.provenance.end_of(self.run);
        }
        let run = self.provenance.runs[self.run];
        let delta = self
            .provenance
            .deltas
            .get(index as usize)
            .copied()
            .unwrap_or(index - run.start);
        (run.partition, run.base + u64::from(delta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_message_keeps_its_origin(records in prop::collection::vec((0u32..3, prop_oneof![0u64..20, Just(1u64 << 40)]), 0..200)) {
            let mut provenance = Provenance::default();
            for (partition, number) in &records {
                provenance.push(PartitionId(*partition), *number);
            }
            let read: Vec<_> = (0..provenance.len()).map(|index| provenance.get(index)).collect();
            let expected: Vec<_> = records.iter().map(|(partition, number)| (PartitionId(*partition), *number)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn selected_messages_keep_their_origin(records in prop::collection::vec((0u32..3, prop_oneof![0u64..20, Just(1u64 << 40)]), 1..100), chosen in prop::collection::btree_set(0u32..100, 0..50)) {
            let (mut all, mut selected) = (Provenance::default(), Provenance::default());
            records.iter().for_each(|(partition, number)| all.push(PartitionId(*partition), *number));
            let chosen: Vec<u32> = chosen.into_iter().filter(|index| (*index as usize) < records.len()).collect();
            selected.extend_selected(&all, &chosen);
            let expected: Vec<_> = chosen.iter().map(|index| all.get(*index as usize)).collect();
            let read: Vec<_> = (0..selected.len()).map(|index| selected.get(index)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn messages_selected_from_one_run_keep_their_origin(before in prop::collection::vec((0u32..2, 0u64..9), 0..6), first in 1u64..1000, chosen in prop::collection::btree_set(0u32..50, 0..50)) {
            let (mut all, mut selected) = (Provenance::default(), Provenance::default());
            let mut expected = Vec::new();
            for (partition, number) in before {
                selected.push(PartitionId(partition), number);
                expected.push((PartitionId(partition), number));
            }
            all.push_range(PartitionId(1), first, 50);
            let chosen: Vec<u32> = chosen.into_iter().collect();
            selected.extend_selected(&all, &chosen);
            expected.extend(chosen.iter().map(|index| all.get(*index as usize)));
            let read: Vec<_> = (0..selected.len()).map(|index| selected.get(index)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_range_is_the_same_as_its_records(ranges in prop::collection::vec((0u32..2, 0u64..50, 0usize..9), 0..40)) {
            let (mut whole, mut single) = (Provenance::default(), Provenance::default());
            for (partition, first, count) in ranges {
                whole.push_range(PartitionId(partition), first, count);
                (0..count as u64).for_each(|index| single.push(PartitionId(partition), first + index));
            }
            prop_assert_eq!(whole.len(), single.len());
            for index in 0..whole.len() {
                prop_assert_eq!(whole.get(index), single.get(index));
            }
        }
    }
}
