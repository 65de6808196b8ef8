//! A state computation works on objects of another state.

use serde::{Deserialize, Serialize};
use wallaroo::{State, iter, source};

#[derive(Default, Serialize, Deserialize)]
struct Stock;

#[derive(Default, Serialize, Deserialize)]
struct Account;

impl Account {
    fn on_price(&mut self, price: &f64) -> Option<f64> {
        Some(*price)
    }
}

fn main() {
    let stocks = State::<Stock>::new("stocks");
    source("prices", iter([1.0])).collect().to_state(&stocks, Account::on_price).end();
}
