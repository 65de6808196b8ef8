//! One worker of a generation: builds the dataflow, steps it until it is done or has failed, and gives back
//! what it owned.
//!
//! **Invariants.** Nothing that user code or a connector does unwinds out of [`run`]. A worker that fails
//! tells the others, so none of them waits for it. In simulation a worker only runs while it holds the
//! baton, and never reads the real clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::worker::Worker;
use wallaroo_core::{KeyGroupCount, Waker, Write};
use wallaroo_state::Assignment;

use crate::batch::SharedPool;
use crate::baton::Baton;
use crate::control::{Control, Epoch};
use crate::dataflow::{self, Parts};
use crate::epochs::Epochs;
use crate::executor::{Executor, Table};
use crate::failure::{Connector, Failure};
use crate::layout::Layout;
use crate::listener::EpochListener;
use crate::panics::caught;
use crate::program::Program;
use crate::region::Reached;
use crate::restore::Restore;
use crate::sink::OpenSink;
use crate::source::OpenPartition;
use crate::status::Counts;

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
    pub(crate) counts: Arc<Counts>,
    pub(crate) pools: Vec<SharedPool>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) groups: KeyGroupCount,
    pub(crate) listener: Option<Arc<dyn EpochListener>>,
    pub(crate) epochs: Option<Arc<Epochs>>,
    pub(crate) restore: Option<Arc<Restore>>,
    pub(crate) start: Epoch,
    pub(crate) assets: Vec<Mutex<Assets>>,
    pub(crate) simulation: Option<(Baton, u64, Option<usize>)>,
}

/// How long a worker waits for a sink that is not done at the end, before it looks again.
const FLUSH_WAIT: Duration = Duration::from_millis(10);

/// Runs one worker. What it returns is complete only if the generation has not failed.
pub(crate) fn run(worker: &mut Worker, shared: &Shared) -> Assets {
    let me = worker.index();
    let _leaving = Leaving(&shared.control);
    if let Some((baton, ..)) = &shared.simulation {
        baton.arrive(me);
    }
    let mut parts = None;
    if let Err(error) = caught(|| drive(worker, shared, &mut parts)) {
        shared.control.fail(Failure::Bug { error });
    }
    // Also after a failure: readers can go on from a checkpoint.
    let collected = parts.map(|mut parts| caught(|| collect(&mut parts)));
    let assets = collected.unwrap_or_else(|| Ok(Assets::default()));
    let assets = assets.unwrap_or_else(|error| {
        shared.control.fail(Failure::Bug { error });
        Assets::default()
    });
    for dataflow in worker.installed_dataflows() {
        // Operators may be in the middle of something after a panic; their drop must not unwind further.
        let _ = caught(|| worker.drop_dataflow(dataflow));
    }
    if let Some((baton, ..)) = &shared.simulation {
        baton.leave(me);
    }
    assets
}

/// Says that the worker has ended, however it ends.
struct Leaving<'a>(&'a Control);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.watch.leave_for_good();
    }
}

fn drive(worker: &mut Worker, shared: &Shared, parts: &mut Option<Parts>) {
    let assets = std::mem::take(
        &mut *shared.assets[worker.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    let parts = parts.insert(dataflow::build(worker, shared, assets));
    let control = &shared.control;
    for address in parts.addresses.iter().chain(&parts.sink_addresses) {
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
                worker.step_or_park(control.host.as_ref().map(|host| host.longest_sleep()));
                if let Some(host) = &control.host {
                    host.between_steps();
                }
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
        flush_sinks(parts, shared, worker.index());
    }
}

/// Waits until all sinks have delivered what they took.
fn flush_sinks(parts: &Parts, shared: &Shared, me: usize) {
    for sink in &parts.sinks {
        let mut sink = sink.borrow_mut();
        let Some(sink) = sink.as_mut() else { continue };
        if shared.control.is_ending()
            && let Err(failure) = sink.end()
        {
            shared.control.fail(failure);
        }
        loop {
            let name = || Connector::Sink(sink.name.clone());
            let flushed = Connector::call(name, || sink.writer.flush());
            let is_flushing = matches!(flushed, Ok(Write::Blocked));
            shared.counts.nodes[sink.node.index()].set_flushing(is_flushing);
            match flushed {
                Ok(Write::Done) => {
                    if let Some(epochs) = &shared.epochs
                        && let Err(failure) = sink.tell(epochs.listener())
                    {
                        shared.control.fail(failure);
                    }
                    break;
                }
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
