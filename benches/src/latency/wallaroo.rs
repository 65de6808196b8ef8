//! The subject of `latency/…`.

use wallaroo::{App, Options, State, channel, source};

use crate::latency::Side;
use crate::latency::recorder::Recorder;
use crate::latency::schedule::Schedule;
use crate::workload::{PerWorker, Rec, Stock};

/// Wallaroo with as many workers as the second argument says, fed through an in-memory channel.
pub(super) const SUBJECT: Option<Side> = Some(run);

/// Records that wait for the source: as many as in the comparator.
const QUEUE_RECORDS: usize = 1 << 16;

fn run(schedule: Schedule, workers: usize) -> Recorder {
    let (sender, records) = channel::<Rec>(QUEUE_RECORDS);
    let recorders = PerWorker::new(
        move || Recorder::new(schedule),
        |recorder: &mut Recorder, updates| {
            updates.iter().for_each(|update| recorder.record(update.ts));
        },
    );
    let stocks = State::<Stock>::new("stocks");
    let pipeline = source("records", records)
        .key_by(|record| &record.key)
        .to_state(&stocks, |stock: &mut Stock, record: &Rec| {
            Some(stock.on_price(record.ts, record.price))
        })
        .to_sink("latency", recorders.handle());
    let running = App::new("bench")
        .add(pipeline)
        .start(Options::with_workers(workers))
        .expect("the application starts");
    schedule.run(|record| sender.send(record).expect("the application takes records"));
    sender.close();
    running.wait().expect("the application runs to its end");
    drop(running);
    let recorders = recorders.take().into_iter();
    recorders
        .reduce(Recorder::merge)
        .expect("every worker has a recorder")
}
