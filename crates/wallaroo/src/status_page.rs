//! What the status server tells of a run.
//!
//! **Invariants.** It only looks. It does not keep a run going that nobody holds any more.

use std::net::SocketAddr;
use std::sync::Arc;

use wallaroo_console::{
    Checkpoint, Committed, Console, Kind, Node, Phase, Report, StateSize, Stuck,
};
use wallaroo_core::{Clock, Code, NodeKind, Plan, SystemClock};
use wallaroo_engine::RunHandle;

use crate::durable::{CheckpointStatus, CheckpointView};
use crate::error::{Error, ErrorKind};

/// Serves the status of a run at `address`.
pub(crate) fn serve(
    address: SocketAddr,
    plan: &Plan,
    run: RunHandle,
    checkpoints: Option<CheckpointView>,
) -> Result<Console, Error> {
    let kinds: Vec<Kind> = plan.nodes.iter().map(|node| kind(&node.kind)).collect();
    let application = plan.application.clone();
    let clock = SystemClock::new();
    let started = clock.now();
    let report = move || {
        let status = run.status();
        let checkpoint = checkpoints.as_ref().map(CheckpointView::status);
        let now = clock.now();
        Report {
            application: application.clone(),
            phase: phase(&run, checkpoint.as_ref()),
            workers: status.as_ref().map_or(0, |status| status.workers),
            uptime: now.since(started),
            queued_bytes: status
                .as_ref()
                .map_or(0, |status| status.queued_bytes as u64),
            nodes: status
                .iter()
                .flat_map(|status| nodes(status, &kinds))
                .collect(),
            stuck: status
                .iter()
                .flat_map(|status| &status.stuck)
                .map(stuck)
                .collect(),
            states: status
                .iter()
                .flat_map(|status| &status.states)
                .map(size)
                .collect(),
            checkpoint: checkpoint.map(|checkpoint| Checkpoint {
                last: (checkpoint.commits > 0).then(|| Committed {
                    epoch: checkpoint.epoch,
                    age: now.since(checkpoint.committed_at),
                    duration: checkpoint.duration,
                    bytes: checkpoint.bytes,
                }),
                uncommitted_epochs: checkpoint.uncommitted as u64,
                input_log_bytes: checkpoint.input_log_bytes,
                recoveries: checkpoint.recoveries,
                last_failure: checkpoint.last_failure,
            }),
        }
    };
    wallaroo_console::start(wallaroo_console::Options::at(address), Arc::new(report)).map_err(
        |error| {
            let number = error.number();
            let code = Code::ALL.iter().find(|code| code.number() == number);
            let code = code.copied().unwrap_or(Code::Resources);
            Error::new(ErrorKind::Unavailable, code, error.to_string())
        },
    )
}

fn phase(run: &RunHandle, checkpoint: Option<&CheckpointStatus>) -> Phase {
    if run.is_ending() {
        return Phase::Ending;
    }
    match checkpoint.and_then(|checkpoint| checkpoint.paused.clone()) {
        Some(reason) => Phase::Paused { reason },
        None => Phase::Running,
    }
}

fn kind(kind: &NodeKind) -> Kind {
    match kind {
        NodeKind::Source => Kind::Source,
        NodeKind::Sink => Kind::Sink,
        _ => Kind::Stage,
    }
}

fn nodes(status: &crate::Status, kinds: &[Kind]) -> Vec<Node> {
    let nodes = status.nodes.iter().zip(kinds);
    nodes
        .map(|(node, kind)| Node {
            kind: *kind,
            name: node.name.clone(),
            messages_in: node.messages_in,
            messages_out: node.messages_out,
            errors: node.dropped,
            dropped: node.dropped,
            lag_messages: match kind {
                Kind::Sink => Some(node.waiting),
                Kind::Source | Kind::Stage => node.lag.messages,
            },
            lag_bytes: node.lag.bytes,
        })
        .collect()
}

fn size(state: &wallaroo_engine::StateStatus) -> StateSize {
    StateSize {
        name: state.name.clone(),
        keys: state.keys,
        bytes: state.bytes,
    }
}

fn stuck(stuck: &wallaroo_engine::StuckStage) -> Stuck {
    Stuck {
        stage: stuck.stage.clone(),
        worker: stuck.worker,
        running_for: stuck.running_for,
    }
}
