//! What the sources of one worker have read and not yet seen through: their credit.
//!
//! Bytes are noted under the time at which they were sent. They are paid back when the frontier at the end of
//! the dataflow has passed that time.
//!
//! **Invariants.** Times are noted in ascending order. One batch may always be read when nothing is
//! outstanding, however large it is.

use std::collections::VecDeque;

use crate::control::Time;

/// The credit account of one worker.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Outstanding bytes by the time they were sent at.
    entries: VecDeque<(Time, usize)>,
    outstanding: usize,
}

impl Ledger {
    pub(crate) fn spend(&mut self, time: Time, bytes: usize) {
        self.outstanding += bytes;
        match self.entries.back_mut() {
            Some((last, noted)) if *last == time => *noted += bytes,
            _ => self.entries.push_back((time, bytes)),
        }
    }

    /// Pays back what was sent at times that have passed; says whether there was any.
    pub(crate) fn pay_back(&mut self, has_passed: impl Fn(Time) -> bool) -> bool {
        let before = self.entries.len();
        while let Some((time, bytes)) = self.entries.front()
            && has_passed(*time)
        {
            self.outstanding -= bytes;
            self.entries.pop_front();
        }
        self.entries.len() < before
    }

    /// Outstanding bytes.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Outstanding bytes sent at `time`.
    pub(crate) fn sent_at(&self, time: Time) -> usize {
        self.entries
            .back()
            .filter(|(last, _)| *last == time)
            .map_or(0, |(_, bytes)| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_paid_back_when_their_time_has_passed() {
        let mut ledger = Ledger::default();
        ledger.spend(1, 10);
        ledger.spend(1, 5);
        ledger.spend(3, 7);
        assert_eq!((ledger.outstanding(), ledger.sent_at(3)), (22, 7));
        assert!(ledger.pay_back(|time| time < 3));
        assert_eq!(ledger.outstanding(), 7);
        assert!(!ledger.pay_back(|time| time < 3));
    }
}
