//! Python values as msgpack, and back: the stored form of state objects and of messages in input logs.
//!
//! What msgpack lacks (tuples, sets, dates, objects of classes) is in extension types, listed in `docs/formats.md`. A state
//! object is a map from the names of its attributes to their values.
//!
//! **Invariants.** Only what is read back as the same value is written; everything else is refused with the name of the
//! attribute. Reading trusts nothing: lengths are compared with what is there, depth is bounded, and only classes of the
//! application's registry are called.

mod msgpack;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};
use rmp::encode;

use self::msgpack::{Head, array, head, malformed, take, text, text_of};
use crate::registry::{Class, ClassKind, Registry};

/// Values nest this deep at most; a value that contains itself is found by it.
const MAX_DEPTH: usize = 64;

/// Extension types of msgpack; numbers are for ever.
mod ext {
    pub(super) const TUPLE: i8 = 1;
    pub(super) const SET: i8 = 2;
    pub(super) const FROZEN_SET: i8 = 3;
    pub(super) const BIG_INT: i8 = 4;
    pub(super) const DEQUE: i8 = 5;
    pub(super) const DEFAULT_DICT: i8 = 6;
    pub(super) const COUNTER: i8 = 7;
    pub(super) const ORDERED_DICT: i8 = 8;
    pub(super) const DATETIME: i8 = 9;
    pub(super) const DATE: i8 = 10;
    pub(super) const TIME: i8 = 11;
    pub(super) const TIMEDELTA: i8 = 12;
    pub(super) const DECIMAL: i8 = 13;
    pub(super) const UUID: i8 = 14;
    pub(super) const OBJECT: i8 = 15;
    pub(super) const ENUM: i8 = 16;
    pub(super) const BYTEARRAY: i8 = 17;
}

/// Types of Python's library that are stored.
struct Known {
    datetime: Py<PyAny>,
    date: Py<PyAny>,
    time: Py<PyAny>,
    timedelta: Py<PyAny>,
    decimal: Py<PyAny>,
    uuid: Py<PyAny>,
    deque: Py<PyAny>,
    default_dict: Py<PyAny>,
    counter: Py<PyAny>,
    ordered_dict: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();

fn known(py: Python<'_>) -> PyResult<&Known> {
    KNOWN.get_or_try_init(py, || {
        let take = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            Ok(py.import(module)?.getattr(name)?.unbind())
        };
        Ok(Known {
            datetime: take("datetime", "datetime")?,
            date: take("datetime", "date")?,
            time: take("datetime", "time")?,
            timedelta: take("datetime", "timedelta")?,
            decimal: take("decimal", "Decimal")?,
            uuid: take("uuid", "UUID")?,
            deque: take("collections", "deque")?,
            default_dict: take("collections", "defaultdict")?,
            counter: take("collections", "Counter")?,
            ordered_dict: take("collections", "OrderedDict")?,
        })
    })
}

/// Why a value cannot be stored, and where in the object it is.
#[derive(Debug)]
pub(crate) struct Refused {
    /// From the inside out.
    place: Vec<String>,
    why: String,
}

impl Refused {
    fn new(why: impl Into<String>) -> Self {
        Refused {
            place: Vec::new(),
            why: why.into(),
        }
    }

    fn of(error: &PyErr) -> Self {
        Refused::new(error.to_string())
    }

    fn within(mut self, place: impl FnOnce() -> String) -> Self {
        self.place.push(place());
        self
    }

    /// In words; `whole` is what the value as a whole is called.
    pub(crate) fn told(&self, whole: &str) -> String {
        if self.place.is_empty() {
            return format!("{whole} {}", self.why);
        }
        let mut place = String::new();
        for step in self.place.iter().rev() {
            match step.strip_prefix("attribute ") {
                Some(name) if !place.is_empty() => {
                    place.push('.');
                    place.push_str(name.trim_matches('"'));
                }
                _ => place.push_str(step),
            }
        }
        format!("{place} {}", self.why)
    }
}

type Written = Result<(), Refused>;

/// Writes to memory cannot fail.
macro_rules! put {
    ($call:expr) => {
        $call.map_err(|error| Refused::new(error.to_string()))?
    };
}

