//! Messages that remember where they have been, and the sources that give them.
//!
//! **Invariants.** What becomes of a message depends on the message alone. Records are numbered from one within
//! their partition, and rejected records keep their numbers.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{ConnectorError, Intake, Position, Read, Reader, Source};
use wallaroo_core::Waker;
use wallaroo_engine::Random;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// Node of the source.
    pub source: usize,
    /// Partition of the source.
    pub partition: usize,
    /// Record number in the partition.
    pub number: u64,
    /// What decides about keys, filters and failures.
    pub value: u64,
    /// The nodes it has been through.
    pub route: Vec<usize>,
    /// Where it was one of two, which one.
    pub copies: Vec<u8>,
    /// Its key in each scope.
    pub keys: Vec<u64>,
    /// What the state objects on its way had counted.
    pub counts: Vec<u64>,
}

impl Item {
    /// A record.
    #[must_use]
    pub fn record(source: usize, partition: usize, number: u64, seed: u64) -> Self {
        let value = mix(seed ^ (source as u64) << 40 ^ (partition as u64) << 32 ^ number);
        Item {
            source,
            partition,
            number,
            value,
            route: vec![source],
            ..Item::default()
        }
    }

    /// A number that tells messages apart.
    #[must_use]
    pub fn id(&self) -> u64 {
        let start = mix(self.value ^ self.number << 8);
        let route = self.route.iter().map(|node| *node as u64);
        route
            .chain(self.copies.iter().map(|copy| u64::from(*copy) + 1000))
            .fold(start, |id, next| mix(id ^ next))
    }

    /// True for one message in `times`, for each node other ones.
    #[must_use]
    pub fn is_one_in(&self, times: u64, node: usize, purpose: u64) -> bool {
        mix(self.value ^ (node as u64) << 8 ^ purpose << 16).is_multiple_of(times)
    }

    /// The message behind node `node`.
    #[must_use]
    pub fn through(&self, node: usize) -> Item {
        let mut item = self.clone();
        item.route.push(node);
        item.value = mix(item.value.wrapping_add(node as u64));
        item
    }

    /// The two messages made of this one.
    #[must_use]
    pub fn twice(&self) -> [Item; 2] {
        [0u8, 1].map(|copy| {
            let mut item = self.clone();
            item.copies.push(copy);
            item.value = mix(item.value.wrapping_add(u64::from(copy)));
            item
        })
    }

    /// The same message without what depends on the interleaving.
    #[must_use]
    pub fn without_counts(&self) -> Item {
        Item {
            counts: Vec::new(),
            ..self.clone()
        }
    }
}

/// Spreads the bits of a number.
#[must_use]
pub fn mix(number: u64) -> u64 {
    Random::new(number).draw()
}

/// What a source asks the thread that runs the case to do, and waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Go on with this many workers.
    Rescale(usize),
    /// Begin this many epochs.
    Epochs(usize),
}

/// A request with the place for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is to be done.
    pub request: Request,
    /// Is sent when it is done.
    pub done: Sender<()>,
}

/// A record, and what is to happen before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The message.
    pub item: Item,
    /// Whether the source cannot decode it.
    pub rejected: bool,
    /// What to ask for before it is read.
    pub before: Option<Request>,
    /// Whether the source says that it is idle before it.
    pub idle: bool,
}

/// Name of a partition.
#[must_use]
pub fn partition_name(partition: usize) -> String {
    format!("p{partition}")
}

/// Asked before each read whether the process is dead.
#[derive(Clone)]
pub struct Death(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl std::fmt::Debug for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Death")
    }
}

/// Asked before each read whether it fails.
#[derive(Clone)]
pub struct Failure(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failure")
    }
}

/// A source of given records.
#[derive(Debug)]
pub struct Records {
    /// If reading can fail.
    pub failure: Option<Failure>,
    /// If the process can die.
    pub death: Option<Death>,
    /// By partition.
    pub partitions: Vec<Vec<Record>>,
    /// Where requests go; shared, and given up when the readers are gone.
    pub requests: Arc<Mutex<Option<Sender<Asked>>>>,
}

impl Source<Item> for Records {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok((0..self.partitions.len()).map(partition_name).collect())
    }

    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<Item>>, ConnectorError> {
        let index: usize = partition[1..].parse().expect("names are p and a number");
        let read: u64 = from.map(Position::get).transpose()?.unwrap_or(0);
        let mut records = self.partitions[index].clone();
        records.drain(..read as usize);
        Ok(Box::new(RecordReader {
            failure: self.failure.clone(),
            death: self.death.clone(),
            records: records.into(),
            read,
            requests: self.requests.lock().expect("nobody panics with it").clone(),
            waker: waker.clone(),
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

struct RecordReader {
    failure: Option<Failure>,
    death: Option<Death>,
    records: std::collections::VecDeque<Record>,
    read: u64,
    requests: Option<Sender<Asked>>,
    waker: Waker,
}

/// Asks the thread that runs the case, and waits until it has done so.
pub fn ask(requests: Option<&Sender<Asked>>, request: Request) {
    let (done, answer) = channel();
    if let Some(requests) = requests
        && requests.send(Asked { request, done }).is_ok()
    {
        // An error means that the run is over.
        let _ = answer.recv();
    }
}

impl Reader<Item> for RecordReader {
    fn read(&mut self, intake: &mut Intake<Item>) -> Result<Read, ConnectorError> {
        if self.death.as_ref().is_some_and(|Death(is_dead)| is_dead()) {
            return Err(ConnectorError::new("the process is dead"));
        }
        let failure = self.failure.as_ref();
        if failure.is_some_and(|Failure(fails)| fails()) {
            return Err(ConnectorError::new("injected: it fails in passing"));
        }
        while intake.has_room() {
            let Some(record) = self.records.front_mut() else {
                return Ok(Read::End);
            };
            if let Some(request) = record.before.take() {
                ask(self.requests.as_ref(), request);
                return Ok(Read::More);
            }
            if std::mem::take(&mut record.idle) {
                if record.item.is_one_in(2, 0, 9) {
                    return Ok(Read::IdleFor(Duration::from_micros(50)));
                }
                self.waker.wake();
                return Ok(Read::Idle);
            }
            if let Some(record) = self.records.pop_front() {
                self.read += 1;
                if record.rejected {
                    let bytes = serde_json::to_vec(&record.item).expect("items have a JSON form");
                    intake.reject(&bytes, ConnectorError::new("cannot decode it"));
                } else {
                    intake.push(record.item);
                }
            }
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.read)
    }
}
