//! What streams are made of: nodes that point at their inputs.
//!
//! A node never changes; a prefix that two pipelines share is the same node and runs once. [`program`] walks
//! the nodes from the ends of all pipelines back to their sources and numbers them.
//!
//! **Invariants.** Two nodes are the same if and only if they are the same allocation. Numbers depend only on
//! the shape of the graph and the order in which pipelines were added.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_core::{DeadLetter, Location, Node, NodeId, NodeKind, OnError, Plan, Port};
use wallaroo_engine::host::StateObjects;
use wallaroo_engine::{Copier, Factory, NodeCode, Program, Sizer};

use crate::durable::SourceDurability;
use crate::host;
use crate::size::sizer;

/// The table of state objects of a state, by name.
pub(crate) type StateTable = (String, Factory<dyn StateObjects>);

/// A source's way to take messages from the program, of a type only its user knows.
pub(crate) type AnySender = Arc<dyn Any + Send + Sync>;

/// Where a stage's dead letters go: encoder and sink.
#[derive(Clone)]
pub(crate) struct DeadLetterSink {
    pub(crate) name: String,
    pub(crate) encode: Option<NodeCode>,
    pub(crate) sink: NodeCode,
    pub(crate) location: Location,
    /// Whether several nodes send their letters there.
    pub(crate) shared: bool,
}

/// A source, stage or sink.
pub(crate) struct GraphNode {
    pub(crate) kind: NodeKind,
    pub(crate) location: Location,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) inputs: Vec<GraphPort>,
    pub(crate) code: NodeCode,
    pub(crate) state: Option<StateTable>,
    /// A stage with state whose stream had no key when the user added it.
    pub(crate) is_unkeyed: bool,
    pub(crate) sender: Option<AnySender>,
    /// Tells the source that the application has a store.
    pub(crate) durability: Option<SourceDurability>,
    /// For outputs whose stream has been cloned.
    pub(crate) copiers: Mutex<BTreeMap<u16, Copier>>,
    /// How large the messages of an output are, where their type does not say it.
    pub(crate) sizer: Option<Sizer>,
}

/// What the user says of a node after it has been made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: Name,
    pub(crate) on_error: OnError,
    pub(crate) dead_letters: Option<DeadLetterSink>,
}

/// How a node got its name.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// The user gave it, or it is the function's: it must be unique.
    Given(String),
    /// Made from where it stands: made unique.
    Made(String),
}

/// One output of a node.
#[derive(Clone)]
pub(crate) struct GraphPort {
    pub(crate) node: Arc<GraphNode>,
    pub(crate) output: u16,
}

impl GraphNode {
    pub(crate) fn new(
        kind: NodeKind,
        name: Name,
        location: Location,
        inputs: Vec<GraphPort>,
        code: NodeCode,
    ) -> Self {
        GraphNode {
            kind,
            location,
            settings: Mutex::new(Settings {
                name,
                on_error: OnError::Fail,
                dead_letters: None,
            }),
            inputs,
            code,
            state: None,
            is_unkeyed: false,
            sender: None,
            durability: None,
            copiers: Mutex::default(),
            sizer: None,
        }
    }

    /// The node with other settings: another node, so that what was made from the old one stays as it is. The
    /// two halves of a split are one node; for them the settings themselves change.
    pub(crate) fn changed(self: &Arc<Self>, change: impl FnOnce(&mut Settings)) -> Arc<GraphNode> {
        if self.kind == NodeKind::Split {
            change(&mut unpoisoned(&self.settings));
            return Arc::clone(self);
        }
        let mut settings = self.settings();
        change(&mut settings);
        self.with(settings, self.inputs.clone())
    }

    /// The node with another input: another node.
    pub(crate) fn behind(&self, input: GraphPort) -> Arc<GraphNode> {
        self.with(self.settings(), vec![input])
    }

