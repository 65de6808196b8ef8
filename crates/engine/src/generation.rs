//! One generation: a fixed number of workers that run the plan until it has ended, pauses or fails.
//!
//! **Invariants.** When a generation has ended no thread of it is left. What it owned comes back only if it
//! did not fail; after a failure the state in memory is worth nothing.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use timely::CommunicationConfig;
use timely::WorkerConfig;
use wallaroo_core::{KeyGroupCount, NodeId};
use wallaroo_state::{Assignment, WorkerIndex};

use crate::batch::SharedPool;
use crate::baton::Baton;
use crate::closing::close_sink;
use crate::control::{Control, Epoch};
use crate::epochs::Epochs;
use crate::executor::Table;
use crate::failure::{Act, Failure, Owner};
use crate::layout::{Layout, SinkNumbers};
use crate::listener::EpochListener;
use crate::program::Program;
use crate::recovery::Lost;
use crate::restore::Restore;
use crate::run::Simulation;
use crate::status::Counts;
use crate::worker::{self, Assets, Shared};

/// What a generation is run with.
pub(crate) struct Setting {
    pub(crate) program: Arc<Program>,
    pub(crate) layout: Layout,
    pub(crate) control: Arc<Control>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) groups: KeyGroupCount,
    pub(crate) listener: Option<Arc<dyn EpochListener>>,
    pub(crate) epochs: Option<Arc<Epochs>>,
    pub(crate) restore: Option<Arc<Restore>>,
    pub(crate) simulation: Option<Simulation>,
    pub(crate) start: Epoch,
    pub(crate) assignment: Arc<Assignment>,
    /// After this time in one call, a function is told to be stuck.
    pub(crate) stuck_after: Duration,
}

/// Who owns which key group, given who did in the generation before: as few of them move as an even load allows.
pub(crate) fn assign(
    before: Option<&Assignment>,
    groups: KeyGroupCount,
    workers: NonZeroUsize,
) -> Arc<Assignment> {
    Arc::new(match before {
        Some(before) => before.rescale(workers),
        None => Assignment::even(groups, workers),
    })
}

/// Runs a generation on `assets`, and returns them as they are at its end.
///
/// # Errors
/// The first failure of any worker, with what is left of the assets.
pub(crate) fn run(setting: Setting, assets: Assets) -> Result<Assets, Box<Lost>> {
    let assignment = setting.assignment;
    let workers = assignment.workers().get();
    let distributed = distribute(assets, &assignment, setting.groups, &setting.program)?;
    let control = Arc::clone(&setting.control);
    let program = Arc::clone(&setting.program);
    let is_simulated = control.clock.is_simulated();
    let shared = Arc::new(Shared {
        pools: setting
            .layout
            .edges
            .iter()
            .map(|_| SharedPool::new())
            .collect(),
        program: setting.program,
        layout: setting.layout,
        control: setting.control,
        counts: setting.counts,
        assignment,
        groups: setting.groups,
        listener: setting.listener,
        epochs: setting.epochs,
        restore: setting.restore,
        start: setting.start,
        assets: distributed.into_iter().map(Mutex::new).collect(),
        simulation: setting.simulation.map(|simulation| {
            (
                Baton::new(workers, simulation.seed),
                simulation.seed,
                simulation.epoch_every,
            )
        }),
    });
    let communication = if workers == 1 {
        CommunicationConfig::Thread
    } else {
        CommunicationConfig::Process(workers)
    };
    if !is_simulated && control.host.is_some() && workers == 1 {
        return run_here(&shared, &program, setting.stuck_after);
    }
    let (builders, others) = communication
        .try_build()
        .map_err(|error| Failure::Resources { error })?;
    let guards =
        timely::execute::execute_from(builders, others, WorkerConfig::default(), move |worker| {
            worker::run(worker, &shared)
        })
        .map_err(|error| Failure::Resources { error })?;
    if !is_simulated {
        control
            .watch
            .look_until_left(&program.plan, &control, setting.stuck_after);
    }
    let mut gathered = Assets::default();
    // Joined one by one, never dropped: dropping the guards after a panic would abort the process.
    for result in guards.join() {
        match result {
            Ok(assets) => {
                gathered.tables.extend(assets.tables);
                gathered.partitions.extend(assets.partitions);
                gathered.sinks.extend(assets.sinks);
            }
            Err(error) => control.fail(Failure::Bug { error }),
        }
    }
    if let Some(failure) = control.take_failure() {
        return Err(Box::new(Lost {
            failure,
            assets: gathered,
        }));
    }
    Ok(gathered)
}

