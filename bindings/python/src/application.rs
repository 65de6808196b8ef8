//! Applications: the graph that Python describes, built with the builder of Rust.
//!
//! **Invariants.** Nothing is decided here that the builder decides: names, orders and checks are its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wallaroo::host::{self, HostState, Letters};
use wallaroo::{App, OnError, Stream, source};

use crate::awaiting::Plain;
use crate::connectors::{self, AnySource, Spec};
use crate::context::Context;
use crate::failing::{Policy, Raised};
use crate::keys::{Finder, KeyCode, RawField};
use crate::message::{Message, sizer};
use crate::registry::Registry;
use crate::stages::{Call, ContextPlace, Decode, DecodeCode, SplitCode, StateCode, ToCode};
use crate::table::{Codec, StateType, Table};

/// An application, and what belongs to it on Python's side.
pub(crate) struct Built {
    pub(crate) app: App,
    pub(crate) registry: Arc<Registry>,
    pub(crate) raised: Raised,
    /// By name.
    pub(crate) states: Vec<(String, Arc<StateType>)>,
    /// Whether every new state object is to have a stored form.
    pub(crate) must_be_storable: Arc<AtomicBool>,
    /// Where sources listen, by name.
    pub(crate) listeners: Vec<(String, wallaroo::connectors::ListenerHandle)>,
}

/// What a node puts out: one stream, or the two of a split.
enum Outputs {
    One(Stream<Message>),
    Two(Stream<Message>, Stream<Message>),
    None,
}

struct Builder<'py> {
    py: Python<'py>,
    registry: Arc<Registry>,
    raised: Raised,
    outputs: Vec<Outputs>,
    states: Vec<(String, Arc<StateType>)>,
    letters: Vec<(String, Arc<Letters>)>,
    listeners: Vec<(String, wallaroo::connectors::ListenerHandle)>,
    must_be_storable: Arc<AtomicBool>,
    app: Option<App>,
}

/// Builds the application `name` of the nodes and classes that Python describes (`wallaroo._plan`).
pub(crate) fn build(
    py: Python<'_>,
    name: &str,
    nodes: &Bound<'_, PyAny>,
    classes: &Bound<'_, PyAny>,
) -> PyResult<Built> {
    let mut builder = Builder {
        py,
        registry: Arc::new(Registry::from_python(classes)?),
        raised: Raised::default(),
        outputs: Vec::new(),
        states: Vec::new(),
        letters: Vec::new(),
        listeners: Vec::new(),
        must_be_storable: Arc::default(),
        app: Some(App::new(name)),
    };
    for node in nodes.try_iter()? {
        let spec = Spec::of(&node?)?;
        let (file, line): (String, u32) = spec.any("location")?.extract()?;
        let location = host::Location { file, line };
        let outputs = host::located(location, || builder.node(&spec))?;
        builder.outputs.push(outputs);
    }
    Ok(Built {
        app: builder.app.take().unwrap_or_else(|| App::new(name)),
        registry: builder.registry,
        raised: builder.raised,
        states: builder.states,
        listeners: builder.listeners,
        must_be_storable: builder.must_be_storable,
    })
}

