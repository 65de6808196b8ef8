//! Cases: an application, its records, and how it is run, all drawn from a seed.
//!
//! **Invariants.** A case is a function of its seed.

use std::collections::{BTreeMap, BTreeSet};

use wallaroo_engine::Random;

use crate::input::{Item, Record, Request};
use crate::topology::{Failing, Node, Topology};

/// How to run a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As a function of the seed.
    Simulated,
    /// On real threads, in real time.
    Threads,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Where everything comes from.
    pub seed: u64,
    /// The application.
    pub topology: Topology,
    /// By source node and partition.
    pub records: BTreeMap<usize, Vec<Vec<Record>>>,
    /// Sources that cannot replay and have an input log: in a life, their records come from senders that want to be told what is
    /// durable.
    pub logged: BTreeSet<usize>,
    /// Workers at the start.
    pub workers: usize,
    /// An epoch ends in one of this many reads.
    pub epoch_every: Option<usize>,
    /// Bytes in flight: few, so that stages wait for each other, or many.
    pub limit_bytes: usize,
    /// Number of key groups.
    pub key_groups: u16,
}

/// What a case may have besides its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Other numbers of workers on the way.
    pub rescales: bool,
    /// Epochs that end now and then.
    pub epochs: bool,
}

impl Case {
    /// A case with everything.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let extras = Extras {
            rescales: random.one_in(2),
            epochs: random.one_in(2),
        };
        let topology = Topology::random(&mut random);
        Case::of(seed, topology, extras, &mut random)
    }

    /// A case of a random application.
    #[must_use]
    pub fn with(seed: u64, extras: Extras) -> Self {
        let mut random = Random::new(seed);
        let topology = Topology::random(&mut random);
        Case::of(seed, topology, extras, &mut random)
    }

    /// A case of this application.
    #[must_use]
    pub fn of(seed: u64, topology: Topology, extras: Extras, random: &mut Random) -> Self {
        let mut records = BTreeMap::new();
        for (node, source) in topology.nodes.iter().enumerate() {
            let Node::Source {
                partitions,
                failing,
            } = source
            else {
                continue;
            };
            let partitions = (0..*partitions)
                .map(|partition| {
                    let count = random.below(80) as u64;
                    let record = |number| {
                        let item = Item::record(node, partition, number, seed);
                        Record {
                            rejected: *failing != Failing::Never && item.is_one_in(7, node, 7),
                            before: request(extras, &item),
                            idle: item.is_one_in(13, node, 8),
                            item,
                        }
                    };
                    (1..=count).map(record).collect()
                })
                .collect();
            records.insert(node, partitions);
        }
        Case {
            seed,
            topology,
            records,
            logged: BTreeSet::new(),
            workers: 1 + random.below(4),
            epoch_every: extras.epochs.then(|| 2 + random.below(12)),
            limit_bytes: if random.one_in(3) {
                1 + random.below(20_000)
            } else {
                1 << 20
            },
            key_groups: if random.one_in(4) {
                1 + random.below(5) as u16
            } else {
                64
            },
        }
    }

    /// The same with an input log for each source that `has_log` says it for.
    #[must_use]
    pub fn with_logs(mut self, mut has_log: impl FnMut() -> bool) -> Self {
        let sources = self.records.keys().copied();
        self.logged = sources.filter(|_| has_log()).collect();
        self
    }

    /// What happens to records that a source cannot decode.
    #[must_use]
    pub fn failing_of(&self, source: usize) -> Failing {
        match &self.topology.nodes[source] {
            Node::Source { failing, .. } => *failing,
            _ => Failing::Never,
        }
    }
}

fn request(extras: Extras, item: &Item) -> Option<Request> {
    if extras.rescales && item.is_one_in(40, 0, 10) {
        return Some(Request::Rescale(1 + (item.value % 4) as usize));
    }
    let epochs = 1 + (item.value % 3) as usize;
    (extras.epochs && item.is_one_in(30, 0, 11)).then_some(Request::Epochs(epochs))
}
