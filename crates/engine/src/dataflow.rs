//! Builds a worker's dataflow: one operator per region, connected along the edges.
//!
//! **Invariants.** All workers build the same operators in the same order, whatever they own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use timely::dataflow::{Scope, Stream};
use timely::worker::Worker;
use wallaroo_core::{Messages, NodeId, NodeKind};
use wallaroo_state::WorkerIndex;

use crate::batch::{Batch, Pool};
use crate::baton::Random;
use crate::control::Time;
use crate::executor::{Executor, Outbox, Owners, Pace, Table};
use crate::layout::{Edge, EdgeIndex, Layout, Region, RegionIndex, SinkNumbers};
use crate::ledger::Ledger;
use crate::program::{NodeCode, Program};
use crate::region::{self, Reached, Surroundings};
use crate::sink::{self, OpenSink, SharedSink};
use crate::source::{self, OpenPartition, SharedPartitions, SourceShared};
use crate::wake::WakeSlot;
use crate::worker::{Assets, Shared};

/// The parts of a worker's dataflow.
pub(crate) struct Parts {
    pub(crate) executors: Vec<Rc<RefCell<Option<Executor>>>>,
    pub(crate) partitions: Vec<SharedPartitions>,
    pub(crate) sinks: Vec<SharedSink>,
    pub(crate) reached: Vec<Reached>,
    /// Of the operators behind which nothing comes.
    pub(crate) last: Vec<Reached>,
    pub(crate) sources: Rc<SourceShared>,
    /// Addresses of the operators that wait for time, credit or pressure.
    pub(crate) addresses: Vec<Vec<usize>>,
    /// Of the operators of sinks, which are told when the run is to end.
    pub(crate) sink_addresses: Vec<Vec<usize>>,
}

/// Streams along edges whose target is not built yet.
type Streams<'scope> = BTreeMap<EdgeIndex, Stream<'scope, Time, Batch>>;
/// The streams that come into a region, with their edges.
type Inputs<'a, 'scope> = Vec<(&'a Edge, Stream<'scope, Time, Batch>)>;

struct Builder<'a> {
    shared: &'a Shared,
    /// By edge.
    pools: Vec<Pool>,
    owners: Owners,
    sink_numbers: SinkNumbers,
    tables: Vec<Table>,
    partitions: Vec<OpenPartition>,
    sinks: BTreeMap<NodeId, OpenSink>,
    parts: Parts,
    /// Whom connectors wake, by the address of their operator.
    wakes: Vec<(Arc<WakeSlot>, Vec<usize>)>,
}

/// Builds the dataflow of a worker that owns `assets`.
pub(crate) fn build(worker: &mut Worker, shared: &Shared, assets: Assets) -> Parts {
    let mut builder = Builder::new(worker.index(), worker.peers(), shared, assets);
    worker.dataflow::<Time, _, _>(|scope| {
        let mut streams = Streams::new();
        for region in in_level_order(&shared.layout) {
            builder.add(scope, region, &mut streams);
        }
    });
    for (wake, address) in builder.wakes {
        wake.attach(worker.sync_activator_for(address));
    }
    builder.parts
}

impl<'a> Builder<'a> {
    fn new(me: usize, workers: usize, shared: &'a Shared, assets: Assets) -> Self {
        let simulation = shared.simulation.as_ref();
        let random = |(_, seed, _): &(_, u64, _)| Random::new(seed.wrapping_add(me as u64 + 1));
        let sources = SourceShared {
            control: Arc::clone(&shared.control),
            ledger: RefCell::new(Ledger::default()),
            credit_bytes: (shared.control.limits.credit_bytes / workers).max(1),
            epochs: shared.epochs.clone(),
            random: simulation.map(random).map(RefCell::new),
            epoch_every: simulation.and_then(|(_, _, every)| *every),
            start: u64::from(shared.start.0) << 32,
            counts: Arc::clone(&shared.counts),
        };
        Builder {
            shared,
            pools: shared.pools.iter().map(Pool::of).collect(),
            owners: Owners {
                groups: shared.groups,
                assignment: Arc::clone(&shared.assignment),
                workers,
                me,
            },
            sink_numbers: SinkNumbers::of(&shared.program.plan),
            tables: assets.tables,
            partitions: assets.partitions,
            sinks: assets
                .sinks
                .into_iter()
                .map(|sink| (sink.node, sink))
                .collect(),
            parts: Parts {
                executors: Vec::new(),
                partitions: Vec::new(),
                sinks: Vec::new(),
                reached: Vec::new(),
                last: Vec::new(),
                sources: Rc::new(sources),
                addresses: Vec::new(),
                sink_addresses: Vec::new(),
            },
            wakes: Vec::new(),
        }
    }

