//! Why a run ended before its time.
//!
//! **Invariants.** The first failure of a run is the one that is reported. Text about messages is bounded.

use std::fmt;

use wallaroo_core::{Code, ConnectorError, KeyGroup, Location, NodeId, NodeKind, Plan};

use crate::panics::{NO_TEXT, caught};
use crate::status::NodeCounts;
use crate::watch::StuckStage;

/// Longest part of a message shown in an error text, in bytes.
// Two lines of a terminal; the rest of a message seldom helps.
const MAX_MESSAGE_BYTES: usize = 200;

const USER_ADVICE: &str = "; correct the function or the input, or let the stage skip such messages with .on_error(OnError::Skip) or keep them with .dead_letter(name, sink)";
const ENCODE_ADVICE: &str = "; choose another format, change the message in a stage before the sink, or let the sink skip such messages with .on_error(OnError::Skip) or keep them with .dead_letter(name, sink) behind .to_sink";
const DECODE_ADVICE: &str = "; correct the input, or let the source skip such records with .on_error(OnError::Skip) or keep them with .dead_letter(name, sink)";

/// Where a message came from, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the source.
    pub source: String,
    /// Name of the source partition.
    pub partition: String,
    /// Record number in the partition.
    pub position: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "source {:?}, {}, record {}",
            self.source, self.partition, self.position
        )
    }
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The user's code failed for a message.
    #[error("{}{}", user_text(.stage, .location, .key, .origin, .message, .error, *.code), advice(*.is_exit, USER_ADVICE))]
    User {
        /// The stage.
        stage: String,
        /// Where the user's program adds the stage.
        location: Location,
        /// The key, as people read it.
        key: Option<String>,
        /// Where the message came from.
        origin: Origin,
        /// The message as JSON.
        message: Vec<u8>,
        /// The error's text with its causes, or the panic's.
        error: String,
        /// The stable code, which tells an error from a panic.
        code: Code,
        /// Whether the run ends with it whatever the policy.
        is_exit: bool,
    },
    /// A message cannot be encoded for a sink.
    #[error("the sink {sink:?} ({location}) cannot encode a message: {error}; {origin}{}{}", shown(.message), advice(*.is_exit, ENCODE_ADVICE))]
    Encode {
        /// The sink.
        sink: String,
        /// Where the user's program adds the sink.
        location: Location,
        /// Where the message came from.
        origin: Origin,
        /// The message as JSON.
        message: Vec<u8>,
        /// The encoder's error.
        error: String,
        /// Whether the run ends with it whatever the policy.
        is_exit: bool,
    },
    /// A record could not be decoded.
    #[error("cannot decode a message: {origin}: {}{}{}", .error.full_text(), shown(.message), advice(.error.is_exit(), DECODE_ADVICE))]
    Decode {
        /// Where the record came from.
        origin: Origin,
        /// The raw bytes.
        message: Vec<u8>,
        /// Why.
        error: ConnectorError,
    },
    /// A source cannot be read.
    #[error("the source {source_name:?} failed: {}", .error.full_text())]
    Source {
        /// The source.
        source_name: String,
        /// Why.
        error: ConnectorError,
    },
    /// A sink cannot be written.
    #[error("the sink {sink:?} failed: {}{}", .error.full_text(), waiting_text(*.waiting))]
    Sink {
        /// The sink.
        sink: String,
        /// Messages that had come to the sink and that a lost connection kept it from taking.
        waiting: u64,
        /// Why.
        error: ConnectorError,
    },
    /// The code of a source or sink panicked.
    #[error("the {connector} panicked: {text}; correct its code{}", .connector.parts())]
    Panic {
        /// Which one.
        connector: Connector,
        /// The panic's text.
        text: String,
    },
    /// A type of the user panicked outside of any function: while its values were copied or dropped.
    #[error("the {owner} panicked: {text}; its {} were being {act}; correct {} of their type", .owner.things(), .act.name())]
    Value {
        /// Whose values.
        owner: Owner,
        /// What was done with them.
        act: Act,
        /// The panic's text.
        text: String,
    },
    /// A state object could not be stored or read back.
    #[error(
        "the state {state:?} failed for key {key}: {error}; correct how objects of its type are stored, so that what is written can be read back"
    )]
    State {
        /// The state.
        state: String,
        /// The key.
        key: String,
        /// Why.
        error: String,
    },
    /// State objects of a checkpoint could not be loaded.
    #[error("the state {state:?} cannot be loaded, key group {group}: {error}")]
    Load {
        /// The state.
        state: String,
        /// The key group.
        group: KeyGroup,
        /// The code of the error.
        code: Code,
        /// Why.
        error: String,
        /// Whether it may work later.
        is_passing: bool,
    },
    /// What is kept in a store could not be kept.
    #[error("{error}")]
    Store {
        /// Why, and what to do.
        error: String,
        /// The code of the error.
        code: Code,
    },
    /// The run was stopped with a time limit, and had not ended when it was over.
    #[error("stopped before everything had gone through: {}; make sinks and functions come back sooner, or give more time", undrained_text(.sinks, .stuck, *.queued_bytes))]
    Undrained {
        /// Sinks that have not delivered everything that came to them.
        sinks: Vec<UndrainedSink>,
        /// Functions that had not returned.
        stuck: Vec<StuckStage>,
        /// Bytes that were queued between stages, and in front of sinks.
        queued_bytes: usize,
    },
    /// The process occupies more memory than it may.
    #[error("{error}")]
    Memory {
        /// How much, and what to do.
        error: String,
    },
    /// Threads or other resources cannot be had.
    #[error("cannot start the workers: {error}; check the limits on threads and memory")]
    Resources {
        /// Why.
        error: String,
    },
    /// Something that must not happen.
    #[error("a worker failed: {error}; this is a bug of Wallaroo, please report it")]
    Bug {
        /// What.
        error: String,
    },
}

