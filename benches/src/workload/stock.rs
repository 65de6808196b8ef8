//! The state object, its computation, and the check of its outputs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state object of one key.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    last: f64,
    min: f64,
    max: f64,
    count: u64,
    /// Exponentially weighted moving average.
    ewma: f64,
}

/// The output of one message; 32 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) ts: u64,
    pub(crate) count: u64,
    pub(crate) last: f64,
    pub(crate) ewma: f64,
}

impl Stock {
    /// The state computation.
    #[inline]
    pub(crate) fn on_price(&mut self, ts: u64, price: f64) -> Update {
        if self.count == 0 {
            *self = Self {
                last: price,
                min: price,
                max: price,
                count: 0,
                ewma: price,
            };
        }
        self.min = self.min.min(price);
        self.max = self.max.max(price);
        self.ewma = 0.9 * self.ewma + 0.1 * price;
        self.last = price;
        self.count += 1;
        Update {
            ts,
            count: self.count,
            last: self.last,
            ewma: self.ewma,
        }
    }
}

/// What a sink has seen: a count and two checksums over the outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    records: u64,
    /// Sum of counts and prices: the same however the records of a key are interleaved.
    any_order: u64,
    /// Sum of averages: depends on the order of the records of each key.
    key_order: u64,
}

impl Tally {
    /// Takes in the outputs of a batch; the order of outputs does not matter.
    #[inline]
    pub(crate) fn add(&mut self, updates: &[Update]) {
        for update in updates {
            self.any_order = self
                .any_order
                .wrapping_add(update.count)
                .wrapping_add(update.last.to_bits());
            self.key_order = self.key_order.wrapping_add(update.ewma.to_bits());
        }
        self.records += updates.len() as u64;
    }

    /// The tally of both sinks together.
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            any_order: self.any_order.wrapping_add(other.any_order),
            key_order: self.key_order.wrapping_add(other.key_order),
        }
    }

    /// Whether both come from the same records; `ordered` if also from the same order within each key.
    pub(crate) fn agrees(&self, other: &Self, ordered: bool) -> bool {
        (self.records, self.any_order) == (other.records, other.any_order)
            && (!ordered || self.key_order == other.key_order)
    }

    /// Outputs seen.
    #[cfg(test)]
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} records, {:016x}",
            self.records, self.any_order
        )
    }
}
