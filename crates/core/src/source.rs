//! Where messages come from: the contract between a source connector and the engine.
//!
//! A [`Source`] has partitions; each partition is opened as a [`Reader`], owned by one worker. The reader
//! fills an [`Intake`] whenever it is asked to, and names its [`Position`] so that a later reader can
//! continue exactly there.
//!
//! **Invariants.** A reader is called by one thread at a time. `read` never waits: a reader without news
//! returns [`Read::Idle`] and wakes the worker later. A position stands for everything read so far and
//! nothing else; for a source that replays, a reader opened at a position returns exactly the records that
//! followed it, with the same record numbers.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

use crate::connector::{ConnectorError, Waker};
use crate::provenance::{PartitionId, Provenance};

/// A place in a source partition: everything before it has been read.
///
/// The value is the connector's own; it is stored as JSON, so that people can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(serde_json::Value);

impl Position {
    /// A position that holds `value`.
    ///
    /// # Panics
    /// When `value` has no JSON form (a map with keys that are not text).
    pub fn of(value: impl Serialize) -> Self {
        Position(serde_json::to_value(value).expect("a position has a JSON form"))
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// When the position was made by another kind of connector.
    pub fn get<V: DeserializeOwned>(&self) -> Result<V, ConnectorError> {
        serde_json::from_value(self.0.clone()).map_err(|error| {
            ConnectorError::new(format!("cannot use the stored position {}", self.0))
                .with_help("it belongs to another kind of source; start under another source name")
                .with_cause(error)
        })
    }
}

/// What a reader has to say after a call of [`Reader::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There may be more at once.
    More,
    /// Nothing more for the moment; the reader wakes the worker when there is.
    Idle,
    /// Nothing more for the moment; look again after this time.
    IdleFor(Duration),
    /// The partition has ended for good.
    End,
}

/// A kind of input: it lists its partitions and opens them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of messages of type `{T}`",
    label = "not a source",
    note = "file(path) and tcp_listener(address) read bytes: add .lines(), .json(), .csv() or .decode(…)",
    note = "a collection or an iterator becomes a source by iter(…)"
)]
pub trait Source<T>: Send + 'static {
    /// Names of the partitions; called once, before the first is opened.
    ///
    /// `workers` is the number of workers that will read: a source that can split its work freely
    /// (connections, generators) makes that many partitions.
    ///
    /// # Errors
    /// When the outside world is not as configured: the file is missing, the port is taken.
    fn partitions(&mut self, workers: usize) -> Result<Vec<String>, ConnectorError>;

    /// Opens a partition at its start, or behind `from`.
    ///
    /// # Errors
    /// When the partition cannot be read, or not from there.
    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError>;

    /// Whether a partition opened at an earlier position returns the same records again.
    fn replays(&self) -> bool {
        false
    }

    /// Whether [`Source::open`] may be called again for a partition whose reader has been dropped, in the same process: when
    /// a part of the application has failed, and it goes on from its last checkpoint. Default: as [`Source::replays`].
    fn reopens(&self) -> bool {
        self.replays()
    }

    /// Where it reads from, in the form that [`Source::redirect`] takes; none if it cannot be redirected.
    fn address(&self) -> Option<String> {
        None
    }

    /// Reads from `address` (a URL such as `tcp://127.0.0.1:7010`) instead, in the same format: what
    /// `--in NAME=ADDRESS` does.
    ///
    /// # Errors
    /// When the address is not understood, or this kind of source has no address.
    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        Err(
            ConnectorError::new(format!("cannot read from {address:?} instead"))
                .with_help("only sources of bytes (files, TCP) can be redirected")
                .with_code(crate::Code::Scheme),
        )
    }
}

/// Reads one partition.
pub trait Reader<T>: Send {
    /// Adds the records that are there, at most [`Intake::has_room`], without waiting.
    ///
    /// # Errors
    /// When the partition cannot be read any further. A single record that cannot be understood is not an
    /// error of the reader: it is handed to [`Intake::reject`].
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError>;

    /// The position behind everything read so far.
    fn position(&self) -> Position;

    /// Asks the partition to end: take nothing more from outside, return what has been accepted, then
    /// [`Read::End`]. The default suits readers that own no queue: the engine just stops asking.
    fn stop(&mut self) -> Stop {
        Stop::Now
    }

