//! One worker of a generation: builds the dataflow, steps it until it is done or has failed, and gives back
//! what it owned.
//!
//! **Invariants.** Nothing that user code or a connector does unwinds out of [`run`]. A worker that fails
//! tells the others, so none of them waits for it. In simulation a worker only runs while it holds the
//! baton, and never reads the real clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::dataflow::Stream;
use timely::worker::Worker;
use wallaroo_core::{KeyGroupCount, NodeId, NodeKind, Waker, Write};
use wallaroo_state::Assignment;

use crate::batch::{Batch, Pool};
use crate::baton::{Baton, Random};
use crate::control::{Control, Epoch, Time};
use crate::executor::{Executor, Outbox, Owners, Table};
use crate::failure::{Connector, Failure, panic_text};
use crate::layout::{EdgeIndex, Layout, RegionIndex, SinkNumbers};
use crate::ledger::Ledger;
use crate::listener::EpochListener;
use crate::program::{NodeCode, Program};
use crate::region::{self, Reached, Surroundings};
use crate::sink::{self, OpenSink, SharedSink};
use crate::source::{self, OpenPartition, SharedPartitions, SourceShared};
use crate::status::NodeCounts;

/// What a worker owns, before and after a generation.
#[derive(Default)]
pub(crate) struct Assets {
    pub(crate) tables: Vec<Table>,
    pub(crate) partitions: Vec<OpenPartition>,
    pub(crate) sinks: Vec<OpenSink>,
}

/// What all workers of a generation know.
pub(crate) struct Shared {
    pub(crate) program: Arc<Program>,
    pub(crate) layout: Layout,
    pub(crate) control: Arc<Control>,
    pub(crate) counts: Arc<[NodeCounts]>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) groups: KeyGroupCount,
    pub(crate) listener: Option<Arc<dyn EpochListener>>,
    pub(crate) start: Epoch,
    pub(crate) assets: Vec<Mutex<Assets>>,
    pub(crate) simulation: Option<(Baton, u64, Option<usize>)>,
}

/// How long a worker waits for a sink that is not done at the end, before it looks again.
const FLUSH_WAIT: Duration = Duration::from_millis(10);

/// The parts of a worker's dataflow.
struct Parts {
    executors: Vec<Rc<RefCell<Option<Executor>>>>,
    partitions: Vec<SharedPartitions>,
    sinks: Vec<SharedSink>,
    reached: Vec<Reached>,
    /// Of the operators behind which nothing comes.
    last: Vec<Reached>,
    sources: Rc<SourceShared>,
    /// Addresses of the operators that wait for time, credit or pressure.
    addresses: Vec<Vec<usize>>,
}

/// Runs one worker. What it returns is complete only if the generation has not failed.
pub(crate) fn run(worker: &mut Worker, shared: &Shared) -> Assets {
    let me = worker.index();
    if let Some((baton, ..)) = &shared.simulation {
        baton.arrive(me);
    }
    let result = catch_unwind(AssertUnwindSafe(|| drive(worker, shared)));
    let assets = result.unwrap_or_else(|payload| {
        shared.control.fail(Failure::Bug {
            error: panic_text(payload.as_ref()),
        });
        Assets::default()
    });
    for dataflow in worker.installed_dataflows() {
        // Operators may be in the middle of something after a panic; their drop must not unwind further.
        let _ = catch_unwind(AssertUnwindSafe(|| worker.drop_dataflow(dataflow)));
    }
    if let Some((baton, ..)) = &shared.simulation {
        baton.leave(me);
    }
    assets
}

