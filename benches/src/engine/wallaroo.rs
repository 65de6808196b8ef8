//! The subject of `engine/…`.

use wallaroo::{
    App, ConnectorError, Intake, Options, Position, Read, Reader, Source, State, Waker, source,
};

use crate::engine::Side;
use crate::workload::{Message, PerWorker, RingReader, Stock, Tally, Work};

/// Wallaroo with one worker per reader; each reader is one partition of an in-memory source.
///
/// The sink has a writer on every worker, as each thread of the hand-written exchange has.
pub(super) fn subject<M: Message>() -> Option<Side<M>> {
    Some(run)
}

fn run<M: Message>(readers: Vec<RingReader<M>>, work: Work) -> Tally {
    let workers = readers.len();
    let tallies = PerWorker::new(Tally::default, Tally::add);
    let stocks = State::<Stock>::new("stocks");
    let keyed = M::key_by(source(
        "ring",
        Rings {
            readers: readers.into_iter().map(Some).collect(),
        },
    ));
    let pipeline = keyed
        .to_state(&stocks, move |stock: &mut Stock, message: &M| {
            work.perform(message.ts());
            Some(stock.on_price(message.ts(), message.price()))
        })
        .to_sink("tally", tallies.handle());
    App::new("bench")
        .add(pipeline)
        .run(Options::with_workers(workers))
        .expect("the application runs to its end");
    tallies
        .take()
        .into_iter()
        .fold(Tally::default(), Tally::merge)
}

struct Rings<M> {
    readers: Vec<Option<RingReader<M>>>,
}

impl<M: Message> Source<M> for Rings<M> {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok((0..self.readers.len())
            .map(|index| index.to_string())
            .collect())
    }

    fn open(
        &mut self,
        partition: &str,
        _from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<M>>, ConnectorError> {
        let index: usize = partition.parse().expect("our own partition name");
        let reader = self.readers[index]
            .take()
            .expect("each partition is opened once");
        Ok(Box::new(Part { reader, taken: 0 }))
    }
}

struct Part<M> {
    reader: RingReader<M>,
    taken: u64,
}

impl<M: Message> Reader<M> for Part<M> {
    fn read(&mut self, intake: &mut Intake<M>) -> Result<Read, ConnectorError> {
        let room = intake.room();
        let count = intake.fill_with(|messages| self.reader.fill(messages, room));
        self.taken += count as u64;
        Ok(if count == 0 { Read::End } else { Read::More })
    }

    fn position(&self) -> Position {
        Position::of(self.taken)
    }
}
