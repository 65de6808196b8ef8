//! For bindings of other languages: stages whose code is a host's, and applications that run on the host's thread.
//!
//! Users of Rust do not need it. A binding has one message type, which holds whatever its language has; the methods here
//! add stages that get whole batches of it, as `docs/design/hosts.md` describes.
//!
//! **Invariants.** Nothing here knows a language. What a host gives and gets is what the engine's own contract says.

use std::cell::RefCell;
use std::ffi::OsString;
use std::sync::Arc;

use tracing_subscriber::filter::Targets;
use wallaroo_core::{Code, DeadLetter, NodeKind, StoredKey};
use wallaroo_engine::{Body, Factory, NodeCode, Sizer};

use crate::app::{App, Options};
use crate::command_line;
use crate::connectors::IntoSink;
use crate::error::{Error, ErrorKind};
use crate::graph::{DeadLetterSink, GraphNode, Name, caller, made_name};
use crate::message::Message;
use crate::running::Running;
use crate::stream::{Stream, dead_letter_sink};
use crate::testing::{Results, Test};

pub use wallaroo_core::messages::downcast;
pub use wallaroo_core::{Location, Messages};
pub use wallaroo_engine::host::{
    Cause, Failed, HostRuntime, Input, KeyExtractor, Keyed, Output, Outputs, Splitter, Stage,
    StateObjects, StateStage, StateView,
};
pub use wallaroo_engine::{Body as RunBody, Factory as CodeFactory};
pub use wallaroo_state::{ChunkIndex, KeyIndex, Objects, Slot};

thread_local! {
    /// The place in the user's program that nodes are added from, where that is not a place in Rust.
    static PLACE: RefCell<Option<Location>> = const { RefCell::new(None) };
}

/// Calls `build`; nodes that it makes are said to be added at `location`, a place in a program of another language.
pub fn located<R>(location: Location, build: impl FnOnce() -> R) -> R {
    let before = PLACE.replace(Some(location));
    let result = build();
    PLACE.set(before);
    result
}

/// Where the nodes that are being made are added, if a host has said it.
pub(crate) fn place() -> Option<Location> {
    PLACE.with_borrow(Clone::clone)
}

/// Splits the text of a row of CSV into its columns, as [`Csv`](crate::Csv) does, and puts them into `row`.
pub fn split_csv(text: &str, delimiter: u8, row: &mut csv::StringRecord) {
    crate::connectors::split_csv(text, delimiter, row);
}

/// A state whose objects a host keeps.
#[derive(Clone)]
pub struct HostState {
    /// The name of the state.
    pub name: String,
    /// The type of its objects, for messages to people.
    pub type_name: String,
    /// Makes the table of its objects for one worker.
    pub table: Factory<dyn StateObjects>,
}

impl std::fmt::Debug for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostState").field(&self.name).finish()
    }
}

impl<T: Message> Stream<T> {
    /// As [`Stream::to`](Stream::to), with the code of a host.
    #[track_caller]
    pub fn host_stage<O: Message>(
        self,
        name: impl Into<String>,
        code: Factory<dyn Stage>,
    ) -> Stream<O> {
        let location = caller();
        self.then(
            NodeKind::Stateless,
            Name::Given(name.into()),
            location,
            NodeCode::Stage(code),
        )
    }

    /// The stage that makes messages of the records of a source, with the code of a host. What it fails for counts as
    /// what the source could not decode. `name` is the name of the source and ` (decode)`, or ` (decode 2)` for the second.
    #[track_caller]
    pub fn host_decode<O: Message>(self, name: &str, code: Factory<dyn Stage>) -> Stream<O> {
        self.host_stage(name, code)
    }

    /// As [`Stream::to_state`](Stream::to_state), with the code and the objects of a host. The stream must have a key.
    #[track_caller]
    pub fn host_state<O: Message>(
        self,
        name: impl Into<String>,
        state: &HostState,
        code: Factory<dyn StateStage>,
    ) -> Stream<O> {
        let kind = NodeKind::State {
            state: state.name.clone(),
            state_type: state.type_name.clone(),
        };
        let location = caller();
        let name = Name::Given(name.into());
        let mut node = GraphNode::new(
            kind,
            name,
            location,
            vec![self.into_port()],
            NodeCode::State(code),
        );
        node.state = Some((state.name.clone(), Arc::clone(&state.table)));
        Stream::from(node, true)
    }

