//! State objects by slot, and their stored form.
//!
//! **Invariants.** Objects never leave the thread that runs Python. An object that fails a call under `skip` or `dead_letter` is
//! put back to what it was before.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};
use rmp::encode;
use wallaroo::host::{ChunkIndex, Objects, Slot, StateObjects};

use crate::codec;
use crate::failing::{Raised, describe};
use crate::registry::Registry;

/// How objects of a state are stored.
pub(crate) enum Codec {
    /// As a map of their attributes.
    Attributes,
    /// As a value: objects of a type of Python itself.
    Value,
    /// By two functions of the user: object to bytes, bytes to object.
    Own {
        encode: Py<PyAny>,
        decode: Py<PyAny>,
    },
}

/// A state, as its user declares it.
pub(crate) struct StateType {
    pub(crate) name: String,
    /// Makes the object of an unseen key.
    pub(crate) class: Py<PyAny>,
    pub(crate) codec: Codec,
    pub(crate) aliases: Option<Py<PyDict>>,
    pub(crate) expire_after: Option<Duration>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) raised: Raised,
    /// Whether every new object is to have a stored form: with a store.
    pub(crate) must_be_storable: Arc<AtomicBool>,
}

impl StateType {
    /// Appends the stored form of an object.
    ///
    /// # Errors
    ///
    /// When it has none: a `TypeError` that says why; or what the user's codec raised.
    pub(crate) fn write(&self, object: &Bound<'_, PyAny>, bytes: &mut Vec<u8>) -> PyResult<()> {
        let py = object.py();
        match &self.codec {
            Codec::Attributes => {
                let class = self.registry.class_of(object).ok_or_else(|| {
                    let class = object.get_type();
                    if class.is(&self.class) {
                        return not_by_attributes(&class);
                    }
                    PyTypeError::new_err(format!(
                        "an object of the state is a {class}, which is not the class of the state"
                    ))
                })?;
                codec::write_object(&self.registry, class, object, bytes, 0)
            }
            Codec::Value => codec::write_value(&self.registry, object, bytes, 0),
            Codec::Own { encode, .. } => {
                let encoded = encode.bind(py).call1((object,))?;
                let Ok(encoded) = encoded.cast::<PyBytes>() else {
                    return Err(PyTypeError::new_err(
                        "the codec of the state returned something else than bytes",
                    ));
                };
                return encode::write_bin(bytes, encoded.as_bytes())
                    .map_err(|error| PyTypeError::new_err(error.to_string()));
            }
        }
        .map_err(|refused| PyTypeError::new_err(refused.told("the object")))
    }

    /// What the engine is told of an exception that ends the run: its text. The exception is kept if it is of the user's code.
    #[cold]
    fn failed(&self, py: Python<'_>, error: &PyErr) -> String {
        if error.traceback(py).is_none() {
            return error.value(py).to_string();
        }
        self.raised.keep(py, error);
        describe(py, error)
    }

    /// Makes an object of its stored form.
    pub(crate) fn read<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let rest = &mut &bytes[..];
        match &self.codec {
            Codec::Attributes => {
                let class = self.registry.class(self.class.bind(py)).ok_or_else(|| {
                    PyTypeError::new_err("the class of the state is not registered")
                })?;
                let aliases = self.aliases.as_ref().map(|aliases| aliases.bind(py));
                codec::read_object(&self.registry, class, aliases, py, rest)
            }
            Codec::Value => codec::read_value(&self.registry, py, rest, 0),
            Codec::Own { decode, .. } => {
                let stored = codec::read_value(&self.registry, py, rest, 0)?;
                decode.bind(py).call1((stored,))
            }
        }
    }
}

/// Why objects of a class cannot be stored by their attributes.
#[cold]
fn not_by_attributes(class: &Bound<'_, PyType>) -> PyErr {
    let name =
        |class: &Bound<'_, PyAny>| -> PyResult<String> { class.getattr("__name__")?.extract() };
    // The class before `object` is what holds the content.
    let told = || -> PyResult<(String, String)> {
        let order = class.mro();
        let before = order.len().saturating_sub(2);
        Ok((name(class)?, name(&order.get_item(before)?)?))
    };
    match told() {
        Ok((class, base)) => PyTypeError::new_err(format!(
            "a {class} is a kind of {base}, whose content is not in its attributes; keep a {base} in an attribute of a class of your own, or give the state a codec of your own"
        )),
        Err(error) => error,
    }
}

