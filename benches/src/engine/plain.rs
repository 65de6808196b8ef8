//! The comparator of one worker: a loop over batches and a hash map.

use crate::workload::{Message, PlainMap, RingReader, Tally, Work};

/// Records per batch; 24 KiB of bare records.
pub(super) const BATCH: usize = 1024;

/// Copies a batch in, updates the stocks, writes the outputs out, and sums them in a sink.
///
/// # Panics
/// If there is more than one reader.
pub(super) fn run<M: Message>(readers: Vec<RingReader<M>>, work: Work) -> Tally {
    let [mut reader]: [RingReader<M>; 1] =
        readers.try_into().expect("the plain loop has one input");
    let mut stocks = PlainMap::<M::Key>::default();
    let mut tally = Tally::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut outputs = Vec::with_capacity(BATCH);
    while reader.fill(&mut batch, BATCH) > 0 {
        outputs.extend(batch.iter().map(|message| {
            work.perform(message.ts());
            message
                .stock(&mut stocks)
                .on_price(message.ts(), message.price())
        }));
        tally.add(&outputs);
        batch.clear();
        outputs.clear();
    }
    tally
}
