//! A stream is cloned whose messages are not `Clone`.

use serde::{Deserialize, Serialize};
use wallaroo::{iter, source};

#[derive(Serialize, Deserialize)]
struct Tick {
    price: f64,
}

fn main() {
    let ticks = source("ticks", iter([Tick { price: 1.0 }]));
    let one = ticks.clone().end();
    let two = ticks.end();
    drop((one, two));
}
