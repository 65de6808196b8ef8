//! A source from anything that can be iterated over.
//!
//! **Invariants.** The iterator is asked for its next message only when there is room for it, on the worker's
//! thread; it should not wait.

use std::fmt;

use wallaroo_core::{Code, ConnectorError, Intake, Position, Read, Reader, Source, Waker};

/// Reads the messages of an iterator, once.
///
/// In an application with a store it must give the same messages again each time the application starts: those before the
/// last checkpoint are passed over. For messages that come from outside use [`channel`](crate::channel).
///
/// # Example
/// ```
/// let numbers = wallaroo::connectors::iter(0..1000u64);
/// # drop(numbers);
/// ```
pub fn iter<I>(messages: I) -> Iter<I::IntoIter>
where
    I: IntoIterator<IntoIter: Send + 'static>,
{
    Iter {
        messages: Some(messages.into_iter()),
    }
}

/// A source of the messages of an iterator; see [`iter`].
pub struct Iter<I> {
    messages: Option<I>,
}

impl<I> fmt::Debug for Iter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter")
    }
}

impl<T: Send + 'static, I: Iterator<Item = T> + Send + 'static> Source<T> for Iter<I> {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["iterator".into()])
    }

    fn open(
        &mut self,
        _partition: &str,
        from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        let records: u64 = from.map(Position::get).transpose()?.unwrap_or(0);
        let Some(messages) = self.messages.take() else {
            return Err(ConnectorError::new("cannot read an iterator a second time")
                .with_help("use generator, or a file, where a source must be continued")
                .with_code(Code::SourceUnreadable));
        };
        Ok(Box::new(IterReader {
            messages,
            records,
            to_skip: records,
        }))
    }

    fn replays(&self) -> bool {
        true
    }

    fn reopens(&self) -> bool {
        // What the iterator has given is gone; only a new start makes it again.
        false
    }
}

struct IterReader<I> {
    messages: I,
    /// Messages before the position.
    records: u64,
    /// Of these, the ones that the iterator has still to give.
    to_skip: u64,
}

impl<T: Send, I: Iterator<Item = T> + Send> Reader<T> for IterReader<I> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        while self.to_skip > 0 {
            if self.messages.next().is_none() {
                return Ok(Read::End);
            }
            self.to_skip -= 1;
        }
        let before = intake.messages().len();
        let room = intake.room();
        intake.extend(self.messages.by_ref().take(room));
        let added = intake.messages().len() - before;
        self.records += added as u64;
        Ok(if added < room { Read::End } else { Read::More })
    }

    fn position(&self) -> Position {
        Position::of(self.records)
    }
}
