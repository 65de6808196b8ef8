//! Keys: fields of raw bytes, attributes of objects, and what functions of the user return.
//!
//! **Invariants.** A key is the same whichever way it is found: text, bytes, integers, booleans, UUIDs and tuples of these, in the
//! canonical bytes that all languages share. Floats and everything else are refused.

use std::sync::Arc;

use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString, PyTuple};
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};
use uuid::Uuid;
use wallaroo::host::{Failed, KeyExtractor, KeyIndex, Keyed, Messages, Slot, downcast};
use wallaroo::{Key, KeyError, KeyHash, KeyView, StoredKey};

use crate::awaiting::refuse_awaitable;
use crate::failing::{Policy, as_json};
use crate::message::{Columns, Message, Raw};
use crate::plain_json::{self, Again, Plain};

/// How keys are found.
pub(crate) enum Finder {
    /// A field of raw JSON or CSV, by its path there; and by its path in the decoded object, for tests that send that.
    Field(Box<RawField>, Vec<Py<PyString>>),
    /// An attribute of an object, or an item of a dict, by its path.
    Attribute(Vec<Py<PyString>>),
    /// What a function returns.
    Function(Py<PyAny>),
    /// The one key of all messages.
    One,
}

/// A field of raw bytes.
pub(crate) struct RawField {
    path: Vec<String>,
    /// Finds the name of the field, with its quotes, where JSON may have it once more.
    again: Again,
}

impl RawField {
    pub(crate) fn new(path: Vec<String>) -> Self {
        let again = Again::new(path.last().map_or("", String::as_str));
        RawField { path, again }
    }

    fn shown(&self) -> String {
        self.path.join(".")
    }
}

/// The code of a `key_by`.
pub(crate) struct KeyCode {
    pub(crate) finder: Arc<Finder>,
    pub(crate) policy: Policy,
}

/// Does something with a key, in whatever form it is.
trait UseKey {
    type Result;

    fn key<K: Key + ?Sized>(self, key: &K) -> Self::Result;
}

struct Hash;

impl UseKey for Hash {
    type Result = KeyHash;

    fn key<K: Key + ?Sized>(self, key: &K) -> KeyHash {
        key.hash()
    }
}

struct Store;

impl UseKey for Store {
    type Result = Result<StoredKey, KeyError>;

    fn key<K: Key + ?Sized>(self, key: &K) -> Self::Result {
        key.to_stored()
    }
}

struct Resolve<'a>(&'a mut KeyIndex, Option<KeyHash>);

impl UseKey for Resolve<'_> {
    type Result = Result<Slot, KeyError>;

    #[inline]
    fn key<K: Key + ?Sized>(self, key: &K) -> Self::Result {
        let hash = self.1.unwrap_or_else(|| key.hash());
        self.0.resolve_touched(hash, key)
    }
}

impl Finder {
    #[inline]
    fn with<U: UseKey>(&self, py: Python<'_>, message: &Message, used: U) -> PyResult<U::Result> {
        match (self, message) {
            (Finder::One, _) => Ok(used.key("")),
            (Finder::Field(field, _), Message::Raw(raw)) => with_field(raw, field, used),
            (Finder::Field(_, path), message @ Message::Object(_))
            | (Finder::Attribute(path), message) => {
                let object = message.object(py);
                let mut at = step(object, path[0].bind(py))?;
                for name in &path[1..] {
                    at = step(&at, name.bind(py))?;
                }
                with_python(&at, used)
            }
            (Finder::Function(function), message) => {
                with_python(&function.bind(py).call1((message.object(py),))?, used)
            }
        }
    }
}

/// An attribute of an object, or an item of a dict.
fn step<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(dict) = object.cast::<PyDict>() {
        return dict.get_item(name)?.ok_or_else(|| {
            PyValueError::new_err(format!(
                "the message has no item {:?}, which is its key",
                name.to_string_lossy()
            ))
        });
    }
    object
        .getattr(name)
        .map_err(|error| without_key(object, name, error))
}

/// Says that it was the key that was looked for, and keeps what the attribute itself may have raised as the cause.
#[cold]
fn without_key(object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>, error: PyErr) -> PyErr {
    let py = object.py();
    if !error.is_instance_of::<PyAttributeError>(py) {
        return error;
    }
    let kind = object
        .get_type()
        .qualname()
        .map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let told = PyAttributeError::new_err(format!(
        "a {kind} has no attribute {:?}, which is the key of the message",
        name.to_string_lossy()
    ));
    told.set_cause(py, Some(error));
    told
}

/// Uses a Python object as a key.
fn with_python<U: UseKey>(object: &Bound<'_, PyAny>, used: U) -> PyResult<U::Result> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(used.key(text.to_str()?));
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(used.key(&truth.is_true()));
    }
    if let Ok(int) = object.cast::<PyInt>() {
        return with_int(int, used);
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(used.key(bytes.as_bytes()));
    }
    Ok(used.key(&stored(object)?))
}