/// Appends a state object: a map of its attributes.
pub(crate) fn write_object(
    registry: &Registry,
    class: &Class,
    object: &Bound<'_, PyAny>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    let py = object.py();
    let attribute = |name: &str| format!("attribute {name:?}");
    let failed = |error: &PyErr| Refused::of(error);
    let mut found: Vec<(&str, Bound<'_, PyAny>)> = Vec::with_capacity(class.fields.len());
    for field in &class.fields {
        match object.getattr(field.python.bind(py)) {
            Ok(value) => found.push((&field.name, value)),
            // A slot that has not been set, or a field that was deleted.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyAttributeError>(py) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    let mut dict = if class.has_dict {
        let dict = object.getattr(intern!(py, "__dict__"));
        let dict = dict.map_err(|error| failed(&error))?;
        Some(
            dict.cast_into::<PyDict>()
                .map_err(|_| Refused::new("has a __dict__ of another type"))?,
        )
    } else {
        None
    };
    if class.kind == ClassKind::Fields
        && let Some(dict) = dict.take()
        && dict.len() > found.len()
    {
        let other = dict.keys().iter().find_map(|name| {
            let name = name.extract::<String>().ok()?;
            let is_known = class.fields.iter().any(|field| field.name == name);
            (!is_known).then_some(name)
        });
        if let Some(other) = other {
            return Err(Refused::new("is no field of its class; declare it as one")
                .within(|| attribute(&other)));
        }
    }
    let others = dict.as_ref().map_or(0, |dict| dict.len());
    let len =
        u32::try_from(found.len() + others).map_err(|_| Refused::new("has too many attributes"))?;
    put!(encode::write_map_len(bytes, len));
    for (name, value) in found {
        put!(encode::write_str(bytes, name));
        write_value(registry, &value, bytes, depth + 1)
            .map_err(|error| error.within(|| attribute(name)))?;
    }
    for (name, value) in dict.iter().flat_map(|dict| dict.iter()) {
        let name = name
            .cast_into::<PyString>()
            .map_err(|_| Refused::new("has an attribute whose name is not text"))?;
        let name = name.to_str().map_err(|error| failed(&error))?;
        put!(encode::write_str(bytes, name));
        write_value(registry, &value, bytes, depth + 1)
            .map_err(|error| error.within(|| attribute(name)))?;
    }
    Ok(())
}

/// Appends a value of any type that can be stored.
pub(crate) fn write_value(
    registry: &Registry,
    value: &Bound<'_, PyAny>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    if depth > MAX_DEPTH {
        return Err(Refused::new(format!(
            "is nested more than {MAX_DEPTH} deep, or contains itself"
        )));
    }
    if value.is_none() {
        put!(encode::write_nil(bytes));
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        put!(encode::write_f64(bytes, float.value()));
    } else if let Ok(int) = value.cast_exact::<PyInt>() {
        write_int(int, bytes)?;
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        let text = text.to_str().map_err(|error| Refused::of(&error))?;
        put!(encode::write_str(bytes, text));
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        encode::write_bool(bytes, truth.is_true())
            .map_err(|error| Refused::new(error.to_string()))?;
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        write_items(registry, list.len(), list.iter(), bytes, depth)?;
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        write_dict(registry, dict, bytes, depth)?;
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        extended(bytes, ext::TUPLE, |bytes| {
            write_items(registry, tuple.len(), tuple.iter(), bytes, depth)
        })?;
    } else if let Ok(binary) = value.cast_exact::<PyBytes>() {
        put!(encode::write_bin(bytes, binary.as_bytes()));
    } else if let Some(class) = registry.class_of(value) {
        write_instance(registry, class, value, bytes, depth)?;
    } else {
        write_uncommon(registry, value, bytes, depth)?;
    }
    Ok(())
}

fn write_int(int: &Bound<'_, PyInt>, bytes: &mut Vec<u8>) -> Written {
    if let Ok(int) = int.extract::<i64>() {
        put!(encode::write_sint(bytes, int));
    } else if let Ok(int) = int.extract::<u64>() {
        put!(encode::write_uint(bytes, int));
    } else {
        let text = int.str().map_err(|error| Refused::of(&error))?;
        extended(bytes, ext::BIG_INT, |bytes| {
            bytes.extend_from_slice(text.to_string_lossy().as_bytes());
            Ok(())
        })?;
    }
    Ok(())
}

fn write_items<'py>(
    registry: &Registry,
    len: usize,
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    let len = u32::try_from(len).map_err(|_| Refused::new("has too many items"))?;
    put!(encode::write_array_len(bytes, len));
    for (index, item) in items.enumerate() {
        write_value(registry, &item, bytes, depth + 1)
            .map_err(|error| error.within(|| format!("[{index}]")))?;
    }
    Ok(())
}