/// Runs the one worker of a generation on this thread.
fn run_here(
    shared: &Arc<Shared>,
    program: &Arc<Program>,
    stuck_after: Duration,
) -> Result<Assets, Box<Lost>> {
    let control = Arc::clone(&shared.control);
    let watching = {
        let (control, program) = (Arc::clone(&control), Arc::clone(program));
        spawn("wallaroo-watch", move || {
            control
                .watch
                .look_until_left(&program.plan, &control, stuck_after);
        })
        .map_err(|error| Failure::Resources {
            error: error.to_string(),
        })?
    };
    let shared = Arc::clone(shared);
    let assets = timely::execute::execute_directly(move |worker| worker::run(worker, &shared));
    // It panics for our bugs only, and nothing depends on it.
    let _ = watching.join();
    match control.take_failure() {
        None => Ok(assets),
        Some(failure) => Err(Box::new(Lost { failure, assets })),
    }
}

/// The one place of this crate that starts threads of its own; timely starts the workers.
#[expect(clippy::disallowed_types, reason = "this is that place")]
pub(crate) fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Gives each worker the key groups, source partitions and sinks that it owns.
fn distribute(
    assets: Assets,
    assignment: &Assignment,
    groups: KeyGroupCount,
    program: &Program,
) -> Result<Vec<Assets>, Failure> {
    let workers = assignment.workers().get();
    let mut distributed: Vec<Assets> = (0..workers).map(|_| Assets::default()).collect();
    let mut of_source: BTreeMap<_, usize> = BTreeMap::new();
    for partition in assets.partitions {
        // Each source begins with another worker, so that many sources of one partition are spread too.
        let sources = of_source.len();
        let next = of_source.entry(partition.source).or_insert(sources);
        distributed[*next % workers].partitions.push(partition);
        *next += 1;
    }
    let numbers = SinkNumbers::of(&program.plan);
    let mut writers: BTreeMap<NodeId, usize> = BTreeMap::new();
    for sink in assets.sinks {
        // The first writer of a sink goes to the sink's owner; further ones only exist where every worker
        // has one. Those of workers that are gone have been flushed, and end here.
        let number = writers.entry(sink.node).or_default();
        if *number < workers {
            distributed[(numbers.number(sink.node) + *number) % workers]
                .sinks
                .push(sink);
        } else {
            close_sink(sink)?;
        }
        *number += 1;
    }
    // A table stays with the worker it came from as far as that worker is still there; the key groups that
    // have another owner move.
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    let mut moved = Vec::new();
    for mut table in assets.tables {
        let place = next.entry(table.name.clone()).or_default();
        let me = WorkerIndex(*place);
        *place += 1;
        // Default and Drop of the objects' type are the user's.
        let owner = Owner::State(table.name.clone());
        let taken = Act::Moved.on(|| owner, || table.take_moved(assignment, me))?;
        moved.extend(taken);
        if me.0 < workers {
            distributed[me.0].tables.push(table);
        }
    }
    for (owner, moved) in moved {
        let tables = &mut distributed[owner.0].tables;
        let table = match tables.iter().position(|table| table.name == moved.state) {
            Some(known) => &mut tables[known],
            None => {
                tables.push(Table::new(
                    &moved.state,
                    groups,
                    program.states[&moved.state](),
                ));
                tables.last_mut().expect("pushed just now")
            }
        };
        let state = moved.state.clone();
        let owner = || Owner::State(state.clone());
        let put = Act::Moved.on(owner, || table.put(moved))?;
        put.map_err(|error| Failure::Bug {
            error: format!("cannot move the state {state:?}: {error}"),
        })?;
    }
    Ok(distributed)
}

/// Whether the lock's data may be used although a thread panicked while holding it: our critical sections leave
/// nothing half done.
pub(crate) fn unpoisoned<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rescale once gave every worker a new range of groups, and so moved most objects.
    #[test]
    fn only_the_groups_of_workers_that_come_or_go_move() {
        let groups = KeyGroupCount::default();
        let workers = |count| NonZeroUsize::new(count).expect("not zero");
        let mut before = assign(None, groups, workers(3));
        assert_eq!(*before, Assignment::even(groups, workers(3)));
        for (count, moving) in [(4, 256), (3, 256), (3, 0), (1, 682), (2, 512)] {
            let after = assign(Some(&before), groups, workers(count));
            let moves = before.moves(&after);
            assert_eq!(moves.len(), moving, "to {count} workers");
            let common = count.min(before.workers().get());
            let comes_or_goes = |worker: WorkerIndex| worker.0 >= common;
            assert!(
                moves
                    .iter()
                    .all(|moved| comes_or_goes(moved.from) || comes_or_goes(moved.to))
            );
            before = after;
        }
    }
}
