//! A collection is given as a source.

use wallaroo::source;

fn main() {
    source("numbers", vec![1u64, 2, 3]).end();
}
