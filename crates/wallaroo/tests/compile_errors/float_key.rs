//! A key is a float.

use wallaroo::{iter, source};

fn main() {
    source("prices", iter([1.0])).key_by_value(|price: &f64| *price).end();
}
