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

/// The last exception that may have ended a run, with its description.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<(PyErr, String)>>>);

impl Raised {
    /// Keeps an exception.
    pub(crate) fn keep(&self, py: Python<'_>, error: &PyErr) {
        let kept = (error.clone_ref(py), describe(py, error));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Takes the exception out that an error with this text is about.
    pub(crate) fn take(&self, text: &str) -> Option<PyErr> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, _) = kept.take_if(|(_, described)| text.contains(described.as_str()))?;
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
        let is_exit = !error.is_instance_of::<PyException>(py);
        if self.is_fatal || is_exit {
            self.raised.keep(py, &error);
        }
        let error = Box::new(Described(describe(py, &error)));
        Failed {
            index,
            cause: if is_exit {
                Cause::Exit(error)
            } else {
                Cause::Error(error)
            },
        }
    }
}

/// An exception in one line.
#[derive(Debug)]
pub(crate) struct Described(String);

impl Described {
    pub(crate) fn new(py: Python<'_>, error: &PyErr) -> Described {
        Described(describe(py, error))
    }
}

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

/// Where an exception was raised: the innermost frame.
fn place(py: Python<'_>, error: &PyErr) -> PyResult<Option<String>> {
    let Some(traceback) = error.traceback(py) else {
        return Ok(None);
    };
    let mut at = traceback.into_any();
    loop {
        let next = at.getattr(intern!(py, "tb_next"))?;
        if next.is_none() {
            break;
        }
        at = next;
    }
    let line: u32 = at.getattr(intern!(py, "tb_lineno"))?.extract()?;
    let code = at
        .getattr(intern!(py, "tb_frame"))?
        .getattr(intern!(py, "f_code"))?;
    let file: String = code.getattr(intern!(py, "co_filename"))?.extract()?;
    let function: String = code.getattr(intern!(py, "co_name"))?.extract()?;
    let file = file.rsplit(['/', '\\']).next().unwrap_or(&file);
    Ok(Some(format!("{file}:{line}, in {function}")))
}

/// A message as JSON, for error texts and dead letters.
pub(crate) fn as_json(py: Python<'_>, object: &Bound<'_, PyAny>) -> Vec<u8> {
    let described = py
        .import("wallaroo._describe")
        .and_then(|module| module.call_method1("as_json", (object,)))
        .and_then(|bytes| bytes.extract::<Vec<u8>>());
    described.unwrap_or_else(|error| format!("(no JSON form: {error})").into_bytes())
}
