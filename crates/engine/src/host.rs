//! The contract between the engine and the code of a stage, in whatever language it is written.
//!
//! The engine hands a host a range of a batch and a place for outputs; the host goes through the messages in
//! order and says how far it came. The engine calls all hosts there are (Rust, Python) on the worker's thread. The same
//! types are meant for hosts that have to come and fetch a batch (Go), which it cannot wait for yet.
//!
//! **Invariants.** Before each message a host stores its index in [`Input::progress`], so that a panic can be
//! attributed. Outputs come back with the index of the message they belong to, in ascending order. A host
//! never sees keys hashed, routed or stored: it gets slots. A host keeps state objects by slot and
//! touches none that the engine did not name in the call.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wallaroo_core::messages::downcast_mut;
use wallaroo_core::source::{Lag, Position, Read, Rejected, Stop};
use wallaroo_core::{
    ConnectorError, DeadLetter, KeyError, KeyHash, Messages, Provenance, Publisher, Rows,
    StoredKey, Timestamp, Waker, Write,
};
use wallaroo_state::{ChunkIndex, KeyIndex, Slot};

/// What the language of a host needs around the engine's work: a lock that its objects live under, a look at its
/// signals now and then.
///
/// With one, an application has one worker, and that worker runs on the thread that runs the application
/// ([`Body::run`](crate::Body::run)).
pub trait HostRuntime: Send + Sync {
    /// Calls `work`, which may call the code of stages and drop or copy their messages. May be nested.
    fn enter(&self, work: &mut dyn FnMut());

    /// Called between two steps of the worker, outside of [`HostRuntime::enter`], never more than
    /// [`HostRuntime::longest_sleep`] apart unless a call of user code takes longer.
    fn between_steps(&self);

    /// How long a worker without work may sleep.
    fn longest_sleep(&self) -> Duration;
}

/// A range of a batch that a host is to handle.
#[derive(Debug)]
pub struct Input<'a> {
    /// The messages of the whole batch.
    pub messages: &'a dyn Messages,
    /// The part of them to handle.
    pub range: Range<usize>,
    /// The time that holds for the whole batch.
    pub now: Timestamp,
    /// Index of the message being handled, kept by the host.
    pub progress: &'a Cell<usize>,
}

/// What a host produces: messages by output, each with the index of the message it belongs to.
#[derive(Debug, Default)]
pub struct Outputs {
    /// One entry per output of the stage; dead letters are the engine's.
    pub ports: Vec<Output>,
    /// The number of messages in one output above which the host should return, so that a stage that makes
    /// many of one is taken in portions.
    pub soft_limit: usize,
}

/// The messages of one output.
#[derive(Debug, Default)]
pub struct Output {
    /// The messages; absent until the first call of the stage.
    pub messages: Option<Box<dyn Messages>>,
    /// For each message the index of the input message it belongs to.
    pub origin: Vec<u32>,
}

impl Output {
    /// The messages and their origins, with their type.
    #[inline]
    pub fn typed<M: Messages + Default>(&mut self) -> (&mut M, &mut Vec<u32>) {
        let messages = self.messages.get_or_insert_with(|| Box::new(M::default()));
        (downcast_mut(messages.as_mut()), &mut self.origin)
    }
}

/// How a call of user code failed.
#[derive(Debug)]
pub struct Failed {
    /// Index of the message.
    pub index: usize,
    /// Why.
    pub cause: Cause,
}

/// Why a call of user code failed.
#[derive(Debug)]
pub enum Cause {
    /// It returned an error.
    Error(Box<dyn std::error::Error + Send + Sync>),
    /// It asks for the end of the program: the run ends, whatever the policy of the stage says.
    Exit(Box<dyn std::error::Error + Send + Sync>),
    /// It panicked; the panic's message.
    Panic(String),
    /// Its key cannot be used.
    Key(KeyError),
}

/// The code of a stage without state.
pub trait Stage {
    /// Handles messages from the start of the range, and returns the index of the first one not handled.
    ///
    /// # Errors
    /// When the user's code fails for a message; all before it have been handled.
    fn data(&mut self, input: Input<'_>, outputs: &mut Outputs) -> Result<usize, Failed>;

    /// The message as JSON, for error texts and dead letters.
    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8>;
}

/// The code of a stage with state.
pub trait StateStage {
    /// Handles messages from the start of the range, each with the state object in its slot, and returns the
    /// index of the first one not handled.
    ///
    /// `slots` is as long as the range. A forgotten object is put back to its default at once and its slot
    /// named in `forgotten`, with the index of the message.
    ///
    /// # Errors
    /// When the user's code fails for a message; all before it have been handled.
    fn data(
        &mut self,
        input: Input<'_>,
        state: &mut StateView<'_>,
        outputs: &mut Outputs,
    ) -> Result<usize, Failed>;

