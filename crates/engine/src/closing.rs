//! The end of what a run owns: readers, writers and state objects are dropped, one by one.
//!
//! **Invariants.** Dropping runs code of users. A panic there is told with the name of its source, sink or state, and
//! keeps nothing else from being dropped.

use crate::failure::{Act, Connector, Failure, Owner};
use crate::program::Program;
use crate::sink::OpenSink;
use crate::worker::Assets;

/// Drops everything.
///
/// # Errors
/// The first panic.
pub(crate) fn close(assets: Assets, program: &Program) -> Result<(), Failure> {
    let mut ended = Ok(());
    for partition in assets.partitions {
        let name = || Connector::Source(program.plan.node(partition.source).name.clone());
        ended = ended.and(Connector::caught(name, || drop(partition.reader)));
    }
    for sink in assets.sinks {
        ended = ended.and(close_sink(sink));
    }
    for table in assets.tables {
        let owner = || Owner::State(table.name.clone());
        ended = ended.and(Act::Dropped.on(owner, || drop(table.objects)));
    }
    ended
}

/// Drops the writer of a sink.
pub(crate) fn close_sink(sink: OpenSink) -> Result<(), Failure> {
    let name = || Connector::Sink(sink.name.clone());
    Connector::caught(name, || drop(sink.writer))
}
