//! Streams: what an application is built from.
//!
//! **Invariants.** A stream is a value: every method makes a new one and changes none. Using a stream twice
//! (by cloning it) runs what is before it once.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use wallaroo_core::messages::downcast;
use wallaroo_core::{
    DeadLetter, Encoder, Key, Location, Messages, NodeKind, OnError, Rows, Sink, Source,
};
use wallaroo_engine::NodeCode;
use wallaroo_engine::host::ErasedSink;

use crate::code::{
    ByReference, ByValue, ContextCode, EncodeCode, KeyCode, OneKey, SinkOf, SourceOf, SplitCode,
    StageCode, StateCode,
};
use crate::connectors::{ChannelSource, IntoSink, SinkParts};
use crate::context::Context;
use crate::durable::SourceDurability;
use crate::graph::{DeadLetterSink, GraphNode, GraphPort, Name, Settings, caller, made_name};
use crate::message::{Message, StateObject};
use crate::output::{Emit, Output};
use crate::size::sizer;
use crate::state::State;

/// Begins a stream with the messages of a source.
///
/// # Example
/// ```
/// use wallaroo::{iter, source};
///
/// let numbers = source("numbers", iter(1..=3));
/// numbers.to(|n: &u64| Some(n * n)).end();
/// ```
#[track_caller]
pub fn source<T: Message, C: Source<T>>(name: impl Into<String>, connector: C) -> Stream<T> {
    let sender = (&connector as &dyn Any)
        .downcast_ref::<ChannelSource<T>>()
        .map(|channel| Arc::new(channel.sender()) as Arc<dyn Any + Send + Sync>);
    let durability = SourceDurability::default();
    let code = SourceOf::<T, C>::new(connector, Arc::clone(&durability));
    let code = NodeCode::Source(Arc::new(Mutex::new(code)));
    let mut node = GraphNode::new(
        NodeKind::Source,
        Name::Given(name.into()),
        caller(),
        Vec::new(),
        code,
    );
    node.sender = sender;
    node.durability = Some(durability);
    Stream::from(node, false)
}

/// Messages of type `T` on their way through an application.
pub struct Stream<T> {
    port: GraphPort,
    keyed: bool,
    messages: PhantomData<fn() -> T>,
}

/// A stream that has come to its end. Give it to [`App::add`](crate::App::add).
#[must_use = "a pipeline runs only as a part of an application; give it to App::add"]
pub struct Pipeline {
    pub(crate) end: Arc<GraphNode>,
}

impl<T: Message> Stream<T> {
    pub(crate) fn from(mut node: GraphNode, keyed: bool) -> Self {
        node.sizer = sizer::<T>();
        Stream {
            port: GraphPort {
                node: Arc::new(node),
                output: 0,
            },
            keyed,
            messages: PhantomData,
        }
    }

    pub(crate) fn then<O: Message>(
        self,
        kind: NodeKind,
        name: Name,
        location: Location,
        code: NodeCode,
    ) -> Stream<O> {
        let keyed = self.keyed;
        Stream::from(
            GraphNode::new(kind, name, location, vec![self.port], code),
            keyed,
        )
    }

    /// Calls a computation for each message and passes on what it returns: `Option<M>`, `Vec<M>`, `()`, or a
    /// `Result` of these. `None` filters.
    ///
    /// # Example
    /// ```
    /// use wallaroo::{iter, source};
    ///
    /// let words = source("lines", iter(["to be".to_owned()])).to(|line: &String| {
    ///     line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    /// });
    /// # words.end();
    /// ```
    #[track_caller]
    pub fn to<R, F>(self, computation: F) -> Stream<R::Message>
    where
        R: Output + 'static,
        F: Fn(&T) -> R + Send + Sync + 'static,
    {
        let location = caller();
        let name = function_name::<F>("to", &location);
        let function = Arc::new(computation);
        let code = NodeCode::Stage(Arc::new(move || {
            Box::new(StageCode::<T, R::Message, R, F>::new(Arc::clone(&function)))
        }));
        self.then(NodeKind::Stateless, name, location, code)
    }

