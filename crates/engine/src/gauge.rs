//! [`Gauge`]: a quantity of the whole run that its parts add up to, such as the keys of a state over all workers.
//!
//! **Invariants.** A part that is gone adds nothing any more: no failure of its owner leaves something behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The sum of its parts. For people; nothing is decided by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<Sum>);

#[derive(Debug, Default)]
struct Sum {
    total: AtomicU64,
    /// How many parts know their value.
    known: AtomicU64,
}

impl Gauge {
    /// What all parts add up to that know their value; none if no part does.
    pub(crate) fn get(&self) -> Option<u64> {
        (self.0.known.load(Ordering::Relaxed) > 0).then(|| self.0.total.load(Ordering::Relaxed))
    }

    /// A new part, which does not know its value yet.
    pub(crate) fn part(&self) -> Part {
        Part {
            gauge: self.clone(),
            value: None,
        }
    }
}

/// One part of a gauge.
#[derive(Debug)]
pub(crate) struct Part {
    gauge: Gauge,
    value: Option<u64>,
}

impl Part {
    /// Writes to shared memory only if the value has changed.
    pub(crate) fn set(&mut self, value: Option<u64>) {
        if value == self.value {
            return;
        }
        let Gauge(sum) = &self.gauge;
        let change = value.unwrap_or(0).wrapping_sub(self.value.unwrap_or(0));
        sum.total.fetch_add(change, Ordering::Relaxed);
        match (self.value, value) {
            (None, Some(_)) => sum.known.fetch_add(1, Ordering::Relaxed),
            (Some(_), None) => sum.known.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.value = value;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_the_sum_of_the_parts_that_are_there() {
        let gauge = Gauge::default();
        let (mut first, mut second) = (gauge.part(), gauge.part());
        assert_eq!(gauge.get(), None);
        first.set(Some(7));
        second.set(Some(0));
        second.set(Some(5));
        first.set(Some(3));
        assert_eq!(gauge.get(), Some(8));
        second.set(None);
        assert_eq!(gauge.get(), Some(3));
        drop(first);
        assert_eq!(gauge.get(), None);
        second.set(Some(1));
        assert_eq!(gauge.get(), Some(1));
    }
}
