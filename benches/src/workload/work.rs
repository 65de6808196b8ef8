//! User code of a given cost.

use std::hint::black_box;
use std::time::Duration;

use crate::raw;

/// A pure computation that takes a given time per call; no sleep, no clock, no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    rounds: u32,
}

impl Work {
    /// No computation at all.
    pub(crate) const NONE: Self = Self { rounds: 0 };

    /// A computation of about `cost` per call on this machine.
    pub(crate) fn calibrated(cost: Duration) -> Self {
        let mut work = Self { rounds: 100 };
        // The cost is not proportional to the rounds, as the first and the last ones overlap with what is around
        // the call; a few steps settle it.
        for _ in 0..4 {
            let factor = cost.as_secs_f64() / work.measured().as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small and positive"
            )]
            let rounds = (f64::from(work.rounds) * factor).round().max(1.0) as u32;
            work.rounds = rounds;
        }
        work
    }

    /// Computes; the result is thrown away where the compiler cannot see it.
    #[inline]
    pub(crate) fn perform(self, seed: u64) {
        if self.rounds == 0 {
            return;
        }
        // Four chains keep the multiplier busy, so that neighbouring calls have nothing to gain from overlapping.
        let mut values = [seed, seed + 1, seed + 2, seed + 3];
        for _ in 0..self.rounds {
            for value in &mut values {
                *value = (*value ^ (*value >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            }
        }
        black_box(values);
    }

    /// Processor time of one call, one after another; the fastest of several trials.
    fn measured(self) -> Duration {
        const CALLS: u32 = 20_000;
        let trial = |_| {
            let start = raw::thread_cpu_time();
            (0..CALLS).for_each(|call| self.perform(u64::from(call)));
            raw::thread_cpu_time() - start
        };
        (0..10).map(trial).min().expect("ten trials") / CALLS
    }
}