    /// Calls a state computation for each message, with the state object of its key.
    ///
    /// All calls for one key happen one after another, in the order of the messages; different keys run in
    /// parallel. A stream without `key_by` or `collect` before has one state object for all messages.
    ///
    /// # Example
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use wallaroo::{State, iter, source};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Count(u64);
    ///
    /// impl Count {
    ///     fn add(&mut self, _word: &String) -> Option<u64> {
    ///         self.0 += 1;
    ///         Some(self.0)
    ///     }
    /// }
    ///
    /// let counts = State::<Count>::new("counts");
    /// source("words", iter(["a".to_owned()])).key_by(|word| word).to_state(&counts, Count::add).end();
    /// ```
    #[track_caller]
    pub fn to_state<S, R, F>(self, state: &State<S>, computation: F) -> Stream<R::Message>
    where
        S: StateObject,
        R: Output + 'static,
        F: Fn(&mut S, &T) -> R + Send + Sync + 'static,
    {
        let location = caller();
        let name = function_name::<F>(&format!("{}.to_state", state.name()), &location);
        let function = Arc::new(computation);
        let code = NodeCode::State(Arc::new(move || {
            Box::new(StateCode::<T, R::Message, S, R, F>::new(Arc::clone(
                &function,
            )))
        }));
        self.with_state(state, name, location, code)
    }

    /// As [`Stream::to_state`], for a computation that also takes a [`Context`]: key, time, `emit`, `forget`.
    ///
    /// # Example
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use wallaroo::{Context, State, iter, source};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Session { messages: u64 }
    ///
    /// let sessions = State::<Session>::new("sessions");
    /// source("events", iter(["login".to_owned(), "logout".to_owned()]))
    ///     .collect()
    ///     .to_state_with(&sessions, |session: &mut Session, event: &String, context: &mut Context<'_, u64>| {
    ///         session.messages += 1;
    ///         if event == "logout" {
    ///             context.emit(session.messages);
    ///             context.forget();
    ///         }
    ///     })
    ///     .end();
    /// ```
    #[track_caller]
    pub fn to_state_with<S, O, R, F>(self, state: &State<S>, computation: F) -> Stream<O>
    where
        S: StateObject,
        O: Message,
        R: Emit<O> + 'static,
        F: Fn(&mut S, &T, &mut Context<'_, O>) -> R + Send + Sync + 'static,
    {
        let location = caller();
        let name = function_name::<F>(&format!("{}.to_state", state.name()), &location);
        let function = Arc::new(computation);
        let code = NodeCode::State(Arc::new(move || {
            Box::new(ContextCode::<T, O, S, R, F>::new(Arc::clone(&function)))
        }));
        self.with_state(state, name, location, code)
    }

    fn with_state<S: StateObject, O: Message>(
        self,
        state: &State<S>,
        name: Name,
        location: Location,
        code: NodeCode,
    ) -> Stream<O> {
        let is_unkeyed = !self.keyed;
        let stream = if is_unkeyed {
            self.collect_at(location.clone())
        } else {
            self
        };
        let kind = NodeKind::State {
            state: state.name().to_owned(),
            state_type: type_name::<S>().to_owned(),
        };
        let mut node = GraphNode::new(kind, name, location, vec![stream.port], code);
        node.state = Some((state.name().to_owned(), state.table()));
        node.is_unkeyed = is_unkeyed;
        Stream::from(node, true)
    }

    /// Gives each message the key that `extractor` finds in it, for all following stages until the next
    /// `key_by` or `collect`.
    ///
    /// # Example
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use wallaroo::{iter, source};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Tick { symbol: String, price: f64 }
    ///
    /// source("ticks", iter(Vec::<Tick>::new())).key_by(|tick| &tick.symbol).end();
    /// ```
    #[track_caller]
    pub fn key_by<K, F>(self, extractor: F) -> Stream<T>
    where
        K: Key + ?Sized + 'static,
        F: Fn(&T) -> &K + Send + Sync + 'static,
    {
        let function = Arc::new(extractor);
        let code = NodeCode::Key(Arc::new(move || {
            Box::new(KeyCode::<T, _>::new(ByReference(
                Arc::clone(&function),
                PhantomData,
            )))
        }));
        self.keyed_by::<K>(caller(), code)
    }

    /// As [`Stream::key_by`], for a key that is made rather than found: a number, a tuple.
    ///
    /// # Example
    /// ```
    /// use wallaroo::{iter, source};
    ///
    /// source("numbers", iter(0u64..10)).key_by_value(|n| (n % 3, *n > 5)).end();
    /// ```
    #[track_caller]
    pub fn key_by_value<K, F>(self, extractor: F) -> Stream<T>
    where
        K: Key + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let function = Arc::new(extractor);
        let code = NodeCode::Key(Arc::new(move || {
            Box::new(KeyCode::<T, _>::new(ByValue(
                Arc::clone(&function),
                PhantomData,
            )))
        }));
        self.keyed_by::<K>(caller(), code)
    }

