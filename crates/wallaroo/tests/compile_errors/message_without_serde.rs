//! A message type lacks serde's derives.

use wallaroo::{iter, source};

struct Tick {
    price: f64,
}

fn double(price: &f64) -> Option<Tick> {
    Some(Tick { price: 2.0 * price })
}

fn main() {
    source("prices", iter([1.0])).to(double).end();
}