impl Failure {
    /// A sink that gave its connection up leaves more behind than it had taken.
    pub(crate) fn with_waiting(mut self, counts: &NodeCounts) -> Failure {
        if let Failure::Sink { waiting, error, .. } = &mut self
            && error.code() == Some(Code::SinkLost)
        {
            *waiting = counts.waiting();
        }
        self
    }

    /// Whether what failed may work if it is done again from the last checkpoint, without anybody changing the program or
    /// its input: connectors, reads of the store, threads, and mistakes of the engine itself. Code of users is
    /// taken to fail again, and so are panics of connectors, in which code of users may be.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Source { error, .. } | Failure::Sink { error, .. } if error.is_exit() => false,
            Failure::Source { error, .. } => error.code() != Some(Code::StoreNotFound),
            // A sink that has given its connection up has waited as long as it was told to.
            Failure::Sink { error, .. } => error.code() != Some(Code::SinkLost),
            Failure::Load { is_passing, .. } => *is_passing,
            Failure::Resources { .. } | Failure::Bug { .. } => true,
            Failure::User { .. }
            | Failure::Encode { .. }
            | Failure::Decode { .. }
            | Failure::Panic { .. }
            | Failure::Value { .. }
            | Failure::State { .. }
            | Failure::Store { .. }
            | Failure::Memory { .. }
            | Failure::Undrained { .. } => false,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Failure::User { code, .. } => *code,
            Failure::Encode { .. } => Code::Encode,
            Failure::Panic { .. } | Failure::Value { .. } => Code::UserPanic,
            Failure::Decode { error, .. } => error.code().unwrap_or(Code::Decode),
            Failure::Source { error, .. } => error.code().unwrap_or(Code::SourceUnreadable),
            Failure::Sink { error, .. } => error.code().unwrap_or(Code::SinkWrite),
            Failure::State { .. } => Code::StateCodec,
            Failure::Load { code, .. } | Failure::Store { code, .. } => *code,
            Failure::Undrained { .. } => Code::Undrained,
            Failure::Memory { .. } => Code::MemoryLimit,
            Failure::Resources { .. } => Code::Resources,
            Failure::Bug { .. } => Code::Bug,
        }
    }
}

/// A sink that has not delivered everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndrainedSink {
    /// Its name.
    pub name: String,
    /// Messages that had come to it and that it had not taken.
    pub waiting: u64,
    /// Whether all messages had come to it, and it had still to deliver some of those it took.
    pub is_flushing: bool,
}

impl fmt::Display for UndrainedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UndrainedSink { name, waiting, .. } = self;
        match waiting {
            0 => write!(f, "the sink {name:?} has not delivered all it took"),
            1 => write!(f, "1 message waits for the sink {name:?}"),
            _ => write!(f, "{waiting} messages wait for the sink {name:?}"),
        }
    }
}

fn waiting_text(waiting: u64) -> String {
    match waiting {
        0 => String::new(),
        1 => "; 1 more message waited for it".to_owned(),
        _ => format!("; {waiting} more messages waited for it"),
    }
}

fn undrained_text(sinks: &[UndrainedSink], stuck: &[StuckStage], queued_bytes: usize) -> String {
    let sinks = sinks.iter().map(ToString::to_string);
    let stuck = stuck
        .iter()
        .map(|stuck| format!("a function has not returned ({stuck})"));
    let mut parts: Vec<String> = sinks.chain(stuck).collect();
    if queued_bytes > 0 || parts.is_empty() {
        parts.push(format!("about {queued_bytes} bytes are queued"));
    }
    parts.join(", ")
}

