//! Who is told what an epoch holds: the seam where checkpoints are taken.
//!
//! **Invariants.** For each epoch, every worker reports the positions of its source partitions when it stops
//! reading in that epoch, and the changes of its states when all messages of that epoch, and none of a later
//! one, have had their effect.

use wallaroo_core::source::Position;
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

/// Is told what an epoch holds. Called on the workers' threads: it must be quick.
pub trait EpochListener: Send + Sync {
    /// A source partition has given all its messages of an epoch.
    fn source_reached(&self, epoch: Epoch, position: SourcePosition);

    /// A worker has applied all messages of an epoch to its states. Called for each operator that has states.
    fn states_changed(&self, epoch: Epoch, worker: usize, changes: Vec<StateChanges>);

    /// A generation has ended without a failure: everything read has gone through the sinks, the last epoch
    /// has been reported, and no worker runs. Called on the thread of the run, before the next generation.
    fn generation_ended(&self) {}
}
