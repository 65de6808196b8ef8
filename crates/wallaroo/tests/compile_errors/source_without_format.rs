//! A source of bytes has no format.

use wallaroo::{file, source};

fn main() {
    source("lines", file("lines.txt")).end();
}
