//! What a computation can ask for besides its message and its state object.
//!
//! **Invariants.** One context serves all calls of a stage on a worker; it is valid during one call.
//! It may be dropped on another thread: in the test kit, on the one that reads the results.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The surroundings of one call: key, time, `emit`, `forget`.
#[pyclass(module = "wallaroo", name = "Context")]
#[derive(Default)]
pub(crate) struct Context {
    pub(crate) key: Option<Py<PyAny>>,
    pub(crate) now_ns: i64,
    pub(crate) emitted: Vec<Py<PyAny>>,
    pub(crate) forget: bool,
    /// Whether the stage has a state object that can be forgotten.
    pub(crate) has_state: bool,
    /// Whether a call is under way.
    pub(crate) is_open: bool,
}

impl Context {
    /// Begins a call.
    pub(crate) fn begin(&mut self, key: Option<Py<PyAny>>, now_ns: i64, has_state: bool) {
        self.key = key;
        self.now_ns = now_ns;
        self.has_state = has_state;
        self.forget = false;
        self.emitted.clear();
        self.is_open = true;
    }

    /// Ends a call: who has kept the context can do nothing with it. What `forget` was asked for stays to be read.
    pub(crate) fn end(&mut self) {
        self.is_open = false;
        self.key = None;
        self.emitted.clear();
    }

    fn open(&self) -> PyResult<()> {
        if self.is_open {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "the context is valid only during the call that it was given to",
        ))
    }
}

#[pymethods]
impl Context {
    /// The key of the message and of the state object; `None` in a stage without state.
    #[getter]
    fn key(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.open()?;
        Ok(self.key.as_ref().map(|key| key.clone_ref(py)))
    }

    /// The present time in seconds since 1970, the same for all messages of a batch.
    #[getter]
    #[allow(
        clippy::cast_precision_loss,
        reason = "microseconds are what a float holds of a present time, as in time.time()"
    )]
    fn now(&self) -> PyResult<f64> {
        self.open()?;
        Ok(self.now_ns as f64 / 1e9)
    }

    /// The present time in nanoseconds since 1970.
    #[getter]
    fn now_ns(&self) -> PyResult<i64> {
        self.open()?;
        Ok(self.now_ns)
    }

    /// Passes a message on, before what the call returns.
    fn emit(&mut self, message: Py<PyAny>) -> PyResult<()> {
        self.open()?;
        self.emitted.push(message);
        Ok(())
    }

    /// Drops the state object after this call. The next message of the key finds a new one.
    fn forget(&mut self) -> PyResult<()> {
        self.open()?;
        if !self.has_state {
            return Err(PyRuntimeError::new_err(
                "forget() is for stages with state; this one has none",
            ));
        }
        self.forget = true;
        Ok(())
    }
}
