//! Wallaroo for Python: converts between Python and the engine, and does nothing else.
//!
//! The package `wallaroo` (in `python/`) is what users import. It describes an application as plain data; this module builds
//! it with the builder of Rust users and runs it. What the engine asks of a host is in `docs/design/hosts.md`.
//!
//! **It is** a host: stages, state objects, keys and connectors whose code is Python's (modules `stages`, `table`, `keys`,
//! `connectors`), around the same engine that runs Rust. **It is not** a place for semantics: what an application means is decided
//! by the builder and the engine.
//!
//! **Limits.** One thread runs Python code per application. Values nest 64 deep at most where they are stored.

mod application;
mod awaiting;
mod codec;
mod connectors;
mod context;
mod failing;
mod keys;
mod logging;
mod message;
mod options;
mod plain_json;
mod registry;
mod running;
mod runtime;
mod stages;
mod table;
mod testing;

use std::ffi::OsString;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use wallaroo::host::Request;
use wallaroo::{Code, Options};

use crate::application::Built;
use crate::running::{NativeRunning, to_exception};
use crate::runtime::Interpreter;

// Records, batches and tables come and go in thousands at a time. The allocator of the C library takes its slow paths then:
// a tenth of all instructions of a message (callgrind of benches/python, 2026-11).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `App._plan()` gives: the name, the nodes, the classes.
type PlanOfPython<'py> = (String, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// What an application can do whose methods must not stand in the tracebacks of its user.
#[pyclass(module = "wallaroo._native", subclass)]
struct AppBase;

#[pymethods]
impl AppBase {
    #[new]
    #[pyo3(signature = (*_arguments, **_options))]
    fn new(
        _arguments: &Bound<'_, pyo3::types::PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        AppBase
    }

    /// Runs the application on this thread until all input has ended.
    #[pyo3(signature = (**options))]
    fn run(slf: &Bound<'_, Self>, options: Option<Bound<'_, PyDict>>) -> PyResult<()> {
        let py = slf.py();
        let options = options.unwrap_or_else(|| PyDict::new(py));
        let plan = slf
            .call_method1("_check_options", (&options,))
            .and_then(|_| slf.call_method0("_plan"))
            .map_err(|error| failing::of_user(py, error))?;
        let running = prepare(py, plan.extract()?, &options, true)?;
        running.execute(py)?;
        running.wait(py, None)?;
        Ok(())
    }

    /// Start the application in the background and return at once: in a notebook, or beside a web server.
    ///
    /// Args:
    ///     **options: How to run; see :class:`Options`.
    ///
    /// Raises:
    ///     Error: The application cannot start: its plan is wrong, a file is missing, a port is taken.
    #[pyo3(signature = (**options))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        options: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let options = options.unwrap_or_else(|| PyDict::new(py));
        slf.call_method1("_start", (options,))
            .map_err(|error| failing::of_user(py, error))
    }
}

/// Opens an application; it runs when its `execute` is called.
#[pyfunction]
#[pyo3(signature = (plan, options, signals))]
fn prepare(
    py: Python<'_>,
    plan: PlanOfPython<'_>,
    options: &Bound<'_, PyDict>,
    signals: bool,
) -> PyResult<NativeRunning> {
    let options = options::read(options)?;
    let (name, nodes, classes) = plan;
    let built = application::build(py, &name, &nodes, &classes)?;
    launch(py, built, options, signals)
}

/// Why more than one worker is refused.
const ONE_WORKER: &str = "a Python application runs on one worker for now, because one interpreter runs one thread of Python code at a time; several processes under one command are what --workers will mean";

fn launch(
    py: Python<'_>,
    built: Built,
    options: Options,
    signals: bool,
) -> PyResult<NativeRunning> {
    if options.workers.get() > 1 {
        let text = format!("workers is {}; {ONE_WORKER}", options.workers);
        return Err(PyValueError::new_err(text));
    }
    built.must_be_storable.store(
        options.store.is_some(),
        std::sync::atomic::Ordering::Relaxed,
    );
    let Built {
        app,
        registry,
        raised,
        listeners,
        ..
    } = built;
    let interpreter = Arc::new(Interpreter::new(registry, signals));
    let host = Arc::clone(&interpreter) as Arc<dyn wallaroo::host::HostRuntime>;
    match py.detach(|| app.prepare(options, host)) {
        Ok((running, body)) => Ok(NativeRunning::new(
            running,
            body,
            interpreter,
            raised,
            listeners,
        )),
        Err(error) => {
            let text = running::in_python(&error);
            Err(match raised.take(&text) {
                Some(exception) => {
                    let _ = exception.value(py).call_method1("add_note", (text,));
                    exception
                }
                None => to_exception(py, &error),
            })
        }
    }
}