    fn keyed_by<K: Key + ?Sized>(self, location: Location, code: NodeCode) -> Stream<T> {
        let kind = NodeKind::KeyBy {
            key_type: K::kind(),
        };
        let name = made_name("key_by", &location);
        self.then::<T>(kind, name, location, code).keyed()
    }

    /// Brings all messages together under one key, for all following stages until the next `key_by`.
    #[must_use]
    #[track_caller]
    pub fn collect(self) -> Stream<T> {
        let location = caller();
        self.collect_at(location)
    }

    fn collect_at(self, location: Location) -> Stream<T> {
        let code = NodeCode::Key(Arc::new(|| Box::new(KeyCode::<T, _>::new(OneKey))));
        let name = made_name("collect", &location);
        self.then::<T>(NodeKind::Collect, name, location, code)
            .keyed()
    }

    /// The messages of both streams. Messages of one stream keep their order; those of different streams
    /// interleave freely. Not a join.
    #[must_use]
    #[track_caller]
    pub fn merge(self, other: Stream<T>) -> Stream<T> {
        let location = caller();
        let keyed = self.keyed && other.keyed;
        let name = made_name("merge", &location);
        Stream::from(
            GraphNode::new(
                NodeKind::Merge,
                name,
                location,
                vec![self.port, other.port],
                NodeCode::None,
            ),
            keyed,
        )
    }

