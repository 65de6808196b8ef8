//! The comparator: read a line, decode it, update a map.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crate::json::{Quote, Symbol};
use crate::workload::{PlainMap, Tally};

/// Bytes that one read asks for; larger ones were not faster.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads the whole file with one line buffer, and sums the outputs one by one.
pub(super) fn run<S: Symbol>(path: &Path) -> Tally {
    let file = File::open(path).expect("the file was written before");
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut stocks = PlainMap::<S::Key>::default();
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .expect("the file stays readable")
        > 0
    {
        let quote: Quote<S> = serde_json::from_slice(&line).expect("every line is a quote");
        let stock = quote.symbol.stock(&mut stocks);
        tally.add(&[stock.on_price(quote.ts, quote.price)]);
        line.clear();
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::file;
    use crate::workload::Keys;

    #[test]
    fn every_line_is_one_record_of_about_80_bytes() {
        let file = file::create::<String>(Keys::uniform(10), 1_000).expect("a small file");
        let bytes = file.path().metadata().expect("it exists").len();
        assert!((70_000..90_000).contains(&bytes), "{bytes}");
        assert_eq!(run::<String>(file.path()).records(), 1_000);
    }
}
