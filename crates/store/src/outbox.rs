//! Outboxes: the rows that transactional sinks made in an epoch, kept until they are published.
//!
//! **Invariants.** Rows keep the order in which they were added. Nothing is given out of an outbox before its checksum
//! has been compared.

use serde::{Deserialize, Serialize};

/// An outbox, as a commit record names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutboxMeta {
    /// The object's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The checksum at its end.
    pub checksum: u64,
    /// The epoch whose output it holds.
    pub epoch: u64,
}

/// The rows of one sink in one epoch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkRows {
    /// The name of the sink.
    pub sink: String,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl SinkRows {
    /// No rows of the sink of that name.
    #[must_use]
    pub fn new(sink: impl Into<String>) -> Self {
        SinkRows {
            sink: sink.into(),
            bytes: Vec::new(),
            lengths: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row has 4 GiB or more.
    pub fn push(&mut self, row: &[u8]) {
        let length = u32::try_from(row.len()).expect("a row is smaller than 4 GiB");
        self.lengths.push(length);
        self.bytes.extend_from_slice(row);
    }

    /// Adds the rows of another worker behind these.
    pub fn append(&mut self, other: &SinkRows) {
        self.bytes.extend_from_slice(&other.bytes);
        self.lengths.extend_from_slice(&other.lengths);
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.lengths.iter().map(move |&length| {
            let row = &self.bytes[start..start + length as usize];
            start += length as usize;
            row
        })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// What the rows occupy.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.lengths.len() * size_of::<u32>()
    }
}
