//! What follows when a generation is lost: back to the last checkpoint, in the same run, if there is one.
//!
//! The workers are gone by then. Writers and state objects are dropped; readers stay as far as they can go back in place,
//! so that what they have taken from outside and what is connected to them survives. Then whoever keeps the checkpoints says
//! where to go on, sources and sinks are brought there, and the next generation begins, as after a restart of the process.
//!
//! **Invariants.** Nothing of the lost generation reaches the next one but readers, put back to the checkpoint. A run that has been
//! told to stop does not go on, nor does one whose failure would come again ([`Failure::may_pass`]). When it does not go on it
//! ends with the failure that came first.

use std::sync::Arc;
use std::time::Duration;

use wallaroo_core::{NodeId, NodeKind, PartitionId};

use crate::closing::close;
use crate::control::{Epoch, PartitionName};
use crate::failure::{Connector, Failure};
use crate::generation::unpoisoned;
use crate::program::{NodeCode, Program};
use crate::restore::{Restore, Resume};
use crate::run::{Options, open_sink};
use crate::sink::OpenSink;
use crate::source::{OpenPartition, PartitionState};
use crate::status::Counts;
use crate::wake::WakeSlot;
use crate::worker::Assets;

/// Knows the checkpoints of a run, and how patient to be. Called on the thread of the run, while no worker runs.
pub trait Recovery: Send + Sync {
    /// A generation is lost, or could not be begun: after which time to try again. None when it has been tried often enough.
    fn pause(&self, failure: &Failure) -> Option<Duration>;

    /// Brings everything outside that is not a source or an open sink back to the last checkpoint, and says where that is.
    /// Epochs that have ended are committed before, so the epoch is the last one that was reported.
    ///
    /// # Errors
    /// When that cannot be done.
    fn resume(&self) -> Result<Resume, Unresumed>;
}

/// Why there is no checkpoint to go on from.
#[derive(Debug)]
pub enum Unresumed {
    /// It may work later.
    ForNow(String),
    /// It never will. With a reason if it is another than that of the lost generation.
    ForGood(Option<Failure>),
}

/// A generation that has failed, with what is left of it.
pub(crate) struct Lost {
    pub(crate) failure: Failure,
    pub(crate) assets: Assets,
}

/// For what happens before the assets are given to workers, or after they are taken away: none are left.
impl From<Failure> for Box<Lost> {
    fn from(failure: Failure) -> Self {
        let assets = Assets::default();
        Box::new(Lost { failure, assets })
    }
}

/// What the next generation begins with.
pub(crate) struct Recovered {
    pub(crate) assets: Assets,
    pub(crate) restore: Arc<Restore>,
    pub(crate) start: Epoch,
}

/// Why it was not possible this time.
enum Missed {
    ForNow(String),
    ForGood(Option<Failure>),
}

/// Goes back to the last checkpoint. `wait` waits, and says whether the run is still to go on.
///
/// # Errors
/// The failure with which the run ends.
pub(crate) fn recover(
    lost: Lost,
    program: &Program,
    options: &Options,
    names: &[PartitionName],
    counts: &Counts,
    wait: &dyn Fn(Duration) -> bool,
) -> Result<Recovered, Failure> {
    let Lost { failure, assets } = lost;
    let Assets {
        tables,
        mut partitions,
        sinks,
    } = assets;
    // The first failure is the one that is told.
    let _ = close(
        Assets {
            tables,
            sinks,
            partitions: Vec::new(),
        },
        program,
    );
    counts.forget_waiting();
    let recovered = match &options.recovery {
        Some(recovery) if failure.may_pass() => loop {
            let Some(pause) = recovery.pause(&failure).filter(|pause| wait(*pause)) else {
                break Err(None);
            };
            tracing::info!(
                pause_ms = pause.as_millis(),
                "going on from the last commit"
            );
            let resumed = recovery.resume().map_err(Missed::from);
            let reopened = resumed.and_then(|resume| {
                reopen_sources(program, names, &mut partitions, &resume)?;
                Ok((reopen_sinks(program)?, resume))
            });
            match reopened {
                Ok((sinks, resume)) => {
                    let states = program.plan.states();
                    let restore = Restore::new(Arc::clone(&resume.states), states, options.groups);
                    break Ok((sinks, restore, Epoch(resume.epoch.0 + 1)));
                }
                Err(Missed::ForNow(reason)) => {
                    tracing::warn!("cannot go on from the last commit for now: {reason}");
                }
                Err(Missed::ForGood(reason)) => break Err(reason),
            }
        },
        Some(_) | None => Err(None),
    };
    match recovered {
        Ok((sinks, restore, start)) => Ok(Recovered {
            assets: Assets {
                tables: Vec::new(),
                partitions,
                sinks,
            },
            restore: Arc::new(restore),
            start,
        }),
        Err(reason) => {
            let rest = Assets {
                partitions,
                ..Assets::default()
            };
            let _ = close(rest, program);
            Err(reason.unwrap_or(failure))
        }
    }
}

