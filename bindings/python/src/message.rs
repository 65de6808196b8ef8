//! Messages: raw bytes until somebody needs the object, then a Python object.
//!
//! **Invariants.** Nothing is serialized within the process: an object is handed on as it is. A message is decoded by the
//! stage that stands for it in the plan, and nowhere else.

use std::sync::Arc;

use pyo3::prelude::*;
use serde::de::{self, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wallaroo::host::{Messages, downcast};

use crate::failing::as_json;
use crate::registry::Registry;

/// What an object is taken to occupy, for flow control, in bytes.
// The engine cannot see into Python's objects; a small dataclass with a text and two numbers takes about as much.
const OBJECT_BYTES: usize = 300;

/// A message of a Python application.
pub(crate) enum Message {
    /// The bytes of a record, not decoded.
    Raw(Raw),
    /// A Python object.
    Object(Py<PyAny>),
}

/// The bytes of a record.
pub(crate) struct Raw {
    pub(crate) bytes: Box<[u8]>,
    /// For rows of CSV under a header.
    pub(crate) columns: Option<Arc<Columns>>,
}

/// The columns of CSV.
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    pub(crate) delimiter: u8,
}

impl Message {
    /// The object. A stage that stands behind the decoding one gets nothing else.
    pub(crate) fn object<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        match self {
            Message::Object(object) => object.bind(py),
            Message::Raw(_) => unreachable!("the stage in front of this one decodes"),
        }
    }

    /// As people read it.
    #[cold]
    fn shown(&self) -> serde_json::Value {
        let bytes = match self {
            Message::Raw(raw) => raw.bytes.to_vec(),
            Message::Object(object) => Python::attach(|py| as_json(py, object.bind(py))),
        };
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
    }

    pub(crate) fn copy(&self, py: Python<'_>) -> Message {
        match self {
            Message::Object(object) => Message::Object(object.clone_ref(py)),
            Message::Raw(raw) => Message::Raw(Raw {
                bytes: raw.bytes.clone(),
                columns: raw.columns.clone(),
            }),
        }
    }
}

/// The second use of a stream gets the same objects: who changes a message changes it for all.
impl Clone for Message {
    fn clone(&self) -> Self {
        Python::attach(|py| self.copy(py))
    }
}

/// How large messages are, for flow control.
pub(crate) fn sizer(messages: &dyn Messages) -> usize {
    let sizes = downcast::<Vec<Message>>(messages)
        .iter()
        .map(|message| match message {
            Message::Raw(raw) => size_of::<Message>() + raw.bytes.len(),
            Message::Object(_) => OBJECT_BYTES,
        });
    sizes.sum()
}

/// Bytes as serde knows them.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

/// What a stored message is, in front of it.
const RAW: u8 = 0;
const ROW: u8 = 1;
const OBJECT: u8 = 2;

/// For input logs: of sources that cannot replay, where there is a store. And as text, for dead letters of sinks and for errors.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.shown().serialize(serializer);
        }
        let mut tuple = serializer.serialize_tuple(4)?;
        let (kind, bytes, names, delimiter) = match self {
            Message::Raw(raw) => match &raw.columns {
                None => (RAW, raw.bytes.to_vec(), Vec::new(), 0),
                Some(columns) => (
                    ROW,
                    raw.bytes.to_vec(),
                    columns.names.clone(),
                    columns.delimiter,
                ),
            },
            Message::Object(object) => {
                let bytes =
                    Python::attach(|py| Registry::current()?.encode_message(object.bind(py)));
                let bytes = bytes.map_err(|error: PyErr| S::Error::custom(error))?;
                (OBJECT, bytes, Vec::new(), 0)
            }
        };
        tuple.serialize_element(&kind)?;
        tuple.serialize_element(&Bytes(bytes))?;
        tuple.serialize_element(&names)?;
        tuple.serialize_element(&delimiter)?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;
        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = Message;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a stored message of a Python application")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Message, A::Error> {
                let missing = || de::Error::custom("a stored message ends too early");
                let kind: u8 = seq.next_element()?.ok_or_else(missing)?;
                let Bytes(bytes) = seq.next_element()?.ok_or_else(missing)?;
                let names: Vec<String> = seq.next_element()?.ok_or_else(missing)?;
                let delimiter: u8 = seq.next_element()?.ok_or_else(missing)?;
                match kind {
                    RAW => Ok(Message::Raw(Raw {
                        bytes: bytes.into(),
                        columns: None,
                    })),
                    ROW => Ok(Message::Raw(Raw {
                        bytes: bytes.into(),
                        columns: Some(Arc::new(Columns { names, delimiter })),
                    })),
                    OBJECT => Python::attach(|py| {
                        let object = Registry::current()?.decode_message(py, &bytes)?;
                        Ok(Message::Object(object.unbind()))
                    })
                    .map_err(|error: PyErr| de::Error::custom(error)),
                    _ => Err(de::Error::custom("a stored message is of an unknown kind")),
                }
            }
        }
        deserializer.deserialize_tuple(4, MessageVisitor)
    }
}
