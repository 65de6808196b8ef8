//! A sink of bytes has no format.

use wallaroo::{iter, source, stdout};

fn main() {
    let _ = source("prices", iter([1.0])).to_sink("out", stdout());
}
