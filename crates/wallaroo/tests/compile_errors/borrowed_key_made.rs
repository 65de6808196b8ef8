//! A key is made by `key_by`, which only finds keys.

use wallaroo::{iter, source};

fn main() {
    source("numbers", iter(0u64..10)).key_by(|number: &u64| number % 3).end();
}
