//! An application as data: which stages there are and how they feed each other.
//!
//! A [`Plan`] is what can be shown, compared and checked. The code behind each node sits in a registry of the
//! engine, under the same [`NodeId`].
//!
//! **Invariants.** Nodes stand in an order in which every node comes after its inputs. A valid plan is a DAG
//! even when all stages of one state are drawn together: no stage of a state feeds another stage of it.

mod check;

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::code::Code;

/// Index of a node in [`Plan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// One output of a node. Output 0 is the stage's result; `split` uses 0 for yes and 1 for no; the output
/// after the last is that of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The node whose output it is.
    pub node: NodeId,
    /// The number of the output.
    pub output: u16,
}

/// What a node does with messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// Reads messages from outside.
    Source,
    /// Calls a computation for each message.
    Stateless,
    /// Calls a state computation for each message and the state object of its key.
    State {
        /// Name of the state.
        state: String,
        /// Type of the state objects, for messages to people.
        state_type: String,
    },
    /// Sends each message to the worker that owns its key.
    KeyBy {
        /// The [kind](crate::Key::kind) of the key, for checks and for messages to people.
        key_type: String,
    },
    /// Sends all messages to one worker, under one key.
    Collect,
    /// Sends each message to output 0 or 1.
    Split,
    /// Passes on the messages of all inputs.
    Merge,
    /// Turns each message into a row of bytes.
    Encode,
    /// Writes messages outside.
    Sink,
    /// Closes a pipeline that has no sink.
    End,
}

/// What happens to a message for which the user's code fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnError {
    /// The application stops and says why.
    #[default]
    Fail,
    /// The message is dropped and counted; the state object is as before the call.
    Skip,
    /// As `Skip`, and a [`DeadLetter`](crate::DeadLetter) goes to the stage's dead-letter output.
    DeadLetter,
}

/// A place in the user's program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The file, as the compiler or interpreter names it.
    pub file: String,
    /// The line, counted from one.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One source, stage or sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The stable name, unique in the application.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Where its messages come from.
    pub inputs: Vec<Port>,
    /// What happens when the user's code fails.
    pub on_error: OnError,
    /// Where the user's program adds it.
    pub location: Location,
}

/// An application as data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the application.
    pub application: String,
    /// All nodes, each after its inputs.
    pub nodes: Vec<Node>,
}

impl Plan {
    /// The node behind an id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// All node ids, in order.
    ///
    /// # Panics
    /// When there are more than 65,535 nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u16::try_from(self.nodes.len()).expect("a plan holds at most 65,535 nodes")).map(NodeId)
    }

    /// The names of all states, in order of first use.
    #[must_use]
    pub fn states(&self) -> Vec<&str> {
        let mut states = Vec::new();
        for node in &self.nodes {
            if let NodeKind::State { state, .. } = &node.kind
                && !states.contains(&state.as_str())
            {
                states.push(state);
            }
        }
        states
    }

    /// The nodes that take messages from `port`.
    pub fn consumers(&self, port: Port) -> impl Iterator<Item = NodeId> {
        self.ids()
            .filter(move |id| self.node(*id).inputs.contains(&port))
    }

    /// The `key_by` or `collect` nodes whose key the messages of this node carry; none when they carry no key.
    #[must_use]
    pub fn key_scopes(&self, id: NodeId) -> Vec<NodeId> {
        let node = self.node(id);
        if matches!(node.kind, NodeKind::KeyBy { .. } | NodeKind::Collect) {
            return vec![id];
        }
        let mut scopes: Vec<NodeId> = node
            .inputs
            .iter()
            .flat_map(|input| self.key_scopes(input.node))
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// How many exchanges lie at most between a source and each node. All stages of one state are on one
    /// level, the highest that any of them needs.
    ///
    /// # Errors
    /// When states feed each other in a circle, so that no such numbers exist.
    pub fn levels(&self) -> Result<Vec<usize>, PlanError> {
        check::levels(self)
    }

    /// Checks everything that can be wrong with a plan.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        check::check(self)
    }
}

/// What is wrong with a plan. The text names the stage and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to run.
    #[error("the application {application:?} has no pipeline; add one with App::add")]
    NoPipeline {
        /// Its name.
        application: String,
    },
    /// Two nodes share a name.
    #[error(
        "the name {name:?} is used twice, at {first} and at {second}; give one of them another name, with .named(\"…\") for a stage"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// Where it is used first.
        first: Location,
        /// Where it is used again.
        second: Location,
    },
    /// A name cannot be used.
    #[error(
        "the name {name:?} at {location} cannot be used; a name has 1 to 255 bytes and no control characters or '='"
    )]
    Name {
        /// The name.
        name: String,
        /// Where.
        location: Location,
    },
    /// One state, two types.
    #[error(
        "the state {state:?} is a {first_type} at {first} and a {second_type} at {second}; use two state names, or one type"
    )]
    StateType {
        /// Name of the state.
        state: String,
        /// Type at the first stage.
        first_type: String,
        /// The first stage.
        first: Location,
        /// Type at the second stage.
        second_type: String,
        /// The second stage.
        second: Location,
    },
    /// One state, keys of two types.
    #[error(
        "the state {state:?} is used with two types of key: {first_type} at {first}, and {second_type} at {second}; keys of different types never find the same state object, so let the key_by before both stages return the same type, or use two states"
    )]
    StateKeyType {
        /// Name of the state.
        state: String,
        /// Key type at the first stage.
        first_type: String,
        /// The first stage.
        first: Location,
        /// Key type at the second stage.
        second_type: String,
        /// The second stage.
        second: Location,
    },
    /// A stage of a state feeds another stage of it.
    #[error(
        "the stage {from:?} at {from_location} feeds the stage {to:?} at {to_location}, and both use the state {state:?}; do the work in one state computation, or use two states"
    )]
    StatePath {
        /// Name of the state.
        state: String,
        /// The earlier stage.
        from: String,
        /// Where it is.
        from_location: Location,
        /// The later stage.
        to: String,
        /// Where it is.
        to_location: Location,
    },
    /// States feed each other in a circle.
    #[error("the states {} feed each other in a circle; a plan has no loops, so give one of the stages a state of its own", quoted(.states))]
    StateCircle {
        /// Names of the states.
        states: Vec<String>,
    },
    /// A keyed and an unkeyed stream meet.
    #[error(
        "merge at {location} joins a stream with keys and one without; put key_by after the merge, or on both sides before it"
    )]
    MergeKeys {
        /// Where.
        location: Location,
    },
}

impl PlanError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            PlanError::NoPipeline { .. } => Code::NoPipeline,
            PlanError::DuplicateName { .. } => Code::DuplicateName,
            PlanError::Name { .. } => Code::Name,
            PlanError::StateType { .. } => Code::StateType,
            PlanError::StateKeyType { .. } => Code::StateKeyType,
            PlanError::StatePath { .. } => Code::StatePath,
            PlanError::StateCircle { .. } => Code::StateCircle,
            PlanError::MergeKeys { .. } => Code::MergeKeys,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(" and ")
}
