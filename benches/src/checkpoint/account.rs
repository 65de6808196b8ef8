//! The state object of these benchmarks: about 100 bytes when it is stored, key included.

use serde::{Deserialize, Serialize};

use crate::workload::{Stock, Update};

/// A stock, and more of what accounts have.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    stock: Stock,
    opened: u64,
    volume: f64,
}

impl Account {
    /// The state computation.
    #[inline]
    pub(crate) fn on_price(&mut self, ts: u64, price: f64) -> Update {
        if self.opened == 0 {
            self.opened = u64::MAX - ts;
        }
        self.volume += price;
        self.stock.on_price(ts, price)
    }
}
