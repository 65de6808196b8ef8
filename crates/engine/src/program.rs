//! A plan together with the code behind its nodes.
//!
//! **Invariants.** Node `i` of the plan has code `i`. Code is shared by the workers; each worker makes its own
//! instances from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use wallaroo_core::{Messages, NodeId, Plan, Port};

use crate::generation::unpoisoned;
use crate::host::{
    ErasedSink, ErasedSource, KeyExtractor, Splitter, Stage, StateObjects, StateStage,
};

/// Makes an instance of some code for one worker.
pub type Factory<T> = Arc<dyn Fn() -> Box<T> + Send + Sync>;

/// Copies the messages of an output that more than one consumer takes.
pub type Copier = fn(&dyn Messages) -> Box<dyn Messages>;

/// The code behind one node.
#[derive(Clone)]
pub enum NodeCode {
    /// Of a source.
    Source(Arc<Mutex<dyn ErasedSource>>),
    /// Of a stage without state, or of an encoder.
    Stage(Factory<dyn Stage>),
    /// Of a stage with state.
    State(Factory<dyn StateStage>),
    /// Of a `key_by` or `collect`.
    Key(Factory<dyn KeyExtractor>),
    /// Of a `split`.
    Split(Factory<dyn Splitter>),
    /// Of a sink.
    Sink(Arc<Mutex<dyn ErasedSink>>),
    /// Of a node that only stands in the plan: a merge or an end.
    None,
}

impl fmt::Debug for NodeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeCode::Source(_) => "Source",
            NodeCode::Stage(_) => "Stage",
            NodeCode::State(_) => "State",
            NodeCode::Key(_) => "Key",
            NodeCode::Split(_) => "Split",
            NodeCode::Sink(_) => "Sink",
            NodeCode::None => "None",
        })
    }
}

/// Estimates the bytes that messages occupy, where their type does not say it.
pub type Sizer = fn(&dyn Messages) -> usize;

/// An application, ready to run.
#[derive(Clone)]
pub struct Program {
    /// What there is.
    pub plan: Plan,
    /// The code of each node.
    pub code: Vec<NodeCode>,
    /// Makes the table of state objects of each state.
    pub states: BTreeMap<String, Factory<dyn StateObjects>>,
    /// How to copy the messages of outputs with several consumers.
    pub copiers: BTreeMap<Port, Copier>,
    /// How large the messages of an output are, for flow control.
    pub sizers: BTreeMap<Port, Sizer>,
}

impl Program {
    /// Whether a node is a sink with a writer on every worker.
    pub(crate) fn has_writer_per_worker(&self, id: NodeId) -> bool {
        match self.code(id) {
            NodeCode::Sink(sink) => unpoisoned(sink).per_worker(),
            _ => false,
        }
    }

    /// The code of a node.
    #[must_use]
    pub fn code(&self, id: NodeId) -> &NodeCode {
        &self.code[id.index()]
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
