//! Time as the engine sees it.
//!
//! Everything that needs the time asks a [`Clock`], so that a simulation decides what time it is.
//!
//! **Invariants.** [`SystemClock`] is the only place in the project's libraries that reads the operating
//! system's clock. A clock never goes backwards within one process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time that has passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

/// Where the engine's time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Whether time is simulated: then nothing may wait for real time to pass.
    fn is_simulated(&self) -> bool;
}

/// The operating system's clock, made monotonic: the wall-clock time at creation plus the monotonic time since.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
    started_at: u64,
}

impl SystemClock {
    /// A clock that starts at the present wall-clock time.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn new() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        SystemClock {
            started: Instant::now(),
            started_at: nanos(wall),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.started_at + nanos(self.started.elapsed()))
    }

    fn is_simulated(&self) -> bool {
        false
    }
}

/// A clock that stands still until it is told otherwise. Clones share the time.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use wallaroo_core::{Clock, SimulatedClock, Timestamp};
///
/// let clock = SimulatedClock::starting_at(Timestamp(5));
/// clock.advance(Duration::from_nanos(7));
/// assert_eq!(clock.now(), Timestamp(12));
/// ```
#[derive(Debug, Clone, Default)]
pub struct SimulatedClock {
    now: Arc<AtomicU64>,
}

impl SimulatedClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        SimulatedClock {
            now: Arc::new(AtomicU64::new(start.0)),
        }
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(nanos(by), Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// Whole nanoseconds; saturates after 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
