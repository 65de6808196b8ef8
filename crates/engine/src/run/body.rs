//! What runs an application: its generations, one after another, on whichever thread it is called.
//!
//! **Invariants.** A run that is begun ends, and so does one that is never begun: everybody who waits is told.

use std::sync::Arc;

use wallaroo_state::Assignment;

use super::opening::top_up_writers;
use super::{Inner, Options, Outcome};
use crate::closing::close;
use crate::control::{Control, Epoch, PartitionName};
use crate::epochs::Epochs;
use crate::failure::Failure;
use crate::generation::{self, Setting, unpoisoned};
use crate::layout::Layout;
use crate::panics::caught;
use crate::recovery::Lost;
use crate::restore::Restore;
use crate::source::PartitionState;
use crate::worker::Assets;

/// What runs an application: its generations, one after another.
pub struct Body {
    pub(super) inner: Arc<Inner>,
    pub(super) layout: Layout,
    pub(super) options: Options,
    /// Absent when it has been run.
    pub(super) assets: Option<Assets>,
    pub(super) names: Vec<PartitionName>,
}

impl Body {
    /// Runs until the input has ended or the run is stopped; with a [`HostRuntime`](crate::host::HostRuntime) all on this thread.
    pub fn run(mut self) {
        if let Some(assets) = self.assets.take() {
            supervise(
                &self.inner,
                &self.layout,
                &self.options,
                assets,
                &self.names,
            );
        }
    }
}

/// A body that is never run ends its run.
impl Drop for Body {
    fn drop(&mut self) {
        if let Some(assets) = self.assets.take() {
            let closed = caught(|| close(assets, &self.inner.program));
            end(
                &self.inner,
                &self.options,
                match closed {
                    Ok(Ok(())) => Outcome::Completed,
                    Ok(Err(failure)) => Outcome::Failed(Arc::new(failure)),
                    Err(error) => Outcome::Failed(Arc::new(Failure::Bug { error })),
                },
            );
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("application", &self.inner.program.plan.application)
            .finish_non_exhaustive()
    }
}

fn supervise(
    inner: &Inner,
    layout: &Layout,
    options: &Options,
    assets: Assets,
    names: &[PartitionName],
) {
    let run = || generations(inner, layout, options, assets, names);
    let ended = caught(run).unwrap_or_else(|error| Err(Failure::Bug { error }));
    let outcome = match ended {
        Ok(()) => Outcome::Completed,
        Err(failure) => Outcome::Failed(Arc::new(failure)),
    };
    end(inner, options, outcome);
}

/// Tells everybody how the run has ended.
fn end(inner: &Inner, options: &Options, outcome: Outcome) {
    let mut steering = unpoisoned(&inner.steering);
    steering.control = None;
    steering.outcome.get_or_insert(outcome);
    drop(steering);
    inner.ended.notify_all();
    if let Some(listener) = &options.listener {
        listener.run_ended();
    }
}

/// Runs generations until the input has ended or the run is stopped.
fn generations(
    inner: &Inner,
    layout: &Layout,
    options: &Options,
    mut assets: Assets,
    names: &[PartitionName],
) -> Result<(), Failure> {
    let mut workers = options.workers;
    let mut start = options
        .resume
        .as_ref()
        .map_or(Epoch(0), |resume| Epoch(resume.epoch.0 + 1));
    let mut restore = options.resume.as_ref().map(|resume| {
        let states = inner.program.plan.states();
        Arc::new(Restore::new(
            Arc::clone(&resume.states),
            states,
            options.groups,
        ))
    });
    let mut before: Option<Arc<Assignment>> = None;
    loop {
        let time = u64::from(start.0) << 32;
        workers = unpoisoned(&inner.steering)
            .rescale
            .take()
            .unwrap_or(workers);
        let control = Arc::new(Control::new(
            workers.get(),
            layout.source_regions(),
            layout.levels,
            time,
            options.limits,
            Arc::clone(&options.clock),
            names.to_vec(),
            options.host.clone(),
        ));
        if !inner.begin(&control, workers)? {
            return Ok(());
        }
        let topped_up = (inner.program.plan.ids())
            .try_for_each(|id| top_up_writers(&inner.program, id, &mut assets, workers.get()));
        let epochs = options.listener.as_ref().map(|listener| {
            let operators = layout.regions.len() * workers.get();
            let listener = Arc::clone(listener);
            Arc::new(Epochs::new(listener, operators, names.len(), start))
        });
        let assignment = generation::assign(before.as_deref(), options.groups, workers);
        before = Some(Arc::clone(&assignment));
        let setting = Setting {
            program: Arc::clone(&inner.program),
            layout: layout.clone(),
            control: Arc::clone(&control),
            counts: Arc::clone(&inner.counts),
            groups: options.groups,
            listener: options.listener.clone(),
            epochs: epochs.clone(),
            restore: restore.clone(),
            simulation: options.simulation,
            start,
            assignment,
            stuck_after: options.stuck_after,
        };
        let ended = match topped_up {
            Ok(()) => generation::run(setting, assets),
            Err(failure) => Err(Box::new(Lost { failure, assets })),
        };
        // From here on no epoch begins, so that none is asked for that nobody would report.
        unpoisoned(&inner.steering).control = None;
        assets = match ended {
            Ok(assets) => assets,
            Err(lost) => {
                let recovered = inner.recover(*lost, options, names)?;
                restore = Some(recovered.restore);
                (assets, start) = (recovered.assets, recovered.start);
                continue;
            }
        };
        let last = crate::control::epoch_of(control.time());
        if let Some(epochs) = &epochs {
            epochs.end(last);
        }
        if let Some(listener) = &options.listener {
            listener.generation_ended();
        }
        if let Some(failure) = unpoisoned(&inner.steering).failure.take() {
            return Err(failure);
        }
        let ended = assets
            .partitions
            .iter()
            .all(|partition| partition.state == PartitionState::Ended);
        if ended || unpoisoned(&inner.steering).rescale.is_none() {
            return close(assets, &inner.program);
        }
        start = Epoch(last.0 + 1);
    }
}
