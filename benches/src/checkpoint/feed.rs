//! The input: every object once, then records of a part of the objects, which moves.
//!
//! **Invariants.** A record is a function of its number, so that a process that goes on from a checkpoint reads what another
//! would have read. Nothing is read that was not granted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wallaroo::{ConnectorError, Intake, Position, Read, Reader, Source, Waker};

use crate::raw;
use crate::workload::{Message as _, Rec};

/// Which objects records are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// The first so many records are of one object each.
    pub(crate) objects: u32,
    /// Then all records of a window are of this many objects, chosen at random.
    pub(crate) dirty: u32,
    /// And a window is so long.
    pub(crate) records: u64,
}

impl Windows {
    /// The record of this number.
    #[inline]
    pub(crate) fn record(&self, number: u64) -> Rec {
        let (price, rank) = match number.checked_sub(u64::from(self.objects)) {
            None => (100.0, number),
            Some(later) => {
                let mixed = mixed(later);
                let within = ((mixed >> 32) * u64::from(self.dirty)) >> 32;
                let start = later / self.records * u64::from(self.dirty);
                let cents = f64::from(u8::try_from(mixed & 0xff).expect("eight bits"));
                (
                    100.0 + cents / 256.0,
                    (start + within) % u64::from(self.objects),
                )
            }
        };
        Rec::new(number, price, u32::try_from(rank).expect("below a u32"))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

/// How long the reader was not called although it had more: what everything else on its worker took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// Processor time of the worker.
    pub(crate) cpu: Duration,
    /// By the clock.
    pub(crate) wall: Duration,
}

/// Shorter pauses are not kept.
const SHORTEST: Duration = Duration::from_micros(50);

/// Grants records to the source of an application, and is told what it has read.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    windows: Windows,
    granted: AtomicU64,
    /// After so many records the source ends.
    end: u64,
    read: AtomicU64,
    waker: Mutex<Option<Waker>>,
    pauses: Option<Mutex<Vec<Pause>>>,
}

impl Feed {
    /// A feed that has granted nothing.
    pub(crate) fn new(windows: Windows, end: u64, with_pauses: bool) -> Self {
        Feed(Arc::new(Shared {
            windows,
            granted: AtomicU64::new(0),
            end,
            read: AtomicU64::new(0),
            waker: Mutex::default(),
            pauses: with_pauses.then(Mutex::default),
        }))
    }

    /// Lets the source read its first `records`.
    pub(crate) fn grant(&self, records: u64) {
        self.0.granted.store(records, Ordering::Release);
        if let Some(waker) = &*lock(&self.0.waker) {
            waker.wake();
        }
    }

    /// How many records have been read.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Acquire)
    }

    /// Takes the pauses since the last call.
    pub(crate) fn take_pauses(&self) -> Vec<Pause> {
        let pauses = self.0.pauses.as_ref();
        pauses.map_or_else(Vec::new, |pauses| std::mem::take(&mut lock(pauses)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source<Rec> for Feed {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["0".to_owned()])
    }

    fn open(
        &mut self,
        _partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<Rec>>, ConnectorError> {
        *lock(&self.0.waker) = Some(waker.clone());
        let at = from.map_or(Ok(0), Position::get)?;
        Ok(Box::new(FeedReader {
            shared: Arc::clone(&self.0),
            at,
            last: None,
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

struct FeedReader {
    shared: Arc<Shared>,
    at: u64,
    /// The end of the last call, by the thread's processor time and by the clock.
    last: Option<(Duration, Instant)>,
}

impl FeedReader {
    fn note_pause(&mut self) {
        let Some(pauses) = &self.shared.pauses else {
            return;
        };
        if let Some((cpu, wall)) = self.last {
            let pause = Pause {
                cpu: raw::thread_cpu_time().saturating_sub(cpu),
                wall: wall.elapsed(),
            };
            if pause.cpu.max(pause.wall) >= SHORTEST {
                lock(pauses).push(pause);
            }
        }
    }
}

impl Reader<Rec> for FeedReader {
    fn read(&mut self, intake: &mut Intake<Rec>) -> Result<Read, ConnectorError> {
        self.note_pause();
        let granted = self.shared.granted.load(Ordering::Acquire);
        let room = granted.saturating_sub(self.at).min(intake.room() as u64);
        let (from, to) = (self.at, self.at + room);
        let windows = self.shared.windows;
        intake.fill_with(|messages| {
            messages.extend((from..to).map(|number| windows.record(number)));
        });
        self.at = to;
        self.shared.read.store(to, Ordering::Release);
        if to >= self.shared.end {
            return Ok(Read::End);
        }
        if room == 0 {
            self.last = None;
            return Ok(Read::Idle);
        }
        if self.shared.pauses.is_some() {
            self.last = Some((raw::thread_cpu_time(), Instant::now()));
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_object_comes_first_and_then_those_of_the_window() {
        let windows = Windows {
            objects: 1000,
            dirty: 10,
            records: 500,
        };
        let keys = |numbers: std::ops::Range<u64>| {
            let keys = numbers.map(|number| windows.record(number).key);
            keys.collect::<HashSet<_>>()
        };
        assert_eq!(keys(0..1000).len(), 1000);
        let (first, second) = (keys(1000..1500), keys(1500..2000));
        assert_eq!((first.len(), second.len()), (10, 10));
        assert!(first.is_disjoint(&second));
        assert_eq!(windows.record(1234).key, windows.record(1234).key);
    }
}
