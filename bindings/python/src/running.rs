//! A running application, for Python.
//!
//! **Invariants.** Nothing waits with the interpreter's lock held. The body runs once, on the thread that asks for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wallaroo::host::RunBody;
use wallaroo::{Code, Error, ErrorKind, Running, Status};

use crate::failing::Raised;
use crate::logging;
use crate::message::Message;
use crate::runtime::Interpreter;

/// The application as Rust runs it.
#[pyclass(module = "wallaroo._native", frozen)]
pub(crate) struct NativeRunning {
    running: Arc<Running>,
    body: Mutex<Option<RunBody>>,
    interpreter: Arc<Interpreter>,
    raised: Raised,
    listeners: Vec<(String, wallaroo::connectors::ListenerHandle)>,
}

/// The text of an error, with what to do in the words of Python.
pub(crate) fn in_python(error: &Error) -> String {
    let words = [
        (".on_error(OnError::Skip)", ".on_error(\"skip\")"),
        (
            "start it with Options { store: Some(\"./data\".into()), .. }",
            "start it with store=\"./data\"",
        ),
        ("behind .to_sink", "behind .to_sink(…)"),
        ("App::add", "App(name, pipeline)"),
    ];
    let text = error.to_string();
    words
        .iter()
        .fold(text, |text, (rust, python)| text.replace(rust, python))
}

/// An error as an exception of Python.
pub(crate) fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    let kind = match error.kind() {
        ErrorKind::Invalid => "invalid",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Data => "data",
        ErrorKind::User => "user",
        ErrorKind::Closed => "closed",
        _ => "bug",
    };
    made(py, kind, error.code(), &in_python(error))
}

