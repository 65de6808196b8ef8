//! The subject of `json/…`.

use std::path::Path;

use wallaroo::{App, Options, State, file, source};

use crate::json::{Quote, Side, Symbol};
use crate::workload::{PerWorker, Stock, Tally};

/// Wallaroo with one worker, from opening the file to the end of the application.
pub(super) fn subject<S: Symbol>() -> Option<Side> {
    Some(run::<S>)
}

fn run<S: Symbol>(path: &Path) -> Tally {
    let tallies = PerWorker::new(Tally::default, Tally::add);
    let stocks = State::<Stock>::new("stocks");
    let quotes = source("quotes", file(path).json::<Quote<S>>());
    let pipeline = S::key_by(quotes)
        .to_state(&stocks, |stock: &mut Stock, quote: &Quote<S>| {
            Some(stock.on_price(quote.ts, quote.price))
        })
        .to_sink("tally", tallies.handle());
    let run = App::new("bench").add(pipeline).run(Options::default());
    run.expect("the application runs to its end");
    tallies
        .take()
        .into_iter()
        .fold(Tally::default(), Tally::merge)
}
