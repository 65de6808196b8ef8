//! A sink that keeps the last message of each key, for programs that show where things stand.
//!
//! **Invariants.** It holds as many messages as there are keys. For a key it holds the last message that the sink was
//! given; messages of one key that keep their order on the way keep it here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_core::{ConnectorError, Sink, Waker, Write, Writer};

/// Keeps the last message of each key that `key` finds in it. The sink is its own handle: give a clone to
/// the pipeline, and look into the other, at any time.
///
/// # Example
/// ```
/// use wallaroo::{App, Options, iter, latest, source};
///
/// let words = ["at last", "at first", "in the end"].map(str::to_owned);
/// let by_length = latest(|word: &(usize, String)| &word.0);
/// App::new("words")
///     .add(
///         source("words", iter(words))
///             .to(|word: &String| Some((word.len(), word.clone())))
///             .to_sink("by length", by_length.clone()),
///     )
///     .run(Options::default())?;
/// assert_eq!(by_length.get(&8), Some((8, "at first".to_owned())));
/// assert_eq!(by_length.len(), 3);
/// # Ok::<(), wallaroo::Error>(())
/// ```
#[must_use]
pub fn latest<K, T, F>(key: F) -> LatestSink<K, T>
where
    K: Ord + Clone,
    F: Fn(&T) -> &K + Send + Sync + 'static,
{
    LatestSink {
        key: Arc::new(key),
        messages: Arc::default(),
    }
}

/// The last message of each key; see [`latest`]. Clones share them.
pub struct LatestSink<K, T> {
    key: Arc<dyn Fn(&T) -> &K + Send + Sync>,
    messages: Arc<Mutex<BTreeMap<K, T>>>,
}

impl<K, T> Clone for LatestSink<K, T> {
    fn clone(&self) -> Self {
        LatestSink {
            key: Arc::clone(&self.key),
            messages: Arc::clone(&self.messages),
        }
    }
}

impl<K, T> fmt::Debug for LatestSink<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestSink")
            .field("len", &self.len())
            .finish()
    }
}

impl<K, T> LatestSink<K, T> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, T>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the last message of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<T>
    where
        K: Ord,
        T: Clone,
    {
        self.lock().get(key).cloned()
    }

    /// Copies of all the messages, in the order of their keys.
    #[must_use]
    pub fn snapshot(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.lock().values().cloned().collect()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no message has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, T> Sink<Vec<T>> for LatestSink<K, T>
where
    K: Ord + Clone + Send + 'static,
    T: Send + 'static,
{
    fn open(&mut self, _waker: &Waker) -> Result<Box<dyn Writer<Vec<T>>>, ConnectorError> {
        Ok(Box::new(self.clone()))
    }
}

impl<K: Ord + Clone + Send, T: Send> Writer<Vec<T>> for LatestSink<K, T> {
    fn write(&mut self, messages: &mut Vec<T>) -> Result<Write, ConnectorError> {
        let mut kept = self.lock();
        for message in messages.drain(..) {
            let key = (self.key)(&message);
            match kept.get_mut(key) {
                Some(last) => *last = message,
                None => {
                    kept.insert(key.clone(), message);
                }
            }
        }
        Ok(Write::Done)
    }
}