fn write_dict(
    registry: &Registry,
    dict: &Bound<'_, PyDict>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    let len = u32::try_from(dict.len()).map_err(|_| Refused::new("has too many items"))?;
    put!(encode::write_map_len(bytes, len));
    for (key, value) in dict.iter() {
        let place = || match key.repr() {
            Ok(key) => format!("[{key}]"),
            Err(_) => "[?]".to_owned(),
        };
        write_value(registry, &key, bytes, depth + 1).map_err(|error| error.within(place))?;
        write_value(registry, &value, bytes, depth + 1).map_err(|error| error.within(place))?;
    }
    Ok(())
}

fn write_instance(
    registry: &Registry,
    class: &Class,
    value: &Bound<'_, PyAny>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    if class.kind == ClassKind::Enum {
        let name = member_name(value)?;
        return extended(bytes, ext::ENUM, |bytes| {
            put!(encode::write_array_len(bytes, 2));
            put!(encode::write_str(bytes, &class.name));
            put!(encode::write_str(bytes, &name));
            Ok(())
        });
    }
    extended(bytes, ext::OBJECT, |bytes| {
        put!(encode::write_array_len(bytes, 2));
        put!(encode::write_str(bytes, &class.name));
        write_object(registry, class, value, bytes, depth + 1)
    })
}

/// The name of a member of an enum; of a combination of flags the names of all, with bars between them, of none an empty one.
fn member_name(member: &Bound<'_, PyAny>) -> Result<String, Refused> {
    let py = member.py();
    let failed = |error: PyErr| Refused::of(&error);
    let name = member.getattr(intern!(py, "name")).map_err(failed)?;
    let name: Option<String> = name.extract().map_err(failed)?;
    let name = name.unwrap_or_default();
    if !name.is_empty() && !name.contains('|') {
        return Ok(name);
    }
    // What is read back must be this member: a combination may have bits that have no name.
    let back = member_of(member.get_type().as_any(), &name);
    if back.is_ok_and(|back| back.is(member)) {
        return Ok(name);
    }
    Err(Refused::new("is a combination of flags that have no names"))
}

/// The member of an enum that [`member_name`] named.
fn member_of<'py>(class: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let members = class.getattr(intern!(class.py(), "__members__"))?;
    if members.contains(name)? {
        return members.get_item(name);
    }
    if !name.is_empty() && !name.contains('|') {
        return Err(PyValueError::new_err(format!(
            "the stored value holds the member {name:?} of the enum {}, which has no such member any more",
            class.getattr(intern!(class.py(), "__qualname__"))?
        )));
    }
    let mut member = class.call1((0,))?;
    for name in name.split('|').filter(|name| !name.is_empty()) {
        member = member.bitor(members.get_item(name)?)?;
    }
    Ok(member)
}

