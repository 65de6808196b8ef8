//! The message type of a source lacks serde's derives.

use wallaroo::{iter, source};

struct Tick {
    price: f64,
}

fn main() {
    source("ticks", iter([Tick { price: 1.0 }])).end();
}
