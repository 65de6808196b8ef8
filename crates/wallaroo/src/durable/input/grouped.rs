//! Reads a partition through a log in objects: what has been read is held until the object with it is there.
//!
//! **Invariants.** Portions are handed on in the order in which they were read, each when its group is durable. The position is that
//! of what has been handed on. At most [`HELD_BYTES`] and one portion are held.

use std::collections::VecDeque;
use std::sync::Arc;

use wallaroo_core::source::{Lag, Read, Stop, Taken};
use wallaroo_core::{ConnectorError, Intake, Position, Reader, Waker};
use wallaroo_store::input_log::{BlockBuilder, ObjectReplay};

use super::group::Shared;
use super::{Place, records};
use crate::message::Message;

#[cfg(test)]
mod tests;

/// What a partition may hold, in bytes of its log: 4 MiB, 20 MB/s at five objects in a second.
const HELD_BYTES: usize = 4 << 20;

/// Reads a partition through the log.
pub(super) struct GroupedReader<T> {
    log: Arc<Shared>,
    source: String,
    partition: String,
    waker: Waker,
    /// What is read first.
    replay: Option<ObjectReplay>,
    /// Absent for a partition of which only the log is left.
    reader: Option<Box<dyn Reader<T>>>,
    block: BlockBuilder,
    /// Behind what has been handed on.
    next: u64,
    /// What the reader had reached there.
    within: Position,
    held: VecDeque<Held<T>>,
    held_bytes: usize,
    /// Behind what has been read.
    read_to: u64,
    /// Nothing more is read.
    has_ended: bool,
}

struct Held<T> {
    taken: Taken<T>,
    read: Read,
    group: u64,
    next: u64,
    within: Position,
    bytes: usize,
}

impl<T: Message> GroupedReader<T> {
    pub(super) fn open(
        log: &Arc<Shared>,
        (source, partition): (&str, &str),
        next: u64,
        reader: Option<Box<dyn Reader<T>>>,
        waker: &Waker,
    ) -> Self {
        let within = reader
            .as_ref()
            .map_or_else(|| Position::of(0), |reader| reader.position());
        GroupedReader {
            replay: Some(log.log.replay(source, partition, next)),
            log: Arc::clone(log),
            source: source.to_owned(),
            partition: partition.to_owned(),
            waker: waker.clone(),
            reader,
            block: BlockBuilder::default(),
            next,
            within,
            held: VecDeque::new(),
            held_bytes: 0,
            read_to: next,
            has_ended: false,
        }
    }

    /// Gives one block of the log; false when it has been read to its end.
    fn replay(&mut self, intake: &mut Intake<T>) -> Result<bool, ConnectorError> {
        let Some(replay) = &mut self.replay else {
            return Ok(false);
        };
        let log = format!("input/ of {} {}", self.source, self.partition);
        let mut acknowledging = self
            .reader
            .as_mut()
            .and_then(|reader| reader.acknowledging());
        let found = replay
            .next(|entry| records::give(entry, &log, intake, &mut acknowledging))
            .map_err(records::Replaying::into_error)?;
        if !found {
            self.replay = None;
            if let Some(reader) = acknowledging {
                // What is in an object is durable.
                reader.begin();
            }
        }
        self.next = intake.next_number();
        self.read_to = self.next;
        if let Some(reader) = &self.reader {
            self.within = reader.position();
        }
        Ok(found)
    }

    /// Hands on what has waited longest, if it may be.
    fn release(&mut self, intake: &mut Intake<T>) -> Result<Option<Read>, ConnectorError> {
        let durable = self.log.durable()?;
        let Some(held) = self.held.pop_front_if(|held| held.group <= durable) else {
            return Ok(None);
        };
        intake.give_again(held.taken);
        (self.next, self.within) = (held.next, held.within);
        self.held_bytes -= held.bytes;
        self.log.released();
        Ok(Some(if self.held.is_empty() {
            super::after_waiting(held.read)
        } else {
            Read::More
        }))
    }

    /// Reads a portion and holds it.
    fn take(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        let Some(reader) = &mut self.reader else {
            self.has_ended = true;
            return Ok(self.at_rest(Read::End));
        };
        while intake.next_number() < self.read_to {
            intake.skip();
        }
        let read = reader.read(intake)?;
        records::write(&mut self.block, &self.source, intake, Some(reader))?;
        let has_news = intake.next_number() > self.read_to;
        self.read_to = intake.next_number();
        let last = self.held.back().map_or(0, |held| held.group);
        let (mut group, mut bytes) = (last, 0);
        let is_logged = self.block.first().is_some();
        if is_logged {
            bytes = self.block.finish(0, 0).len();
            let name = (self.source.as_str(), self.partition.as_str());
            group = self.log.add(name, &mut self.block, &self.waker);
            if let Some(reader) = reader.acknowledging() {
                let log = Arc::clone(&self.log);
                reader.logged(Arc::new(move || log.wait_for(group)));
            }
        }
        self.has_ended |= read == Read::End;
        let within = reader.position();
        let taken = intake.put_aside(self.next);
        if has_news {
            self.held_bytes += bytes;
            self.held.push_back(Held {
                taken,
                read,
                group,
                next: self.read_to,
                within,
                bytes,
            });
            if !is_logged {
                // Nobody wakes for it: it is handed on with what is before it, or at once.
                return Ok(Read::More);
            }
        }
        Ok(self.at_rest(read))
    }

    /// What to say when nothing is handed on.
    fn at_rest(&mut self, read: Read) -> Read {
        match (read, self.held.back_mut()) {
            (Read::End, Some(last)) => {
                last.read = Read::End;
                Read::Idle
            }
            (read, _) => read,
        }
    }
}

impl<T: Message> Reader<T> for GroupedReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        if self.replay(intake)? {
            return Ok(Read::More);
        }
        if let Some(read) = self.release(intake)? {
            return Ok(read);
        }
        if self.has_ended {
            return Ok(self.at_rest(Read::End));
        }
        if self.held_bytes >= HELD_BYTES {
            // Woken when the oldest is durable.
            return Ok(Read::Idle);
        }
        self.take(intake)
    }

    fn position(&self) -> Position {
        Position::of(Place {
            next: self.next,
            within: self.within.clone(),
        })
    }

    fn lag(&self) -> Lag {
        let reader = self.reader.as_ref();
        reader.map_or_else(Lag::default, |reader| reader.lag())
    }

    fn stop(&mut self) -> Stop {
        let stop = self
            .reader
            .as_mut()
            .map_or(Stop::Now, |reader| reader.stop());
        if stop == Stop::Now {
            self.has_ended = true;
        }
        if self.held.is_empty() && self.replay.is_none() {
            return stop;
        }
        Stop::AfterEnd
    }
}