fn drive(worker: &mut Worker, shared: &Shared) -> Assets {
    let assets = std::mem::take(
        &mut *shared.assets[worker.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    let mut parts = build(worker, shared, assets);
    let control = &shared.control;
    for address in &parts.addresses {
        let activator = worker.sync_activator_for(address.clone());
        // Fails only when the worker has gone, and then there is nobody to wake.
        control.add_waker(Waker::new(move || {
            let _ = activator.activate();
        }));
    }
    while !control.has_failed() && !parts.reached.iter().all(Reached::is_done) {
        match &shared.simulation {
            Some((baton, ..)) => {
                worker.step();
                baton.pass(worker.index());
            }
            None => {
                worker.step_or_park(None);
            }
        }
        let paid = parts
            .sources
            .ledger
            .borrow_mut()
            .pay_back(|time| parts.last.iter().all(|reached| reached.has_passed(time)));
        if paid {
            for address in &parts.addresses {
                worker.activations().borrow_mut().activate(address);
            }
        }
    }
    if !control.has_failed() {
        flush_sinks(&parts, shared, worker.index());
    }
    collect(&mut parts)
}

/// Waits until all sinks have delivered what they took.
fn flush_sinks(parts: &Parts, shared: &Shared, me: usize) {
    for sink in &parts.sinks {
        let mut sink = sink.borrow_mut();
        let Some(sink) = sink.as_mut() else { continue };
        loop {
            let name = || Connector::Sink(sink.name.clone());
            match Connector::call(name, || sink.writer.flush()) {
                Ok(Write::Done) => break,
                Ok(Write::Blocked) if shared.control.has_failed() => break,
                Ok(Write::Blocked) => match &shared.simulation {
                    Some((baton, ..)) => baton.pass(me),
                    None => std::thread::park_timeout(FLUSH_WAIT),
                },
                Err(failure) => {
                    shared.control.fail(failure);
                    break;
                }
            }
        }
    }
}

/// Takes what the worker owns out of its operators.
fn collect(parts: &mut Parts) -> Assets {
    let mut assets = Assets::default();
    for executor in &parts.executors {
        assets.tables.extend(
            executor
                .borrow_mut()
                .take()
                .into_iter()
                .flat_map(Executor::into_tables),
        );
    }
    for partitions in &parts.partitions {
        assets.partitions.append(&mut partitions.borrow_mut());
    }
    for sink in &parts.sinks {
        assets.sinks.extend(sink.borrow_mut().take());
    }
    assets
        .partitions
        .iter()
        .for_each(|partition| partition.wake.detach());
    assets.sinks.iter().for_each(|sink| sink.wake.detach());
    assets
}

fn build(worker: &mut Worker, shared: &Shared, assets: Assets) -> Parts {
    let me = worker.index();
    let workers = worker.peers();
    let owners = Owners {
        groups: shared.groups,
        assignment: Arc::clone(&shared.assignment),
        workers,
        me,
    };
    let simulation = shared.simulation.as_ref();
    let sources = Rc::new(SourceShared {
        control: Arc::clone(&shared.control),
        ledger: RefCell::new(Ledger::default()),
        credit_bytes: (shared.control.limits.credit_bytes / workers).max(1),
        listener: shared.listener.clone(),
        random: simulation
            .map(|(_, seed, _)| RefCell::new(Random::new(seed.wrapping_add(me as u64 + 1)))),
        epoch_every: simulation.and_then(|(_, _, every)| *every),
        start: u64::from(shared.start.0) << 32,
    });
    let Assets {
        mut tables,
        mut partitions,
        sinks,
    } = assets;
    let mut sinks: BTreeMap<NodeId, OpenSink> =
        sinks.into_iter().map(|sink| (sink.node, sink)).collect();
    let sink_numbers = SinkNumbers::of(&shared.program.plan);
    let mut parts = Parts {
        executors: Vec::new(),
        partitions: Vec::new(),
        sinks: Vec::new(),
        reached: Vec::new(),
        last: Vec::new(),
        sources: Rc::clone(&sources),
        addresses: Vec::new(),
    };
    let mut wakes = Vec::new();
    worker.dataflow::<Time, _, _>(|scope| {
        let mut streams: BTreeMap<EdgeIndex, Stream<'_, Time, Batch>> = BTreeMap::new();
        let layout = &shared.layout;
        for region in in_level_order(layout) {
            let region_layout = &layout.regions[region];
            let reached = Reached::new();
            parts.reached.push(reached.clone());
            if region_layout.outputs.is_empty() {
                parts.last.push(reached.clone());
            }
            let first = region_layout.nodes[0];
            let name = &shared.program.plan.node(first).name;
            let inputs: Vec<_> = region_layout
                .inputs
                .iter()
                .map(|edge| {
                    (
                        &layout.edges[*edge],
                        streams.remove(edge).expect("edges come from lower levels"),
                    )
                })
                .collect();
            let pools: Vec<Pool> = region_layout
                .inputs
                .iter()
                .map(|edge| shared.pools[*edge].clone())
                .collect();
            if shared.program.plan.node(first).kind == NodeKind::Sink {
                let sink = Rc::new(RefCell::new(sinks.remove(&first)));
                let address = sink::build(
                    scope,
                    name,
                    inputs,
                    pools,
                    Rc::clone(&sink),
                    reached,
                    Arc::clone(&shared.control),
                    Arc::clone(&shared.counts),
                    region_layout.level,
                );
                wakes.extend(
                    sink.borrow()
                        .as_ref()
                        .map(|sink| (Arc::clone(&sink.wake), address)),
                );
                parts.sinks.push(sink);
                continue;
            }
            let outbox = Outbox::new(
                layout,
                region,
                &sink_numbers,
                &shared.pools,
                &owners,
                &shared.control,
            );
            let executor = Executor::new(
                &shared.program,
                layout,
                region,
                &shared.control,
                &shared.counts,
                outbox,
                &mut tables,
            );
            let executor = Rc::new(RefCell::new(Some(executor)));
            parts.executors.push(Rc::clone(&executor));
            let outgoing = if region_layout.level == 0 {
                let (mine, others) = std::mem::take(&mut partitions)
                    .into_iter()
                    .partition(|partition| region_layout.nodes.contains(&partition.source));
                partitions = others;
                let mine: SharedPartitions = Rc::new(RefCell::new(mine));
                let empties = empties(&shared.program, &region_layout.nodes);
                let (address, outgoing) = source::build(
                    scope,
                    name,
                    &region_layout.outputs,
                    executor,
                    Rc::clone(&mine),
                    empties,
                    Rc::clone(&sources),
                    reached,
                );
                wakes.extend(
                    mine.borrow()
                        .iter()
                        .map(|partition| (Arc::clone(&partition.wake), address.clone())),
                );
                parts.addresses.push(address);
                parts.partitions.push(mine);
                outgoing
            } else {
                let around = Surroundings {
                    control: Arc::clone(&shared.control),
                    listener: shared.listener.clone(),
                    worker: me,
                    level: region_layout.level,
                    pools,
                    start: shared.start,
                };
                let (address, outgoing) = region::build(
                    scope,
                    name,
                    inputs,
                    &region_layout.outputs,
                    executor,
                    reached,
                    around,
                );
                parts.addresses.push(address);
                outgoing
            };
            streams.extend(region_layout.outputs.iter().copied().zip(outgoing));
        }
    });
    for (wake, address) in wakes {
        wake.attach(worker.sync_activator_for(address));
    }
    parts
}

/// Regions in an order in which each comes after those that feed it.
fn in_level_order(layout: &Layout) -> Vec<RegionIndex> {
    let mut order: Vec<RegionIndex> = (0..layout.regions.len()).collect();
    order.sort_by_key(|region| (layout.regions[*region].level, *region));
    order
}

fn empties(program: &Program, nodes: &[NodeId]) -> Vec<(NodeId, Box<dyn wallaroo_core::Messages>)> {
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
