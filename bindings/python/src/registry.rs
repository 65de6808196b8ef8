//! The classes an application may store: those of its states and messages, and what their type hints lead to.
//!
//! **Invariants.** Nothing is made of stored bytes but objects of these classes and of types of Python itself. A class is known by
//! its name (`__qualname__`), so that a program may be run as a script or as a module.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::codec;

/// How objects of a class are taken apart and made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassKind {
    /// Made by the constructor without arguments, then given its attributes.
    Plain,
    /// Made by the constructor with the fields by name.
    Fields,
    /// Members by name.
    Enum,
}

/// A class that may be stored.
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) kind: ClassKind,
    pub(crate) class: Py<PyType>,
    /// Names of its fields; of a plain class those of its slots.
    pub(crate) fields: Vec<Field>,
    pub(crate) has_dict: bool,
}

/// A field of a class.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) python: Py<PyString>,
    /// Whether the constructor takes it.
    pub(crate) is_argument: bool,
}

/// The classes of an application.
#[derive(Default)]
pub(crate) struct Registry {
    by_type: HashMap<usize, Arc<Class>>,
    by_name: HashMap<String, Arc<Class>>,
}

thread_local! {
    /// The registry of the application whose worker is on this thread.
    static CURRENT: RefCell<Option<Arc<Registry>>> = const { RefCell::new(None) };
}

impl Registry {
    /// Adds the classes that `wallaroo._classes.describe` has found: (name, class, kind, fields, arguments, has a dict).
    pub(crate) fn from_python(described: &Bound<'_, PyAny>) -> PyResult<Registry> {
        let mut registry = Registry::default();
        for one in described.try_iter()? {
            let (name, class, kind, fields, arguments, has_dict): (
                String,
                Bound<'_, PyType>,
                String,
                Vec<String>,
                HashSet<String>,
                bool,
            ) = one?.extract()?;
            let py = class.py();
            let kind = match kind.as_str() {
                "plain" => ClassKind::Plain,
                "fields" => ClassKind::Fields,
                _ => ClassKind::Enum,
            };
            let fields = fields.into_iter().map(|name| Field {
                python: PyString::intern(py, &name).unbind(),
                is_argument: arguments.contains(&name),
                name,
            });
            let class = Arc::new(Class {
                kind,
                fields: fields.collect(),
                has_dict,
                name: name.clone(),
                class: class.unbind(),
            });
            registry
                .by_type
                .insert(class.class.as_ptr() as usize, Arc::clone(&class));
            registry.by_name.insert(name, class);
        }
        Ok(registry)
    }

    /// The class of an object, if it may be stored.
    #[inline]
    pub(crate) fn class_of(&self, object: &Bound<'_, PyAny>) -> Option<&Arc<Class>> {
        self.by_type.get(&(object.get_type_ptr() as usize))
    }

    /// A class as objects of it are stored.
    pub(crate) fn class(&self, class: &Bound<'_, PyAny>) -> Option<&Arc<Class>> {
        self.by_type.get(&(class.as_ptr() as usize))
    }

    /// The class of a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Class>> {
        self.by_name.get(name)
    }

    /// The registry of the application whose work this thread does.
    pub(crate) fn current() -> PyResult<Arc<Registry>> {
        CURRENT
            .with_borrow(Clone::clone)
            .ok_or_else(|| PyRuntimeError::new_err("no application is running on this thread"))
    }

    /// Calls `work` for the application of this registry.
    pub(crate) fn within<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(Some(Arc::clone(self)));
        let result = work();
        CURRENT.set(before);
        result
    }

    /// A message as it is kept in an input log.
    pub(crate) fn encode_message(&self, message: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::new();
        codec::write_value(self, message, &mut bytes, 0).map_err(|error| {
            PyTypeError::new_err(format!(
                "a message that is to be kept in the input log cannot be stored: {}",
                error.told("it")
            ))
        })?;
        Ok(bytes)
    }

    /// A message from an input log.
    pub(crate) fn decode_message<'py>(
        &self,
        py: Python<'py>,
        mut bytes: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        codec::read_value(self, py, &mut bytes, 0)
    }
}
