//! Messages without end but one, that can be read again from any position, in portions of random size.
//!
//! **Invariants.** Message `n` of a partition is the same in every process. How many come in one portion is different in every
//! process, so that a replay has other batches.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{ConnectorError, Intake, Position, Read, Reader, Source, Waker};

use crate::random::Random;

/// Partitions of the source.
pub const PARTITIONS: u64 = 3;
/// Keys of the messages.
pub const KEYS: u64 = 500;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its partition.
    pub partition: u64,
    /// Its number in the partition, from 0.
    pub number: u64,
    /// Its key: several partitions have messages of one key.
    pub key: u64,
}

/// Message `number` of a partition.
#[must_use]
pub fn message(partition: u64, number: u64) -> Message {
    let key = Random(partition << 32 ^ number).number() % KEYS;
    Message {
        partition,
        number,
        key,
    }
}

/// The source.
#[derive(Debug)]
pub struct Numbers {
    /// Messages per partition.
    pub count: u64,
    /// Decides how many come at a time.
    pub seed: u64,
}

impl Source<Message> for Numbers {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Ok((0..PARTITIONS)
            .map(|partition| partition.to_string())
            .collect())
    }

    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<Message>>, ConnectorError> {
        let partition = partition
            .parse()
            .map_err(|_| ConnectorError::new(format!("there is no partition {partition:?}")))?;
        Ok(Box::new(NumbersReader {
            partition,
            next: from.map(Position::get).transpose()?.unwrap_or(0),
            count: self.count,
            random: Random(self.seed ^ partition),
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

struct NumbersReader {
    partition: u64,
    next: u64,
    count: u64,
    random: Random,
}

impl Reader<Message> for NumbersReader {
    fn read(&mut self, intake: &mut Intake<Message>) -> Result<Read, ConnectorError> {
        let portion = self.random.between(1, 300);
        for _ in 0..portion {
            if self.next == self.count {
                return Ok(Read::End);
            }
            if !intake.has_room() {
                return Ok(Read::More);
            }
            intake.push(message(self.partition, self.next));
            self.next += 1;
        }
        // Slow enough that a run sees many epochs.
        Ok(Read::IdleFor(Duration::from_millis(1)))
    }

    fn position(&self) -> Position {
        Position::of(self.next)
    }
}
