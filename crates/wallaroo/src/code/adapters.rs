//! Sources and sinks as the engine calls them.
//!
//! **Invariants.** Buffers go back and forth between engine and connector without being copied.

use std::any::TypeId;
use std::marker::PhantomData;

use wallaroo_core::messages::downcast_mut;
use wallaroo_core::source::{Intake, Lag, Position, Read, Stop};
use wallaroo_core::{
    ConnectorError, Messages, PartitionId, Publisher, Reader, Rows, Sink, Source, Waker, Write,
    Writer,
};
use wallaroo_engine::host::{
    Checkpointed, ErasedReader, ErasedSink, ErasedSource, ErasedWriter, Kept, Room, SourceBatch,
};

use crate::durable::{SourceDurability, SourceLog};
use crate::message::Message;

/// A source of messages of type `T`.
pub(crate) struct SourceOf<T, C> {
    connector: C,
    /// The partitions that the connector itself has.
    partitions: Vec<String>,
    durability: SourceDurability,
    messages: PhantomData<fn() -> T>,
}

impl<T, C> SourceOf<T, C> {
    /// The source, which learns by `durability` whether the application has a store.
    pub(crate) fn new(connector: C, durability: SourceDurability) -> Self {
        SourceOf {
            connector,
            partitions: Vec::new(),
            durability,
            messages: PhantomData,
        }
    }
}

impl<T: Message, C: Source<T>> SourceOf<T, C> {
    /// The log of the source, if it needs one and the application has a store.
    fn log(&self) -> Option<&SourceLog> {
        self.durability.get().filter(|_| !self.connector.replays())
    }
}

impl<T: Message, C: Source<T>> ErasedSource for SourceOf<T, C> {
    fn partitions(&mut self, workers: usize) -> Result<Vec<String>, ConnectorError> {
        self.partitions = self.connector.partitions(workers)?;
        let mut partitions = self.partitions.clone();
        let logged = self.log().map(SourceLog::partitions).unwrap_or_default();
        let left = logged
            .into_iter()
            .filter(|name| !self.partitions.contains(name));
        partitions.extend(left);
        Ok(partitions)
    }

    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn ErasedReader>, ConnectorError> {
        let reader: Box<dyn Reader<T>> = match self.log() {
            None => self.connector.open(partition, from, waker)?,
            Some(log) => {
                let log = log.clone();
                let is_own = self.partitions.iter().any(|own| own == partition);
                let reader = is_own.then(|| self.connector.open(partition, None, waker));
                log.reader(partition, from, reader.transpose()?, waker)?
            }
        };
        Ok(Box::new(ReaderOf {
            reader,
            intake: Intake::new(PartitionId(0), 1, 0, 0),
        }))
    }

    fn reopens(&self) -> bool {
        // A logged reader goes back in place; one that is lost has taken with it what came from outside.
        self.log().is_none() && self.connector.replays() && self.connector.reopens()
    }

    fn address(&self) -> Option<String> {
        self.connector.address()
    }

    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        self.connector.redirect(address)
    }

    fn empty(&self) -> Box<dyn Messages> {
        Box::new(Vec::<T>::new())
    }
}

struct ReaderOf<T> {
    reader: Box<dyn Reader<T>>,
    intake: Intake<T>,
}

impl<T: Send + 'static> ErasedReader for ReaderOf<T> {
    fn read(&mut self, room: Room, batch: &mut SourceBatch) -> Result<(Read, u64), ConnectorError> {
        let messages = downcast_mut::<Vec<T>>(batch.messages.as_mut());
        batch.provenance.clear();
        self.intake
            .begin(room.partition, room.next_number, room.messages, room.bytes);
        self.intake.reuse(
            std::mem::take(messages),
            std::mem::take(&mut batch.provenance),
        );
        let read = self.reader.read(&mut self.intake);
        let (taken, provenance, rejected, bytes) = self.intake.take();
        *messages = taken;
        batch.provenance = provenance;
        batch.rejected = rejected;
        batch.bytes = bytes;
        Ok((read?, self.intake.next_number()))
    }

    fn position(&self) -> Position {
        self.reader.position()
    }

    fn stop(&mut self) -> Stop {
        self.reader.stop()
    }

    fn lag(&self) -> Lag {
        self.reader.lag()
    }

    fn rewind(&mut self, from: Option<&Position>) -> Result<bool, ConnectorError> {
        self.reader.rewind(from)
    }
}

/// A sink of sequences of type `M`.
pub(crate) struct SinkOf<M> {
    sink: Box<dyn Sink<M>>,
    /// Whether its output is published by a publisher, and has no writer; who is told how much is kept then.
    staged: Option<Kept>,
}

impl<M> SinkOf<M> {
    pub(crate) fn new(sink: Box<dyn Sink<M>>) -> Self {
        SinkOf { sink, staged: None }
    }
}

impl<M: Messages> ErasedSink for SinkOf<M> {
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn ErasedWriter>, ConnectorError> {
        if let Some(kept) = &self.staged {
            return Ok(Box::new(Staged {
                rows: Rows::default(),
                kept: Kept::clone(kept),
            }));
        }
        Ok(Box::new(WriterOf {
            writer: self.sink.open(waker)?,
        }))
    }

    fn publisher(&mut self, kept: &Kept) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        if TypeId::of::<M>() != TypeId::of::<Rows>() {
            return Ok(None);
        }
        let publisher = self.sink.publisher()?;
        self.staged = publisher.is_some().then(|| Kept::clone(kept));
        Ok(publisher)
    }

    fn claim(&mut self) -> Result<(), ConnectorError> {
        self.sink.claim()
    }

    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        self.sink.resume(from)
    }

    fn address(&self) -> Option<String> {
        self.sink.address()
    }

    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        self.sink.redirect(address)
    }

    fn per_worker(&self) -> bool {
        self.staged.is_none() && self.sink.per_worker()
    }
}

struct WriterOf<M> {
    writer: Box<dyn Writer<M>>,
}

impl<M: Messages> ErasedWriter for WriterOf<M> {
    fn write(&mut self, messages: &mut dyn Messages) -> Result<Write, ConnectorError> {
        self.writer.write(downcast_mut::<M>(messages))
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        self.writer.flush()
    }

    fn end(&mut self) {
        self.writer.end();
    }

    fn checkpoint(&mut self) -> Result<Checkpointed, ConnectorError> {
        Ok(Checkpointed {
            rows: Rows::default(),
            position: self.writer.checkpoint()?,
        })
    }
}

/// Keeps the rows of an epoch for its publisher.
struct Staged {
    rows: Rows,
    kept: Kept,
}

impl ErasedWriter for Staged {
    fn write(&mut self, messages: &mut dyn Messages) -> Result<Write, ConnectorError> {
        let before = self.rows.memory_bytes();
        self.rows.append(downcast_mut::<Rows>(messages));
        (self.kept)(self.rows.memory_bytes().saturating_sub(before));
        Ok(Write::Done)
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        Ok(Write::Done)
    }

    fn end(&mut self) {}

    fn checkpoint(&mut self) -> Result<Checkpointed, ConnectorError> {
        Ok(Checkpointed {
            rows: std::mem::take(&mut self.rows),
            position: None,
        })
    }
}
