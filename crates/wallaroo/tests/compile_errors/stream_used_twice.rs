//! A stream is used twice without being cloned.

use wallaroo::{discard, iter, source};

fn main() {
    let prices = source("prices", iter([1.0]));
    let one = prices.to_sink("one", discard());
    let two = prices.to_sink("two", discard());
    drop((one, two));
}