    /// The message as JSON, for error texts and dead letters.
    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8>;
}

/// The state objects of one call.
pub struct StateView<'a> {
    /// All state objects of the worker.
    pub objects: &'a mut dyn StateObjects,
    /// The slots of the messages in the range.
    pub slots: &'a [Slot],
    /// The keys behind the slots.
    pub keys: &'a KeyIndex,
    /// Slots of the objects that the user's code forgot, with the index of the message.
    pub forgotten: &'a mut Vec<(Slot, u32)>,
    /// Whether the object must be saved before each call, so that a failing call can be undone.
    pub preserve: bool,
}

impl std::fmt::Debug for StateView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateView")
            .field("slots", &self.slots.len())
            .field("preserve", &self.preserve)
            .finish_non_exhaustive()
    }
}

/// The state objects of one state on one worker, by slot.
pub trait StateObjects: Send {
    /// For downcasting to the host's own type.
    fn as_any_mut(&mut self) -> &mut dyn Any;

    /// Puts an object back to its default.
    fn reset(&mut self, slot: Slot);

    /// Gives the memory of a chunk of slots back; none of them is in use.
    fn release_chunk(&mut self, chunk: ChunkIndex);

    /// Undoes what happened to an object since it was last saved.
    ///
    /// # Errors
    /// When the saved form cannot be read back.
    fn rollback(&mut self, slot: Slot) -> Result<(), String>;

    /// Appends the snapshot of an object to `bytes`.
    ///
    /// # Errors
    /// When the object has no stored form.
    fn snapshot(&mut self, slot: Slot, bytes: &mut Vec<u8>) -> Result<(), String>;

    /// Makes an object from its snapshot.
    ///
    /// # Errors
    /// When the snapshot is not one of an object of this type.
    fn restore(&mut self, slot: Slot, bytes: &[u8]) -> Result<(), String>;

    /// Takes objects out, to be put into another worker's table by [`StateObjects::put`].
    fn take(&mut self, slots: &[Slot]) -> Box<dyn Any + Send>;

    /// Puts objects in that another worker took out, into these slots.
    fn put(&mut self, slots: &[Slot], objects: Box<dyn Any + Send>);

    /// Estimated bytes of memory, without what the objects own on the heap; none if nearly all of them is there.
    fn memory_bytes(&self) -> Option<usize>;

    /// After how long without a message for its key an object is dropped; never if absent.
    fn expire_after(&self) -> Option<Duration> {
        None
    }
}

/// The messages whose keys are wanted.
#[derive(Debug, Clone)]
pub struct Keyed<'a> {
    /// The messages that carry the key.
    pub messages: &'a dyn Messages,
    /// For each message of the range the index in `messages`; absent when they are the same.
    pub origin: Option<&'a [u32]>,
    /// The messages to look at: indices into `origin` if there is one, else into `messages`.
    pub range: Range<usize>,
    /// Key hashes of `messages`, where they are known.
    pub hashes: Option<&'a [KeyHash]>,
    /// Index (in `range`'s terms) of the message being handled, kept by the host.
    pub progress: &'a Cell<usize>,
}

/// The code of a `key_by`.
pub trait KeyExtractor {
    /// Whether finding a key costs more than looking for its slot. Where no message has to travel it is then not asked for
    /// hashes first: the key is found once, when its slot is looked for.
    fn is_costly(&self) -> bool {
        false
    }

    /// Appends the key hashes of the messages in the range.
    fn hash(&mut self, keyed: Keyed<'_>, hashes: &mut Vec<KeyHash>);

    /// Finds or creates the slots of the keys, and marks them as touched.
    ///
    /// # Errors
    /// When a key cannot be stored; the slots of all before it have been appended.
    fn resolve(
        &mut self,
        keyed: Keyed<'_>,
        index: &mut KeyIndex,
        slots: &mut Vec<Slot>,
    ) -> Result<(), Failed>;

    /// The key of one message.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn key(&mut self, messages: &dyn Messages, index: usize) -> Result<StoredKey, KeyError>;

    /// The message as JSON, for error texts and dead letters.
    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8>;
}

/// The code of a `split`.
pub trait Splitter {
    /// Appends the output, 0 or 1, of each message in the range.
    ///
    /// # Errors
    /// When the user's code fails for a message; the outputs of all before it have been appended.
    fn choose(&mut self, input: Input<'_>, choices: &mut Vec<u16>) -> Result<(), Failed>;

    /// The message as JSON, for error texts and dead letters.
    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8>;
}

/// What was read from a source partition in one go.
#[derive(Debug)]
pub struct SourceBatch {
    /// The messages, an empty buffer of the right type before.
    pub messages: Box<dyn Messages>,
    /// Where they came from.
    pub provenance: Provenance,
    /// Records that could not be decoded.
    pub rejected: Vec<Rejected>,
    /// Bytes, for flow control.
    pub bytes: usize,
}

/// A source whose message type only its own code knows.
pub trait ErasedSource: Send {
    /// As [`wallaroo_core::Source::partitions`].
    ///
    /// # Errors
    /// When the outside world is not as configured.
    fn partitions(&mut self, workers: usize) -> Result<Vec<String>, ConnectorError>;

