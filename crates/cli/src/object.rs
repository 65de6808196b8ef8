//! [`Object`]: a state object as JSON, whatever its type.
//!
//! State objects are msgpack with named fields. What JSON has no word for is shown as an object that names it (bytes), or as
//! text (a number that is none).
//!
//! **Invariants.** Fields keep their order. Nothing is left out: a map that cannot be a JSON object becomes a list of pairs.

use std::collections::BTreeSet;

use rmpv::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::key::hexadecimal;

/// The deepest nesting of objects that are shown.
// 256: what rmpv allows, 1,024, is more than the stack of a thread holds in a build without optimization.
const MAX_DEPTH: usize = 256;

/// A decoded state object.
#[derive(Debug)]
pub(crate) struct Object(Value);

impl Object {
    /// Decodes what the state's codec wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, String> {
        let value = rmpv::decode::read_value_with_max_depth(&mut bytes, MAX_DEPTH)
            .map_err(|error| format!("it cannot be read as msgpack: {error}"))?;
        match bytes.len() {
            0 => Ok(Object(value)),
            left => Err(format!(
                "it cannot be read as msgpack: {left} bytes are left behind it"
            )),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown(&self.0).serialize(serializer)
    }
}

struct Shown<'a>(&'a Value);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Boolean(is) => serializer.serialize_bool(*is),
            Value::Integer(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => serializer.serialize_i64(number),
                (None, Some(number)) => serializer.serialize_u64(number),
                (None, None) => unreachable!("an integer has 64 bits, with a sign or without"),
            },
            Value::F32(number) => match number.is_finite() {
                true => serializer.serialize_f32(*number),
                false => serializer.serialize_str(&number.to_string()),
            },
            Value::F64(number) => match number.is_finite() {
                true => serializer.serialize_f64(*number),
                false => serializer.serialize_str(&number.to_string()),
            },
            Value::String(text) => match text.as_str() {
                Some(text) => serializer.serialize_str(text),
                None => named_bytes(serializer, text.as_bytes(), None),
            },
            Value::Binary(bytes) => named_bytes(serializer, bytes, None),
            Value::Ext(kind, bytes) => named_bytes(serializer, bytes, Some(*kind)),
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(Shown)),
            Value::Map(entries) => map(serializer, entries),
        }
    }
}

fn named_bytes<S: Serializer>(
    serializer: S,
    bytes: &[u8],
    extension: Option<i8>,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(extension) = extension {
        map.serialize_entry("extension", &extension)?;
    }
    map.serialize_entry("bytes", &hexadecimal(bytes))?;
    map.end()
}

fn map<S: Serializer>(serializer: S, entries: &[(Value, Value)]) -> Result<S::Ok, S::Error> {
    let names: Option<Vec<String>> = entries.iter().map(|(key, _)| name(key)).collect();
    let distinct = |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    match names.filter(distinct) {
        Some(names) => {
            let values = entries.iter().map(|(_, value)| Shown(value));
            serializer.collect_map(names.iter().zip(values))
        }
        None => serializer.collect_seq(
            entries
                .iter()
                .map(|(key, value)| [Shown(key), Shown(value)]),
        ),
    }
}

/// A key of a map as the name of a field, if it can be one.
fn name(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => text.as_str().map(str::to_owned),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Nil
        | Value::F32(_)
        | Value::F64(_)
        | Value::Binary(_)
        | Value::Array(_)
        | Value::Map(_)
        | Value::Ext(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, expected: &str) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).expect("memory takes all");
        let object = Object::decode(&bytes).expect("is msgpack");
        assert_eq!(serde_json::to_string(&object).expect("is JSON"), expected);
    }

    #[test]
    fn every_value_of_msgpack_has_its_json() {
        let pair = |key: Value, value: i64| (key, Value::from(value));
        check(Value::Nil, "null");
        check(Value::from(u64::MAX), "18446744073709551615");
        check(Value::from(-3), "-3");
        check(Value::F64(0.1), "0.1");
        check(Value::F32(0.1), "0.1");
        check(Value::F64(f64::NAN), "\"NaN\"");
        check(Value::F64(f64::NEG_INFINITY), "\"-inf\"");
        check(Value::Binary(vec![0, 255]), r#"{"bytes":"00ff"}"#);
        check(Value::Ext(-1, vec![7]), r#"{"extension":-1,"bytes":"07"}"#);
        check(Value::Array(vec![true.into(), "é".into()]), r#"[true,"é"]"#);
        // in their order, not in that of the alphabet
        check(
            Value::Map(vec![pair("z".into(), 1), pair("a".into(), 2)]),
            r#"{"z":1,"a":2}"#,
        );
        check(
            Value::Map(vec![pair(7.into(), 1), pair(true.into(), 2)]),
            r#"{"7":1,"true":2}"#,
        );
        check(
            Value::Map(vec![pair(7.into(), 1), pair("7".into(), 2)]),
            r#"[[7,1],["7",2]]"#,
        );
        check(Value::Map(vec![pair(Value::Array(vec![]), 1)]), "[[[],1]]");
        check(Value::Map(vec![]), "{}");
    }

    #[test]
    fn what_is_not_msgpack_is_refused() {
        for bytes in [&b""[..], b"\x92\x01", b"\x01\x02"] {
            assert!(Object::decode(bytes).is_err(), "{bytes:?}");
        }
        let error = Object::decode(&[0x91; 100_000]).expect_err("is too deep");
        assert_eq!(error, "it cannot be read as msgpack: depth limit exceeded");
    }
}
