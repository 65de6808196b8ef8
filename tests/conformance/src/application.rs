//! From the data of a scenario to an application that reads and writes files of a directory.
//!
//! **Invariants.** A source or sink `x` is the file `x.jsonl`. A stage has the name of its function.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use wallaroo::{App, OnError, Pipeline, State, Stream, file, file_sink, source};

use crate::functions::{Event, keyed, many, one, predicate};
use crate::scenario::{Application, Line, StateSpec};
use crate::states::{Account, Class, Session, Total};

enum AnyState {
    Total(State<Total>),
    Account(State<Account>),
    Session(State<Session>),
}

struct Builder<'a> {
    directory: &'a Path,
    states: BTreeMap<String, AnyState>,
    streams: BTreeMap<String, Stream<Event>>,
}

/// The application of a scenario.
///
/// # Errors
/// When the scenario names something that is not there.
pub fn build(application: &Application, directory: &Path) -> Result<App, String> {
    let states = application.states.iter();
    let mut builder = Builder {
        directory,
        states: states
            .map(|(name, spec)| Ok((name.clone(), state(name, spec)?)))
            .collect::<Result<_, String>>()?,
        streams: BTreeMap::new(),
    };
    let mut app = App::new("conformance");
    for line in &application.plan {
        if let Some(pipeline) = builder.line(line)? {
            app = app.add(pipeline);
        }
    }
    Ok(app)
}

fn state(name: &str, spec: &StateSpec) -> Result<AnyState, String> {
    fn made<S: Class>(name: &str, spec: &StateSpec) -> State<S> {
        let state = State::new(name);
        match spec.expire_after {
            Some(seconds) => state.expire_after(Duration::from_secs(seconds)),
            None => state,
        }
    }
    Ok(match spec.class.as_str() {
        "Total" => AnyState::Total(made(name, spec)),
        "Account" => AnyState::Account(made(name, spec)),
        "Session" => AnyState::Session(made(name, spec)),
        other => return Err(format!("there is no class {other:?}")),
    })
}

impl Builder<'_> {
    fn line(&mut self, line: &Line) -> Result<Option<Pipeline>, String> {
        let mut stream = if let Some(name) = &line.source {
            let path = self.directory.join(format!("{name}.jsonl"));
            source(name, file(path).json::<Event>())
        } else if let Some(name) = &line.from {
            self.stream(name)?
        } else if let Some((one, other)) = &line.merge {
            self.stream(one)?.merge(self.stream(other)?)
        } else {
            return Err(format!("{line:?} begins nowhere"));
        };
        for stage in &line.stages {
            let words: Vec<&str> = stage.split(' ').collect();
            stream = self
                .stage(stream, &words)
                .ok_or_else(|| format!("there is no stage {stage:?}"))?;
        }
        if let Some(name) = &line.split {
            let predicate = predicate(name).ok_or_else(|| format!("there is no {name:?}"))?;
            let (yes, no) = stream.split(predicate);
            let (yes_name, no_name) = line.into.clone().ok_or("a split goes into two streams")?;
            self.streams.extend([(yes_name, yes), (no_name, no)]);
            return Ok(None);
        }
        if let Some(name) = &line.name {
            self.streams.insert(name.clone(), stream);
            return Ok(None);
        }
        if line.end {
            return Ok(Some(stream.end()));
        }
        let name = line
            .sink
            .as_ref()
            .ok_or_else(|| format!("{line:?} ends nowhere"))?;
        let path = self.directory.join(format!("{name}.jsonl"));
        Ok(Some(stream.to_sink(name, file_sink(path).json())))
    }

    fn stream(&self, name: &str) -> Result<Stream<Event>, String> {
        let known = self.streams.get(name).cloned();
        known.ok_or_else(|| format!("there is no stream {name:?} above"))
    }

    fn stage(&self, stream: Stream<Event>, words: &[&str]) -> Option<Stream<Event>> {
        Some(match words {
            ["to", name] => stream.to(one(name)?).named(*name),
            ["to_many", name] => stream.to(many(name)?).named(*name),
            ["key_by", name] => keyed(stream, name)?,
            ["collect"] => stream.collect(),
            ["on_error", "skip"] => stream.on_error(OnError::Skip),
            ["dead_letter", name] => {
                let path = self.directory.join(format!("{name}.jsonl"));
                stream.dead_letter(*name, file_sink(path).json())
            }
            ["state", state, operation] => match self.states.get(*state)? {
                AnyState::Total(state) => with_state(stream, state, operation)?,
                AnyState::Account(state) => with_state(stream, state, operation)?,
                AnyState::Session(state) => with_state(stream, state, operation)?,
            },
            _ => return None,
        })
    }
}

fn with_state<S: Class>(
    stream: Stream<Event>,
    state: &State<S>,
    name: &str,
) -> Option<Stream<Event>> {
    let operation = S::operation(name)?;
    let name = format!("{}.{name}", state.name());
    Some(stream.to_state_with(state, operation).named(name))
}
