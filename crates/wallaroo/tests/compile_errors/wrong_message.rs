//! A computation takes messages of another type.

use wallaroo::{iter, source};

fn length(text: &String) -> Option<usize> {
    Some(text.len())
}

fn main() {
    source("prices", iter([1.0])).to(length).end();
}