impl From<Unresumed> for Missed {
    fn from(unresumed: Unresumed) -> Self {
        match unresumed {
            Unresumed::ForNow(reason) => Missed::ForNow(reason),
            Unresumed::ForGood(reason) => Missed::ForGood(reason),
        }
    }
}

/// A connector that panics is not tried again.
fn missed(failure: Failure) -> Missed {
    if failure.may_pass() {
        Missed::ForNow(failure.to_string())
    } else {
        Missed::ForGood(Some(failure))
    }
}

/// Opens the first writer of each sink; further ones are opened when the number of workers is known.
fn reopen_sinks(program: &Program) -> Result<Vec<OpenSink>, Missed> {
    let mut sinks = Vec::new();
    for id in program.plan.ids() {
        let NodeCode::Sink(sink) = program.code(id) else {
            continue;
        };
        let node = program.plan.node(id);
        let name = || Connector::Sink(node.name.clone());
        match Connector::call(name, || open_sink(node, id, sink.as_ref())) {
            Ok(opened) => sinks.push(opened),
            Err(failure) => {
                let rest = Assets {
                    sinks,
                    ..Assets::default()
                };
                let _ = close(rest, program);
                return Err(missed(failure));
            }
        }
    }
    Ok(sinks)
}

/// Brings every partition back to where the checkpoint has it: in place, or opened again.
fn reopen_sources(
    program: &Program,
    names: &[PartitionName],
    partitions: &mut Vec<OpenPartition>,
    resume: &Resume,
) -> Result<(), Missed> {
    let mut places: Vec<Option<OpenPartition>> = names.iter().map(|_| None).collect();
    for partition in partitions.drain(..) {
        let number = partition.id.0 as usize;
        places[number] = Some(partition);
    }
    let mut result = Ok(());
    for (number, (name, place)) in (0..).zip(names.iter().zip(&mut places)) {
        result = reopen(program, PartitionId(number), name, place, resume);
        if result.is_err() {
            break;
        }
    }
    // Those that are there stay for the next try.
    partitions.extend(places.into_iter().flatten());
    result
}

fn reopen(
    program: &Program,
    id: PartitionId,
    name: &PartitionName,
    place: &mut Option<OpenPartition>,
    resume: &Resume,
) -> Result<(), Missed> {
    let connector = || Connector::Source(name.source.clone());
    let stood = resume.position(&name.source, &name.partition);
    let from = stood.map(|stood| &stood.position);
    let next_number = stood.map_or(1, |stood| stood.next_number);
    if let Some(partition) = place {
        let rewound = Connector::call(connector, || partition.reader.rewind(from));
        if rewound.map_err(missed)? {
            partition.next_number = next_number;
            partition.state = PartitionState::Ready;
            return Ok(());
        }
    }
    if let Some(OpenPartition { reader, .. }) = place.take() {
        Connector::caught(connector, || drop(reader)).map_err(missed)?;
    }
    let is_it = |id: &NodeId| {
        let node = program.plan.node(*id);
        node.kind == NodeKind::Source && node.name == name.source
    };
    let node = program.plan.ids().find(is_it);
    let Some((source, NodeCode::Source(code))) = node.map(|node| (node, program.code(node))) else {
        return Err(Missed::ForGood(None));
    };
    let mut code = unpoisoned(code);
    if !code.reopens() {
        tracing::warn!(
            source = name.source,
            "the source can be read from the last commit only by a new start of the application"
        );
        return Err(Missed::ForGood(None));
    }
    let wake = Arc::new(WakeSlot::default());
    let opened = Connector::call(connector, || {
        code.open(&name.partition, from, &wake.waker())
    });
    *place = Some(OpenPartition {
        id,
        source,
        reader: opened.map_err(missed)?,
        next_number,
        wake,
        state: PartitionState::Ready,
    });
    Ok(())
}
