//! A state computation with a context returns a bare value instead of an `Option`.

use serde::{Deserialize, Serialize};
use wallaroo::{Context, State, iter, source};

#[derive(Default, Serialize, Deserialize)]
struct Stock;

fn on_price(_: &mut Stock, price: &f64, _: &mut Context<'_, f64>) -> f64 {
    *price
}

fn main() {
    let stocks = State::<Stock>::new("stocks");
    source("prices", iter([1.0])).collect().to_state_with(&stocks, on_price).end();
}
