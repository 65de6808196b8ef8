//! Messages of one type, handed through the engine without knowing the type.
//!
//! A batch holds its messages as a [`Messages`] object. For Rust users that is a `Vec<T>`; encoded output
//! is [`Rows`]. Code that knows the type gets it back by [`Messages::as_any`].
//!
//! **Invariants.** Erasure is per batch, never per message. Clearing keeps the capacity, so that buffers
//! can be reused.

use std::any::Any;
use std::fmt;

use crate::raw;

/// A sequence of messages of one type that only the user's code knows.
pub trait Messages: Any + Send {
    /// Number of messages.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all messages and keeps the memory.
    fn clear(&mut self);

    /// Removes all messages from index `len` on.
    fn truncate(&mut self, len: usize);

    /// Estimated bytes of memory that the messages occupy, for flow control.
    fn memory_bytes(&self) -> usize;

    /// An empty sequence of the same type.
    fn empty(&self) -> Box<dyn Messages>;

    /// Moves message `i` to `targets[destinations[i]]`, for every message; this sequence is empty then.
    ///
    /// # Panics
    /// When there are not as many destinations as messages, a destination has no target, or a target holds
    /// messages of another type.
    fn scatter(&mut self, destinations: &[u16], targets: &mut [Box<dyn Messages>]);

    /// Name of the concrete type, for messages to people.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// For downcasting to the concrete type.
    fn as_any(&self) -> &dyn Any;

    /// For downcasting to the concrete type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl fmt::Debug for dyn Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages", self.len())
    }
}

/// What a message with heap parts (a `String`, a `Vec`) is taken to own beyond its own size.
// A guess: the engine cannot see into user types. It is about a short string; flow control multiplies
// it by the number of messages in flight, so an error of a few times only shifts the bound by that much.
const HEAP_BYTES: usize = 64;

impl<T: Send + 'static> Messages for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn clear(&mut self) {
        Vec::clear(self);
    }

    fn truncate(&mut self, len: usize) {
        Vec::truncate(self, len);
    }

    fn memory_bytes(&self) -> usize {
        let heap = if std::mem::needs_drop::<T>() {
            HEAP_BYTES
        } else {
            0
        };
        Vec::len(self) * (size_of::<T>() + heap)
    }

    fn empty(&self) -> Box<dyn Messages> {
        Box::new(Vec::<T>::new())
    }

    fn scatter(&mut self, destinations: &[u16], targets: &mut [Box<dyn Messages>]) {
        let mut targets: Vec<&mut Vec<T>> = targets
            .iter_mut()
            .map(|target| downcast_mut(target.as_mut()))
            .collect();
        raw::scatter(self, destinations, &mut targets);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The sequence behind an erased one.
///
/// # Panics
/// When the messages are of another type: the plan was wired wrongly, which is a bug of Wallaroo.
#[must_use]
pub fn downcast<M: Messages>(messages: &dyn Messages) -> &M {
    messages
        .as_any()
        .downcast_ref()
        .unwrap_or_else(|| wrong_type::<M>())
}

/// The sequence behind an erased one, to change it.
///
/// # Panics
/// When the messages are of another type: the plan was wired wrongly, which is a bug of Wallaroo.
#[must_use]
pub fn downcast_mut<M: Messages>(messages: &mut dyn Messages) -> &mut M {
    messages
        .as_any_mut()
        .downcast_mut()
        .unwrap_or_else(|| wrong_type::<M>())
}

#[cold]
fn wrong_type<M>() -> ! {
    panic!("messages are not of type {}", std::any::type_name::<M>())
}

/// Encoded messages, one after another in a single buffer.
///
/// A sink takes rows from the front with [`Rows::consume`]; what is left is written later.
///
/// # Example
/// ```
/// use wallaroo_core::Rows;
///
/// let mut rows = Rows::default();
/// rows.push_with(|buffer| buffer.extend_from_slice(b"one\n"));
/// rows.push_with(|buffer| buffer.extend_from_slice(b"two\n"));
/// assert_eq!(rows.remaining(), b"one\ntwo\n");
/// rows.consume(1);
/// assert_eq!(rows.iter().collect::<Vec<_>>(), [b"two\n"]);
/// ```
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rows {
    data: Vec<u8>,
    /// End offset of each row in `data`.
    ends: Vec<usize>,
    /// Rows already consumed.
    first: usize,
}

impl Rows {
    /// Appends the row that `write` appends to the buffer.
    pub fn push_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let result = write(&mut self.data);
        self.ends.push(self.data.len());
        result
    }

    /// Appends one row.
    pub fn push(&mut self, row: &[u8]) {
        self.push_with(|data| data.extend_from_slice(row));
    }

    /// Moves all remaining rows of `other` to the end of this one.
    pub fn append(&mut self, other: &mut Rows) {
        for index in other.first..other.ends.len() {
            self.push(other.row(index));
        }
        other.clear();
    }

    /// Row `index`, counted from the first row not yet consumed.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        self.row(self.first + index)
    }

    /// The bytes of all rows not yet consumed.
    #[must_use]
    pub fn remaining(&self) -> &[u8] {
        &self.data[self.start(self.first)..]
    }

    /// Marks the first `count` remaining rows as taken.
    ///
    /// # Panics
    /// When fewer than `count` rows remain.
    pub fn consume(&mut self, count: usize) {
        assert!(
            count <= Messages::len(self),
            "cannot consume more rows than remain"
        );
        self.first += count;
        if self.first == self.ends.len() {
            self.clear();
        }
    }

    /// The rows not yet consumed.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (self.first..self.ends.len()).map(|index| self.row(index))
    }

    fn row(&self, index: usize) -> &[u8] {
        &self.data[self.start(index)..self.ends[index]]
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }
}

impl Messages for Rows {
    fn len(&self) -> usize {
        self.ends.len() - self.first
    }

    fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.first = 0;
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(self.first + len);
        self.data.truncate(self.ends.last().copied().unwrap_or(0));
    }

    fn memory_bytes(&self) -> usize {
        self.remaining().len() + size_of::<usize>() * Messages::len(self)
    }

    fn empty(&self) -> Box<dyn Messages> {
        Box::new(Rows::default())
    }

    fn scatter(&mut self, destinations: &[u16], targets: &mut [Box<dyn Messages>]) {
        assert_eq!(
            Messages::len(self),
            destinations.len(),
            "every row has a destination"
        );
        for (row, destination) in self.iter().zip(destinations) {
            downcast_mut::<Rows>(targets[usize::from(*destination)].as_mut()).push(row);
        }
        Messages::clear(self);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
