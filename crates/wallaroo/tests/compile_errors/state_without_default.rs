//! A state object has no default.

use serde::{Deserialize, Serialize};
use wallaroo::{State, iter, source};

#[derive(Serialize, Deserialize)]
struct Stock {
    high: f64,
}

impl Stock {
    fn on_price(&mut self, price: &f64) -> Option<f64> {
        self.high = self.high.max(*price);
        Some(self.high)
    }
}

fn main() {
    let stocks = State::<Stock>::new("stocks");
    source("prices", iter([1.0])).collect().to_state(&stocks, Stock::on_price).end();
}