/// A source or sink by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connector {
    /// A source.
    Source(String),
    /// A sink.
    Sink(String),
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Connector::Source(name) => write!(f, "source {name:?}"),
            Connector::Sink(name) => write!(f, "sink {name:?}"),
        }
    }
}

impl Connector {
    /// What of the user's may be inside.
    fn parts(&self) -> &'static str {
        match self {
            Connector::Source(_) => ", which may be a decoder or an iterator of yours",
            Connector::Sink(_) => "",
        }
    }

    /// Calls the code of a connector. Its errors and panics become failures.
    pub(crate) fn call<R>(
        name: impl Fn() -> Connector,
        call: impl FnOnce() -> Result<R, ConnectorError>,
    ) -> Result<R, Failure> {
        Connector::caught(&name, call)?.map_err(|error| match name() {
            Connector::Source(source_name) => Failure::Source { source_name, error },
            Connector::Sink(sink) => Failure::Sink {
                sink,
                waiting: 0,
                error,
            },
        })
    }

    /// Calls code of a connector that has no errors of its own.
    pub(crate) fn caught<R>(
        name: impl Fn() -> Connector,
        call: impl FnOnce() -> R,
    ) -> Result<R, Failure> {
        caught(call).map_err(|text| Failure::Panic {
            connector: name(),
            text,
        })
    }
}

/// Whose values a type of the user is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The messages that a source or stage has made.
    Node {
        /// Whether it is a source.
        is_source: bool,
        /// Its name.
        name: String,
        /// Where the user's program adds it.
        location: Location,
    },
    /// The objects of a state.
    State(String),
}

impl Owner {
    pub(crate) fn node(plan: &Plan, id: NodeId) -> Owner {
        let node = plan.node(id);
        Owner::Node {
            is_source: node.kind == NodeKind::Source,
            name: node.name.clone(),
            location: node.location.clone(),
        }
    }

    fn things(&self) -> &'static str {
        match self {
            Owner::Node { .. } => "messages",
            Owner::State(_) => "objects",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Node {
                is_source,
                name,
                location,
            } => {
                let what = if *is_source { "source" } else { "stage" };
                write!(f, "{what} {name:?} ({location})")
            }
            Owner::State(name) => write!(f, "state {name:?}"),
        }
    }
}

/// What the engine does with values of the user's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Several stages or sinks take them.
    Copied,
    /// Nobody needs them any more.
    Dropped,
    /// They get another owner.
    Moved,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Act::Copied => "Clone",
            Act::Dropped => "Drop",
            Act::Moved => "Default and Drop",
        }
    }

    /// Lets user types run; a panic becomes a failure.
    pub(crate) fn on<R>(
        self,
        owner: impl FnOnce() -> Owner,
        call: impl FnOnce() -> R,
    ) -> Result<R, Failure> {
        caught(call).map_err(|text| Failure::Value {
            owner: owner(),
            act: self,
            text,
        })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Act::Copied => "copied",
            Act::Dropped => "dropped",
            Act::Moved => "moved to another worker",
        })
    }
}

fn user_text(
    stage: &str,
    location: &Location,
    key: &Option<String>,
    origin: &Origin,
    message: &[u8],
    error: &str,
    code: Code,
) -> String {
    let how = if code == Code::UserPanic {
        "panicked"
    } else {
        "failed"
    };
    let key = key
        .as_ref()
        .map(|key| format!("; key {key}"))
        .unwrap_or_default();
    format!(
        "the stage {stage:?} ({location}) {how}: {error}{key}; {origin}{}",
        shown(message)
    )
}

/// What to do, as a part of an error text. Nothing where a program asked for its end: no policy keeps it from that.
fn advice(is_exit: bool, advice: &'static str) -> &'static str {
    if is_exit { "" } else { advice }
}

/// The message, cut to a bounded length, as a part of an error text.
fn shown(message: &[u8]) -> String {
    if message.is_empty() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&message[..message.len().min(MAX_MESSAGE_BYTES)]);
    let rest = message.len().saturating_sub(MAX_MESSAGE_BYTES);
    if rest > 0 {
        format!("; message {text}… ({rest} more bytes)")
    } else {
        format!("; message {text}")
    }
}

/// An error with its causes, each after a colon. Their texts are the user's, and may panic.
pub(crate) fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = || {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    };
    match error.downcast_ref::<ConnectorError>() {
        Some(error) => error.full_text(),
        None => caught(causes).unwrap_or_else(|_| NO_TEXT.to_owned()),
    }
}