    /// As [`wallaroo_core::Source::open`].
    ///
    /// # Errors
    /// When the partition cannot be read.
    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn ErasedReader>, ConnectorError>;

    /// As [`wallaroo_core::Source::reopens`].
    fn reopens(&self) -> bool {
        false
    }

    /// As [`wallaroo_core::Source::address`].
    fn address(&self) -> Option<String>;

    /// As [`wallaroo_core::Source::redirect`].
    ///
    /// # Errors
    /// When the address cannot be used.
    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError>;

    /// An empty buffer for messages of the source.
    fn empty(&self) -> Box<dyn Messages>;
}

/// What a reader may take in one go.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// The partition's number.
    pub partition: wallaroo_core::PartitionId,
    /// Number of the next record.
    pub next_number: u64,
    /// Messages at most.
    pub messages: usize,
    /// Bytes at most, roughly.
    pub bytes: usize,
}

/// A reader whose message type only its own code knows.
pub trait ErasedReader: Send {
    /// As [`wallaroo_core::Reader::read`]; returns the number of the next record as well.
    ///
    /// # Errors
    /// When the partition cannot be read any further.
    fn read(&mut self, room: Room, batch: &mut SourceBatch) -> Result<(Read, u64), ConnectorError>;

    /// As [`wallaroo_core::Reader::position`].
    fn position(&self) -> Position;

    /// As [`wallaroo_core::Reader::stop`].
    fn stop(&mut self) -> Stop;

    /// As [`wallaroo_core::Reader::lag`].
    fn lag(&self) -> Lag {
        Lag::default()
    }

    /// As [`wallaroo_core::Reader::rewind`].
    ///
    /// # Errors
    /// When it cannot go back now.
    fn rewind(&mut self, from: Option<&Position>) -> Result<bool, ConnectorError> {
        let _ = from;
        Ok(false)
    }
}

/// Is told of bytes that are kept until the end of their epoch.
pub type Kept = Arc<dyn Fn(usize) + Send + Sync>;

/// A sink whose message type only its own code knows.
pub trait ErasedSink: Send {
    /// As [`wallaroo_core::Sink::open`].
    ///
    /// # Errors
    /// When the sink cannot be opened.
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn ErasedWriter>, ConnectorError>;

    /// As [`wallaroo_core::Sink::publisher`]. When there is one, what [`ErasedSink::open`] opens keeps the rows of each
    /// epoch for it, and tells `kept` how many bytes it keeps more.
    ///
    /// # Errors
    /// When the outside world is not as configured.
    fn publisher(&mut self, kept: &Kept) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        let _ = kept;
        Ok(None)
    }

    /// As [`wallaroo_core::Sink::claim`].
    ///
    /// # Errors
    /// When another process has it.
    fn claim(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// As [`wallaroo_core::Sink::resume`].
    ///
    /// # Errors
    /// When the destination is not what the checkpoint left.
    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        Ok(from.cloned())
    }

    /// As [`wallaroo_core::Sink::per_worker`].
    fn per_worker(&self) -> bool;

    /// As [`wallaroo_core::Sink::address`].
    fn address(&self) -> Option<String>;

    /// As [`wallaroo_core::Sink::redirect`].
    ///
    /// # Errors
    /// When the address cannot be used.
    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError>;
}

/// What a writer tells at the end of an epoch.
#[derive(Debug, Default)]
pub struct Checkpointed {
    /// What it was given in the epoch, if that is to be published after its commit.
    pub rows: Rows,
    /// As [`wallaroo_core::Writer::checkpoint`].
    pub position: Option<Position>,
}

/// A writer whose message type only its own code knows.
pub trait ErasedWriter: Send {
    /// As [`wallaroo_core::Writer::write`].
    ///
    /// # Errors
    /// When nothing more can be written.
    fn write(&mut self, messages: &mut dyn Messages) -> Result<Write, ConnectorError>;

    /// As [`wallaroo_core::Writer::flush`].
    ///
    /// # Errors
    /// When something taken cannot be delivered.
    fn flush(&mut self) -> Result<Write, ConnectorError>;

    /// Called at the end of an epoch, when all of it has been flushed. By default it tells nothing.
    ///
    /// # Errors
    /// When something taken cannot be made durable.
    fn checkpoint(&mut self) -> Result<Checkpointed, ConnectorError> {
        Ok(Checkpointed::default())
    }

    /// As [`wallaroo_core::Writer::end`].
    fn end(&mut self);
}

/// The messages of a dead-letter output.
pub type DeadLetters = Vec<DeadLetter>;
