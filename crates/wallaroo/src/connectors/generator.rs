//! A source that computes each message from the one before.
//!
//! **Invariants.** The position is the next message, so the same messages follow whenever it is continued, as
//! long as the function is pure.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wallaroo_core::{ConnectorError, Intake, Position, Read, Reader, Source, Waker};

/// Reads `initial`, then what `next` makes of each message, until it returns `None`.
///
/// `next` must be pure: a source that is continued calls it again for the same messages.
///
/// # Example
/// ```
/// let countdown = wallaroo::connectors::generator(10u32, |n| n.checked_sub(1));
/// # drop(countdown);
/// ```
pub fn generator<T, F>(initial: T, next: F) -> Generator<T>
where
    F: Fn(&T) -> Option<T> + Send + Sync + 'static,
{
    Generator {
        initial,
        next: Arc::new(next),
    }
}

type Next<T> = Arc<dyn Fn(&T) -> Option<T> + Send + Sync>;

/// A source that computes its messages; see [`generator`].
pub struct Generator<T> {
    initial: T,
    next: Next<T>,
}

impl<T: fmt::Debug> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator")
            .field("initial", &self.initial)
            .finish_non_exhaustive()
    }
}

impl<T: Clone + Serialize + DeserializeOwned + Send + 'static> Source<T> for Generator<T> {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["generator".into()])
    }

    fn open(
        &mut self,
        _partition: &str,
        from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        let upcoming = match from {
            Some(position) => position.get::<Option<T>>()?,
            None => Some(self.initial.clone()),
        };
        Ok(Box::new(GeneratorReader {
            upcoming,
            next: Arc::clone(&self.next),
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

struct GeneratorReader<T> {
    upcoming: Option<T>,
    next: Next<T>,
}

impl<T: Serialize + Send> Reader<T> for GeneratorReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        while intake.has_room() {
            let Some(message) = self.upcoming.take() else {
                return Ok(Read::End);
            };
            self.upcoming = (self.next)(&message);
            intake.push(message);
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(&self.upcoming)
    }
}
