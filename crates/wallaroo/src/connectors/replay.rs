//! A source from a function that opens an iterator at a position: the short way to a source that replays.
//!
//! **Invariants.** The position of the reader is the one that came with the last message taken, so a message that was asked
//! for and not taken is given again. The iterator is asked for its next message only when there is room for it.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wallaroo_core::{ConnectorError, Intake, Position, Read, Reader, Source, Waker};

/// Reads the messages of an iterator that `open` makes at the start, or behind a position. Each message comes with the position
/// behind it.
///
/// The contract: what `open` makes behind a position gives exactly the messages that followed it, in the same order, each time.
/// It is called again when the application goes on after a failure, in the same process or in the next one. The position
/// can be anything that serde writes as JSON other than `null`: the number of a row, a file and a place in it.
///
/// The iterator is asked on the worker's thread, so it should not wait for long, and its end is the end of the source. An error
/// means that nothing more can be read; with a store the application goes back to its last commit and opens it again. A source
/// that waits for news, or that has several partitions, implements [`Source`] and [`Reader`] itself.
///
/// # Example
/// ```
/// use wallaroo::{App, Options, memory, replay, source};
///
/// let squares = memory::<u64>();
/// let numbers = replay(|behind: Option<u64>| Ok((behind.unwrap_or(0) + 1..=3).map(|n| Ok((n, n * n)))));
/// App::new("squares").add(source("numbers", numbers).to_sink("squares", squares.clone())).run(Options::default())?;
/// assert_eq!(squares.take(), [1, 4, 9]);
/// # Ok::<(), wallaroo::Error>(())
/// ```
pub fn replay<P, T, I, F>(mut open: F) -> Replay<T>
where
    P: Serialize + DeserializeOwned + Send + 'static,
    T: Send + 'static,
    I: IntoIterator<Item = Result<(P, T), ConnectorError>, IntoIter: Send + 'static>,
    F: FnMut(Option<P>) -> Result<I, ConnectorError> + Send + 'static,
{
    Replay {
        open: Box::new(move |from| {
            let behind = from.map(Position::get::<P>).transpose()?;
            let messages = open(behind)?.into_iter();
            Ok(Box::new(ReplayReader {
                messages,
                position: from.cloned(),
                last: None,
            }))
        }),
    }
}

type Open<T> = dyn FnMut(Option<&Position>) -> Result<Box<dyn Reader<T>>, ConnectorError> + Send;

/// A source that is opened at a position; see [`replay`].
pub struct Replay<T> {
    open: Box<Open<T>>,
}

impl<T> fmt::Debug for Replay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl<T: Send + 'static> Source<T> for Replay<T> {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["replay".into()])
    }

    fn open(
        &mut self,
        _partition: &str,
        from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        // A position that was named before the first message is the start.
        (self.open)(from.filter(|from| **from != start()))
    }

    fn replays(&self) -> bool {
        true
    }
}

/// The position before the first message.
fn start() -> Position {
    Position::of(())
}

struct ReplayReader<I, P> {
    messages: I,
    /// Where it was opened.
    position: Option<Position>,
    /// The position behind the last message taken since.
    last: Option<P>,
}

impl<P, T, I> Reader<T> for ReplayReader<I, P>
where
    P: Serialize + Send,
    I: Iterator<Item = Result<(P, T), ConnectorError>> + Send,
{
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        while intake.has_room() {
            let Some(message) = self.messages.next() else {
                return Ok(Read::End);
            };
            let (position, message) = message?;
            intake.push(message);
            self.last = Some(position);
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        match (&self.last, &self.position) {
            (Some(last), _) => Position::of(last),
            (None, Some(opened)) => opened.clone(),
            (None, None) => start(),
        }
    }
}