/// An exception of this package, of a kind that `wallaroo._errors` knows.
pub(crate) fn made(py: Python<'_>, kind: &str, code: Code, text: &str) -> PyErr {
    let made = py
        .import("wallaroo._errors")
        .and_then(|module| module.call_method1("make", (kind, code.to_string(), text)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

impl NativeRunning {
    pub(crate) fn new(
        running: Running,
        body: RunBody,
        interpreter: Arc<Interpreter>,
        raised: Raised,
        listeners: Vec<(String, wallaroo::connectors::ListenerHandle)>,
    ) -> Self {
        let running = Arc::new(running);
        interpreter.steers(&running);
        NativeRunning {
            running,
            body: Mutex::new(Some(body)),
            interpreter,
            raised,
            listeners,
        }
    }

    /// How the application has ended, as Python is told.
    fn result(&self, py: Python<'_>, ended: Result<(), Error>) -> PyResult<()> {
        logging::hand_over(py);
        let interrupt = self.interpreter.take_interrupt();
        let at_close = self.raised.take_close(py);
        match ended {
            Ok(()) => interrupt.or(at_close).map_or(Ok(()), Err),
            Err(error) => {
                // The first failure is the one to look at.
                if let Some(at_close) = at_close {
                    at_close.write_unraisable(py, None);
                }
                let text = in_python(&error);
                if let Some(raised) = self.raised.take(&text) {
                    let _ = raised.value(py).call_method1("add_note", (text,));
                    return Err(raised);
                }
                Err(interrupt.unwrap_or_else(|| to_exception(py, &error)))
            }
        }
    }

    fn told(&self, py: Python<'_>, result: Result<(), Error>) -> PyResult<()> {
        result.map_err(|error| to_exception(py, &error))
    }
}

fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err("a timeout is a number of seconds from 0 on"))
}

#[pymethods]
impl NativeRunning {
    /// Runs the application on this thread, until it has ended.
    pub(crate) fn execute(&self, py: Python<'_>) -> PyResult<()> {
        let body = self
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(body) = body else {
            return Err(PyRuntimeError::new_err("the application runs already"));
        };
        py.detach(|| body.run());
        logging::hand_over(py);
        Ok(())
    }

    /// What it has failed with, if it has; the exception stays for who waits.
    fn failure(&self, py: Python<'_>) -> Option<String> {
        let ended = py.detach(|| self.running.wait_timeout(Duration::ZERO));
        Some(in_python(&ended?.err()?))
    }

    /// Waits for the end, at most for `timeout` seconds; whether it has come.
    #[pyo3(signature = (timeout=None))]
    pub(crate) fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let limit = timeout.map(seconds).transpose()?;
        let ended = match limit {
            Some(limit) => py.detach(|| self.running.wait_timeout(limit)),
            None => loop {
                // Signals are looked at by whoever waits in the main thread.
                let step = Duration::from_millis(50);
                if let Some(ended) = py.detach(|| self.running.wait_timeout(step)) {
                    break Some(ended);
                }
                py.check_signals()?;
            },
        };
        match ended {
            None => Ok(false),
            Some(ended) => self.result(py, ended).map(|()| true),
        }
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.running.stop());
    }

    fn give_up(&self, py: Python<'_>) {
        py.detach(|| self.running.give_up());
    }

    fn send(&self, py: Python<'_>, source: &str, message: Py<PyAny>) -> PyResult<()> {
        let message = Message::Object(message);
        let sent = py.detach(|| self.running.send(source, message));
        self.told(py, sent)
    }

    fn try_send(&self, py: Python<'_>, source: &str, message: Py<PyAny>) -> PyResult<bool> {
        let message = Message::Object(message);
        match py.detach(|| self.running.try_send(source, message)) {
            Ok(back) => Ok(back.is_none()),
            Err(error) => Err(to_exception(py, &error)),
        }
    }

    fn send_durable(&self, py: Python<'_>, source: &str, message: Py<PyAny>) -> PyResult<()> {
        let message = Message::Object(message);
        let sent = py.detach(|| self.running.send_durable(source, message));
        self.told(py, sent)
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        let made = py.detach(|| self.running.checkpoint());
        self.told(py, made)
    }

    fn savepoint(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let made = py.detach(|| self.running.savepoint(name));
        self.told(py, made)
    }

    /// Where a source listens, as text; none if it does not, or is not known.
    fn listening(&self, source: &str) -> Option<String> {
        let (_, listener) = self.listeners.iter().find(|(name, _)| name == source)?;
        Some(listener.local_address()?.to_string())
    }

    /// Where the status is served.
    fn status_address(&self) -> Option<String> {
        Some(self.running.status_address()?.to_string())
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (status, checkpoints) =
            py.detach(|| (self.running.status(), self.running.checkpoints()));
        let told = status_dict(py, &status)?;
        if let Some(checkpoints) = checkpoints {
            let kept = PyDict::new(py);
            kept.set_item("resumed_from", checkpoints.resumed_from)?;
            kept.set_item("epoch", checkpoints.epoch)?;
            kept.set_item("commits", checkpoints.commits)?;
            kept.set_item("bytes", checkpoints.bytes)?;
            kept.set_item("duration", checkpoints.duration.as_secs_f64())?;
            kept.set_item("uncommitted", checkpoints.uncommitted)?;
            kept.set_item("paused", checkpoints.paused)?;
            kept.set_item("recoveries", checkpoints.recoveries)?;
            kept.set_item("last_failure", checkpoints.last_failure)?;
            told.set_item("checkpoints", kept)?;
        }
        Ok(told)
    }
}

fn status_dict<'py>(py: Python<'py>, status: &Status) -> PyResult<Bound<'py, PyDict>> {
    let nodes = PyDict::new(py);
    for node in &status.nodes {
        let counts = PyDict::new(py);
        counts.set_item("messages_in", node.messages_in)?;
        counts.set_item("messages_out", node.messages_out)?;
        counts.set_item("dropped", node.dropped)?;
        counts.set_item("waiting", node.waiting)?;
        counts.set_item("lag_messages", node.lag.messages)?;
        counts.set_item("lag_bytes", node.lag.bytes)?;
        nodes.set_item(&node.name, counts)?;
    }
    let states = PyDict::new(py);
    for state in &status.states {
        let size = PyDict::new(py);
        size.set_item("keys", state.keys)?;
        states.set_item(&state.name, size)?;
    }
    let told = PyDict::new(py);
    told.set_item("workers", status.workers)?;
    told.set_item("nodes", nodes)?;
    told.set_item("states", states)?;
    told.set_item("queued_bytes", status.queued_bytes)?;
    let stuck: Vec<String> = status.stuck.iter().map(ToString::to_string).collect();
    told.set_item("stuck", stuck)?;
    Ok(told)
}

/// An application that nobody refers to any more is stopped; not with the interpreter's lock held, which its worker needs.
impl Drop for NativeRunning {
    fn drop(&mut self) {
        Python::attach(|py| {
            let body = self
                .body
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            py.detach(|| {
                drop(body);
                self.running.stop();
            });
        });
    }
}
