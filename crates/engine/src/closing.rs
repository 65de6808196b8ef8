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
        let closed = Connector::caught(name, || drop(partition.reader));
        ended = ended.and(closed);
    }
    for sink in assets.sinks {
        let closed = close_sink(sink);
        ended = ended.and(closed);
    }
    for table in assets.tables {
        let owner = || Owner::State(table.name.clone());
        let closed = Act::Dropped.on(owner, || drop(table.objects));
        ended = ended.and(closed);
    }
    ended
}

/// Drops the writer of a sink.
pub(crate) fn close_sink(sink: OpenSink) -> Result<(), Failure> {
    let name = || Connector::Sink(sink.name.clone());
    Connector::caught(name, || drop(sink.writer))
}
