//! Senders that outlive processes, and send again what nobody has acknowledged.
//!
//! **Invariants.** A sender sends its records in order, with their numbers; when its connection breaks it begins again behind what it was
//! told is durable, whatever the process knows. It never sends again what was acknowledged.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo::testing::durable::simulated::{self, Senders, Sent};
use wallaroo::{ConnectorError, Position, Reader, Source};
use wallaroo_core::{Decoder, Format, SimulatedClock, Waker};

use super::life::MOMENT;
use super::process::{Moment, Process};
use crate::build::node_name;
use crate::input::{Asked, Item, Record, ask, partition_name};

/// By source and partition the number of the last acknowledged record.
pub type Acknowledged = BTreeMap<(usize, usize), u64>;

/// All senders, as one process meets them.
#[derive(Clone, Debug)]
pub struct World {
    acknowledged: Arc<Mutex<Acknowledged>>,
    process: Arc<Process>,
    clock: SimulatedClock,
}

impl World {
    /// Senders that have sent nothing yet.
    #[must_use]
    pub fn new(process: Arc<Process>) -> Self {
        World {
            acknowledged: Arc::default(),
            process,
            clock: SimulatedClock::default(),
        }
    }

    /// The same senders for another process, and its clock.
    #[must_use]
    pub fn seen_by(&self, process: Arc<Process>, clock: &SimulatedClock) -> Self {
        World {
            process,
            clock: clock.clone(),
            ..self.clone()
        }
    }

    /// What the senders have been told.
    #[must_use]
    pub fn acknowledged(&self) -> Acknowledged {
        self.told().clone()
    }

    /// The source that a node is.
    #[must_use]
    pub fn source(
        &self,
        node: usize,
        records: Vec<Vec<Record>>,
        requests: Arc<Mutex<Option<Sender<Asked>>>>,
    ) -> SentRecords {
        let rejected = records
            .iter()
            .flatten()
            .filter(|record| record.rejected)
            .map(|record| (record.item.partition, record.item.number))
            .collect();
        SentRecords {
            node,
            records,
            requests,
            format: Arc::new(Decoding { rejected }),
            world: self.clone(),
        }
    }

    fn of(&self, place: (usize, usize)) -> usize {
        self.told().get(&place).copied().unwrap_or(0) as usize
    }

    fn told(&self) -> MutexGuard<'_, Acknowledged> {
        let told = self.acknowledged.lock();
        told.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source of what senders send.
pub struct SentRecords {
    node: usize,
    /// By partition.
    records: Vec<Vec<Record>>,
    requests: Arc<Mutex<Option<Sender<Asked>>>>,
    format: Arc<dyn Format<Item>>,
    world: World,
}

impl std::fmt::Debug for SentRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentRecords")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Source<Item> for SentRecords {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok((0..self.records.len()).map(partition_name).collect())
    }

    fn open(
        &mut self,
        partition: &str,
        _: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<Item>>, ConnectorError> {
        let index: usize = partition[1..].parse().expect("names are p and a number");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let sending = Sending {
            place: (self.node, index),
            records: self.records[index].clone(),
            next: self.world.of((self.node, index)),
            requests: requests.clone(),
            world: self.world.clone(),
        };
        let format = Arc::clone(&self.format);
        Ok(simulated::reader(format, Box::new(sending), waker))
    }
}

/// The sender of one partition.
struct Sending {
    place: (usize, usize),
    records: Vec<Record>,
    /// Index of the record that is sent next.
    next: usize,
    requests: Option<Sender<Asked>>,
    world: World,
}

impl Senders for Sending {
    fn send(&mut self) -> Result<Option<Sent>, ConnectorError> {
        self.world.clock.advance(MOMENT);
        let process = &self.world.process;
        if process.meets(Moment::Reading) {
            process.die();
        }
        if process.is_dead() {
            return Err(ConnectorError::new("the process is dead"));
        }
        if process.has_slept() {
            // They have found the process that has taken over.
            return Ok(None);
        }
        if process.loses(Moment::SourceFails) {
            return Err(ConnectorError::new("injected: it fails in passing"));
        }
        if self.world.of(self.place) == self.records.len() {
            return Ok(None);
        }
        if process.one_in(8) {
            // A connection breaks, and the sender comes back.
            self.next = self.world.of(self.place);
        }
        let mut frames = Vec::new();
        for _ in 0..process.below(6) {
            let Some(record) = self.records.get_mut(self.next) else {
                break;
            };
            if let Some(request) = record.before.take() {
                ask(self.requests.as_ref(), request);
            }
            let bytes = serde_json::to_vec(&record.item).expect("items have a JSON form");
            frames.push((record.item.number, bytes));
            self.next += 1;
        }
        let sender = format!("{} {}", node_name(self.place.0), self.place.1);
        Ok(Some(Sent {
            sender: sender.into_bytes(),
            frames,
        }))
    }

    fn syncs(&mut self) -> bool {
        self.world.process.one_in(4)
    }

    fn durable(&mut self, _: &[u8], number: u64) {
        let process = &self.world.process;
        if number > self.world.of(self.place) as u64 && process.meets(Moment::Acknowledging) {
            process.die();
        }
        if process.is_dead() || process.has_slept() {
            return;
        }
        let mut told = self.world.told();
        let last = told.entry(self.place).or_default();
        *last = number.max(*last);
        assert!(
            *last <= self.records.len() as u64,
            "record {number} was acknowledged and never sent"
        );
    }
}

/// Reads items, but for those that cannot be decoded.
struct Decoding {
    /// By partition and number.
    rejected: std::collections::BTreeSet<(usize, u64)>,
}

impl Format<Item> for Decoding {
    fn decoder(&self) -> Box<dyn Decoder<Item>> {
        let rejected = self.rejected.clone();
        Box::new(move |frame: &[u8]| {
            let read = serde_json::from_slice(frame);
            let item: Item = read.map_err(|error| ConnectorError::new(error.to_string()))?;
            if rejected.contains(&(item.partition, item.number)) {
                return Err(ConnectorError::new("cannot decode it"));
            }
            Ok(Some(item))
        })
    }
}
