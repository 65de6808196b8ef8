//! How long to wait between attempts.
//!
//! **Invariants.** The waits double from 100 ms to 5 s, and each is shortened by up to a half, so that many
//! clients of one server do not return at once. The shortening is a function of the address and process only.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    upcoming: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new(address: &str) -> Self {
        // FNV-1a of the address, which is all the spreading needs.
        let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(std::process::id());
        let random = address.bytes().fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Backoff {
            upcoming: FIRST,
            random: random | 1,
        }
    }

    /// Begins again with the shortest wait.
    pub(super) fn reset(&mut self) {
        self.upcoming = FIRST;
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        // xorshift64 (Marsaglia 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let wait = self.upcoming;
        self.upcoming = (wait * 2).min(LONGEST);
        wait - wait / 2 * u32::try_from(self.random % 1000).unwrap_or(0) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_begin_again() {
        let mut backoff = Backoff::new("127.0.0.1:7002");
        let within = |wait: Duration, longest_ms: u64| {
            let longest = Duration::from_millis(longest_ms);
            assert!(
                wait <= longest && wait >= longest / 2,
                "{wait:?} is not between half of {longest:?} and all of it"
            );
        };
        for longest_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            within(backoff.next(), longest_ms);
        }
        backoff.reset();
        within(backoff.next(), 100);
    }
}
