//! What the status server tells of a run.
//!
//! **Invariants.** It only looks. It does not keep a run going that nobody holds any more.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wallaroo_console::{
    Checkpoint, Committed, Console, Kind, Node, Phase, Report, StateSize, Stuck,
};
use wallaroo_core::{Clock, Code, NodeKind, Plan, SystemClock, Timestamp};
use wallaroo_engine::RunHandle;

use crate::durable::{CheckpointStatus, CheckpointView};
use crate::error::{Error, ErrorKind};

/// The pages of an application.
pub(crate) struct StatusPage {
    console: Console,
    run: Arc<OnceLock<Shown>>,
}

/// What the pages show, as soon as it is there.
struct Shown {
    run: RunHandle,
    checkpoints: Option<CheckpointView>,
}

impl StatusPage {
    /// Serves the pages at `address`: the phase `starting`, until there is a run.
    pub(crate) fn serve(address: SocketAddr, plan: &Plan) -> Result<StatusPage, Error> {
        let run: Arc<OnceLock<Shown>> = Arc::default();
        let shown = Arc::clone(&run);
        let starting = starting(plan);
        let kinds: Vec<Kind> = plan.nodes.iter().map(|node| kind(&node.kind)).collect();
        let clock = SystemClock::new();
        let started = clock.now();
        let report = move || {
            let now = clock.now();
            let mut report = starting.clone();
            report.uptime = now.since(started);
            if let Some(shown) = shown.get() {
                shown.fill(&mut report, &kinds, now);
            }
            report
        };
        let options = wallaroo_console::Options::at(address);
        let console = wallaroo_console::start(options, Arc::new(report)).map_err(|error| {
            let number = error.number();
            let code = Code::ALL.iter().find(|code| code.number() == number);
            let code = code.copied().unwrap_or(Code::Resources);
            Error::new(ErrorKind::Unavailable, code, error.to_string())
        })?;
        Ok(StatusPage { console, run })
    }

    /// From now on the pages are about this run.
    pub(crate) fn show(&self, run: RunHandle, checkpoints: Option<CheckpointView>) {
        // A program is started once, so there is no other.
        let _ = self.run.set(Shown { run, checkpoints });
    }

    /// Where they are served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.console.address()
    }
}

/// What is to be told before there is a run.
fn starting(plan: &Plan) -> Report {
    let nodes = plan.nodes.iter().map(|node| Node {
        kind: kind(&node.kind),
        name: node.name.clone(),
        messages_in: 0,
        messages_out: 0,
        errors: 0,
        dropped: 0,
        lag_messages: None,
        lag_bytes: None,
    });
    Report {
        application: plan.application.clone(),
        phase: Phase::Starting,
        workers: 0,
        uptime: Duration::ZERO,
        queued_bytes: 0,
        nodes: nodes.collect(),
        stuck: Vec::new(),
        states: Vec::new(),
        checkpoint: None,
    }
}

impl Shown {
    fn fill(&self, report: &mut Report, kinds: &[Kind], now: Timestamp) {
        let checkpoint = self.checkpoints.as_ref().map(CheckpointView::status);
        report.phase = phase(&self.run, checkpoint.as_ref());
        if let Some(status) = self.run.status() {
            report.workers = status.workers;
            report.queued_bytes = status.queued_bytes as u64;
            report.nodes = nodes(&status, kinds);
            report.stuck = status.stuck.iter().map(stuck).collect();
            report.states = status.states.iter().map(size).collect();
        }
        report.checkpoint = checkpoint.map(|checkpoint| Checkpoint {
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
        });
    }
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
