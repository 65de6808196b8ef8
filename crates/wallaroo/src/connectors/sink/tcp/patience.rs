//! How long to go on with a server that takes nothing.
//!
//! **Invariants.** Before the application is ending there is no limit. From then on each success begins the time anew.

use std::time::Duration;

use wallaroo_core::{Clock, SystemClock, Timestamp};

use super::WRITE_TIMEOUT;

/// The patience of one sink.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) clock: SystemClock,
    /// How long to go on.
    pub(super) time: Duration,
    /// Since when the server has taken nothing, while the application is ending.
    since: Option<Timestamp>,
}

impl Patience {
    pub(super) fn new(time: Duration) -> Self {
        Patience {
            clock: SystemClock::new(),
            time,
            since: None,
        }
    }

    /// The server has taken something.
    pub(super) fn renew(&mut self) {
        self.since = None;
    }

    /// Whether to go on. Time begins to count when it is asked for the first time with `is_ending`.
    pub(super) fn lasts(&mut self, is_ending: bool) -> bool {
        if !is_ending {
            return true;
        }
        let now = self.clock.now();
        let since = *self.since.get_or_insert(now);
        now.since(since) < self.time
    }

    /// What is left of it, where it counts.
    pub(super) fn left(&self) -> Duration {
        let gone = self.since.map(|since| self.clock.now().since(since));
        gone.map_or(Duration::MAX, |gone| self.time.saturating_sub(gone))
    }

    /// How long to wait for the server before looking again.
    pub(super) fn look_every(&self) -> Duration {
        // The system takes a timeout of zero for none.
        self.time.clamp(Duration::from_millis(10), WRITE_TIMEOUT)
    }
}