/// An object of a state; absent before its first use.
#[derive(Default)]
pub(crate) struct Kept(Option<Py<PyAny>>);

/// An object as it was before a call.
enum Saved {
    Nothing,
    Absent,
    Stored(Vec<u8>),
}

/// The objects of one state on one worker.
pub(crate) struct Table {
    pub(crate) kind: Arc<StateType>,
    objects: Objects<Kept>,
    saved: Saved,
}

impl Table {
    pub(crate) fn new(kind: Arc<StateType>) -> Self {
        Table {
            kind,
            objects: Objects::default(),
            saved: Saved::Nothing,
        }
    }

    /// The object in a slot, and whether it has just been made.
    #[inline]
    pub(crate) fn object<'a, 'py>(
        &'a mut self,
        py: Python<'py>,
        slot: Slot,
    ) -> PyResult<(&'a Bound<'py, PyAny>, bool)> {
        let kept = &mut self.objects.get_mut(slot).0;
        if let Some(object) = kept {
            return Ok((object.bind(py), false));
        }
        let object = self.kind.class.call0(py)?;
        Ok((kept.insert(object).bind(py), true))
    }

    /// Keeps what an object is now, for [`StateObjects::rollback`].
    pub(crate) fn save(&mut self, py: Python<'_>, slot: Slot) -> PyResult<()> {
        self.saved = match &self.objects.get_mut(slot).0 {
            None => Saved::Absent,
            Some(object) => {
                let mut bytes = Vec::new();
                self.kind.write(object.bind(py), &mut bytes)?;
                Saved::Stored(bytes)
            }
        };
        Ok(())
    }
}

impl StateObjects for Table {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn reset(&mut self, slot: Slot) {
        self.objects.reset(slot);
    }

    fn release_chunk(&mut self, chunk: ChunkIndex) {
        self.objects.release_chunk(chunk);
    }

    fn rollback(&mut self, slot: Slot) -> Result<(), String> {
        let object = match std::mem::replace(&mut self.saved, Saved::Nothing) {
            Saved::Nothing => return Ok(()),
            Saved::Absent => None,
            Saved::Stored(bytes) => Some(Python::attach(|py| {
                let object = self.kind.read(py, &bytes);
                object
                    .map(Bound::unbind)
                    .map_err(|error| self.kind.failed(py, &error))
            })?),
        };
        self.objects.get_mut(slot).0 = object;
        Ok(())
    }

    fn snapshot(&mut self, slot: Slot, bytes: &mut Vec<u8>) -> Result<(), String> {
        Python::attach(|py| {
            let kind = Arc::clone(&self.kind);
            let written = self
                .object(py, slot)
                .and_then(|(object, _)| kind.write(object, bytes));
            written.map_err(|error| kind.failed(py, &error))
        })
    }

    fn restore(&mut self, slot: Slot, bytes: &[u8]) -> Result<(), String> {
        Python::attach(|py| {
            let object = self.kind.read(py, bytes);
            let object = object.map_err(|error| self.kind.failed(py, &error))?;
            self.objects.get_mut(slot).0 = Some(object.unbind());
            Ok(())
        })
    }

    fn take(&mut self, slots: &[Slot]) -> Box<dyn Any + Send> {
        let taken: Vec<Kept> = slots.iter().map(|slot| self.objects.take(*slot)).collect();
        Box::new(taken)
    }

    fn put(&mut self, slots: &[Slot], objects: Box<dyn Any + Send>) {
        let objects = objects
            .downcast::<Vec<Kept>>()
            .expect("one state has objects of one type");
        for (slot, object) in slots.iter().zip(*objects) {
            *self.objects.get_mut(*slot) = object;
        }
    }

    fn memory_bytes(&self) -> Option<usize> {
        None
    }

    fn expire_after(&self) -> Option<Duration> {
        self.kind.expire_after
    }
}