/// Types that state objects have more seldom.
fn write_uncommon(
    registry: &Registry,
    value: &Bound<'_, PyAny>,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Written {
    let py = value.py();
    let failed = |error: PyErr| Refused::of(&error);
    let known = known(py).map_err(failed)?;
    let class = value.get_type();
    let is = |known: &Py<PyAny>| class.as_ptr() == known.as_ptr();
    let items = |bytes: &mut Vec<u8>| -> Written {
        let len = value.len().map_err(failed)?;
        let items: Vec<Bound<'_, PyAny>> = value
            .try_iter()
            .and_then(Iterator::collect)
            .map_err(failed)?;
        write_items(registry, len, items.into_iter(), bytes, depth)
    };
    let text = |bytes: &mut Vec<u8>, method: &str| -> Written {
        let text: String = value
            .call_method0(method)
            .and_then(|text| text.extract())
            .map_err(failed)?;
        bytes.extend_from_slice(text.as_bytes());
        Ok(())
    };
    let map = |bytes: &mut Vec<u8>| -> Written {
        let dict = value
            .cast::<PyDict>()
            .map_err(|_| Refused::new("is no dict"))?;
        write_dict(registry, dict, bytes, depth)
    };
    if value.is_exact_instance_of::<PySet>() {
        extended(bytes, ext::SET, items)
    } else if value.is_exact_instance_of::<PyFrozenSet>() {
        extended(bytes, ext::FROZEN_SET, items)
    } else if let Ok(array) = value.cast_exact::<PyByteArray>() {
        extended(bytes, ext::BYTEARRAY, |bytes| {
            bytes.extend_from_slice(&array.to_vec());
            Ok(())
        })
    } else if is(&known.deque) {
        extended(bytes, ext::DEQUE, |bytes| {
            put!(encode::write_array_len(bytes, 2));
            let max = value.getattr("maxlen").map_err(failed)?;
            write_value(registry, &max, bytes, depth + 1)?;
            items(bytes)
        })
    } else if is(&known.default_dict) {
        extended(bytes, ext::DEFAULT_DICT, |bytes| {
            put!(encode::write_array_len(bytes, 2));
            let factory = value.getattr("default_factory").map_err(failed)?;
            put!(encode::write_str(bytes, &factory_name(&factory)));
            map(bytes)
        })
    } else if is(&known.counter) {
        extended(bytes, ext::COUNTER, map)
    } else if is(&known.ordered_dict) {
        extended(bytes, ext::ORDERED_DICT, map)
    } else if is(&known.datetime) {
        extended(bytes, ext::DATETIME, |bytes| text(bytes, "isoformat"))
    } else if is(&known.date) {
        extended(bytes, ext::DATE, |bytes| text(bytes, "isoformat"))
    } else if is(&known.time) {
        extended(bytes, ext::TIME, |bytes| text(bytes, "isoformat"))
    } else if is(&known.timedelta) {
        extended(bytes, ext::TIMEDELTA, |bytes| {
            put!(encode::write_array_len(bytes, 3));
            for part in ["days", "seconds", "microseconds"] {
                let part: i64 = value
                    .getattr(part)
                    .and_then(|part| part.extract())
                    .map_err(failed)?;
                put!(encode::write_sint(bytes, part));
            }
            Ok(())
        })
    } else if is(&known.decimal) {
        extended(bytes, ext::DECIMAL, |bytes| text(bytes, "__str__"))
    } else if is(&known.uuid) {
        extended(bytes, ext::UUID, |bytes| {
            let binary: Vec<u8> = value
                .getattr("bytes")
                .and_then(|binary| binary.extract())
                .map_err(failed)?;
            bytes.extend_from_slice(&binary);
            Ok(())
        })
    } else {
        let class = class
            .fully_qualified_name()
            .map_or_else(|_| "an object".to_owned(), |name| name.to_string());
        Err(Refused::new(format!(
            "is a {class}, which cannot be stored; declare its class in the type hints of the state's class, keep it out of the state, or give the state a codec of your own"
        )))
    }
}

/// The name of a factory that is a type of Python itself; empty for others.
fn factory_name(factory: &Bound<'_, PyAny>) -> String {
    let py = factory.py();
    let builtin = [
        "int", "float", "str", "list", "dict", "set", "tuple", "bool", "bytes",
    ];
    let named = builtin.into_iter().find(|name| {
        py.import("builtins")
            .and_then(|module| module.getattr(*name))
            .is_ok_and(|known| known.is(factory))
    });
    named.unwrap_or_default().to_owned()
}

fn extended(bytes: &mut Vec<u8>, kind: i8, write: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
    let mut content = Vec::new();
    write(&mut content)?;
    let len = u32::try_from(content.len()).map_err(|_| Refused::new("is too large"))?;
    put!(encode::write_ext_meta(bytes, len, kind));
    bytes.extend_from_slice(&content);
    Ok(())
}

