//! A computation returns a bare value instead of an `Option`.

use wallaroo::{iter, source};

fn double(price: &f64) -> f64 {
    2.0 * price
}

fn main() {
    source("prices", iter([1.0])).to(double).end();
}