fn with_int<U: UseKey>(int: &Bound<'_, PyInt>, used: U) -> PyResult<U::Result> {
    if let Ok(int) = int.extract::<i64>() {
        return Ok(used.key(&int));
    }
    let int: u64 = int.extract().map_err(|_| {
        PyValueError::new_err(format!(
            "the key {int} cannot be used; integer keys are from -2**63 to 2**64 - 1"
        ))
    })?;
    Ok(used.key(&int))
}

/// A key in its owned form.
pub(crate) fn stored(object: &Bound<'_, PyAny>) -> PyResult<StoredKey> {
    let of_key = |error: KeyError| PyValueError::new_err(error.to_string());
    if let Ok(tuple) = object.cast::<PyTuple>() {
        if tuple.is_empty() {
            return Err(PyValueError::new_err(
                "the key () cannot be used; a tuple that is a key has at least one element",
            ));
        }
        let elements: Vec<StoredKey> = tuple
            .iter()
            .map(|element| stored(&element))
            .collect::<PyResult<_>>()?;
        return StoredKey::tuple(&elements).map_err(of_key);
    }
    if object.cast::<PyString>().is_ok()
        || object.cast::<PyInt>().is_ok()
        || object.cast::<PyBytes>().is_ok()
    {
        return with_python(object, Store)?.map_err(of_key);
    }
    refuse_awaitable(object, "the function of the key")?;
    let class = object.get_type();
    if class.name()?.to_str()? == "UUID"
        && let Ok(uuid) = object
            .getattr("hex")
            .and_then(|hex| hex.extract::<String>())
        && let Ok(uuid) = Uuid::parse_str(&uuid)
    {
        return uuid.to_stored().map_err(of_key);
    }
    let class = class.fully_qualified_name()?;
    Err(PyTypeError::new_err(format!(
        "a {class} cannot be a key; keys are str, bytes, int, bool, uuid.UUID, or tuples of these"
    )))
}

/// A key as Python knows it.
pub(crate) fn to_python(py: Python<'_>, key: KeyView<'_>) -> PyResult<Py<PyAny>> {
    Ok(match key {
        KeyView::Str(text) => PyString::new(py, text).into_any().unbind(),
        KeyView::Bytes(bytes) => PyBytes::new(py, bytes).into_any().unbind(),
        KeyView::Int(int) => int.into_pyobject(py)?.into_any().unbind(),
        KeyView::BigInt(int) => int.into_pyobject(py)?.into_any().unbind(),
        KeyView::Bool(truth) => PyBool::new(py, truth).to_owned().into_any().unbind(),
        KeyView::Uuid(uuid) => py
            .import("uuid")?
            .call_method1("UUID", (uuid.to_string(),))?
            .unbind(),
        KeyView::Tuple(elements) => {
            let elements: Vec<Py<PyAny>> = elements
                .iter()
                .map(|element| to_python(py, element))
                .collect::<PyResult<_>>()?;
            PyTuple::new(py, elements)?.into_any().unbind()
        }
    })
}

/// Uses a field of raw bytes as a key. Nothing of Python is needed for it.
fn with_field<U: UseKey>(raw: &Raw, field: &RawField, used: U) -> PyResult<U::Result> {
    if let Some(columns) = &raw.columns {
        return with_column(raw, columns, field, used);
    }
    if let [name] = field.path.as_slice()
        && let Some(plain) = plain_json::field(&raw.bytes, name, &field.again)
    {
        return Ok(match plain {
            Plain::Text(text) => used.key(text),
            Plain::Int(int) => used.key(&int),
        });
    }
    with_member(&raw.bytes, field, &field.path, used)
}

/// Uses what a path leads to in the text of an object. Where one object has a name twice, the last one counts, as for the decoder.
fn with_member<U: UseKey>(
    object: &[u8],
    field: &RawField,
    path: &[String],
    used: U,
) -> PyResult<U::Result> {
    let mut found = None;
    if let Some((name, rest)) = path.split_first() {
        for member in sonic_rs::to_object_iter(object) {
            let Ok((key, value)) = member else {
                found = None;
                break;
            };
            if key == name.as_str() {
                found = Some((value, rest));
            }
        }
    }
    match found {
        Some((value, [])) => with_json(&value, &field.path, used),
        Some((value, rest)) => with_member(value.as_raw_str().as_bytes(), field, rest, used),
        None => Err(PyValueError::new_err(format!(
            "the message has no field {:?}, which is its key",
            field.shown()
        ))),
    }
}