/// Reads a value.
pub(crate) fn read_value<'py>(
    registry: &Registry,
    py: Python<'py>,
    bytes: &mut &[u8],
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if depth > MAX_DEPTH + 1 {
        return Err(malformed("it is nested too deep"));
    }
    Ok(match head(bytes)? {
        Head::Nil => py.None().into_bound(py),
        Head::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Head::Int(value) => value.into_pyobject(py)?.into_any(),
        Head::UnsignedInt(value) => value.into_pyobject(py)?.into_any(),
        Head::Float(value) => PyFloat::new(py, value).into_any(),
        Head::Text(len) => PyString::new(py, text_of(take(bytes, len)?)?).into_any(),
        Head::Binary(len) => PyBytes::new(py, take(bytes, len)?).into_any(),
        Head::Array(len) => read_items(registry, py, bytes, len, depth)?.into_any(),
        Head::Map(len) => read_dict(registry, py, bytes, len, depth)?.into_any(),
        Head::Ext(len, kind) => {
            let content = take(bytes, len)?;
            read_extended(registry, py, kind, content, depth)?
        }
    })
}

// A list grows as its items are read: a length that lies reserves nothing.
fn read_items<'py>(
    registry: &Registry,
    py: Python<'py>,
    bytes: &mut &[u8],
    len: usize,
    depth: usize,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for _ in 0..len {
        list.append(read_value(registry, py, bytes, depth + 1)?)?;
    }
    Ok(list)
}

fn read_dict<'py>(
    registry: &Registry,
    py: Python<'py>,
    bytes: &mut &[u8],
    len: usize,
    depth: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for _ in 0..len {
        let key = read_value(registry, py, bytes, depth + 1)?;
        dict.set_item(key, read_value(registry, py, bytes, depth + 1)?)?;
    }
    Ok(dict)
}

fn read_map<'py>(
    registry: &Registry,
    py: Python<'py>,
    bytes: &mut &[u8],
    depth: usize,
) -> PyResult<Bound<'py, PyDict>> {
    match head(bytes)? {
        Head::Map(len) => read_dict(registry, py, bytes, len, depth),
        _ => Err(malformed("expected a map")),
    }
}

fn read_extended<'py>(
    registry: &Registry,
    py: Python<'py>,
    kind: i8,
    content: &[u8],
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let known = known(py)?;
    let bytes = &mut &content[..];
    let items = |bytes: &mut &[u8]| {
        let len = array(bytes)?;
        read_items(registry, py, bytes, len, depth)
    };
    Ok(match kind {
        ext::TUPLE => items(bytes)?.to_tuple().into_any(),
        ext::SET => PySet::new(py, items(bytes)?.iter())?.into_any(),
        ext::FROZEN_SET => PyFrozenSet::new(py, items(bytes)?.iter())?.into_any(),
        ext::BIG_INT => py.get_type::<PyInt>().call1((text_of(content)?,))?,
        ext::BYTEARRAY => PyByteArray::new(py, content).into_any(),
        ext::DEQUE => {
            array(bytes)?;
            let max = read_value(registry, py, bytes, depth + 1)?;
            known.deque.bind(py).call1((items(bytes)?, max))?
        }
        ext::DEFAULT_DICT => {
            array(bytes)?;
            let factory = match text(bytes)? {
                "" => py.None().into_bound(py),
                name => py.import("builtins")?.getattr(builtin(name)?)?,
            };
            let map = read_map(registry, py, bytes, depth)?;
            known.default_dict.bind(py).call1((factory, map))?
        }
        ext::COUNTER => {
            let map = read_map(registry, py, bytes, depth)?;
            known.counter.bind(py).call1((map,))?
        }
        ext::ORDERED_DICT => {
            let map = read_map(registry, py, bytes, depth)?;
            known.ordered_dict.bind(py).call1((map,))?
        }
        ext::DATETIME => from_iso(known.datetime.bind(py), content)?,
        ext::DATE => from_iso(known.date.bind(py), content)?,
        ext::TIME => from_iso(known.time.bind(py), content)?,
        ext::TIMEDELTA => {
            let parts = items(bytes)?.to_tuple();
            known.timedelta.bind(py).call1(parts)?
        }
        ext::DECIMAL => known.decimal.bind(py).call1((text_of(content)?,))?,
        ext::UUID => {
            let uuid = uuid::Uuid::from_slice(content).map_err(|_| malformed("a UUID"))?;
            known.uuid.bind(py).call1((uuid.to_string(),))?
        }
        ext::ENUM => {
            array(bytes)?;
            let class = registered(registry, text(bytes)?)?;
            member_of(class.class.bind(py).as_any(), text(bytes)?)?
        }
        ext::OBJECT => {
            array(bytes)?;
            let class = registered(registry, text(bytes)?)?;
            let map = read_map(registry, py, bytes, depth + 1)?;
            make_object(py, class, &map)?
        }
        _ => return Err(malformed(&format!("an unknown extension {kind}"))),
    })
}

