//! Applications as data: what the model interprets and the builder builds.
//!
//! **Invariants.** Nodes stand after their inputs. Every topology is a valid plan: no path leads from one stage of
//! a state to another, and merged streams have keys of one kind, or none.

use std::collections::BTreeSet;

use wallaroo_engine::Random;

/// What kind of key a `key_by` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// A number.
    Integer,
    /// A text.
    Text,
    /// A tuple of a number and a text.
    Tuple,
    /// The one key of `collect`.
    One,
}

impl KeyKind {
    /// The key as people read it.
    #[must_use]
    pub fn text(self, key: u64) -> String {
        match self {
            KeyKind::Integer => key.to_string(),
            KeyKind::Text => format!("\"k{key}\""),
            KeyKind::Tuple => format!("({key}, \"t\")"),
            KeyKind::One => "\"\"".to_owned(),
        }
    }
}

/// What happens to messages for which a stage fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It never fails.
    Never,
    /// Some calls fail, and the message is dropped.
    Skip,
    /// Some calls fail, and leave a dead letter, as a message or as JSON.
    DeadLetter {
        /// Whether the letters go to a sink of bytes.
        encoded: bool,
    },
}

impl Failing {
    fn random(random: &mut Random) -> Self {
        match random.below(6) {
            0 | 1 => Failing::Skip,
            2 => Failing::DeadLetter { encoded: false },
            3 => Failing::DeadLetter { encoded: true },
            _ => Failing::Never,
        }
    }
}

/// How a stage makes messages from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// One.
    One,
    /// None or one.
    Filtered,
    /// Two.
    Two,
}

impl Makes {
    fn random(random: &mut Random) -> Self {
        [Makes::One, Makes::One, Makes::Filtered, Makes::Two][random.below(4)]
    }
}

/// A node of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A source with this many partitions.
    Source {
        /// Number of partitions.
        partitions: usize,
        /// What happens to records that it cannot decode.
        failing: Failing,
    },
    /// A stage without state.
    Stage {
        /// Where its messages come from.
        input: usize,
        /// How many it makes of one.
        makes: Makes,
        /// What happens when it fails.
        failing: Failing,
    },
    /// A `key_by`, or a `collect`.
    KeyBy {
        /// Where its messages come from.
        input: usize,
        /// The kind of its keys.
        kind: KeyKind,
        /// How many different keys there are.
        keys: u64,
        /// Whether the extractor panics for some messages, which are skipped then.
        failing: bool,
    },
    /// A stage with state.
    State {
        /// Where its messages come from.
        input: usize,
        /// Number of the state.
        state: usize,
        /// How many it makes of one.
        makes: Makes,
        /// What happens when it fails; the object has been changed by then.
        failing: Failing,
        /// Whether some messages make it forget the object.
        forgets: bool,
        /// The kind of the key of its messages; absent when they have none.
        kind: Option<KeyKind>,
    },
    /// A union of two streams; of two outputs of one node if they are the same.
    Merge {
        /// Where its messages come from.
        inputs: [usize; 2],
    },
    /// One half of a split.
    Half {
        /// The split stream.
        input: usize,
        /// Whether it is the half for which the predicate holds.
        yes: bool,
    },
    /// A sink.
    Sink {
        /// Where its messages come from.
        input: usize,
        /// Whether it takes bytes.
        encoded: bool,
        /// Whether it is often full.
        slow: bool,
    },
    /// The end of a stream without sink.
    End {
        /// Where its messages come from.
        input: usize,
    },
}

impl Node {
    /// The nodes that feed this one.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        match self {
            Node::Source { .. } => Vec::new(),
            Node::Merge { inputs } => inputs.to_vec(),
            Node::Stage { input, .. }
            | Node::KeyBy { input, .. }
            | Node::State { input, .. }
            | Node::Half { input, .. }
            | Node::Sink { input, .. }
            | Node::End { input } => vec![*input],
        }
    }
}

/// An application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Its nodes, each after its inputs.
    pub nodes: Vec<Node>,
}

/// A stream that has no consumer yet.
#[derive(Clone, Debug)]
struct Open {
    node: usize,
    key: Option<KeyKind>,
    /// The highest state on its way, plus one.
    states: usize,
}

