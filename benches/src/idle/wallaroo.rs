//! The subject of `idle/…`.

use std::any::Any;

use wallaroo::{App, Options, State, channel, source};

use crate::idle::Side;
use crate::workload::{Rec, Stock};

/// A running application with an open in-memory source that never delivers; stopped when the result is dropped.
pub(super) const SUBJECT: Option<Side> = Some(start);

fn start(workers: usize) -> Box<dyn Any> {
    let (sender, records) = channel::<Rec>(1024);
    let stocks = State::<Stock>::new("stocks");
    let pipeline = source("records", records)
        .key_by(|record| &record.key)
        .to_state(&stocks, |stock: &mut Stock, record: &Rec| {
            stock.on_price(record.ts, record.price);
        })
        .end();
    let running = App::new("bench")
        .add(pipeline)
        .start(Options::with_workers(workers))
        .expect("the application starts");
    Box::new((running, sender))
}