/// A name that is one of those that [`factory_name`] writes.
fn builtin(name: &str) -> PyResult<&str> {
    let known = [
        "int", "float", "str", "list", "dict", "set", "tuple", "bool", "bytes",
    ];
    if known.contains(&name) {
        return Ok(name);
    }
    Err(malformed("an unknown factory"))
}

fn from_iso<'py>(class: &Bound<'py, PyAny>, content: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    class.call_method1("fromisoformat", (text_of(content)?,))
}

fn registered<'a>(registry: &'a Registry, name: &str) -> PyResult<&'a Class> {
    registry.named(name).map(AsRef::as_ref).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "the stored value holds an object of the class {name:?}, which the application does not declare; declare it in the type hints of the state's class"
        ))
    })
}

/// Reads the attributes of a state object, and makes it.
pub(crate) fn read_object<'py>(
    registry: &Registry,
    class: &Class,
    aliases: Option<&Bound<'py, PyDict>>,
    py: Python<'py>,
    bytes: &mut &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let map = read_map(registry, py, bytes, 0)?;
    for (old, new) in aliases.into_iter().flat_map(|aliases| aliases.iter()) {
        if let Some(value) = map.get_item(&old)? {
            map.del_item(&old)?;
            if !map.contains(&new)? {
                map.set_item(new, value)?;
            }
        }
    }
    make_object(py, class, &map)
}

/// Makes an object of its attributes. Those that are not stored have the value that the constructor gives them.
fn make_object<'py>(
    py: Python<'py>,
    class: &Class,
    map: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    match class.kind {
        ClassKind::Enum => Err(malformed("an enum with attributes")),
        ClassKind::Fields => {
            let arguments = PyDict::new(py);
            let mut others = Vec::new();
            for field in &class.fields {
                let name = field.python.bind(py);
                match map.get_item(name)? {
                    Some(value) if field.is_argument => arguments.set_item(name, value)?,
                    Some(value) => others.push((name, value)),
                    None => {}
                }
            }
            let object = class.class.bind(py).call((), Some(&arguments))?;
            // A frozen class refuses the plain way.
            let base = py.get_type::<PyAny>();
            for (name, value) in others {
                base.call_method1(intern!(py, "__setattr__"), (&object, name, value))?;
            }
            give_factories(py, map, || class.class.bind(py).call0())?;
            Ok(object)
        }
        ClassKind::Plain => {
            let object = class.class.bind(py).call0()?;
            let slots = |name: &str| class.fields.iter().any(|field| field.name == name);
            let dict = if class.has_dict {
                let dict = object.getattr(intern!(py, "__dict__"))?;
                Some(dict.cast_into::<PyDict>()?)
            } else {
                None
            };
            give_factories(py, map, || Ok(object.clone()))?;
            for (name, value) in map.iter() {
                let is_slot = slots(name.cast::<PyString>()?.to_str()?);
                match &dict {
                    Some(dict) if !is_slot => dict.set_item(name, value)?,
                    _ if is_slot => object.setattr(name.cast::<PyString>()?, value)?,
                    // A slot that the class does not have any more.
                    _ => {}
                }
            }
            Ok(object)
        }
    }
}

/// Gives `defaultdict`s whose factory has no stored form the one that a fresh object has.
fn give_factories<'py>(
    py: Python<'py>,
    map: &Bound<'py, PyDict>,
    fresh: impl Fn() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let default_dict = known(py)?.default_dict.bind(py);
    let factory = intern!(py, "default_factory");
    for (name, value) in map.iter() {
        if !value.get_type().is(default_dict) || !value.getattr(factory)?.is_none() {
            continue;
        }
        let name = name.cast::<PyString>()?;
        let Ok(own) = fresh().and_then(|fresh| fresh.getattr(name)) else {
            continue;
        };
        if own.get_type().is(default_dict) {
            value.setattr(factory, own.getattr(factory)?)?;
        }
    }
    Ok(())
}
