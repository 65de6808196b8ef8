//! What the tests of connectors share: a stand-in for the worker.
//!
//! **Invariants.** Every wait has an end, and ends by a wake-up, not by a sleep.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use wallaroo_core::{
    Code, ConnectorError, Intake, PartitionId, Position, Read, Reader, Source, Stop, Waker,
};

/// No wait of a test is longer; one that is, failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Reads one partition as the engine does.
pub(super) struct Worker<T> {
    pub(super) reader: Box<dyn Reader<T>>,
    woken: Receiver<()>,
    next_number: u64,
    room: usize,
    pub(super) messages: Vec<T>,
    pub(super) numbers: Vec<u64>,
    pub(super) rejected: Vec<(u64, Vec<u8>, Option<Code>, String)>,
}

/// A waker, and where its calls arrive.
pub(super) fn waker() -> (Waker, Receiver<()>) {
    let (wake, woken) = bounded(1);
    let wake = move || {
        // A wake-up that is waiting already is as good.
        let _ = wake.try_send(());
    };
    (Waker::new(wake), woken)
}

impl<T: 'static> Worker<T> {
    /// Opens the only partition of `source` at its start.
    pub(super) fn open(source: &mut impl Source<T>) -> Self {
        let partition = source.partitions(1).unwrap().remove(0);
        Worker::open_at(source, &partition, None)
    }

    /// Opens a partition. Behind a position, the engine knows the next number.
    pub(super) fn open_at(
        source: &mut impl Source<T>,
        partition: &str,
        from: Option<(&Position, u64)>,
    ) -> Self {
        let (waker, woken) = waker();
        let reader = source
            .open(partition, from.map(|(position, _)| position), &waker)
            .unwrap();
        Worker {
            reader,
            woken,
            next_number: from.map_or(1, |(_, number)| number),
            room: 1000,
            messages: Vec::new(),
            numbers: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// Reads at most `room` messages per call.
    pub(super) fn with_room(mut self, room: usize) -> Self {
        self.room = room;
        self
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// One call of the reader.
    pub(super) fn step(&mut self) -> Result<Read, ConnectorError> {
        let mut intake = Intake::new(PartitionId(0), self.next_number, self.room, usize::MAX);
        let read = self.reader.read(&mut intake);
        self.next_number = intake.next_number();
        let (messages, provenance, rejected, _) = intake.take();
        self.numbers
            .extend((0..messages.len()).map(|index| provenance.get(index).1));
        self.messages.extend(messages);
        self.rejected.extend(rejected.into_iter().map(|record| {
            (
                record.number,
                record.bytes,
                record.error.code(),
                record.error.to_string(),
            )
        }));
        read
    }

    /// Reads until `done`, and waits for wake-ups between.
    pub(super) fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let read = self.step().unwrap();
            if done(self) {
                return;
            }
            match read {
                Read::More => {}
                Read::Idle => self
                    .woken
                    .recv_timeout(PATIENCE)
                    .expect("the worker is woken in time"),
                Read::IdleFor(time) => {
                    let _ = self.woken.recv_timeout(time);
                }
                Read::End => panic!("the partition ended too early"),
            }
        }
    }

    /// Reads to the end of the partition.
    pub(super) fn run(mut self) -> Self {
        loop {
            match self.step().unwrap() {
                Read::More => {}
                Read::Idle => self
                    .woken
                    .recv_timeout(PATIENCE)
                    .expect("the worker is woken in time"),
                Read::IdleFor(time) => {
                    let _ = self.woken.recv_timeout(time);
                }
                Read::End => return self,
            }
        }
    }

    /// Stops the reader and reads what it had accepted.
    pub(super) fn stop(mut self) -> Self {
        match self.reader.stop() {
            Stop::Now => self,
            Stop::AfterEnd => self.run(),
        }
    }
}

/// Code and text of the error that is expected.
pub(super) fn refusal<V>(result: Result<V, ConnectorError>) -> (Code, String) {
    let error = result.err().expect("an error");
    (
        error.code().expect("the error has a code"),
        error.to_string(),
    )
}
