//! Opens the sources and sinks of an application.
//!
//! **Invariants.** What is opened belongs to the caller, also when something after it cannot be opened.

use std::sync::{Arc, Mutex};

use wallaroo_core::{ConnectorError, Node, NodeId, NodeKind, PartitionId};

use super::StartError;
use crate::control::PartitionName;
use crate::failure::{Connector, Failure};
use crate::generation::unpoisoned;
use crate::host::ErasedSink;
use crate::panics::caught;
use crate::program::{NodeCode, Program};
use crate::restore::Resume;
use crate::sink::OpenSink;
use crate::source::{OpenPartition, PartitionState};
use crate::wake::WakeSlot;
use crate::worker::Assets;

/// Opens all sources and sinks.
pub(super) fn open(
    program: &Program,
    workers: usize,
    resume: Option<&Resume>,
) -> Result<(Assets, Vec<PartitionName>), StartError> {
    let mut assets = Assets::default();
    let mut names = Vec::new();
    for id in program.plan.ids() {
        let node = program.plan.node(id);
        match program.code(id) {
            NodeCode::Source(source) => {
                let fail = |error| StartError::Source {
                    name: node.name.clone(),
                    error,
                };
                let panicked = |text| StartError::Panic {
                    connector: Connector::Source(node.name.clone()),
                    text,
                };
                let mut source = unpoisoned(source);
                let partitions = caught(|| source.partitions(workers)).map_err(panicked)?;
                for partition in partitions.map_err(fail)? {
                    let wake = Arc::new(WakeSlot::default());
                    let stood = resume.and_then(|resume| resume.position(&node.name, &partition));
                    let from = stood.map(|stood| &stood.position);
                    let reader = caught(|| source.open(&partition, from, &wake.waker()))
                        .map_err(panicked)?
                        .map_err(fail)?;
                    let number =
                        u32::try_from(names.len()).expect("there are fewer than 2^32 partitions");
                    names.push(PartitionName {
                        source: node.name.clone(),
                        partition,
                    });
                    assets.partitions.push(OpenPartition {
                        id: PartitionId(number),
                        source: id,
                        reader,
                        next_number: stood.map_or(1, |stood| stood.next_number),
                        wake,
                        state: PartitionState::Ready,
                    });
                }
            }
            NodeCode::Sink(sink) => {
                debug_assert_eq!(node.kind, NodeKind::Sink);
                let opened = caught(|| open_sink(node, id, sink.as_ref()));
                let opened = opened
                    .map_err(|text| StartError::Panic {
                        connector: Connector::Sink(node.name.clone()),
                        text,
                    })?
                    .map_err(|error| StartError::Sink {
                        name: node.name.clone(),
                        error,
                    })?;
                assets.sinks.push(opened);
            }
            NodeCode::Stage(_)
            | NodeCode::State(_)
            | NodeCode::Key(_)
            | NodeCode::Split(_)
            | NodeCode::None => {}
        }
    }
    Ok((assets, names))
}

pub(crate) fn open_sink(
    node: &Node,
    id: NodeId,
    sink: &Mutex<dyn ErasedSink>,
) -> Result<OpenSink, ConnectorError> {
    let wake = Arc::new(WakeSlot::default());
    let writer = unpoisoned(sink).open(&wake.waker())?;
    Ok(OpenSink {
        name: node.name.clone(),
        node: id,
        writer,
        ends: false,
        untold: None,
        wake,
    })
}

/// Opens writers until a sink that has one per worker has enough of them.
pub(super) fn top_up_writers(
    program: &Program,
    id: NodeId,
    assets: &mut Assets,
    workers: usize,
) -> Result<(), Failure> {
    let NodeCode::Sink(sink) = program.code(id) else {
        return Ok(());
    };
    let node = program.plan.node(id);
    let mut open = assets.sinks.iter().filter(|sink| sink.node == id).count();
    while program.has_writer_per_worker(id) && open < workers {
        let name = || Connector::Sink(node.name.clone());
        let opened = Connector::call(name, || open_sink(node, id, sink.as_ref()))?;
        assets.sinks.push(opened);
        open += 1;
    }
    Ok(())
}
