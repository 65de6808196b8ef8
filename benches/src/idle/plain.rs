//! The comparator: threads that wait for a channel.

use std::any::Any;
use std::thread;

use crossbeam_channel::{Sender, bounded};

use crate::workload::Rec;

/// Starts `workers` threads; they end when the result is dropped.
pub(super) fn start(workers: usize) -> Box<dyn Any> {
    let inputs: Vec<Sender<Rec>> = (0..workers)
        .map(|_| {
            let (input, inbox) = bounded::<Rec>(1024);
            thread::spawn(move || inbox.iter().count());
            input
        })
        .collect();
    Box::new(inputs)
}