fn with_json<U: UseKey>(value: &LazyValue<'_>, path: &[String], used: U) -> PyResult<U::Result> {
    match value.get_type() {
        JsonType::String => {
            if let Some(text) = value.as_str() {
                return Ok(used.key(text));
            }
        }
        JsonType::Boolean => {
            if let Some(truth) = value.as_bool() {
                return Ok(used.key(&truth));
            }
        }
        JsonType::Number => {
            if let Some(int) = value.as_i64() {
                return Ok(used.key(&int));
            }
            if let Some(int) = value.as_u64() {
                return Ok(used.key(&int));
            }
            // The parser keeps the sign, in a float.
            if value.as_raw_str() == "-0" {
                return Ok(used.key(&0_i64));
            }
        }
        JsonType::Null | JsonType::Object | JsonType::Array => {}
    }
    Err(PyTypeError::new_err(format!(
        "the field {:?} is {}, which cannot be a key; keys are text, integers and booleans, or what a function makes of the message",
        path.join("."),
        value.as_raw_str()
    )))
}

fn with_column<U: UseKey>(
    raw: &Raw,
    columns: &Columns,
    field: &RawField,
    used: U,
) -> PyResult<U::Result> {
    let name = &field.shown();
    // Of columns that have one name the last one counts, as in dicts of rows.
    let Some(index) = columns.names.iter().rposition(|column| column == name) else {
        return Err(PyValueError::new_err(format!(
            "there is no column {name:?}, which is the key; there are {}",
            columns.names.join(", ")
        )));
    };
    let text = std::str::from_utf8(&raw.bytes)
        .map_err(|_| PyValueError::new_err("the row is not UTF-8"))?;
    // Without quotes a column is where its delimiters are.
    if !text.contains('"') {
        return match text.split(char::from(columns.delimiter)).nth(index) {
            Some(column) => Ok(used.key(column)),
            None => Err(short_row(name)),
        };
    }
    let mut row = csv::StringRecord::new();
    wallaroo::host::split_csv(text, columns.delimiter, &mut row);
    row.get(index)
        .map(|column| used.key(column))
        .ok_or_else(|| short_row(name))
}

fn short_row(name: &str) -> PyErr {
    PyValueError::new_err(format!(
        "the row ends before the column {name:?}, which is its key"
    ))
}

impl KeyExtractor for KeyCode {
    /// A key function is called once per message, and a field looked for once.
    fn is_costly(&self) -> bool {
        true
    }

    fn hash(&mut self, keyed: Keyed<'_>, hashes: &mut Vec<KeyHash>) {
        Python::attach(|py| {
            let messages = downcast::<Vec<Message>>(keyed.messages);
            for position in keyed.range {
                keyed.progress.set(position);
                let at = keyed
                    .origin
                    .map_or(position, |origin| origin[position] as usize);
                // What has no key fails where its object is looked for.
                let hash = self.finder.with(py, &messages[at], Hash);
                hashes.push(hash.unwrap_or(KeyHash(0)));
            }
        });
    }

    fn resolve(
        &mut self,
        keyed: Keyed<'_>,
        index: &mut KeyIndex,
        slots: &mut Vec<Slot>,
    ) -> Result<(), Failed> {
        Python::attach(|py| {
            let messages = downcast::<Vec<Message>>(keyed.messages);
            slots.reserve(keyed.range.len());
            for position in keyed.range {
                keyed.progress.set(position);
                let at = keyed
                    .origin
                    .map_or(position, |origin| origin[position] as usize);
                let hash = keyed.hashes.map(|hashes| hashes[at]);
                let found = self.finder.with(py, &messages[at], Resolve(index, hash));
                match found {
                    Ok(Ok(slot)) => slots.push(slot),
                    Ok(Err(error)) => {
                        return Err(Failed {
                            index: position,
                            cause: wallaroo::host::Cause::Key(error),
                        });
                    }
                    Err(error) => return Err(self.policy.failed(py, position, error)),
                }
            }
            Ok(())
        })
    }

    fn key(&mut self, messages: &dyn Messages, index: usize) -> Result<StoredKey, KeyError> {
        Python::attach(|py| {
            let message = &downcast::<Vec<Message>>(messages)[index];
            self.finder
                .with(py, message, Store)
                .unwrap_or(Err(KeyError::Malformed {
                    expected: "a key, which the message does not have",
                }))
        })
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        describe(messages, index)
    }
}

/// A message for error texts and dead letters: raw bytes as they are, objects as JSON.
pub(crate) fn describe(messages: &dyn Messages, index: usize) -> Vec<u8> {
    match &downcast::<Vec<Message>>(messages)[index] {
        Message::Raw(raw) => raw.bytes.to_vec(),
        Message::Object(object) => Python::attach(|py| as_json(py, object.bind(py))),
    }
}
