//! What a sink has measured.

use std::fmt;

use hdrhistogram::Histogram;

use crate::latency::schedule::Schedule;

/// Latencies of the records after the warm-up.
pub(crate) struct Recorder {
    schedule: Schedule,
    /// Nanoseconds, to three digits.
    histogram: Histogram<u64>,
}

impl Recorder {
    /// A recorder of one sink.
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            histogram: Histogram::new(3).expect("three digits are possible"),
        }
    }

    /// Records that the record that was due at `ts` is there.
    pub(crate) fn record(&mut self, ts: u64) {
        if ts >= Schedule::measured_from_ns() {
            let latency = self.schedule.now_ns().saturating_sub(ts);
            self.histogram.record(latency).expect("the histogram grows");
        }
    }

    /// Takes in what the sink of another worker has measured.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.histogram
            .add(other.histogram)
            .expect("the histogram grows");
        self
    }

    /// Records after the warm-up.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that a share of `quantile` does not exceed, in microseconds.
    pub(crate) fn us_at(&self, quantile: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds in nanoseconds are below 2^52"
        )]
        let ns = self.histogram.value_at_quantile(quantile) as f64;
        ns / 1e3
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recorder")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