    /// Goes back to a position that this reader has named, or to the start, without giving up what it holds of the outside:
    /// when a part of the application has failed, and it goes on from its last checkpoint in the same process. False, the
    /// default: it cannot, is dropped, and the partition is opened again if [`Source::reopens`].
    ///
    /// # Errors
    /// When it cannot go back now; it is tried again.
    fn rewind(&mut self, from: Option<&Position>) -> Result<bool, ConnectorError> {
        let _ = from;
        Ok(false)
    }

    /// What is there and has not been read, as far as that can be told at once. It is asked after each read, and is shown
    /// to people. By default nothing is known.
    fn lag(&self) -> Lag {
        Lag::default()
    }

    /// The reader as one that tells its senders what is durable, if it is one.
    fn acknowledging(&mut self) -> Option<&mut dyn AcknowledgingReader> {
        None
    }
}

/// Brings everything that is in an input log to the disk, from any thread. After an error it is not tried again.
pub type LogSync = Arc<dyn Fn() -> Result<(), ConnectorError> + Send + Sync>;

/// What a reader has to know to tell its senders what is durable, and to recognize what they send again.
///
/// Its messages go through an input log. Beside them it keeps notes there, of what it has taken from whom.
pub trait AcknowledgingReader {
    /// Brings back what the position of an earlier run says; first, if there is one.
    ///
    /// # Errors
    /// When it is of another kind of source.
    fn recall_position(&mut self, position: &Position) -> Result<(), ConnectorError>;

    /// Brings back a note behind that position, in order.
    ///
    /// # Errors
    /// When it is of another kind of source.
    fn recall(&mut self, note: &[u8]) -> Result<(), ConnectorError>;

    /// Everything has been brought back, and is on the disk. Called before the first read.
    fn begin(&mut self);

    /// What is to be kept with what the last read took; nothing if it took nothing.
    fn note(&mut self) -> Option<Vec<u8>>;

    /// What the last read took is in the log, with its note: the position of the reader includes it from here on. When `sync`
    /// has come back without an error, it is durable.
    fn logged(&mut self, sync: LogSync);
}

/// What of a partition is there and has not been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records; none if that is not known.
    pub messages: Option<u64>,
    /// Bytes; none if that is not known.
    pub bytes: Option<u64>,
}

/// How a reader ends when it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing accepted is waiting; do not read again.
    Now,
    /// Read on until [`Read::End`]: accepted records are still waiting.
    AfterEnd,
}

/// A record that could not be decoded.
#[derive(Debug)]
pub struct Rejected {
    /// Record number in the partition.
    pub number: u64,
    /// The raw bytes, as far as they are known.
    pub bytes: Vec<u8>,
    /// Why.
    pub error: ConnectorError,
}

/// What an intake had taken, put aside.
#[derive(Debug)]
pub struct Taken<T> {
    messages: Vec<T>,
    provenance: Provenance,
    rejected: Vec<Rejected>,
    bytes: usize,
    next_number: u64,
}

/// One record that an intake has taken.
#[derive(Debug)]
pub struct Record<'a, T> {
    /// Its number in the partition.
    pub number: u64,
    /// The message, or why there is none.
    pub content: Result<&'a T, &'a Rejected>,
}