    /// Two streams: the messages for which `predicate` holds, and the others.
    ///
    /// # Example
    /// ```
    /// use wallaroo::{iter, source};
    ///
    /// let (small, large) = source("numbers", iter(0u64..10)).split(|n| *n < 5);
    /// # small.end(); large.end();
    /// ```
    #[track_caller]
    pub fn split<F>(self, predicate: F) -> (Stream<T>, Stream<T>)
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        let location = caller();
        let function = Arc::new(predicate);
        let code = NodeCode::Split(Arc::new(move || {
            Box::new(SplitCode::<T, F>::new(Arc::clone(&function)))
        }));
        let name = made_name("split", &location);
        self.then::<T>(NodeKind::Split, name, location, code)
            .halves()
    }

    /// The two outputs of a split, of which this is the first.
    pub(crate) fn halves(self) -> (Stream<T>, Stream<T>) {
        let no = Stream {
            port: GraphPort {
                node: Arc::clone(&self.port.node),
                output: 1,
            },
            keyed: self.keyed,
            messages: PhantomData,
        };
        (self, no)
    }

    pub(crate) fn into_port(self) -> GraphPort {
        self.port
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed
    }

    pub(crate) fn keyed(mut self) -> Stream<T> {
        self.keyed = true;
        self
    }

    /// The stream with its last node changed, which nobody else has yet.
    pub(crate) fn with_node(mut self, change: impl FnOnce(&mut GraphNode)) -> Stream<T> {
        if let Some(node) = Arc::get_mut(&mut self.port.node) {
            change(node);
        }
        self
    }

    /// Names the last stage. Names are how stages are found in errors, metrics and stored state; the default is
    /// the name of the function.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Stream<T> {
        let name = name.into();
        self.port.node = self
            .port
            .node
            .changed(|settings| settings.name = Name::Given(name));
        self
    }

    /// What happens to a message for which the last stage (or the source's decoder) fails. The default is
    /// [`OnError::Fail`]; for dead letters see [`Stream::dead_letter`].
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Stream<T> {
        self.port.node = self
            .port
            .node
            .changed(|settings| settings.on_error = policy);
        self
    }

    /// Sends messages for which the last stage (or the source's decoder) fails to a sink, as [`DeadLetter`]s.
    ///
    /// # Example
    /// ```
    /// use wallaroo::{DeadLetter, iter, memory, source};
    ///
    /// let failed = memory::<DeadLetter>();
    /// source("lines", iter(["1".to_owned(), "one".to_owned()]))
    ///     .to(|line: &String| line.parse::<u64>().map(Some))
    ///     .dead_letter("failed", failed)
    ///     .end();
    /// ```
    #[must_use]
    #[track_caller]
    pub fn dead_letter(
        mut self,
        name: impl Into<String>,
        sink: impl IntoSink<DeadLetter>,
    ) -> Stream<T> {
        let dead_letters = dead_letter_sink(name.into(), sink, caller());
        self.set_letters(dead_letters);
        self
    }

    pub(crate) fn set_letters(&mut self, dead_letters: DeadLetterSink) {
        self.port.node = self.port.node.changed(|settings| {
            settings.on_error = OnError::DeadLetter;
            settings.dead_letters = Some(dead_letters);
        });
    }

    /// Ends the stream in a sink.
    #[track_caller]
    pub fn to_sink(self, name: impl Into<String>, sink: impl IntoSink<T>) -> Pipeline {
        let location = caller();
        let name = name.into();
        let (encode, sink) = sink_code(sink);
        let port = match encode {
            None => self.port,
            Some(code) => {
                let node = GraphNode::new(
                    NodeKind::Encode,
                    Name::Given(format!("{name} (encode)")),
                    location.clone(),
                    vec![self.port],
                    code,
                );
                GraphPort {
                    node: Arc::new(node),
                    output: 0,
                }
            }
        };
        Pipeline {
            end: Arc::new(GraphNode::new(
                NodeKind::Sink,
                Name::Given(name),
                location,
                vec![port],
                sink,
            )),
        }
    }

    /// Ends the stream without a sink; messages that come here are dropped.
    #[track_caller]
    pub fn end(self) -> Pipeline {
        let location = caller();
        let name = made_name("end", &location);
        Pipeline {
            end: Arc::new(GraphNode::new(
                NodeKind::End,
                name,
                location,
                vec![self.port],
                NodeCode::None,
            )),
        }
    }
}

impl Pipeline {
    /// What happens to a message that the encoder of the sink fails for. The default is [`OnError::Fail`]; for dead
    /// letters see [`Pipeline::dead_letter`]. A sink that takes messages as they are, and `end`, have no encoder: then
    /// this changes nothing. Errors of writing always end the application.
    ///
    /// # Example
    /// ```
    /// use wallaroo::{OnError, iter, source, stdout};
    ///
    /// let numbers = source("numbers", iter([1.5, f64::NAN]));
    /// let checked = stdout().encode(|n: &f64, row| {
    ///     if n.is_nan() { return Err("not a number".into()) }
    ///     row.extend(format!("{n}\n").bytes());
    ///     Ok(())
    /// });
    /// let pipeline = numbers.to_sink("checked", checked).on_error(OnError::Skip);
    /// # drop(pipeline);
    /// ```
    pub fn on_error(self, policy: OnError) -> Pipeline {
        self.encoding(|settings| settings.on_error = policy)
    }

