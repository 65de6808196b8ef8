//! How to run, as Python says it.

use std::num::NonZeroUsize;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wallaroo::{KeyGroupCount, Options, StoreOptions};

use crate::connectors::Spec;

fn duration(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Duration> {
    value
        .extract::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| PyValueError::new_err(format!("{name} must be a number of seconds")))
}

/// Reads the options; those that are not given are as Rust has them.
pub(crate) fn read(given: &Bound<'_, PyDict>) -> PyResult<Options> {
    let mut options = Options::default();
    let spec = Spec(given.clone());
    if let Some(workers) = spec.optional("workers")? {
        let workers: usize = workers.extract()?;
        options.workers = NonZeroUsize::new(workers)
            .ok_or_else(|| PyValueError::new_err("workers must be 1 or more"))?;
    }
    if let Some(groups) = spec.optional("key_groups")? {
        options.key_groups = KeyGroupCount::new(groups.extract()?)
            .ok_or_else(|| PyValueError::new_err("key_groups must be from 1 to 32768"))?;
    }
    if let Some(address) = spec.optional("status")? {
        let address: String = address.extract()?;
        let parsed = address.parse();
        options.status = Some(parsed.map_err(|_| {
            PyValueError::new_err(format!(
                "status is {address:?}; expected an address like 127.0.0.1:7080"
            ))
        })?);
    }
    if let Some(bytes) = spec.optional("memory_limit")? {
        options.memory_limit = Some(bytes.extract()?);
    }
    if let Some(limit) = spec.optional("stuck_after")? {
        options.stuck_after = duration(&limit, "stuck_after")?;
    }
    options.store = store(&spec)?;
    Ok(options)
}

/// A list of names.
fn names(spec: &Spec<'_>, name: &str) -> PyResult<Vec<String>> {
    match spec.optional(name)? {
        None => Ok(Vec::new()),
        Some(value) if value.is_instance_of::<pyo3::types::PyString>() => Err(
            PyTypeError::new_err(format!("{name} must be a list of names")),
        ),
        Some(value) => value.extract(),
    }
}

fn store(spec: &Spec<'_>) -> PyResult<Option<StoreOptions>> {
    let Some(address) = spec.optional("store")? else {
        return Ok(None);
    };
    let address: String = address.str()?.extract()?;
    let mut store = StoreOptions::new(address);
    if let Some(interval) = spec.optional("checkpoint_every")? {
        store = store.every(duration(&interval, "checkpoint_every")?);
    }
    if let Some(interval) = spec.optional("log_input_every")? {
        store = store.log_input_every(duration(&interval, "log_input_every")?);
    }
    if let Some(times) = spec.optional("recoveries")? {
        store = store.recoveries(times.extract()?);
    }
    if let Some(count) = spec.optional("retain")? {
        store = store.retain(count.extract()?);
    }
    if let Some(take_over) = spec.optional("take_over")? {
        store = store.take_over(take_over.extract()?);
    }
    if let Some(name) = spec.optional("from_checkpoint")? {
        store = store.from(name.str()?.extract::<String>()?);
    }
    if let Some(name) = spec.optional("savepoint")? {
        store = store.savepoint(name.extract::<String>()?);
    }
    for name in names(spec, "drop_savepoints")? {
        store = store.drop_savepoint(name);
    }
    for name in names(spec, "drop_states")? {
        store = store.drop_state(name);
    }
    for name in names(spec, "drop_sources")? {
        store = store.drop_source(name);
    }
    for name in names(spec, "drop_sinks")? {
        store = store.drop_sink(name);
    }
    for name in names(spec, "reset_sinks")? {
        store = store.reset_sink(name);
    }
    if let Some(renamed) = spec.optional("rename_states")? {
        for (old, new) in renamed.cast_into::<PyDict>()?.iter() {
            store = store.rename_state(old.extract::<String>()?, new.extract::<String>()?);
        }
    }
    Ok(Some(store))
}
