//! Wall-clock and processor time of one run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::raw;

/// Measures from its last start; the readers of the input restart it when the warm-up has passed.
#[derive(Debug)]
pub(crate) struct Stopwatch(Mutex<Start>);

#[derive(Clone, Copy, Debug)]
struct Start {
    wall: Instant,
    cpu: Duration,
    /// Records that are not part of the measurement.
    passed_records: u64,
}

/// Time since the start of a [`Stopwatch`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed {
    pub(crate) wall: Duration,
    /// Of all threads of the process.
    pub(crate) cpu: Duration,
    passed_records: u64,
}

/// Nanoseconds per record of one run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
}

impl Stopwatch {
    /// A stopwatch that runs.
    pub(crate) fn start() -> Self {
        Self(Mutex::new(Start::now(0)))
    }

    /// Forgets the time so far, and `passed_records` of the records of the run.
    pub(crate) fn restart(&self, passed_records: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Start::now(passed_records);
    }

    /// Time since the last start.
    pub(crate) fn elapsed(&self) -> Elapsed {
        let now = Start::now(0);
        let start = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Elapsed {
            wall: now.wall - start.wall,
            cpu: now.cpu - start.cpu,
            passed_records: start.passed_records,
        }
    }
}

impl Elapsed {
    /// The cost of a record in a run of `records`, of which the passed ones do not count.
    pub(crate) fn per_record(self, records: u64) -> Cost {
        let measured = records.saturating_sub(self.passed_records);
        assert!(measured > 0, "a run must have records after its warm-up");
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 records")]
        let measured = measured as f64;
        Cost {
            cpu: self.cpu.as_secs_f64() * 1e9 / measured,
            wall: self.wall.as_secs_f64() * 1e9 / measured,
        }
    }
}

impl Start {
    fn now(passed_records: u64) -> Self {
        Self {
            wall: Instant::now(),
            cpu: raw::process_cpu_time(),
            passed_records,
        }
    }
}
