//! A sink takes messages of another type.

use wallaroo::{iter, memory, source};

fn main() {
    let texts = memory::<String>();
    let _ = source("prices", iter([1.0])).to_sink("out", texts);
}