/// Reads a command line: a text to show, or the application opened as it says.
#[pyfunction]
fn command_line(
    py: Python<'_>,
    plan: PlanOfPython<'_>,
    arguments: Vec<OsString>,
    defaults: &Bound<'_, PyDict>,
) -> PyResult<(Option<String>, Option<NativeRunning>)> {
    let defaults = options::read(defaults)?;
    let (name, nodes, classes) = plan;
    let built = application::build(py, &name, &nodes, &classes)?;
    match built.app.command_line(arguments, defaults) {
        Ok(Request::Show(text)) => Ok((Some(text), None)),
        Ok(Request::Run { options, log }) => {
            if options.workers.get() > 1 {
                let (code, workers) = (Code::Option, options.workers);
                let text = format!("{code}: --workers is {workers}; {ONE_WORKER}");
                return Err(running::made(py, "invalid", code, &text));
            }
            logging::set_filter(log);
            Ok((None, Some(launch(py, built, *options, true)?)))
        }
        Err(error) => Err(to_exception(py, &error)),
    }
}

/// The part of the command that looks into stores: its exit code, and what it says on the standard output and error.
#[pyfunction]
fn look(py: Python<'_>, arguments: Vec<OsString>) -> (u8, String, String) {
    let said = py.detach(|| wallaroo_cli::run(arguments));
    (said.code, said.output, said.errors)
}

/// The plan of an application as JSON; an error when it cannot work.
#[pyfunction]
fn check(py: Python<'_>, plan: PlanOfPython<'_>) -> PyResult<String> {
    let (name, nodes, classes) = plan;
    let built = application::build(py, &name, &nodes, &classes)?;
    let plan = built.app.plan().map_err(|error| to_exception(py, &error))?;
    serde_json::to_string(&plan).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The stored form of an object of a state, as it is in checkpoints.
#[pyfunction]
fn encode_state<'py>(
    py: Python<'py>,
    plan: PlanOfPython<'py>,
    state: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let kind = state_of(py, plan, state)?;
    let mut bytes = Vec::new();
    kind.write(value, &mut bytes)?;
    Ok(PyBytes::new(py, &bytes))
}

/// An object of a state from its stored form.
#[pyfunction]
fn decode_state<'py>(
    py: Python<'py>,
    plan: PlanOfPython<'py>,
    state: &str,
    stored: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    state_of(py, plan, state)?.read(py, stored)
}

fn state_of(
    py: Python<'_>,
    plan: PlanOfPython<'_>,
    state: &str,
) -> PyResult<Arc<table::StateType>> {
    let (name, nodes, classes) = plan;
    let built = application::build(py, &name, &nodes, &classes)?;
    let found = built.states.into_iter().find(|(name, _)| name == state);
    found
        .map(|(_, kind)| kind)
        .ok_or_else(|| PyValueError::new_err(format!("the application has no state {state:?}")))
}

/// The stable 64-bit hash of a key, the same in all languages.
#[pyfunction]
fn key_hash(key: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(wallaroo::Key::hash(&keys::stored(key)?).0)
}

/// The canonical bytes of a key, the same in all languages.
#[pyfunction]
fn key_bytes<'py>(py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, keys::stored(key)?.as_bytes()))
}

/// The native part of Wallaroo; the package `wallaroo` is what is meant to be used.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    logging::install();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<AppBase>()?;
    module.add_class::<context::Context>()?;
    module.add_class::<connectors::Memory>()?;
    module.add_class::<NativeRunning>()?;
    module.add_function(wrap_pyfunction!(prepare, module)?)?;
    module.add_function(wrap_pyfunction!(command_line, module)?)?;
    module.add_function(wrap_pyfunction!(check, module)?)?;
    module.add_function(wrap_pyfunction!(look, module)?)?;
    module.add_function(wrap_pyfunction!(encode_state, module)?)?;
    module.add_function(wrap_pyfunction!(decode_state, module)?)?;
    module.add_function(wrap_pyfunction!(key_hash, module)?)?;
    module.add_function(wrap_pyfunction!(key_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(testing::run_test, module)?)?;
    Ok(())
}
