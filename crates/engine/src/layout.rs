//! Cuts a plan into regions: the stages that run in one timely operator.
//!
//! Nodes on one level (between the same exchanges) that feed each other directly, or share a state, form a
//! region. Messages inside a region are passed on by function call; between regions they travel along
//! edges. Merges disappear: what feeds a merge feeds the merge's consumers. They still decide about regions: streams
//! of one level that meet in a merge are of one region, also when only a sink comes behind it.
//!
//! **Invariants.** Every edge leads to a region of a higher level, so regions form a DAG. All stages of one
//! state are in one region. A sink is a region of its own. Sources are in regions of level 0 and nothing
//! travels into those.

mod meeting;

use std::collections::BTreeMap;

use wallaroo_core::{Node, NodeId, NodeKind, Plan, PlanError, Port};

/// Index of a region.
pub(crate) type RegionIndex = usize;
/// Index of an edge.
pub(crate) type EdgeIndex = usize;

/// How the messages of an edge find their worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// They stay on the worker.
    Local,
    /// They go to the owner of their key; the node is the `key_by` or `collect`.
    Keyed(NodeId),
    /// They go to the owner of the sink.
    Sink(NodeId),
}

/// A way of messages from one region to another.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The output whose messages travel; the first of them, where a merge gives the messages of several outputs
    /// of one region to the same consumers.
    pub(crate) from: Port,
    pub(crate) source: RegionIndex,
    pub(crate) target: RegionIndex,
    pub(crate) route: Route,
    /// The nodes that take the messages in the target region.
    pub(crate) consumers: Vec<NodeId>,
}

/// Who takes the messages of an output inside the region that makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// A stage of the region, which only looks at the messages.
    Look(NodeId),
    /// A `split`, `key_by` or `collect` of the region, which takes the messages.
    Take(NodeId),
    /// An edge to another region, which takes the messages.
    Edge(EdgeIndex),
}

/// Stages that run in one operator.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) level: usize,
    /// Nodes except merges and ends, in plan order.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) inputs: Vec<EdgeIndex>,
    pub(crate) outputs: Vec<EdgeIndex>,
}

/// The regions and edges of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) regions: Vec<Region>,
    pub(crate) edges: Vec<Edge>,
    /// Consumers of each output inside its region: those that only look come first.
    pub(crate) consumers: BTreeMap<Port, Vec<Consumer>>,
    pub(crate) levels: usize,
}

impl Layout {
    /// How many regions read sources.
    pub(crate) fn source_regions(&self) -> usize {
        let regions = self.regions.iter();
        regions.filter(|region| region.level == 0).count()
    }

    /// # Errors
    /// When states feed each other in a circle.
    pub(crate) fn of(
        plan: &Plan,
        per_worker: impl Fn(NodeId) -> bool,
    ) -> Result<Layout, PlanError> {
        let levels = plan.levels()?;
        let region_of = regions_of(plan, &levels);
        let mut layout = Layout {
            regions: Vec::new(),
            edges: Vec::new(),
            consumers: BTreeMap::new(),
            levels: levels.iter().max().map_or(0, |highest| highest + 1),
        };
        for id in plan.ids().filter(|id| runs(plan, *id)) {
            let region = region_of[id.index()];
            if region == layout.regions.len() {
                layout.regions.push(Region {
                    level: levels[id.index()],
                    nodes: Vec::new(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                });
            }
            layout.regions[region].nodes.push(id);
        }
        for port in ports(plan) {
            layout.add_consumers(plan, &region_of, port, &per_worker);
        }
        Ok(layout)
    }

    fn add_consumers(
        &mut self,
        plan: &Plan,
        region_of: &[RegionIndex],
        port: Port,
        per_worker: &impl Fn(NodeId) -> bool,
    ) {
        let region = region_of[port.node.index()];
        let keyed = sends_by_key(plan, port);
        let mut inside = Vec::new();
        let mut outside: BTreeMap<RegionIndex, Vec<NodeId>> = BTreeMap::new();
        for node in consumers_through_merges(plan, port) {
            let target = region_of[node.index()];
            match plan.node(node).kind {
                _ if keyed || target != region => outside.entry(target).or_default().push(node),
                _ => inside.push(consumer(plan, node)),
            }
        }
        // Whoever only looks goes first; whoever takes the messages away goes last.
        inside.sort_by_key(|consumer| matches!(consumer, Consumer::Take(_)));
        for (target, consumers) in outside {
            let sink = consumers
                .iter()
                .copied()
                .find(|node| plan.node(*node).kind == NodeKind::Sink);
            let route = match sink {
                Some(sink) if per_worker(sink) => Route::Local,
                Some(sink) => Route::Sink(sink),
                None if keyed => Route::Keyed(port.node),
                None => Route::Local,
            };
            // A sink takes what comes along each of its edges once.
            let consumers = match sink {
                Some(_) => consumers.chunks(1).map(<[NodeId]>::to_vec).collect(),
                None => vec![consumers],
            };
            for consumers in consumers {
                inside.push(Consumer::Edge(self.edge(Edge {
                    from: port,
                    source: region,
                    target,
                    route,
                    consumers,
                })));
            }
        }
        if !inside.is_empty() {
            self.consumers.insert(port, inside);
        }
    }

    /// The index of an edge: of a known one if it leads from and to the same places.
    fn edge(&mut self, edge: Edge) -> EdgeIndex {
        // Outputs of several ports that a merge joins have one edge, so that they stay in order.
        let known = self.regions[edge.source].outputs.iter().copied();
        let is_same = |known: &EdgeIndex| {
            let known = &self.edges[*known];
            known.target == edge.target
                && known.route == edge.route
                && known.consumers == edge.consumers
        };
        if let Some(known) = known.into_iter().find(is_same) {
            return known;
        }
        let index = self.edges.len();
        self.regions[edge.source].outputs.push(index);
        self.regions[edge.target].inputs.push(index);
        self.edges.push(edge);
        index
    }
}

/// The sinks of a plan, numbered.
#[derive(Clone, Debug)]
pub(crate) struct SinkNumbers {
    /// By node; absent for nodes that are not sinks.
    numbers: Vec<Option<usize>>,
}

impl SinkNumbers {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut next = 0..;
        let number = |node: &Node| (node.kind == NodeKind::Sink).then(|| next.next()).flatten();
        SinkNumbers {
            numbers: plan.nodes.iter().map(number).collect(),
        }
    }

