//! When records arrive.

use std::hint;
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use crate::raw;
use crate::workload::{Keys, Message as _, Rec};

/// Records arrive together at the ticks of a fixed clock, as they do in packets. 100 µs: long enough for all threads
/// to fall asleep in between, which is the hard case.
const TICK: Duration = Duration::from_micros(100);
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);

/// Arrivals at a fixed rate, warm-up first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    records_per_tick: u32,
    /// All times of the run count from here.
    start: Instant,
    spins: bool,
}

impl Schedule {
    /// A schedule that begins a moment from now; `per_second` is a multiple of 10,000.
    ///
    /// The generator spins between ticks where it has a core that no worker needs. Elsewhere it sleeps, and waking it
    /// takes longer than the work of either side (median 30 µs of 40 µs on a virtual machine).
    pub(crate) fn new(per_second: u32, workers: usize) -> Self {
        let ticks_per_second = 10_000;
        assert_eq!(
            per_second % ticks_per_second,
            0,
            "a tick has a whole number of records"
        );
        // Time for the side to start its threads.
        let start = Instant::now() + Duration::from_millis(100);
        Self {
            records_per_tick: per_second / ticks_per_second,
            start,
            spins: thread::available_parallelism().map_or(1, NonZeroUsize::get) > workers,
        }
    }

    /// Calls `send` with each record when it is due, on this thread; `ts` is its scheduled arrival in nanoseconds.
    ///
    /// Returns after the last one. Records that are overdue are sent at once.
    pub(crate) fn run(self, mut send: impl FnMut(Rec)) {
        raw::wake_up_precisely();
        let mut ranks = Keys::uniform(10_000).ranks();
        for tick in 0..ticks(WARM_UP + MEASURED) {
            let due = TICK * tick;
            self.wait_until(self.start + due);
            for rank in ranks.by_ref().take(self.records_per_tick as usize) {
                let ts = u64::try_from(due.as_nanos()).expect("a few seconds");
                send(Rec::new(ts, 100.0 + f64::from(rank), rank));
            }
        }
    }

    fn wait_until(self, due: Instant) {
        if self.spins {
            while Instant::now() < due {
                hint::spin_loop();
            }
        } else {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Nanoseconds since the start of the schedule, the time base of `ts`.
    pub(crate) fn now_ns(self) -> u64 {
        u64::try_from(
            Instant::now()
                .saturating_duration_since(self.start)
                .as_nanos(),
        )
        .expect("a few seconds")
    }

    /// The first `ts` after the warm-up.
    pub(crate) fn measured_from_ns() -> u64 {
        u64::try_from(WARM_UP.as_nanos()).expect("less than a second")
    }

    /// Records that are due after the warm-up.
    pub(crate) fn measured_records(self) -> u64 {
        u64::from(ticks(MEASURED)) * u64::from(self.records_per_tick)
    }
}

fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos() / TICK.as_nanos()).expect("a few seconds")
}
