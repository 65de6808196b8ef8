//! Exceptions of the user's code on their way through the engine.
//!
//! The engine knows an error as text. Where it ends the run, the exception itself is kept beside it, so that the user gets
//! their own traceback back.
//!
//! **Invariants.** The exception that is raised is the one that the engine's error is about. Exceptions under `skip` and `dead_letter` are
//! described and let go.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use wallaroo::host::{Cause, Failed};
use wallaroo::{Code, ConnectorError};

/// Exceptions that a run ends with.
#[derive(Clone, Default)]
pub(crate) struct Raised {
    /// The last one that may have ended it, with its description.
    last: Arc<Mutex<Option<(PyErr, String)>>>,
    /// The first one of a sink that could not be closed at the end of a run that had gone well, with a note.
    at_close: Arc<Mutex<Option<(PyErr, String)>>>,
}

impl Raised {
    /// Keeps an exception.
    pub(crate) fn keep(&self, py: Python<'_>, error: &PyErr) {
        // An exception with more frames than it needs is still the exception.
        let _ = without_package(py, error);
        let kept = (error.clone_ref(py), describe(py, error));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Takes the exception out that an error with this text is about.
    pub(crate) fn take(&self, text: &str) -> Option<PyErr> {
        let mut kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, _) = kept.take_if(|(_, described)| text.contains(described.as_str()))?;
        Some(error)
    }

    /// Keeps the exception of the `close` of the sink `sink`. The engine drops writers, and asks them nothing then.
    pub(crate) fn keep_close(&self, py: Python<'_>, sink: &str, error: &PyErr) {
        let _ = without_package(py, error);
        let described = describe(py, error);
        let note = format!(
            "{}: the sink {sink:?} failed: cannot close the sink: {described}",
            Code::SinkWrite
        );
        let mut kept = self.at_close.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| (error.clone_ref(py), note));
    }

    /// Takes out why a sink could not be closed.
    pub(crate) fn take_close(&self, py: Python<'_>) -> Option<PyErr> {
        let mut kept = self.at_close.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, note) = kept.take()?;
        let _ = error.value(py).call_method1("add_note", (note,));
        Some(error)
    }
}

/// How a stage's calls fail.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) raised: Raised,
    /// Whether a failing call ends the run.
    pub(crate) is_fatal: bool,
}

impl Policy {
    /// What the engine is told of an exception that the call for message `index` raised.
    #[cold]
    pub(crate) fn failed(&self, py: Python<'_>, index: usize, error: PyErr) -> Failed {
        if is_exit(py, &error) {
            return self.ended(py, index, &error);
        }
        if self.is_fatal {
            self.raised.keep(py, &error);
        }
        Failed {
            index,
            cause: Cause::Error(Box::new(Described(describe(py, &error)))),
        }
    }

    /// What the engine is told of an exception that ends the run, whatever the policy.
    #[cold]
    pub(crate) fn ended(&self, py: Python<'_>, index: usize, error: &PyErr) -> Failed {
        self.raised.keep(py, error);
        Failed {
            index,
            cause: Cause::Exit(Box::new(Described(describe(py, error)))),
        }
    }

    /// What the engine is told of an exception that an encoder raised.
    #[cold]
    pub(crate) fn encoding_failed(&self, py: Python<'_>, error: &PyErr) -> ConnectorError {
        if self.is_fatal || is_exit(py, error) {
            self.raised.keep(py, error);
        }
        connector_error(py, "cannot encode the message", Code::Encode, error)
    }
}

/// What the engine is told of an exception of a connector or a format.
pub(crate) fn connector_error(
    py: Python<'_>,
    what: &str,
    code: Code,
    error: &PyErr,
) -> ConnectorError {
    let told = ConnectorError::new(what)
        .with_code(code)
        .with_cause(Described(describe(py, error)));
    if is_exit(py, error) {
        told.as_exit()
    } else {
        told
    }
}

/// Whether an exception asks for the end of the program: `SystemExit`, `KeyboardInterrupt`, and others that
/// `except Exception` lets pass; and `bdb.BdbQuit`, by which the debugger ends.
fn is_exit(py: Python<'_>, error: &PyErr) -> bool {
    if !error.is_instance_of::<PyException>(py) {
        return true;
    }
    // Only who has imported the debugger can have raised it.
    let quit = || -> PyResult<Bound<'_, PyAny>> {
        let modules = py.import(intern!(py, "sys"))?.getattr("modules")?;
        modules.get_item("bdb")?.getattr("BdbQuit")
    };
    quit().is_ok_and(|quit| error.matches(py, quit).unwrap_or(false))
}

/// An exception in one line.
#[derive(Debug)]
struct Described(String);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Described {}

/// Type, text and place: `ValueError: no price (app.py:31, in on_tick)`.
pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name();
    let name = name.map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    let text = error.value(py).str();
    let text = text.map_or_else(
        |_| "(its text cannot be made)".to_owned(),
        |text| text.to_string(),
    );
    let named = if text.is_empty() {
        name
    } else {
        format!("{name}: {text}")
    };
    match place(py, error) {
        Ok(Some(place)) => format!("{named} ({place})"),
        Ok(None) | Err(_) => named,
    }
}

/// Where an exception was raised: the innermost frame that is not of this package.
fn place(py: Python<'_>, error: &PyErr) -> PyResult<Option<String>> {
    let found = py
        .import(intern!(py, "wallaroo._location"))?
        .call_method1(intern!(py, "innermost"), (error.traceback(py),))?;
    let found: Option<(String, u32, String)> = found.extract()?;
    Ok(found.map(|(file, line, function)| format!("{file}:{line}, in {function}")))
}

/// An exception that may come out of code of the user: then without the frames of this package in front of theirs. One of
/// this package's own is as it was.
pub(crate) fn of_user(py: Python<'_>, error: PyErr) -> PyErr {
    if place(py, &error).is_ok_and(|place| place.is_some()) {
        let _ = without_package(py, &error);
    }
    error
}

/// Takes the frames of this package away from the start of a traceback.
fn without_package(py: Python<'_>, error: &PyErr) -> PyResult<()> {
    let trace = py
        .import(intern!(py, "wallaroo._location"))?
        .call_method1(intern!(py, "without_package"), (error.traceback(py),))?;
    error.set_traceback(py, trace.extract()?);
    Ok(())
}

/// A message as JSON, for error texts and dead letters.
pub(crate) fn as_json(py: Python<'_>, object: &Bound<'_, PyAny>) -> Vec<u8> {
    let described = py
        .import("wallaroo._describe")
        .and_then(|module| module.call_method1("as_json", (object,)))
        .and_then(|bytes| bytes.extract::<Vec<u8>>());
    described.unwrap_or_else(|error| format!("(no JSON form: {error})").into_bytes())
}
