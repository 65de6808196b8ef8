//! What functions return that somebody would have to await, which nobody does.
//!
//! Functions that say that they are async are refused where they are given (`wallaroo._async`); here is what comes of those that
//! do not say it.
//!
//! **Invariants.** Nothing that is to be awaited becomes a message or a key, or is dropped without an error.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// What a function has returned so far is no coroutine and no generator.
///
/// It holds the address of the last class that was looked at: asking a class for a method that it lacks takes as long as a call.
/// A class that has since been freed may have left its address to another one; then an error is not found, and nothing is broken.
#[derive(Default)]
pub(crate) struct Plain(AtomicUsize);

impl Plain {
    /// Refuses a result that is lazy; `who` returned it.
    #[inline]
    pub(crate) fn check(&self, returned: &Bound<'_, PyAny>, who: &str) -> PyResult<()> {
        let class = returned.get_type_ptr() as usize;
        if self.0.load(Ordering::Relaxed) == class {
            return Ok(());
        }
        refuse_awaitable(returned, who)?;
        if is_a(&returned.get_type(), "GeneratorType")? {
            return Err(PyTypeError::new_err(format!(
                "{who} returned generator, and not a message; use to_many for functions that yield"
            )));
        }
        self.0.store(class, Ordering::Relaxed);
        Ok(())
    }
}

/// Refuses what is to be awaited; `who` returned it.
pub(crate) fn refuse_awaitable(returned: &Bound<'_, PyAny>, who: &str) -> PyResult<()> {
    if returned.is_none() {
        return Ok(());
    }
    let py = returned.py();
    let class = returned.get_type();
    if !class.hasattr(intern!(py, "__await__"))? && !is_a(&class, "AsyncGeneratorType")? {
        return Ok(());
    }
    // The interpreter warns of a coroutine that is dropped before it has run; the error says it.
    if is_a(&class, "CoroutineType")? {
        returned.call_method0(intern!(py, "close"))?;
    }
    Err(PyTypeError::new_err(format!(
        "{who} returned {}, which nothing awaits; use plain functions instead of async ones",
        class.name()?
    )))
}

/// Whether it is the class of that name in the module `types`.
fn is_a(class: &Bound<'_, PyType>, name: &'static str) -> PyResult<bool> {
    static CLASSES: PyOnceLock<[(&str, Py<PyAny>); 3]> = PyOnceLock::new();
    let py = class.py();
    let classes = CLASSES.get_or_try_init(py, || {
        let types = py.import("types")?;
        let class = |name| PyResult::Ok((name, types.getattr(name)?.unbind()));
        PyResult::Ok([
            class("GeneratorType")?,
            class("AsyncGeneratorType")?,
            class("CoroutineType")?,
        ])
    })?;
    Ok(classes
        .iter()
        .any(|(known, found)| *known == name && class.is(found)))
}
