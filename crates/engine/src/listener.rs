//! Who is told what an epoch holds: the seam where checkpoints are taken.
//!
//! For each epoch `e`, from zero on and without gaps, a listener gets
//!
//! 1. from each region with state, on each worker, one [`EpochListener::states_changed`]: all that `e`
//!    changed there, and nothing of a later epoch;
//! 2. from each sink that was given messages of `e`, one [`EpochListener::sink_reached`]: it was given all of `e`, and
//!    nothing of a later epoch;
//! 3. then, once, [`EpochListener::epoch_ended`], with the position of every source partition at the end of `e`.
//!
//! So at the last call the listener has all that a checkpoint of `e` needs. The states with the changes of all
//! epochs up to `e` are what exactly the records before the positions make of them; and all that was made of
//! those records has been delivered: each writer has taken it and answered a flush with `Done`.
//!
//! **Idle and ended sources** hold nothing up: a source that has nothing to read closes an epoch as soon as
//! the next begins, also several at once; one that has ended is done with all. Their partitions are listed
//! with the position they have. A region with state that has seen the end of all its input reports no further
//! epochs: nothing can change there.
//!
//! **Several epochs at once.** Epochs may begin before earlier ones have ended. Changes of a later epoch may be
//! told before an earlier one has ended; the calls of one region on one worker, and the ends, are in ascending order.
//!
//! **The end of a generation** (end of input, stop, rescale) ends its last epoch and all before it, after the
//! writers have been flushed for the last time. The next generation begins with the epoch after it. A
//! generation that fails ends no further epoch.
//!
//! **Invariants.** No epoch ends twice or is passed over. After `epoch_ended(e)` nothing of `e` comes any more.

use std::time::Duration;

use wallaroo_core::{Position, Rows};
use wallaroo_state::StateChanges;

use crate::control::Epoch;

/// Where a source partition stands at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// Name of the source.
    pub source: String,
    /// Name of the partition.
    pub partition: String,
    /// The connector's own position.
    pub position: Position,
    /// Number of the next record.
    pub next_number: u64,
}

/// What a sink was given in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkOutput {
    /// Name of the sink.
    pub sink: String,
    /// The rows of the epoch, from a sink that publishes them after their commit; else none.
    pub rows: Rows,
    /// Where the epoch ends at the destination, from a sink that can be put back there.
    pub position: Option<Position>,
}

/// Is told what an epoch holds. Called on the workers' threads: it must be quick, and must not call the run.
pub trait EpochListener: Send + Sync {
    /// A worker has applied all messages of an epoch to the states of one region, and none of a later epoch.
    fn states_changed(&self, epoch: Epoch, worker: usize, changes: Vec<StateChanges>);

    /// How long the worker took to encode them, told just before: by its clock, which stands still in a simulation.
    fn encoded(&self, epoch: Epoch, worker: usize, took: Duration) {
        let _ = (epoch, worker, took);
    }

    /// Up to `count` changes that are done with: their memory is used again, as fresh memory costs more than what is written
    /// into it.
    fn spare(&self, count: usize) -> Vec<StateChanges> {
        let _ = count;
        Vec::new()
    }

    /// A sink has been given all messages of an epoch, has delivered them, and nothing of a later epoch.
    fn sink_reached(&self, epoch: Epoch, output: SinkOutput) {
        let _ = (epoch, output);
    }

    /// An epoch has had its whole effect, on all workers and at all sinks. `positions` has every source partition
    /// of the application, in the order in which they were opened. Other workers wait in the meantime if they
    /// have epochs to report.
    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>);

    /// A generation has ended without a failure: everything read has gone through the sinks, the last epoch
    /// has ended, and no worker runs. Called on the thread of the run, before the next generation.
    fn generation_ended(&self) {}

    /// The run has ended, with or without a failure; nothing more is told. Called on the thread of the run.
    fn run_ended(&self) {}
}
