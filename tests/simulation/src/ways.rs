//! Which messages keep their order where parts of a stream meet again.
//!
//! Parts that meet without an exchange in between are worked on by one operator, and in it as a loop would: what is
//! made of one record comes before what is made of the next. So the order of two messages at a stage is promised
//! when they came through the same exchanges by the same outputs.
//!
//! **Invariants.** Levels and groups of stages are found here from the words of the guide on semantics, not by the
//! engine's code.

use std::collections::{BTreeMap, BTreeSet};

use crate::input::Item;
use crate::topology::{Node, Topology};

/// Where a message left the stages between two exchanges: by the output of this node, towards these stages.
pub type Crossing = (usize, usize);

/// The stages between exchanges.
#[derive(Clone, Debug)]
pub struct Ways<'a> {
    topology: &'a Topology,
    /// By node: the number of exchanges on the longest way to it.
    levels: Vec<usize>,
    /// By node: the first node of those it works with, without an exchange in between.
    together: Vec<usize>,
}

impl<'a> Ways<'a> {
    /// The ways of a topology.
    #[must_use]
    pub fn of(topology: &'a Topology) -> Self {
        let levels = levels(topology);
        let mut together: Vec<usize> = (0..topology.nodes.len()).collect();
        let mut join = |one: usize, other: usize| {
            let (one, other) = (together[one], together[other]);
            for place in &mut together {
                if *place == one.max(other) {
                    *place = one.min(other);
                }
            }
        };
        for (index, node) in topology.nodes.iter().enumerate() {
            for input in node.inputs() {
                if levels[input] == levels[index] {
                    join(input, index);
                }
            }
            for (other, earlier) in topology.nodes[..index].iter().enumerate() {
                let halves = matches!((node, earlier),
                    (Node::Half { input: one, .. }, Node::Half { input: other, .. }) if one == other);
                if halves || state_of(node).is_some() && state_of(node) == state_of(earlier) {
                    join(other, index);
                }
            }
        }
        Ways {
            topology,
            levels,
            together,
        }
    }

    fn crossing(&self, from: usize, to: usize) -> Option<Crossing> {
        // What goes to a sink directly does not come together with what stages before the sink pass on.
        let target = match &self.topology.nodes[to] {
            Node::Sink { .. } => to,
            _ => self.together[to],
        };
        // A stage with state collects what has no key by itself.
        let by = match &self.topology.nodes[to] {
            Node::State { kind: None, .. } => to,
            _ => from,
        };
        (self.levels[from] < self.levels[to]).then_some((by, target))
    }

    /// The exchanges through which a message came to a node, as far as the message knows.
    #[must_use]
    pub fn crossings(&self, item: &Item, node: usize) -> Vec<Crossing> {
        let next = item.route.iter().skip(1).copied().chain([node]);
        item.route
            .iter()
            .zip(next)
            .filter_map(|(from, to)| self.crossing(*from, to))
            .collect()
    }

    /// Whether messages that came to these nodes by different outputs cannot be told apart by
    /// [`Ways::crossings`].
    #[must_use]
    pub fn are_ambiguous(&self, nodes: &[usize]) -> bool {
        let mut known: BTreeMap<Vec<Crossing>, Vec<Crossing>> = BTreeMap::new();
        nodes.iter().flat_map(|node| self.paths(*node)).any(|path| {
            let noted: Vec<usize> = path
                .iter()
                .copied()
                .enumerate()
                .filter(|(index, node)| index + 1 == path.len() || self.is_noted(*node))
                .map(|(_, node)| node)
                .collect();
            let crossings = |nodes: &[usize]| -> Vec<Crossing> {
                nodes
                    .windows(2)
                    .filter_map(|pair| self.crossing(pair[0], pair[1]))
                    .collect()
            };
            let taken = crossings(&path);
            *known
                .entry(crossings(&noted))
                .or_insert_with(|| taken.clone())
                != taken
        })
    }

    /// Whether a message notes that it has been through a node.
    fn is_noted(&self, node: usize) -> bool {
        match &self.topology.nodes[node] {
            Node::Source { .. } | Node::Stage { .. } | Node::KeyBy { .. } | Node::State { .. } => {
                true
            }
            Node::Half { .. } | Node::Merge { .. } | Node::Sink { .. } | Node::End { .. } => false,
        }
    }

    /// All ways from a source to a node, without merges, which are no place of their own.
    fn paths(&self, node: usize) -> BTreeSet<Vec<usize>> {
        let inputs = self.topology.nodes[node].inputs();
        if inputs.is_empty() {
            return BTreeSet::from([vec![node]]);
        }
        inputs
            .iter()
            .flat_map(|input| self.paths(*input))
            .map(|mut path| {
                if !matches!(self.topology.nodes[node], Node::Merge { .. }) {
                    path.push(node);
                }
                path
            })
            .collect()
    }
}

fn state_of(node: &Node) -> Option<usize> {
    match node {
        Node::State { state, .. } => Some(*state),
        _ => None,
    }
}

/// The number of exchanges on the longest way to each node; stages of one state have the same.
fn levels(topology: &Topology) -> Vec<usize> {
    let nodes = &topology.nodes;
    let exchanges = |from: usize, to: &Node| {
        let collects = matches!(to, Node::State { kind: None, .. });
        usize::from(collects || matches!(nodes[from], Node::KeyBy { .. }))
    };
    let mut levels = vec![0; nodes.len()];
    loop {
        let before = levels.clone();
        for (index, node) in nodes.iter().enumerate() {
            let own = node
                .inputs()
                .into_iter()
                .map(|input| levels[input] + exchanges(input, node));
            let of_state = (0..nodes.len())
                .filter(|other| {
                    state_of(node).is_some() && state_of(node) == state_of(&nodes[*other])
                })
                .map(|other| levels[other]);
            levels[index] = own.chain(of_state).max().unwrap_or(0);
        }
        if levels == before {
            return levels;
        }
    }
}
