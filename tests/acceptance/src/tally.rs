//! Counts what arrives: each number of a range is expected a certain number of times.
//!
//! **Invariants.** Takes one byte per number, so that it does not disturb measurements of memory.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What has arrived. Clones are one tally.
#[derive(Clone, Debug)]
pub struct Tally {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    per_number: Vec<u8>,
    expected: u8,
    total: u64,
    unknown: u64,
    last: Option<usize>,
    out_of_order: u64,
}

/// The result of a tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// Numbers that arrived as often as they should.
    pub right: u64,
    /// Numbers that arrived less often, or never.
    pub lost: u64,
    /// Numbers that arrived more often.
    pub doubled: u64,
    /// Messages that nobody has sent.
    pub unknown: u64,
    /// Numbers that came after a larger one.
    pub out_of_order: u64,
}

impl Tally {
    /// Expects each number below `numbers` once.
    #[must_use]
    pub fn once(numbers: usize) -> Self {
        Tally::times(numbers, 1)
    }

    /// Expects each number below `numbers` as often as `expected` says.
    #[must_use]
    pub fn times(numbers: usize, expected: u8) -> Self {
        Tally {
            counts: Arc::new(Mutex::new(Counts {
                per_number: vec![0; numbers],
                expected,
                total: 0,
                unknown: 0,
                last: None,
                out_of_order: 0,
            })),
        }
    }

    /// Counts a number.
    pub fn add(&self, number: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total += 1;
        counts.out_of_order += u64::from(counts.last.is_some_and(|last| last > number));
        counts.last = Some(number);
        match counts.per_number.get_mut(number) {
            Some(count) => *count = count.saturating_add(1),
            None => counts.unknown += 1,
        }
    }

    /// Number of messages so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrived(&self) -> Arrived {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let number_of = |is: &dyn Fn(u8) -> bool| {
            counts.per_number.iter().filter(|count| is(**count)).count() as u64
        };
        Arrived {
            right: number_of(&|count| count == counts.expected),
            lost: number_of(&|count| count < counts.expected),
            doubled: number_of(&|count| count > counts.expected),
            unknown: counts.unknown,
            out_of_order: counts.out_of_order,
        }
    }
}

impl Arrived {
    /// All of `numbers` arrived as they should, in order.
    #[must_use]
    pub fn all(numbers: usize) -> Self {
        Arrived {
            right: numbers as u64,
            ..Arrived::default()
        }
    }
}