impl Topology {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The nodes that take messages from `node`.
    pub fn consumers(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |consumer| self.nodes[*consumer].inputs().contains(&node))
    }

    /// Whether messages that take different ways to this node cannot be told apart there: some merge before
    /// it joins two streams of which neither has a stage of its own since they parted.
    #[must_use]
    pub fn is_loose(&self, node: usize) -> bool {
        let Node::Merge { inputs } = &self.nodes[node] else {
            return self.nodes[node]
                .inputs()
                .iter()
                .any(|input| self.is_loose(*input));
        };
        let ways: Vec<BTreeSet<Vec<usize>>> =
            inputs.iter().map(|input| self.ways(*input)).collect();
        !ways[0].is_disjoint(&ways[1]) || inputs.iter().any(|input| self.is_loose(*input))
    }

    /// The sequences of stages that messages may have been through when they leave a node.
    fn ways(&self, node: usize) -> BTreeSet<Vec<usize>> {
        let before = self.nodes[node].inputs();
        let mut ways: BTreeSet<Vec<usize>> =
            before.iter().flat_map(|input| self.ways(*input)).collect();
        match &self.nodes[node] {
            Node::Source { .. } => BTreeSet::from([vec![node]]),
            // Every other node is noted by the message itself.
            Node::Stage { .. } | Node::State { .. } | Node::KeyBy { .. } => {
                ways = ways
                    .into_iter()
                    .map(|way| way.into_iter().chain([node]).collect())
                    .collect();
                ways
            }
            Node::Half { .. } | Node::Merge { .. } | Node::Sink { .. } | Node::End { .. } => ways,
        }
    }

    /// One of the 84 sequences of up to three stages, each with or without state and with or without a
    /// `key_by` before it; `random` decides how many messages each makes.
    #[must_use]
    pub fn sequence(shape: &[(bool, bool)], random: &mut Random) -> Self {
        let mut topology = Topology::default();
        let mut last = topology.push(Node::Source {
            partitions: 1 + random.below(3),
            failing: Failing::Never,
        });
        let mut kind = None;
        for (state, (stateful, keyed)) in shape.iter().enumerate() {
            if *keyed {
                let key = [KeyKind::Integer, KeyKind::Text, KeyKind::Tuple][random.below(3)];
                kind = Some(key);
                last = topology.push(Node::KeyBy {
                    input: last,
                    kind: key,
                    keys: 1 + random.below(12) as u64,
                    failing: false,
                });
            }
            let makes = Makes::random(random);
            last = topology.push(if *stateful {
                Node::State {
                    input: last,
                    state,
                    makes,
                    failing: Failing::Never,
                    forgets: false,
                    kind,
                }
            } else {
                Node::Stage {
                    input: last,
                    makes,
                    failing: Failing::Never,
                }
            });
            if *stateful {
                kind = kind.or(Some(KeyKind::One));
            }
        }
        topology.push(Node::Sink {
            input: last,
            encoded: random.one_in(2),
            slow: false,
        });
        topology
    }

    /// All shapes for [`Topology::sequence`].
    #[must_use]
    pub fn shapes() -> Vec<Vec<(bool, bool)>> {
        let stages = [(false, false), (false, true), (true, false), (true, true)];
        let mut shapes: Vec<Vec<(bool, bool)>> = vec![Vec::new()];
        let mut all = Vec::new();
        for _ in 0..3 {
            shapes = shapes
                .iter()
                .flat_map(|shape| stages.map(|stage| [shape.as_slice(), &[stage]].concat()))
                .collect();
            all.extend(shapes.iter().cloned());
        }
        all
    }

    /// A random application.
    #[must_use]
    pub fn random(random: &mut Random) -> Self {
        let mut topology = Topology::default();
        let mut open = Vec::new();
        for _ in 0..1 + random.below(3) {
            let node = topology.push(Node::Source {
                partitions: 1 + random.below(3),
                failing: if random.one_in(3) {
                    Failing::random(random)
                } else {
                    Failing::Never
                },
            });
            open.push(Open {
                node,
                key: None,
                states: 0,
            });
        }
        // For each state the kind of its keys.
        let mut states: Vec<Option<KeyKind>> = Vec::new();
        for _ in 0..3 + random.below(10) {
            topology.grow(random, &mut open, &mut states);
        }
        for stream in open {
            if random.one_in(8) {
                topology.push(Node::End { input: stream.node });
            } else {
                topology.push(Node::Sink {
                    input: stream.node,
                    encoded: random.one_in(2),
                    slow: random.one_in(4),
                });
            }
        }
        topology
    }

    fn grow(
        &mut self,
        random: &mut Random,
        open: &mut Vec<Open>,
        states: &mut Vec<Option<KeyKind>>,
    ) {
        let chosen = random.below(open.len());
        // Taken away, or used a second time.
        let stream = if random.one_in(4) {
            open[chosen].clone()
        } else {
            open.swap_remove(chosen)
        };
        let input = stream.node;
        match random.below(10) {
            0 | 1 => {
                let node = self.push(Node::Stage {
                    input,
                    makes: Makes::random(random),
                    failing: Failing::random(random),
                });
                open.push(Open { node, ..stream });
            }
            2..=4 => {
                let kinds = [
                    KeyKind::Integer,
                    KeyKind::Integer,
                    KeyKind::Text,
                    KeyKind::Tuple,
                    KeyKind::One,
                ];
                let kind = kinds[random.below(kinds.len())];
                let node = self.push(Node::KeyBy {
                    input,
                    kind,
                    keys: 1 + random.below(12) as u64,
                    failing: kind != KeyKind::One && random.one_in(5),
                });
                open.push(Open {
                    node,
                    key: Some(kind),
                    ..stream
                });
            }
            5..=7 => {
                let key = stream.key.unwrap_or(KeyKind::One);
                let known = (stream.states..states.len()).find(|state| states[*state] == Some(key));
                let state = known.filter(|_| random.one_in(2)).unwrap_or(states.len());
                if state == states.len() {
                    states.push(Some(key));
                }
                let node = self.push(Node::State {
                    input,
                    state,
                    makes: Makes::random(random),
                    failing: Failing::random(random),
                    forgets: random.one_in(3),
                    kind: stream.key,
                });
                open.push(Open {
                    node,
                    key: Some(key),
                    states: state + 1,
                });
            }
            8 => {
                for yes in [true, false] {
                    let node = self.push(Node::Half { input, yes });
                    open.push(Open {
                        node,
                        ..stream.clone()
                    });
                }
            }
            _ => {
                let other = open.iter().position(|other| other.key == stream.key);
                match other {
                    None => open.push(stream),
                    Some(other) => {
                        let other = open.swap_remove(other);
                        let node = self.push(Node::Merge {
                            inputs: [input, other.node],
                        });
                        let states = stream.states.max(other.states);
                        open.push(Open {
                            node,
                            key: stream.key,
                            states,
                        });
                    }
                }
            }
        }
    }
}
