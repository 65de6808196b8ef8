//! The sequential model: what a loop over the records would do.
//!
//! **Invariants.** The model takes one record after another through all nodes, and knows nothing of workers, batches
//! or epochs. The functions that decide what becomes of a message are the ones the application calls.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::input::{Item, mix};
use crate::topology::{Failing, KeyKind, Makes, Node};

/// What a stage makes of a message, before the notes about counts.
#[must_use]
pub fn made(node: usize, makes: Makes, item: &Item) -> Vec<Item> {
    let item_behind = item.through(node);
    match makes {
        Makes::One => vec![item_behind],
        Makes::Filtered if item.is_one_in(4, node, 1) => Vec::new(),
        Makes::Filtered => vec![item_behind],
        Makes::Two => item_behind.twice().to_vec(),
    }
}

/// Whether a stage fails for a message.
#[must_use]
pub fn fails(node: usize, failing: Failing, item: &Item) -> bool {
    failing != Failing::Never && item.is_one_in(5, node, 2)
}

/// Whether it fails by a panic.
#[must_use]
pub fn panics(node: usize, item: &Item) -> bool {
    item.is_one_in(3, node, 4)
}

/// Whether a message makes its stage forget the object.
#[must_use]
pub fn forgets(node: usize, item: &Item) -> bool {
    item.is_one_in(4, node, 5)
}

/// Whether a key extractor panics for a message.
#[must_use]
pub fn extractor_panics(node: usize, item: &Item) -> bool {
    item.is_one_in(6, node, 3)
}

/// Whether a message goes to the first half of a split.
#[must_use]
pub fn is_yes(node: usize, item: &Item) -> bool {
    item.is_one_in(2, node, 6)
}

/// The message with its key in the scope of a `key_by`.
#[must_use]
pub fn keyed(node: usize, kind: KeyKind, keys: u64, item: &Item) -> Item {
    let mut item = item.through(node);
    let key = if kind == KeyKind::One {
        0
    } else {
        mix(item.value) % keys
    };
    item.keys.push(key);
    item
}

/// The number of the key a message has.
#[must_use]
pub fn key_of(item: &Item) -> u64 {
    item.keys.last().copied().unwrap_or(0)
}

/// Messages that must keep their order: of one partition, with one key in every scope, on one way.
pub type Group = (usize, usize, Vec<usize>, Vec<u64>);

/// The group of a message.
#[must_use]
pub fn group_of(item: &Item) -> Group {
    (
        item.source,
        item.partition,
        item.route.clone(),
        item.keys.clone(),
    )
}

/// Messages by group, in their order.
pub type Groups = BTreeMap<Group, Vec<Item>>;

/// Sorts messages into groups.
pub fn grouped<'a>(items: impl IntoIterator<Item = &'a Item>) -> Groups {
    let mut groups = Groups::new();
    for item in items {
        groups
            .entry(group_of(item))
            .or_default()
            .push(item.without_counts());
    }
    groups
}

/// What the model expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// By node: messages that come to a sink or to a stage with state.
    pub arrived: BTreeMap<usize, Vec<Item>>,
    /// By node: messages whose dead letters are kept.
    pub dead: BTreeMap<usize, Vec<Item>>,
}

struct Model<'a> {
    case: &'a Case,
    consumers: Vec<Vec<usize>>,
    expected: Expected,
}

/// What comes where when all records are taken one after another.
#[must_use]
pub fn expected(case: &Case) -> Expected {
    let nodes = &case.topology.nodes;
    // A stream merged with itself comes twice.
    let consumers = (0..nodes.len()).map(|node| {
        let twice = |consumer: usize| {
            let times = nodes[consumer]
                .inputs()
                .iter()
                .filter(|input| **input == node)
                .count();
            std::iter::repeat_n(consumer, times)
        };
        case.topology.consumers(node).flat_map(twice).collect()
    });
    let mut model = Model {
        case,
        consumers: consumers.collect(),
        expected: Expected::default(),
    };
    for records in case.records.values() {
        for record in records.iter().flatten() {
            let source = record.item.source;
            if record.rejected {
                model.dead(source, model.case.failing_of(source), &record.item);
            } else {
                model.pass_on(source, &record.item);
            }
        }
    }
    model.expected
}

impl Model<'_> {
    fn pass_on(&mut self, node: usize, item: &Item) {
        for consumer in self.consumers[node].clone() {
            self.take(consumer, item);
        }
    }

    fn dead(&mut self, node: usize, failing: Failing, item: &Item) {
        if matches!(failing, Failing::DeadLetter { .. }) {
            self.expected
                .dead
                .entry(node)
                .or_default()
                .push(item.clone());
        }
    }

    fn arrive(&mut self, node: usize, item: &Item) {
        self.expected
            .arrived
            .entry(node)
            .or_default()
            .push(item.clone());
    }

    fn take(&mut self, node: usize, item: &Item) {
        match &self.case.topology.nodes[node] {
            Node::Source { .. } | Node::End { .. } => {}
            Node::Merge { .. } => self.pass_on(node, item),
            Node::Sink { .. } => self.arrive(node, item),
            Node::Half { input, yes } => {
                if is_yes(*input, item) == *yes {
                    self.pass_on(node, item);
                }
            }
            Node::KeyBy {
                kind,
                keys,
                failing,
                ..
            } => {
                let item = keyed(node, *kind, *keys, item);
                if !(*failing && extractor_panics(node, &item)) {
                    self.pass_on(node, &item);
                }
            }
            Node::Stage { makes, failing, .. } => self.call(node, *makes, *failing, item),
            Node::State { makes, failing, .. } => {
                self.arrive(node, item);
                self.call(node, *makes, *failing, item);
            }
        }
    }

    fn call(&mut self, node: usize, makes: Makes, failing: Failing, item: &Item) {
        if fails(node, failing, item) {
            self.dead(node, failing, item);
        } else {
            made(node, makes, item)
                .iter()
                .for_each(|item| self.pass_on(node, item));
        }
    }
}