/// Takes the messages of one call of [`Reader::read`] and numbers them.
#[derive(Debug)]
pub struct Intake<T> {
    messages: Vec<T>,
    provenance: Provenance,
    rejected: Vec<Rejected>,
    partition: PartitionId,
    next_number: u64,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl<T> Intake<T> {
    /// An intake for records of `partition`, the next of which has the number `next_number`, with room for
    /// `max_messages` messages and about `max_bytes` bytes. The engine makes it; so do tests of readers.
    #[must_use]
    pub fn new(
        partition: PartitionId,
        next_number: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Self {
        Intake {
            messages: Vec::new(),
            provenance: Provenance::default(),
            rejected: Vec::new(),
            partition,
            next_number,
            bytes: 0,
            max_messages,
            max_bytes,
        }
    }

    /// Whether another message should be added now. One that has been taken already may always be added.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.messages.len() < self.max_messages && self.bytes < self.max_bytes
    }

    /// How many more messages should be added now, at most.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.bytes < self.max_bytes {
            self.max_messages.saturating_sub(self.messages.len())
        } else {
            0
        }
    }

    /// Adds the next record.
    #[inline]
    pub fn push(&mut self, message: T) {
        self.push_sized(message, size_of::<T>());
    }

    /// Adds the next record, which occupied `bytes` bytes outside: the better measure for flow control.
    #[inline]
    pub fn push_sized(&mut self, message: T, bytes: usize) {
        self.messages.push(message);
        self.provenance.push(self.partition, self.next_number);
        self.next_number += 1;
        self.bytes += bytes;
    }

    /// Adds many records at once.
    pub fn extend(&mut self, messages: impl IntoIterator<Item = T>) {
        self.fill_with(|taken| taken.extend(messages));
    }

    /// Adds the records that `fill` appends to the messages.
    ///
    /// # Panics
    /// When `fill` removes messages.
    pub fn fill_with<R>(&mut self, fill: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let before = self.messages.len();
        let result = fill(&mut self.messages);
        let added = self
            .messages
            .len()
            .checked_sub(before)
            .expect("fill only appends");
        self.provenance
            .push_range(self.partition, self.next_number, added);
        self.next_number += added as u64;
        self.bytes += added * size_of::<T>();
        result
    }

    /// Passes over the next record, for example one that the decoder filters out. It keeps its number.
    pub fn skip(&mut self) {
        self.next_number += 1;
    }

    /// Hands the next record over as one that cannot be decoded; the source's error policy decides.
    pub fn reject(&mut self, bytes: &[u8], error: ConnectorError) {
        self.rejected.push(Rejected {
            number: self.next_number,
            bytes: bytes.to_vec(),
            error,
        });
        self.next_number += 1;
    }

    /// Number of the next record.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Messages added so far.
    #[must_use]
    pub fn messages(&self) -> &[T] {
        &self.messages
    }

    /// Records rejected so far.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The records taken so far, in order of their numbers.
    pub fn records(&self) -> impl Iterator<Item = Record<'_, T>> {
        let mut cursor = self.provenance.cursor();
        let mut messages = (0..).zip(&self.messages).peekable();
        let mut rejected = self.rejected.iter().peekable();
        std::iter::from_fn(move || {
            let number = messages.peek().map(|(index, _)| cursor.get(*index).1);
            let is_rejected = rejected
                .peek()
                .is_some_and(|rejected| number.is_none_or(|number| rejected.number < number));
            if is_rejected {
                return rejected.next().map(|rejected| Record {
                    number: rejected.number,
                    content: Err(rejected),
                });
            }
            let (_, message) = messages.next()?;
            Some(Record {
                number: number?,
                content: Ok(message),
            })
        })
    }

    /// Takes everything out, to be given again by a later call: for a reader that cannot vouch for it yet. The next record
    /// has the number `next_number` again.
    pub fn put_aside(&mut self, next_number: u64) -> Taken<T> {
        let next_number = std::mem::replace(&mut self.next_number, next_number);
        let (messages, provenance, rejected, bytes) = self.take();
        Taken {
            messages,
            provenance,
            rejected,
            bytes,
            next_number,
        }
    }

    /// Gives again what was put aside, to an intake of the same partition that has taken nothing since.
    pub fn give_again(&mut self, taken: Taken<T>) {
        debug_assert!(self.messages.is_empty() && self.rejected.is_empty());
        self.messages = taken.messages;
        self.provenance = taken.provenance;
        self.rejected = taken.rejected;
        self.bytes = taken.bytes;
        self.next_number = taken.next_number;
    }

    /// Sets the partition whose records follow, and the room for them. The engine calls it between readers.
    pub fn begin(
        &mut self,
        partition: PartitionId,
        next_number: u64,
        max_messages: usize,
        max_bytes: usize,
    ) {
        self.partition = partition;
        self.next_number = next_number;
        self.max_messages = max_messages;
        self.max_bytes = max_bytes;
    }

    /// Takes out what has been added: messages, their origins, rejected records, bytes.
    pub fn take(&mut self) -> (Vec<T>, Provenance, Vec<Rejected>, usize) {
        (
            std::mem::take(&mut self.messages),
            std::mem::take(&mut self.provenance),
            std::mem::take(&mut self.rejected),
            std::mem::take(&mut self.bytes),
        )
    }

    /// Gives empty buffers back for the next messages.
    pub fn reuse(&mut self, messages: Vec<T>, provenance: Provenance) {
        debug_assert!(messages.is_empty() && provenance.is_empty());
        self.messages = messages;
        self.provenance = provenance;
    }
}
