//! The subject of `memory/…`.

use std::any::Any;
use std::time::Duration;

use wallaroo::{App, Options, State, channel, memory, source};

use crate::memory::Side;
use crate::workload::{Message as _, Stock, Tick};

/// A running application with one worker that has received one `Tick` per object and has processed all of them.
pub(super) const SUBJECT: Option<Side> = Some(create);

fn create(objects: u32) -> Box<dyn Any> {
    let (sender, ticks) = channel::<Tick>(1024);
    let last = memory::<u64>();
    let stocks = State::<Stock>::new("stocks");
    let end = u64::from(objects) - 1;
    let pipeline = source("ticks", ticks)
        .key_by(|tick| &tick.symbol)
        .to_state(&stocks, move |stock: &mut Stock, tick: &Tick| {
            stock.on_price(tick.ts, tick.price);
            (tick.ts == end).then_some(tick.ts)
        })
        .to_sink("last", last.clone());
    let running = App::new("bench")
        .add(pipeline)
        .start(Options::default())
        .expect("the application starts");
    for rank in 0..objects {
        let tick = Tick::new(u64::from(rank), f64::from(rank), rank);
        sender.send(tick).expect("the application takes ticks");
    }
    assert!(
        last.wait_for(1, Duration::from_secs(60)),
        "all ticks are processed"
    );
    Box::new((running, sender))
}
