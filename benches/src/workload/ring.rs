//! Input in memory: a ring of records that is read several times.
//!
//! The warm-up is as many records as the ring has: it creates the state objects and fills the caches. When the readers
//! have delivered so many, whichever did, the stopwatch restarts. (Not when each reader has passed its first lap: the
//! readers of an exchange drift far apart when one worker owns a hot key.)
//!
//! **Invariants**: all readers of a ring together deliver every record of it exactly [`Ring::laps`] + 1 times; the
//! records of one reader come in the order of the ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::Stopwatch;
use crate::workload::keys::Random;
use crate::workload::{Keys, Message};

/// Records in memory, and how often they are read.
#[derive(Clone, Debug)]
pub(crate) struct Ring<M> {
    records: Arc<[M]>,
    laps: usize,
}

/// One partition of a ring, read once from its beginning to its end; may move to another thread.
#[derive(Debug)]
pub(crate) struct RingReader<M> {
    records: Arc<[M]>,
    start: usize,
    end: usize,
    position: usize,
    laps_left: usize,
    progress: Arc<Progress>,
}

/// What the readers of one run share; touched once per batch.
#[derive(Debug)]
struct Progress {
    delivered_records: AtomicU64,
    warm_up_records: u64,
    stopwatch: Arc<Stopwatch>,
}

impl<M: Message> Ring<M> {
    /// A ring of `length` records, read `laps` times after the warm-up.
    pub(crate) fn new(keys: Keys, length: usize, laps: usize) -> Self {
        let mut random = Random::default();
        let records = (0..)
            .zip(keys.ranks().take(length))
            .map(|(ts, rank)| M::new(ts, 100.0 + random.next_fraction(), rank));
        Self {
            records: records.collect(),
            laps,
        }
    }

    /// Records that a run reads, warm-up included.
    pub(crate) fn records_per_run(&self) -> u64 {
        (self.records.len() * (self.laps + 1)) as u64
    }

    /// `count` readers, each with its own part of the ring.
    pub(crate) fn readers(&self, count: usize, stopwatch: &Arc<Stopwatch>) -> Vec<RingReader<M>> {
        let progress = Arc::new(Progress {
            delivered_records: AtomicU64::new(0),
            warm_up_records: self.records.len() as u64,
            stopwatch: Arc::clone(stopwatch),
        });
        let boundary = |part: usize| self.records.len() * part / count;
        (0..count)
            .map(|part| RingReader {
                records: Arc::clone(&self.records),
                start: boundary(part),
                end: boundary(part + 1),
                position: boundary(part),
                laps_left: self.laps,
                progress: Arc::clone(&progress),
            })
            .collect()
    }
}

impl<M: Message> RingReader<M> {
    /// Appends up to `limit` records to `batch` and returns how many; 0 means the end.
    ///
    /// A call that returns fewer than `limit` is not the end, it is the end of a lap.
    #[inline]
    pub(crate) fn fill(&mut self, batch: &mut Vec<M>, limit: usize) -> usize {
        if self.position == self.end && !self.next_lap() {
            return 0;
        }
        let end = self.end.min(self.position + limit);
        let records = &self.records[self.position..end];
        batch.extend_from_slice(records);
        self.position = end;
        self.progress.deliver(records.len() as u64);
        records.len()
    }

    fn next_lap(&mut self) -> bool {
        if self.laps_left == 0 {
            return false;
        }
        self.laps_left -= 1;
        self.position = self.start;
        true
    }
}

impl Progress {
    #[inline]
    fn deliver(&self, records: u64) {
        let before = self.delivered_records.fetch_add(records, Ordering::Relaxed);
        let delivered = before + records;
        if before < self.warm_up_records && delivered >= self.warm_up_records {
            self.stopwatch.restart(delivered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Rec;

    #[test]
    fn readers_share_the_ring_and_read_it_once_more_than_the_laps() {
        let ring = Ring::<Rec>::new(Keys::uniform(10), 101, 2);
        let mut seen = vec![0; 101];
        for mut reader in ring.readers(2, &Arc::new(Stopwatch::start())) {
            let mut batch = Vec::new();
            while reader.fill(&mut batch, 7) > 0 {}
            batch
                .iter()
                .for_each(|record| seen[usize::try_from(record.ts).expect("small")] += 1);
        }
        assert_eq!(seen, [3; 101]);
        assert_eq!(ring.records_per_run(), 303);
    }
}