    pub(crate) fn is_sink(&self, id: NodeId) -> bool {
        self.numbers[id.index()].is_some()
    }

    /// The number of a sink; it decides which worker owns it.
    pub(crate) fn number(&self, sink: NodeId) -> usize {
        self.numbers[sink.index()].expect("the node is a sink")
    }
}

/// How a node of the same region takes messages.
pub(crate) fn consumer(plan: &Plan, node: NodeId) -> Consumer {
    match plan.node(node).kind {
        NodeKind::Split | NodeKind::KeyBy { .. } | NodeKind::Collect => Consumer::Take(node),
        NodeKind::Source
        | NodeKind::Stateless
        | NodeKind::State { .. }
        | NodeKind::Merge
        | NodeKind::Encode
        | NodeKind::Sink
        | NodeKind::End => Consumer::Look(node),
    }
}

/// Whether messages of this output go to the owner of their key; dead letters of a `key_by` do not.
fn sends_by_key(plan: &Plan, port: Port) -> bool {
    port.output == 0
        && matches!(
            plan.node(port.node).kind,
            NodeKind::KeyBy { .. } | NodeKind::Collect
        )
}

/// Whether a node does something at run time.
fn runs(plan: &Plan, id: NodeId) -> bool {
    !matches!(plan.node(id).kind, NodeKind::Merge | NodeKind::End)
}

/// All outputs that something takes messages from.
fn ports(plan: &Plan) -> Vec<Port> {
    let mut ports: Vec<Port> = plan
        .nodes
        .iter()
        .flat_map(|node| node.inputs.iter().copied())
        .collect();
    ports.retain(|port| runs(plan, port.node));
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The nodes that take messages from a port, as often as they take them: a stream merged with itself comes
/// twice.
fn consumers_through_merges(plan: &Plan, port: Port) -> Vec<NodeId> {
    let mut found = Vec::new();
    for node in plan.consumers(port) {
        match plan.node(node).kind {
            NodeKind::Merge => {
                let behind = consumers_through_merges(plan, Port { node, output: 0 });
                let inputs = plan.node(node).inputs.iter();
                inputs
                    .filter(|input| **input == port)
                    .for_each(|_| found.extend_from_slice(&behind));
            }
            NodeKind::End => {}
            _ => found.push(node),
        }
    }
    found
}

/// The region of each node, numbered in the order of their first nodes.
fn regions_of(plan: &Plan, levels: &[usize]) -> Vec<RegionIndex> {
    let mut parent: Vec<usize> = (0..plan.nodes.len()).collect();
    for (index, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            let from = input.node.index();
            let stays = !sends_by_key(plan, *input) && node.kind != NodeKind::Sink;
            if stays && levels[index] == levels[from] {
                join(&mut parent, from, index);
            }
        }
    }
    let mut first_of_state: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        if let NodeKind::State { state, .. } = &node.kind {
            let first = *first_of_state.entry(state).or_insert(index);
            join(&mut parent, first, index);
        }
    }
    let mut numbers: BTreeMap<usize, RegionIndex> = BTreeMap::new();
    let mut regions = vec![RegionIndex::MAX; plan.nodes.len()];
    for id in plan.ids().filter(|id| runs(plan, *id)) {
        let next = numbers.len();
        regions[id.index()] = *numbers.entry(root(&parent, id.index())).or_insert(next);
    }
    regions
}

fn root(parent: &[usize], mut index: usize) -> usize {
    while parent[index] != index {
        index = parent[index];
    }
    index
}

fn join(parent: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(parent, one), root(parent, other));
    parent[one.max(other)] = one.min(other);
}