    fn with(&self, settings: Settings, inputs: Vec<GraphPort>) -> Arc<GraphNode> {
        Arc::new(GraphNode {
            kind: self.kind.clone(),
            location: self.location.clone(),
            settings: Mutex::new(settings),
            inputs,
            code: self.code.clone(),
            state: self.state.clone(),
            is_unkeyed: self.is_unkeyed,
            sender: self.sender.clone(),
            durability: self.durability.clone(),
            copiers: Mutex::new(unpoisoned(&self.copiers).clone()),
            sizer: self.sizer,
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        unpoisoned(&self.settings).clone()
    }

    /// Number of outputs that are not dead letters.
    fn outputs(&self) -> u16 {
        if self.kind == NodeKind::Split { 2 } else { 1 }
    }
}

/// Nothing that holds one of these locks runs user code, so a panic cannot leave the value half changed.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place in the user's program from where a builder method was called.
#[track_caller]
pub(crate) fn caller() -> Location {
    if let Some(place) = host::place() {
        return place;
    }
    let location = panic::Location::caller();
    Location {
        file: location.file().to_owned(),
        line: location.line(),
    }
}

/// A name made from the kind of a node and where it stands.
pub(crate) fn made_name(what: &str, location: &Location) -> Name {
    let file = location
        .file
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(&location.file);
    Name::Made(format!("{what}@{file}:{}", location.line))
}

/// A program, and what its sources are told and given from outside, by name.
pub(crate) struct Built {
    pub(crate) program: Program,
    pub(crate) senders: BTreeMap<String, AnySender>,
    pub(crate) durability: BTreeMap<String, SourceDurability>,
    /// Stages with state that have no key, by their place in the plan.
    pub(crate) unkeyed: Vec<NodeId>,
}

impl Built {
    /// Warns of stages with state that have no key: it is rarely meant, and makes one worker do all the work. Said when the
    /// application is launched, because a log is set up after pipelines are built.
    pub(crate) fn warn(&self) {
        for id in &self.unkeyed {
            let node = self.program.plan.node(*id);
            let NodeKind::State { state, .. } = &node.kind else {
                continue;
            };
            tracing::warn!(stage = node.name, state, location = %node.location,
                "a stage with state has no key_by before it: all messages share one state object");
        }
    }
}

/// Turns the nodes behind the ends of all pipelines into a program.
pub(crate) fn program(application: &str, ends: &[Arc<GraphNode>]) -> Built {
    let mut builder = Builder {
        program: Program {
            plan: Plan {
                application: application.to_owned(),
                nodes: Vec::new(),
            },
            code: Vec::new(),
            states: BTreeMap::new(),
            copiers: BTreeMap::new(),
            sizers: BTreeMap::new(),
        },
        senders: BTreeMap::new(),
        durability: BTreeMap::new(),
        unkeyed: Vec::new(),
        numbers: BTreeMap::new(),
        shared_letters: BTreeMap::new(),
    };
    for end in ends {
        builder.add(end);
    }
    for (sink, ports) in std::mem::take(&mut builder.shared_letters).into_values() {
        builder.add_dead_letters(ports, &sink);
    }
    Built {
        program: builder.program,
        senders: builder.senders,
        durability: builder.durability,
        unkeyed: builder.unkeyed,
    }
}

/// The outputs whose messages come out at a port: those behind a merge, which itself does nothing.
fn feeding(plan: &Plan, port: Port) -> Vec<Port> {
    let node = plan.node(port.node);
    if node.kind != NodeKind::Merge {
        return vec![port];
    }
    let inputs = node.inputs.iter();
    inputs.flat_map(|input| feeding(plan, *input)).collect()
}

struct Builder {
    program: Program,
    senders: BTreeMap<String, AnySender>,
    durability: BTreeMap<String, SourceDurability>,
    unkeyed: Vec<NodeId>,
    numbers: BTreeMap<*const GraphNode, NodeId>,
    /// Sinks of the dead letters of several nodes, by name; they come after all of them.
    shared_letters: BTreeMap<String, (DeadLetterSink, Vec<Port>)>,
}

impl Builder {
    fn add(&mut self, node: &Arc<GraphNode>) -> NodeId {
        let identity = Arc::as_ptr(node);
        if let Some(id) = self.numbers.get(&identity) {
            return *id;
        }
        let inputs = node
            .inputs
            .iter()
            .map(|port| Port {
                node: self.add(&port.node),
                output: port.output,
            })
            .collect();
        let settings = node.settings();
        let name = self.name(&settings.name);
        let id = self.push(
            Node {
                name: name.clone(),
                kind: node.kind.clone(),
                inputs,
                on_error: settings.on_error,
                location: node.location.clone(),
            },
            node.code.clone(),
        );
        self.numbers.insert(identity, id);
        if let Some((state, table)) = &node.state {
            self.program
                .states
                .entry(state.clone())
                .or_insert_with(|| Arc::clone(table));
        }
        if node.is_unkeyed {
            self.unkeyed.push(id);
        }
        if let Some(sender) = &node.sender {
            self.senders.insert(name.clone(), Arc::clone(sender));
        }
        if let Some(durability) = &node.durability {
            self.durability.insert(name, Arc::clone(durability));
        }
        for output in 0..node.outputs() {
            let sizer = node.sizer.map(|sizer| (Port { node: id, output }, sizer));
            self.program.sizers.extend(sizer);
        }
        for (output, copier) in unpoisoned(&node.copiers).iter() {
            let port = Port {
                node: id,
                output: *output,
            };
            for fed in feeding(&self.program.plan, port) {
                self.program.copiers.insert(fed, *copier);
            }
        }
        if let Some(sink) = &settings.dead_letters {
            let port = Port {
                node: id,
                output: node.outputs(),
            };
            self.program
                .sizers
                .extend(sizer::<DeadLetter>().map(|sizer| (port, sizer)));
            if sink.shared {
                let name = sink.name.clone();
                let shared = self.shared_letters.entry(name);
                shared
                    .or_insert_with(|| (sink.clone(), Vec::new()))
                    .1
                    .push(port);
            } else {
                self.add_dead_letters(vec![port], sink);
            }
        }
        id
    }

    fn add_dead_letters(&mut self, ports: Vec<Port>, sink: &DeadLetterSink) {
        let node = |name: String, kind, inputs| Node {
            name,
            kind,
            inputs,
            on_error: OnError::Fail,
            location: sink.location.clone(),
        };
        let ports = match &sink.encode {
            None => ports,
            Some(code) => {
                let encode = self.push(
                    node(format!("{} (encode)", sink.name), NodeKind::Encode, ports),
                    code.clone(),
                );
                vec![Port {
                    node: encode,
                    output: 0,
                }]
            }
        };
        self.push(
            node(sink.name.clone(), NodeKind::Sink, ports),
            sink.sink.clone(),
        );
    }

    fn push(&mut self, node: Node, code: NodeCode) -> NodeId {
        let id = NodeId(
            u16::try_from(self.program.plan.nodes.len())
                .expect("a plan holds at most 65,535 nodes"),
        );
        self.program.plan.nodes.push(node);
        self.program.code.push(code);
        id
    }

    fn name(&self, name: &Name) -> String {
        match name {
            Name::Given(name) => name.clone(),
            Name::Made(name) => {
                let is_free = |name: &String| {
                    !self
                        .program
                        .plan
                        .nodes
                        .iter()
                        .any(|node| node.name == *name)
                };
                let numbered = (2..).map(|number| format!("{name} ({number})"));
                std::iter::once(name.clone())
                    .chain(numbered)
                    .find(is_free)
                    .expect("there is always a next number")
            }
        }
    }
}
