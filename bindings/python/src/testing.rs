//! Applications in tests: the real engine in simulated time, as a function of a seed.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use wallaroo::Error;
use wallaroo::host::Messages;
use wallaroo::testing::{Results, Test};

use crate::application::{self, Built};
use crate::keys::to_python;
use crate::message::Message;
use crate::running::{in_python, to_exception};
use crate::runtime::Interpreter;

/// Runs an application on the messages of `steps`: dicts with `send` (a source and its messages) `advance` (seconds) or
/// `crash_after` (messages).
/// Returns what came to each sink, and the objects of each state by key.
#[pyfunction]
#[pyo3(signature = (plan, steps, seed=None))]
pub(crate) fn run_test<'py>(
    py: Python<'py>,
    plan: (String, Bound<'py, PyAny>, Bound<'py, PyAny>),
    steps: &Bound<'py, PyAny>,
    seed: Option<u64>,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>, u64)> {
    let (name, nodes, classes) = plan;
    let Built {
        app,
        registry,
        raised,
        states,
        ..
    } = application::build(py, &name, &nodes, &classes)?;
    let sinks: Vec<String> = nodes
        .try_iter()?
        .map(|node| sink_names(&node?))
        .collect::<PyResult<Vec<_>>>()?
        .concat();
    let mut test = Test::new(app);
    if let Some(seed) = seed {
        test = test.seed(seed);
    }
    for step in steps.try_iter()? {
        let step = step?.cast_into::<PyDict>()?;
        if let Some(sent) = step.get_item("send")? {
            let (source, messages): (String, Vec<Py<PyAny>>) = sent.extract()?;
            let messages: Vec<Message> = messages.into_iter().map(Message::Object).collect();
            test = test.send(source, messages);
        } else if let Some(seconds) = step.get_item("advance")? {
            let time = Duration::try_from_secs_f64(seconds.extract()?)
                .map_err(|_| PyValueError::new_err("time goes forward only"))?;
            test = test.advance(time);
        } else if let Some(messages) = step.get_item("crash_after")? {
            test = test.crash_after(messages.extract()?);
        }
    }
    let interpreter = Interpreter::new(registry, false);
    let test = test.host(Arc::new(interpreter));
    let results: Result<Results, Error> = py.detach(|| test.run());
    crate::logging::hand_over(py);
    let results = results.map_err(|error| {
        let text = in_python(&error);
        match raised.take(&text) {
            Some(exception) => {
                let _ = exception.value(py).call_method1("add_note", (text,));
                exception
            }
            None => to_exception(py, &error),
        }
    })?;
    let outputs = PyDict::new(py);
    for sink in sinks {
        let list = match results.captured_by(&sink) {
            None => PyList::empty(py),
            Some(messages) => as_list(py, messages)?,
        };
        outputs.set_item(sink, list)?;
    }
    let objects = PyDict::new(py);
    for (name, kind) in states {
        let by_key = PyDict::new(py);
        for (key, bytes) in results.stored(&name) {
            let key = to_python(py, key.view())?;
            by_key.set_item(key, kind.read(py, bytes)?)?;
        }
        objects.set_item(name, by_key)?;
    }
    Ok((outputs, objects, results.seed()))
}

/// The sinks that a node is or has: its own, and that of its dead letters.
fn sink_names(node: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let node = node.cast::<PyDict>()?;
    let mut names = Vec::new();
    let kind: String = node
        .get_item("kind")?
        .ok_or_else(|| PyValueError::new_err("a node has a kind"))?
        .extract()?;
    if kind == "sink"
        && let Some(name) = node.get_item("name")?
    {
        names.push(name.extract()?);
    }
    if let Some(letters) = node.get_item("dead_letter")?
        && !letters.is_none()
    {
        names.push(letters.get_item("name")?.extract()?);
    }
    Ok(names)
}

fn as_list<'py>(py: Python<'py>, messages: &dyn Messages) -> PyResult<Bound<'py, PyList>> {
    let any = messages.as_any();
    if let Some(rows) = any.downcast_ref::<Vec<String>>() {
        return PyList::new(py, rows);
    }
    if let Some(messages) = any.downcast_ref::<Vec<Message>>() {
        return PyList::new(py, messages.iter().map(|message| message.object(py)));
    }
    let letters = any.downcast_ref::<Vec<wallaroo::DeadLetter>>();
    let list = PyList::empty(py);
    for letter in letters.into_iter().flatten() {
        let made = py.import("wallaroo._connectors")?.call_method1(
            "DeadLetter",
            (
                &letter.stage,
                &letter.source,
                &letter.partition,
                letter.position,
                letter.key.as_deref(),
                pyo3::types::PyBytes::new(py, &letter.message),
                &letter.error,
            ),
        )?;
        list.append(made)?;
    }
    Ok(list)
}
