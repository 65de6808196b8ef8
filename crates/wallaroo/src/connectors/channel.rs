//! A source that other threads of the program send messages to.
//!
//! **Invariants.** A message whose `send` returned `Ok` is processed, unless the application fails; messages of
//! one sender keep their order. At most the capacity waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use wallaroo_core::source::Lag;
use wallaroo_core::{Code, ConnectorError, Intake, Position, Read, Reader, Source, Stop, Waker};

use super::inbox::{Ask, Found, Inbox, Refused};

#[cfg(test)]
mod tests;

/// A source in memory, and the sender to it, for at most `capacity` waiting messages (at least one).
///
/// It ends when a sender calls [`Sender::close`] or the application stops.
///
/// # Example
/// ```
/// use wallaroo::connectors::channel;
///
/// let (sender, source) = channel::<u64>(1024);
/// sender.try_send(1).expect("there is room");
/// sender.close();
/// # drop(source);
/// ```
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, ChannelSource<T>) {
    let source = ChannelSource {
        inbox: Arc::new(Inbox::new(capacity.max(1))),
        is_open: false,
    };
    (source.sender(), source)
}

/// Sends messages to a [`ChannelSource`]; clones send to the same.
pub struct Sender<T> {
    inbox: Arc<Inbox<T>>,
}

/// A message that was not sent: the source has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// A message that was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// As many messages wait as may wait; try again later.
    Full(T),
    /// The source has ended.
    Closed(T),
}

const CLOSED: &str = "cannot send: the source has ended";
const FULL: &str = "cannot send now: the source is full; try again, or use send to wait";

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => FULL,
            TrySendError::Closed(_) => CLOSED,
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender {
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("waiting", &self.inbox.weight())
            .finish()
    }
}

impl<T> Sender<T> {
    /// Sends a message; waits while the source is full.
    ///
    /// # Errors
    /// When the source has ended; the message comes back.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.inbox.put(message, 1).map_err(SendError)
    }

    /// As [`Sender::send`]; returns the number of the message, counted from 1. `ask` is called when it is read.
    pub(crate) fn send_asking(&self, message: T, ask: &Ask) -> Result<u64, SendError<T>> {
        let sent = self.inbox.put_asking(message, 1, Some(ask));
        sent.map_err(SendError)
    }

    /// As [`Sender::send_async`] and [`Sender::send_asking`].
    pub(crate) fn send_asking_async(&self, message: T, ask: Ask) -> SendAsking<T> {
        SendAsking {
            ask,
            sending: self.send_async(message),
        }
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// When the source is full or has ended; the message comes back.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.inbox
            .try_put(message, 1)
            .map_err(|refused| match refused {
                Refused::Full(message) => TrySendError::Full(message),
                Refused::Closed(message) => TrySendError::Closed(message),
            })
    }

    /// Sends a message; the future is ready when there was room for it, under any executor.
    ///
    /// Nothing is sent before the future is polled, nor after it is dropped. Those that wait are told of room in the
    /// order in which they came; one that comes at that moment may still be faster.
    ///
    /// # Errors
    /// When the source has ended; the message comes back.
    pub fn send_async(&self, message: T) -> SendAsync<T> {
        SendAsync {
            inbox: Arc::clone(&self.inbox),
            message: Some(message),
            place: None,
        }
    }

    /// Ends the source, for all senders. Messages that were sent are still processed.
    pub fn close(&self) {
        self.inbox.close();
    }

    /// Whether the source has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }
}

/// A message on its way to a source; see [`Sender::send_async`].
#[must_use = "a future sends nothing before it is awaited"]
pub struct SendAsync<T> {
    inbox: Arc<Inbox<T>>,
    message: Option<T>,
    /// Where it stands among those that wait.
    place: Option<u64>,
}

// The message is moved out, never pinned.
impl<T> Unpin for SendAsync<T> {}

impl<T> SendAsync<T> {
    fn poll_numbered(
        &mut self,
        ask: Option<&Ask>,
        context: &task::Context<'_>,
    ) -> Poll<Result<u64, SendError<T>>> {
        let SendAsync {
            inbox,
            message,
            place,
        } = self;
        inbox.poll_put(message, 1, place, ask, context).map(|sent| {
            sent.map_err(|message| {
                SendError(message.expect("a future that is ready is not polled"))
            })
        })
    }
}

impl<T> Future for SendAsync<T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let sent = self.get_mut().poll_numbered(None, context);
        sent.map(|sent| sent.map(|_| ()))
    }
}

/// A message on its way to a source, which tells its number; see [`Sender::send_asking_async`].
pub(crate) struct SendAsking<T> {
    ask: Ask,
    sending: SendAsync<T>,
}

impl<T> Future for SendAsking<T> {
    type Output = Result<u64, SendError<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let SendAsking { ask, sending } = self.get_mut();
        sending.poll_numbered(Some(ask), context)
    }
}

impl<T> Drop for SendAsync<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.inbox.leave_line(place);
        }
    }
}

impl<T> fmt::Debug for SendAsync<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAsync")
            .field("is_waiting", &self.place.is_some())
            .finish()
    }
}

/// A source in memory; see [`channel`].
pub struct ChannelSource<T> {
    inbox: Arc<Inbox<T>>,
    is_open: bool,
}

impl<T> ChannelSource<T> {
    /// A sender to this source.
    #[must_use]
    pub fn sender(&self) -> Sender<T> {
        Sender {
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl<T> fmt::Debug for ChannelSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSource")
            .field("waiting", &self.inbox.weight())
            .finish()
    }
}

impl<T> Drop for ChannelSource<T> {
    fn drop(&mut self) {
        // Once opened, the reader decides.
        if !self.is_open {
            self.inbox.abandon();
        }
    }
}

impl<T: Send + 'static> Source<T> for ChannelSource<T> {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["channel".into()])
    }

    fn open(
        &mut self,
        _partition: &str,
        // What was sent to another process cannot be read again.
        _from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        if self.is_open {
            return Err(ConnectorError::new("cannot read a channel a second time")
                .with_help("make a channel for each run of the application")
                .with_code(Code::SourceUnreadable));
        }
        self.is_open = true;
        self.inbox.read_by(waker);
        Ok(Box::new(ChannelReader {
            inbox: Arc::clone(&self.inbox),
            records: 0,
            left: 0,
        }))
    }
}

struct ChannelReader<T> {
    inbox: Arc<Inbox<T>>,
    /// How many messages have been read: the number of the last, as [`Sender::send_asking`] tells it.
    records: u64,
    /// How many were left in the channel by the last read.
    left: usize,
}

impl<T: Send> Reader<T> for ChannelReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        let records = &mut self.records;
        let found = self.inbox.take(intake.room(), |message| {
            intake.push(message);
            *records += 1;
        });
        self.left = 0;
        Ok(match found {
            Found::Items { left } => {
                self.left = left;
                Read::More
            }
            Found::Empty => Read::Idle,
            Found::Closed => Read::End,
        })
    }

    fn position(&self) -> Position {
        Position::of(self.records)
    }

    fn lag(&self) -> Lag {
        Lag {
            messages: Some(self.left as u64),
            bytes: None,
        }
    }

    fn stop(&mut self) -> Stop {
        self.inbox.close();
        Stop::AfterEnd
    }
}

impl<T> Drop for ChannelReader<T> {
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}