    fn add<'scope>(
        &mut self,
        scope: Scope<'scope, Time>,
        index: RegionIndex,
        streams: &mut Streams<'scope>,
    ) {
        let layout = &self.shared.layout;
        let region = &layout.regions[index];
        let reached = Reached::new();
        self.parts.reached.push(reached.clone());
        if region.outputs.is_empty() {
            self.parts.last.push(reached.clone());
        }
        let mut stream =
            |edge: &EdgeIndex| streams.remove(edge).expect("edges come from lower levels");
        let inputs: Inputs<'_, 'scope> = region
            .inputs
            .iter()
            .map(|edge| (&layout.edges[*edge], stream(edge)))
            .collect();
        let is_sink = self.shared.program.plan.node(region.nodes[0]).kind == NodeKind::Sink;
        let outgoing = if is_sink {
            self.add_sink(scope, index, inputs, reached);
            Vec::new()
        } else if region.level == 0 {
            self.add_sources(scope, index, reached)
        } else {
            self.add_stages(scope, index, inputs, reached)
        };
        streams.extend(region.outputs.iter().copied().zip(outgoing));
    }

    /// The number of an operator among those of all workers.
    fn operator(&self, region: RegionIndex) -> usize {
        self.owners.me * self.shared.layout.regions.len() + region
    }

    /// How much of what a region's epochs have changed is saved when.
    fn pace(&self, region: RegionIndex) -> Pace {
        let seed_of =
            |(_, seed, _): &(_, u64, _)| seed.rotate_left(32) + self.operator(region) as u64;
        let seed = self.shared.simulation.as_ref().map(seed_of);
        seed.map_or_else(Pace::default, Pace::simulated)
    }

    fn name(&self, region: &Region) -> &'a str {
        &self.shared.program.plan.node(region.nodes[0]).name
    }

    fn pools(&self, region: &Region) -> Vec<Pool> {
        let pool = |edge: &EdgeIndex| self.pools[*edge].clone();
        region.inputs.iter().map(pool).collect()
    }

    fn executor(&mut self, region: RegionIndex) -> Rc<RefCell<Option<Executor>>> {
        let Shared {
            program,
            layout,
            control,
            counts,
            ..
        } = self.shared;
        let outbox = Outbox::new(
            program,
            layout,
            region,
            &self.sink_numbers,
            &self.pools,
            &self.owners,
            control,
        );
        let mut executor = Executor::new(
            program,
            layout,
            region,
            control,
            counts,
            outbox,
            &mut self.tables,
        );
        if let Some(restore) = &self.shared.restore {
            executor.load_lazily(
                restore,
                &self.owners.assignment,
                WorkerIndex(self.owners.me),
            );
        }
        executor.show_sizes();
        let executor = Rc::new(RefCell::new(Some(executor)));
        self.parts.executors.push(Rc::clone(&executor));
        executor
    }

    fn add_sink<'scope>(
        &mut self,
        scope: Scope<'scope, Time>,
        index: RegionIndex,
        inputs: Inputs<'_, 'scope>,
        reached: Reached,
    ) {
        let region = &self.shared.layout.regions[index];
        let sink = Rc::new(RefCell::new(self.sinks.remove(&region.nodes[0])));
        let address = sink::build(
            scope,
            self.name(region),
            inputs,
            self.pools(region),
            Rc::clone(&sink),
            reached,
            Arc::clone(&self.shared.control),
            Arc::clone(&self.shared.counts),
            region.level,
            self.shared.start,
            self.shared.epochs.clone(),
            self.operator(index),
        );
        let wake = sink.borrow().as_ref().map(|sink| Arc::clone(&sink.wake));
        self.parts.sink_addresses.push(address.clone());
        self.wakes.extend(wake.map(|wake| (wake, address)));
        self.parts.sinks.push(sink);
    }

    fn add_sources<'scope>(
        &mut self,
        scope: Scope<'scope, Time>,
        index: RegionIndex,
        reached: Reached,
    ) -> Vec<Stream<'scope, Time, Batch>> {
        let region = &self.shared.layout.regions[index];
        let executor = self.executor(index);
        let (mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.partitions)
            .into_iter()
            .partition(|partition| region.nodes.contains(&partition.source));
        self.partitions = others;
        let wakes: Vec<_> = mine
            .iter()
            .map(|partition| Arc::clone(&partition.wake))
            .collect();
        let mine: SharedPartitions = Rc::new(RefCell::new(mine));
        let (address, outgoing) = source::build(
            scope,
            self.name(region),
            &region.outputs,
            executor,
            Rc::clone(&mine),
            empties(&self.shared.program, &region.nodes),
            Rc::clone(&self.parts.sources),
            reached,
            self.operator(index),
        );
        self.wakes
            .extend(wakes.into_iter().map(|wake| (wake, address.clone())));
        self.parts.addresses.push(address);
        self.parts.partitions.push(mine);
        outgoing
    }

    fn add_stages<'scope>(
        &mut self,
        scope: Scope<'scope, Time>,
        index: RegionIndex,
        inputs: Inputs<'_, 'scope>,
        reached: Reached,
    ) -> Vec<Stream<'scope, Time, Batch>> {
        let region = &self.shared.layout.regions[index];
        let executor = self.executor(index);
        let around = Surroundings {
            control: Arc::clone(&self.shared.control),
            listener: self.shared.listener.clone(),
            epochs: self.shared.epochs.clone(),
            operator: self.operator(index),
            worker: self.owners.me,
            level: region.level,
            pools: self.pools(region),
            start: self.shared.start,
            pace: self.pace(index),
        };
        let (address, outgoing) = region::build(
            scope,
            self.name(region),
            inputs,
            &region.outputs,
            executor,
            reached,
            around,
        );
        self.parts.addresses.push(address);
        outgoing
    }
}

/// Regions in an order in which each comes after those that feed it.
fn in_level_order(layout: &Layout) -> Vec<RegionIndex> {
    let mut order: Vec<RegionIndex> = (0..layout.regions.len()).collect();
    order.sort_by_key(|region| (layout.regions[*region].level, *region));
    order
}

fn empties(program: &Program, nodes: &[NodeId]) -> Vec<(NodeId, Box<dyn Messages>)> {
    let empty = |id: &NodeId| match program.code(*id) {
        NodeCode::Source(source) => Some((
            *id,
            source
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .empty(),
        )),
        _ => None,
    };
    nodes.iter().filter_map(empty).collect()
}
