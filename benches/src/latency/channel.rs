//! The comparator: a channel, a map, and a sink in the same thread.
//!
//! With two workers the generator hashes the key and sends to the owner at once, which is the shortest way a
//! hand-written program has.

use std::thread;

use crossbeam_channel::{Receiver, bounded};

use crate::latency::recorder::Recorder;
use crate::latency::schedule::Schedule;
use crate::workload::{Message as _, PlainMap, Rec};

/// Records that wait for a worker: more than half a second of the highest rate.
const QUEUE_RECORDS: usize = 1 << 16;

/// Starts the workers, sends the schedule, and collects what the sinks have measured.
pub(super) fn run(schedule: Schedule, workers: usize) -> Recorder {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| bounded(QUEUE_RECORDS)).unzip();
    thread::scope(|scope| {
        let spawn = |inbox: Receiver<Rec>| scope.spawn(move || work(&inbox, schedule));
        let threads: Vec<_> = receivers.into_iter().map(spawn).collect();
        schedule.run(|record| {
            senders[record.owner(workers)]
                .send(record)
                .expect("workers live until the end")
        });
        drop(senders);
        let recorders = threads
            .into_iter()
            .map(|thread| thread.join().expect("the comparator does not panic"));
        recorders
            .reduce(Recorder::merge)
            .expect("at least one worker")
    })
}

fn work(inbox: &Receiver<Rec>, schedule: Schedule) -> Recorder {
    let mut stocks = PlainMap::default();
    let mut recorder = Recorder::new(schedule);
    for record in inbox {
        let update = record.stock(&mut stocks).on_price(record.ts, record.price);
        recorder.record(update.ts);
    }
    recorder
}
