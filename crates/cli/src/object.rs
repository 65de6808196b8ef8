//! [`Object`]: a state object as JSON, whatever its type.
//!
//! State objects are msgpack with named fields. What JSON has no word for is shown as an object that names it (bytes), or as
//! text (a number that is none). Of Python's own types ([`extension`](crate::extension)) the content is shown: tuples, sets
//! and deques as lists, all kinds of dicts as objects.
//!
//! **Invariants.** Fields keep their order. No value is left out: a map that cannot be a JSON object becomes a list of pairs.

use std::collections::BTreeSet;

use rmpv::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::extension::Extension;
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
        let left = MAX_DEPTH;
        let value = &self.0;
        Shown { value, left }.serialize(serializer)
    }
}

/// A value, and how deep what is in it may nest.
struct Shown<'a> {
    value: &'a Value,
    left: usize,
}

impl<'a> Shown<'a> {
    /// A value inside of this one.
    fn inner(&self, value: &'a Value) -> Self {
        let left = self.left.saturating_sub(1);
        Shown { value, left }
    }

    fn extension<S: Serializer>(
        &self,
        serializer: S,
        kind: i8,
        bytes: &[u8],
    ) -> Result<S::Ok, S::Error> {
        let left = self.left.saturating_sub(1);
        let shown = |value| Shown { value, left };
        match Extension::read(kind, bytes, left) {
            None => named_bytes(serializer, bytes, Some(kind)),
            Some(Extension::Bytes) => named_bytes(serializer, bytes, None),
            Some(Extension::Text(text)) => serializer.serialize_str(&text),
            Some(Extension::Items(items)) => serializer.collect_seq(items.iter().map(shown)),
            Some(Extension::Entries(entries)) => Entries(&entries, left).serialize(serializer),
            Some(Extension::Duration(parts)) => {
                let names = ["days", "seconds", "microseconds"];
                serializer.collect_map(names.iter().zip(parts))
            }
            Some(Extension::Object(class, attributes)) => {
                serializer.collect_map([(class, Entries(&attributes, left))])
            }
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
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
            Value::Ext(kind, bytes) => self.extension(serializer, *kind, bytes),
            Value::Array(items) => {
                serializer.collect_seq(items.iter().map(|item| self.inner(item)))
            }
            Value::Map(entries) => {
                let left = self.left.saturating_sub(1);
                Entries(entries, left).serialize(serializer)
            }
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

/// The entries of a map, and how deep what is in them may nest.
struct Entries<'a>(&'a [(Value, Value)], usize);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entries(entries, left) = *self;
        let names: Option<Vec<String>> = entries.iter().map(|(key, _)| name(key)).collect();
        let distinct =
            |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let shown = |value| Shown { value, left };
        match names.filter(distinct) {
            Some(names) => {
                let values = entries.iter().map(|(_, value)| shown(value));
                serializer.collect_map(names.iter().zip(values))
            }
            None => {
                let pairs = entries.iter();
                serializer.collect_seq(pairs.map(|(key, value)| [shown(key), shown(value)]))
            }
        }
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
    use proptest::collection::vec;
    use proptest::prelude::*;

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

    /// An extension whose content is a value.
    fn extension(kind: i8, content: Value) -> Value {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &content).expect("memory takes all");
        Value::Ext(kind, bytes)
    }

    fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(items.into_iter().collect())
    }

    #[test]
    fn types_of_python_are_shown_by_what_they_hold() {
        let one = || Value::Map(vec![("a".into(), 1.into())]);
        for kind in [1, 2, 3] {
            check(extension(kind, list([1.into(), "x".into()])), r#"[1,"x"]"#);
        }
        check(
            Value::Ext(4, b"18446744073709551616".to_vec()),
            r#""18446744073709551616""#,
        );
        check(
            extension(5, list([3.into(), list([1.into(), 2.into()])])),
            "[1,2]",
        );
        check(extension(6, list(["int".into(), one()])), r#"{"a":1}"#);
        for kind in [7, 8] {
            check(extension(kind, one()), r#"{"a":1}"#);
        }
        for kind in [9, 10, 11, 13] {
            check(Value::Ext(kind, b"1.50".to_vec()), r#""1.50""#);
        }
        check(
            extension(12, list([(-1).into(), 2.into(), 3.into()])),
            r#"{"days":-1,"seconds":2,"microseconds":3}"#,
        );
        check(
            Value::Ext(14, vec![0x11; 16]),
            r#""11111111-1111-1111-1111-111111111111""#,
        );
        let inner = extension(1, list([]));
        let attributes = Value::Map(vec![("legs".into(), inner)]);
        check(
            extension(15, list(["Order".into(), attributes])),
            r#"{"Order":{"legs":[]}}"#,
        );
        check(
            extension(16, list(["Side".into(), "BUY".into()])),
            r#""Side.BUY""#,
        );
        check(Value::Ext(17, vec![0, 255]), r#"{"bytes":"00ff"}"#);
    }

    #[test]
    fn an_extension_that_is_not_as_its_format_says_is_shown_as_bytes() {
        check(Value::Ext(1, vec![7]), r#"{"extension":1,"bytes":"07"}"#);
        check(Value::Ext(14, vec![7]), r#"{"extension":14,"bytes":"07"}"#);
        check(
            Value::Ext(10, vec![0xff]),
            r#"{"extension":10,"bytes":"ff"}"#,
        );
        check(Value::Ext(99, vec![7]), r#"{"extension":99,"bytes":"07"}"#);
    }

    #[test]
    fn extensions_inside_of_extensions_are_shown_to_a_depth_that_the_stack_holds() {
        let mut value = Value::Nil;
        for _ in 0..2_000 {
            value = extension(1, list([value]));
        }
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).expect("memory takes all");
        let object = Object::decode(&bytes).expect("is msgpack");
        let shown = serde_json::to_string(&object).expect("is JSON");
        assert!(shown.starts_with("[[["), "{}", &shown[..40]);
        assert!(shown.contains(r#"{"extension":1,"bytes":"#));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(object) = Object::decode(&bytes) {
                serde_json::to_string(&object).expect("is JSON");
            }
        }

        /// Extensions hold values again, in forms of their own.
        #[test]
        fn no_extension_makes_the_decoder_panic(kind: i8, content in vec(any::<u8>(), 0..100)) {
            let mut bytes = Vec::new();
            rmpv::encode::write_value(&mut bytes, &Value::Ext(kind, content)).expect("it is written");
            let object = Object::decode(&bytes).expect("it is an extension");
            serde_json::to_string(&object).expect("is JSON");
        }
    }

    #[test]
    fn a_length_reserves_nothing() {
        // Arrays, maps, texts, bytes and extensions of 4 GiB, of which nothing is there.
        for kind in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
            assert!(
                Object::decode(&[kind, 0xff, 0xff, 0xff, 0xff]).is_err(),
                "{kind:x}"
            );
        }
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