    /// As [`Stream::key_by`](Stream::key_by), with the code of a host. `kind` is what [`Key::kind`](crate::Key::kind) says of
    /// its keys, or `any`.
    #[track_caller]
    pub fn host_key_by(
        self,
        kind: impl Into<String>,
        code: Factory<dyn KeyExtractor>,
    ) -> Stream<T> {
        let location = caller();
        let kind = NodeKind::KeyBy {
            key_type: kind.into(),
        };
        let name = made_name("key_by", &location);
        self.then::<T>(kind, name, location, NodeCode::Key(code))
            .keyed()
    }

    /// As [`Stream::collect`](Stream::collect), with the code of a host, which must find the key `""`.
    #[track_caller]
    pub fn host_collect(self, code: Factory<dyn KeyExtractor>) -> Stream<T> {
        let location = caller();
        let name = made_name("collect", &location);
        self.then::<T>(NodeKind::Collect, name, location, NodeCode::Key(code))
            .keyed()
    }

    /// As [`Stream::split`](Stream::split), with the code of a host.
    #[track_caller]
    pub fn host_split(self, code: Factory<dyn Splitter>) -> (Stream<T>, Stream<T>) {
        let location = caller();
        let name = made_name("split", &location);
        self.then::<T>(NodeKind::Split, name, location, NodeCode::Split(code))
            .halves()
    }

    /// How large the messages that come out of the last node are: what the host knows better than their stored form.
    #[must_use]
    pub fn sized_by(self, sizer: Sizer) -> Stream<T> {
        self.with_node(|node| node.sizer = Some(sizer))
    }

    /// Whether the messages have a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.is_keyed()
    }

    /// As [`Stream::dead_letter`](Stream::dead_letter), to a sink that other nodes send their letters to as well.
    #[must_use]
    pub fn letters_to(mut self, letters: &Letters) -> Stream<T> {
        self.set_letters(letters.0.clone());
        self
    }
}

/// A sink for the dead letters of several nodes.
pub struct Letters(DeadLetterSink);

impl Letters {
    /// The sink under its name.
    #[track_caller]
    pub fn new(name: impl Into<String>, sink: impl IntoSink<DeadLetter>) -> Letters {
        let mut letters = dead_letter_sink(name.into(), sink, caller());
        letters.shared = true;
        Letters(letters)
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Letters").field(&self.0.name).finish()
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// To run the application, whose connectors have been redirected.
    Run {
        /// How.
        options: Box<Options>,
        /// What of the log is wanted.
        log: Targets,
    },
    /// To show this text.
    Show(String),
}

impl App {
    /// Starts the application as [`App::start`](App::start) does, and leaves it to the caller to run the body: the one
    /// worker runs on the thread that does, with what the language of the host needs around its work.
    ///
    /// # Errors
    /// As [`App::start`](App::start); when there is to be more than one worker.
    pub fn prepare(
        self,
        options: Options,
        host: Arc<dyn HostRuntime>,
    ) -> Result<(Running, Body), Error> {
        if options.workers.get() > 1 {
            let text = format!(
                "workers is {}; an application that runs on the thread of its language has one",
                options.workers
            );
            return Err(Error::new(ErrorKind::Invalid, Code::Option, text));
        }
        self.launch(None, options, Some(host))
    }

    /// Reads a command line as [`App::main_with`](App::main_with) does, and redirects sources and sinks as it says.
    ///
    /// # Errors
    /// When the command line is wrong.
    pub fn command_line(
        &self,
        arguments: Vec<OsString>,
        defaults: Options,
    ) -> Result<Request, Error> {
        command_line::request(self, arguments, defaults)
    }
}

impl Test {
    /// Runs the test with what the language of a host needs around the work of workers.
    pub fn host(mut self, host: Arc<dyn HostRuntime>) -> Self {
        self.set_host(host);
        self
    }
}

impl Results {
    /// The stored forms of the objects of a state, by key.
    pub fn stored(&self, state: &str) -> impl Iterator<Item = (&StoredKey, &[u8])> {
        self.stored_objects(state)
    }

    /// What came to a sink, whatever its type: a `Vec` of messages, or of the texts of rows. None if nothing came.
    #[must_use]
    pub fn captured_by(&self, sink: &str) -> Option<&dyn Messages> {
        self.captured(sink)
    }
}