    /// Sends messages that the encoder of the sink fails for to another sink, as [`DeadLetter`]s; their stage is the
    /// name of this sink. Without an encoder it changes nothing.
    #[track_caller]
    pub fn dead_letter(self, name: impl Into<String>, sink: impl IntoSink<DeadLetter>) -> Pipeline {
        let dead_letters = dead_letter_sink(name.into(), sink, caller());
        self.encoding(|settings| {
            settings.on_error = OnError::DeadLetter;
            settings.dead_letters = Some(dead_letters);
        })
    }

    fn encoding(self, change: impl FnOnce(&mut Settings)) -> Pipeline {
        match self.end.inputs.as_slice() {
            [port] if port.node.kind == NodeKind::Encode => {
                let encode = GraphPort {
                    node: port.node.changed(change),
                    output: port.output,
                };
                Pipeline {
                    end: self.end.behind(encode),
                }
            }
            _ => self,
        }
    }
}

pub(crate) fn dead_letter_sink(
    name: String,
    sink: impl IntoSink<DeadLetter>,
    location: Location,
) -> DeadLetterSink {
    let (encode, sink) = sink_code(sink);
    DeadLetterSink {
        name,
        encode,
        sink,
        location,
        shared: false,
    }
}

/// The second use of a stream gets copies of its messages, where it takes them away.
impl<T: Message + Clone> Clone for Stream<T> {
    fn clone(&self) -> Self {
        let copier = |messages: &dyn Messages| {
            Box::new(downcast::<Vec<T>>(messages).clone()) as Box<dyn Messages>
        };
        let mut copiers = self
            .port
            .node
            .copiers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        copiers.insert(self.port.output, copier);
        drop(copiers);
        Stream {
            port: self.port.clone(),
            keyed: self.keyed,
            messages: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("after", &self.port.node.settings().name)
            .field("keyed", &self.keyed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("end", &self.end.settings().name)
            .finish_non_exhaustive()
    }
}

/// The code of an encoder, if there is one, and of a sink.
fn sink_code<T: serde::Serialize + Send + 'static>(
    sink: impl IntoSink<T>,
) -> (Option<NodeCode>, NodeCode) {
    match sink.into_sink() {
        SinkParts::Messages(sink) => (None, shared_sink::<Vec<T>>(sink)),
        SinkParts::Rows(encoder, sink) => {
            let make = move || {
                Box::new(EncodeCode::<T> {
                    encoder: Arc::clone(&encoder) as Arc<dyn Encoder<T>>,
                }) as Box<_>
            };
            (
                Some(NodeCode::Stage(Arc::new(make))),
                shared_sink::<Rows>(sink),
            )
        }
    }
}

fn shared_sink<M: Messages>(sink: Box<dyn Sink<M>>) -> NodeCode {
    let sink: Arc<Mutex<dyn ErasedSink>> = Arc::new(Mutex::new(SinkOf::new(sink)));
    NodeCode::Sink(sink)
}

/// The name of a function as people know it; closures are named by where they stand.
fn function_name<F>(what: &str, location: &Location) -> Name {
    let path = type_name::<F>();
    let function = path.split('<').next().unwrap_or(path);
    if path.contains("{{closure}}") {
        return made_name(what, location);
    }
    let parts: Vec<&str> = function.rsplit("::").take(2).collect();
    // Of a method the type is a part of the name; of a function the module is not.
    let is_method = parts
        .get(1)
        .is_some_and(|part| part.starts_with(char::is_uppercase));
    Name::Given(if is_method {
        format!("{}::{}", parts[1], parts[0])
    } else {
        parts[0].to_owned()
    })
}
