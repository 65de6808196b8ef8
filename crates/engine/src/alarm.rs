//! When an operator is to be called again without news.
//!
//! **Invariants.** Of alarms that are set for the same time or later while one is pending, none is started: timers
//! cannot be taken back, and an operator that is woken often would gather them.

use std::time::Duration;

use wallaroo_core::Timestamp;

/// The earliest alarm that is pending.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    pending: Option<Timestamp>,
}

impl Alarm {
    /// Wants a call at `due`. Says after which time a timer has to ring for that, if none does already.
    pub(crate) fn set(&mut self, now: Timestamp, due: Timestamp) -> Option<Duration> {
        if self
            .pending
            .is_some_and(|pending| pending > now && pending <= due)
        {
            return None;
        }
        self.pending = Some(due);
        Some(due.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times and what is wanted at them, with what is to be started.
    fn check(steps: &[(u64, u64, Option<u64>)]) {
        let mut alarm = Alarm::default();
        for (now, due, expected) in steps {
            let started = alarm.set(Timestamp(*now), Timestamp(*due));
            assert_eq!(
                started,
                expected.map(Duration::from_nanos),
                "at {now} for {due}"
            );
        }
    }

    #[test]
    fn a_pending_alarm_is_not_started_again() {
        check(&[
            (0, 50, Some(50)),
            (1, 50, None),
            (49, 50, None),
            (49, 90, None),
        ]);
    }

    #[test]
    fn an_earlier_alarm_is_started() {
        check(&[(0, 50, Some(50)), (1, 20, Some(19)), (2, 50, None)]);
    }

    #[test]
    fn an_alarm_that_has_rung_is_started_again() {
        check(&[(0, 50, Some(50)), (50, 100, Some(50)), (120, 100, Some(0))]);
    }
}