impl Builder<'_> {
    /// The stream that comes in at input `index`; a copy, as others may use it.
    fn input(&self, spec: &Spec<'_>, index: usize) -> PyResult<Stream<Message>> {
        let inputs: Vec<(usize, usize)> = spec.any("inputs")?.extract()?;
        let (node, output) = *inputs
            .get(index)
            .ok_or_else(|| PyKeyError::new_err("inputs"))?;
        match (&self.outputs[node], output) {
            (Outputs::One(stream), 0)
            | (Outputs::Two(stream, _), 0)
            | (Outputs::Two(_, stream), 1) => Ok(stream.clone()),
            _ => Err(PyValueError::new_err("a node has no such output")),
        }
    }

    fn policy(&self, spec: &Spec<'_>) -> PyResult<Policy> {
        Ok(Policy {
            raised: self.raised.clone(),
            is_fatal: spec.text("on_error")? == "fail",
        })
    }

    /// Lets the last stage follow its policy.
    fn with_policy(
        &mut self,
        spec: &Spec<'_>,
        stream: Stream<Message>,
    ) -> PyResult<Stream<Message>> {
        match spec.text("on_error")?.as_str() {
            "skip" => Ok(stream.on_error(OnError::Skip)),
            "dead_letter" => {
                let letters = self.letters(&spec.spec("dead_letter")?)?;
                Ok(stream.letters_to(&letters))
            }
            _ => Ok(stream),
        }
    }

    fn letters(&mut self, spec: &Spec<'_>) -> PyResult<Arc<Letters>> {
        let name = spec.text("name")?;
        if let Some((_, letters)) = self.letters.iter().find(|(known, _)| *known == name) {
            return Ok(Arc::clone(letters));
        }
        let sink = connectors::letters(&name, &spec.spec("sink")?, &self.raised)?;
        let letters = Arc::new(Letters::new(name.clone(), sink));
        self.letters.push((name, Arc::clone(&letters)));
        Ok(letters)
    }

    fn node(&mut self, spec: &Spec<'_>) -> PyResult<Outputs> {
        let kind = spec.text("kind")?;
        let stream = match kind.as_str() {
            "source" => self.source(spec)?,
            "decode" => self.decode(spec)?,
            "key_by" => self.key_by(spec)?,
            "collect" => self.collect(spec)?,
            "to" => self.to(spec)?,
            "state" => self.state(spec)?,
            "split" => {
                let predicate = Arc::new(call(&spec.spec("call")?)?);
                let policy = self.policy(spec)?;
                let code = Arc::new(move || {
                    Box::new(SplitCode {
                        predicate: Arc::clone(&predicate),
                        policy: policy.clone(),
                    }) as Box<dyn host::Splitter>
                });
                let (yes, no) = self.input(spec, 0)?.host_split(code);
                let yes = self.with_policy(spec, yes)?;
                return Ok(Outputs::Two(yes, no));
            }
            "merge" => self.input(spec, 0)?.merge(self.input(spec, 1)?),
            "sink" => {
                let name = spec.text("name")?;
                let sink = connectors::sink(&name, &spec.spec("sink")?, &self.policy(spec)?)?;
                let mut pipeline = self.input(spec, 0)?.to_sink(name, sink);
                match spec.text("on_error")?.as_str() {
                    "skip" => pipeline = pipeline.on_error(OnError::Skip),
                    "dead_letter" => {
                        let letters = spec.spec("dead_letter")?;
                        let name = letters.text("name")?;
                        let sink =
                            connectors::letters(&name, &letters.spec("sink")?, &self.raised)?;
                        pipeline = pipeline.dead_letter(name, sink);
                    }
                    _ => {}
                }
                self.app = self.app.take().map(|app| app.add(pipeline));
                return Ok(Outputs::None);
            }
            "end" => {
                let pipeline = self.input(spec, 0)?.end();
                self.app = self.app.take().map(|app| app.add(pipeline));
                return Ok(Outputs::None);
            }
            other => {
                return Err(PyValueError::new_err(format!(
                    "there is no node of kind {other}"
                )));
            }
        };
        let stream = match kind.as_str() {
            "key_by" | "collect" | "merge" => stream,
            _ => self.with_policy(spec, stream)?,
        };
        Ok(Outputs::One(stream))
    }

    fn source(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let name = spec.text("name")?;
        let stream = match connectors::source(&spec.spec("connector")?, &self.raised)? {
            AnySource::Bytes(bytes) => {
                self.listeners.push((name.clone(), bytes.listener()));
                source(name, bytes)
            }
            AnySource::Channel(channel) => source(name, channel),
            AnySource::Python(python) => source(name, python),
        };
        Ok(stream.sized_by(sizer))
    }

    fn decode(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let decode = Arc::new(match spec.text("mode")?.as_str() {
            "text" => Decode::Text,
            "bytes" => Decode::Bytes,
            "row" => Decode::Row(spec.any("function")?.unbind()),
            _ => Decode::Function(spec.any("function")?.unbind()),
        });
        let policy = self.policy(spec)?;
        let code = Arc::new(move || {
            Box::new(DecodeCode {
                decode: Arc::clone(&decode),
                policy: policy.clone(),
                plain: Plain::default(),
                names: None,
                row: csv::StringRecord::new(),
            }) as Box<dyn host::Stage>
        });
        let stream = self.input(spec, 0)?;
        Ok(stream
            .host_decode::<Message>(&spec.text("name")?, code)
            .sized_by(sizer))
    }

    fn key_by(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let finder = Arc::new(match spec.text("finder")?.as_str() {
            "field" => {
                let field = RawField::new(spec.any("path")?.extract()?);
                Finder::Field(Box::new(field), self.names(spec)?)
            }
            "attribute" => Finder::Attribute(self.names(spec)?),
            _ => Finder::Function(spec.any("function")?.unbind()),
        });
        // Of a key that cannot be had, the stage that looks for its object decides.
        let policy = Policy {
            raised: self.raised.clone(),
            is_fatal: true,
        };
        let stream = self.input(spec, 0)?;
        Ok(stream
            .host_key_by(spec.text("key_kind")?, key_code(finder, policy))
            .sized_by(sizer))
    }

    /// The path of a key in an object.
    fn names(&self, spec: &Spec<'_>) -> PyResult<Vec<Py<PyString>>> {
        let path: Vec<String> = spec.any("names")?.extract()?;
        let names = path
            .iter()
            .map(|name| PyString::intern(self.py, name).unbind());
        Ok(names.collect())
    }

    fn collect(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let policy = Policy {
            raised: self.raised.clone(),
            is_fatal: true,
        };
        let stream = self.input(spec, 0)?;
        Ok(stream
            .host_collect(key_code(Arc::new(Finder::One), policy))
            .sized_by(sizer))
    }

    fn to(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let called = Arc::new(call(&spec.spec("call")?)?);
        let policy = self.policy(spec)?;
        let code = Arc::new(move || {
            let context = Python::attach(|py| new_context(py, &called));
            Box::new(ToCode {
                context,
                call: Arc::clone(&called),
                policy: policy.clone(),
            }) as Box<dyn host::Stage>
        });
        let stream = self.input(spec, 0)?;
        Ok(stream
            .host_stage::<Message>(spec.text("name")?, code)
            .sized_by(sizer))
    }

    fn state(&mut self, spec: &Spec<'_>) -> PyResult<Stream<Message>> {
        let called = Arc::new(call(&spec.spec("call")?)?);
        let policy = self.policy(spec)?;
        let kind = self.state_type(&spec.spec("state")?)?;
        let type_name = spec.spec("state")?.text("type_name")?;
        let table = Arc::clone(&kind);
        let state = HostState {
            name: kind.name.clone(),
            type_name,
            table: Arc::new(move || Box::new(Table::new(Arc::clone(&table)))),
        };
        let code = Arc::new(move || {
            let context = Python::attach(|py| new_context(py, &called));
            Box::new(StateCode {
                context,
                call: Arc::clone(&called),
                policy: policy.clone(),
            }) as Box<dyn host::StateStage>
        });
        let stream = self.input(spec, 0)?;
        let stream = if stream.has_key() {
            stream
        } else {
            let policy = Policy {
                raised: self.raised.clone(),
                is_fatal: true,
            };
            tracing::warn!(
                state = kind.name,
                "a stage with state has no key_by before it: all messages share one state object"
            );
            stream
                .host_collect(key_code(Arc::new(Finder::One), policy))
                .sized_by(sizer)
        };
        Ok(stream
            .host_state::<Message>(spec.text("name")?, &state, code)
            .sized_by(sizer))
    }

    fn state_type(&mut self, spec: &Spec<'_>) -> PyResult<Arc<StateType>> {
        let name = spec.text("name")?;
        if let Some((_, known)) = self.states.iter().find(|(known, _)| *known == name) {
            return Ok(Arc::clone(known));
        }
        let codec = match spec.text("codec")?.as_str() {
            "attributes" => Codec::Attributes,
            "value" => Codec::Value,
            _ => Codec::Own {
                encode: spec.any("encode")?.unbind(),
                decode: spec.any("decode")?.unbind(),
            },
        };
        let expire_after = spec.optional("expire_after")?;
        let expire_after = expire_after.map(|seconds| -> PyResult<Duration> {
            Duration::try_from_secs_f64(seconds.extract()?)
                .map_err(|_| PyValueError::new_err("expire_after is a number of seconds above 0"))
        });
        let aliases = spec.optional("aliases")?;
        let aliases = aliases.map(|aliases| aliases.cast_into::<PyDict>());
        let kind = Arc::new(StateType {
            class: spec.any("class")?.unbind(),
            codec,
            aliases: aliases.transpose()?.map(Bound::unbind),
            expire_after: expire_after.transpose()?,
            registry: Arc::clone(&self.registry),
            raised: self.raised.clone(),
            must_be_storable: Arc::clone(&self.must_be_storable),
            name: name.clone(),
        });
        self.states.push((name, Arc::clone(&kind)));
        Ok(kind)
    }
}

fn key_code(finder: Arc<Finder>, policy: Policy) -> host::CodeFactory<dyn host::KeyExtractor> {
    Arc::new(move || {
        Box::new(KeyCode {
            finder: Arc::clone(&finder),
            policy: policy.clone(),
        })
    })
}

fn new_context(py: Python<'_>, call: &Call) -> Option<Py<Context>> {
    call.context?;
    // It has no content that could fail to be made; without memory nothing goes on anyway.
    Some(Py::new(py, Context::default()).expect("a context can be made"))
}

fn call(spec: &Spec<'_>) -> PyResult<Call> {
    Ok(Call {
        function: spec.any("function")?.unbind(),
        is_many: spec.flag("many")?,
        context: match spec.optional("context")? {
            None => None,
            Some(place) if place.is_instance_of::<PyString>() => Some(ContextPlace::Keyword),
            Some(place) => Some(ContextPlace::Position(place.extract()?)),
        },
        state_first: spec.flag("state_first")?,
        name: spec.text("name")?,
        plain: Plain::default(),
    })
}
