//! Keys on the command line and in JSON.
//!
//! What begins with `"`, `[` or `{` is JSON: text, a tuple, or bytes and UUIDs by name. A whole number as it is usually written is an
//! integer, `true` and `false` are booleans, and everything else is text as it stands.
//!
//! **Invariants.** Every key can be written, and [`to_json`] of a key is read back as that key.

use serde_json::{Value, json};
use uuid::Uuid;
use wallaroo_core::{Key, KeyView, StoredKey};

/// The key that was written on the command line.
pub(crate) fn parse(text: &str) -> Result<StoredKey, String> {
    let key = if text.starts_with(['"', '[', '{']) {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            format!("the key {text:?} begins like JSON and is none: {error}; write text that begins so as JSON too, in quotes")
        })?;
        of_json(&value)
    } else if let Some(integer) = integer(text) {
        Ok(integer)
    } else {
        match text {
            "true" => stored(&true),
            "false" => stored(&false),
            text => stored(text),
        }
    };
    key.map_err(|cause| format!("cannot read {text:?} as a key: {cause}"))
}

/// An integer in its one usual form: no plus, no zeros before it.
fn integer(text: &str) -> Option<StoredKey> {
    if let Ok(number) = text.parse::<i64>() {
        return (number.to_string() == text).then(|| StoredKey::from(number));
    }
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then(|| number.to_stored().expect("integers are short"))
}

fn stored<K: Key + ?Sized>(key: &K) -> Result<StoredKey, String> {
    key.to_stored().map_err(|error| error.to_string())
}

fn of_json(value: &Value) -> Result<StoredKey, String> {
    match value {
        Value::String(text) => stored(text.as_str()),
        Value::Bool(is) => stored(is),
        Value::Number(number) => integer(&number.to_string())
            .ok_or_else(|| format!("{number} is not an integer of 64 bits")),
        Value::Array(elements) => {
            let elements: Vec<StoredKey> =
                elements.iter().map(of_json).collect::<Result<_, _>>()?;
            match elements.as_slice() {
                [a, b] => stored(&(a, b)),
                [a, b, c] => stored(&(a, b, c)),
                [a, b, c, d] => stored(&(a, b, c, d)),
                [a, b, c, d, e] => stored(&(a, b, c, d, e)),
                [a, b, c, d, e, f] => stored(&(a, b, c, d, e, f)),
                other => Err(format!("a tuple has 2 to 6 elements, not {}", other.len())),
            }
        }
        Value::Object(fields) => {
            let mut fields = fields.iter();
            match (fields.next(), fields.next()) {
                (Some((name, Value::String(text))), None) if name == "uuid" => {
                    stored(&Uuid::parse_str(text).map_err(|error| error.to_string())?)
                }
                (Some((name, Value::String(text))), None) if name == "bytes" => {
                    stored(&bytes(text).ok_or("bytes are an even number of hexadecimal digits")?)
                }
                _ => Err("an object is {\"uuid\":\"…\"} or {\"bytes\":\"…\"}".to_owned()),
            }
        }
        Value::Null => Err("null is no key".to_owned()),
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |start| u8::from_str_radix(&digits[start..start + 2], 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key as JSON.
pub(crate) fn to_json(key: KeyView<'_>) -> Value {
    match key {
        KeyView::Str(text) => json!(text),
        KeyView::Bytes(bytes) => json!({ "bytes": hexadecimal(bytes) }),
        KeyView::Int(number) => json!(number),
        KeyView::BigInt(number) => json!(number),
        KeyView::Bool(is) => json!(is),
        KeyView::Uuid(uuid) => json!({ "uuid": uuid.to_string() }),
        KeyView::Tuple(elements) => elements.iter().map(to_json).collect(),
    }
}

/// How a key is written on a command line.
pub(crate) fn argument(key: &StoredKey) -> String {
    let bare = match key.view() {
        KeyView::Str(text) => text.to_owned(),
        other => to_json(other).to_string(),
    };
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    if parse(&bare).as_ref() == Ok(key) && !bare.is_empty() && bare.chars().all(is_plain) {
        return bare;
    }
    format!(
        "'{}'",
        to_json(key.view()).to_string().replace('\'', "\\u0027")
    )
}

/// The key of another type that looks the same to people: the text 1 for the integer, and the other way round.
pub(crate) fn other_reading(key: &StoredKey) -> Option<StoredKey> {
    match key.view() {
        KeyView::Int(_) | KeyView::BigInt(_) | KeyView::Bool(_) => {
            stored(key.to_string().as_str()).ok()
        }
        KeyView::Uuid(uuid) => stored(uuid.to_string().as_str()).ok(),
        KeyView::Str(text) => match Uuid::parse_str(text) {
            Ok(uuid) => stored(&uuid).ok(),
            Err(_) => parse(text).ok().filter(|other| other != key),
        },
        KeyView::Bytes(_) | KeyView::Tuple(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<K: Key + ?Sized>(text: &str, key: &K) {
        let expected = key.to_stored().expect("is a key");
        assert_eq!(parse(text), Ok(expected.clone()), "{text}");
        let json = to_json(expected.view()).to_string();
        assert_eq!(
            of_json(&serde_json::from_str(&json).expect("is JSON")),
            Ok(expected.clone())
        );
        let written = argument(&expected);
        let unquoted = written.trim_matches('\'');
        assert_eq!(parse(unquoted), Ok(expected), "{written}");
    }

    #[test]
    fn keys_are_read_as_they_are_documented() {
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        check("IBM", "IBM");
        check("", "");
        check("1", &1);
        check("\"1\"", "1");
        check("-5", &-5);
        check("18446744073709551615", &u64::MAX);
        check("18446744073709551616", "18446744073709551616");
        for text in [
            "007", "+1", "-0", "1.5", "1e3", " 1", "null", "True", "it's",
        ] {
            check(text, text);
        }
        check("true", &true);
        check("\"true\"", "true");
        check("\"[a\"", "[a");
        check("[\"IBM\",7]", &("IBM", 7));
        check("[[1,\"1\"],true]", &((1, "1"), true));
        check(uuid, uuid);
        check(
            &format!("{{\"uuid\":\"{uuid}\"}}"),
            &Uuid::parse_str(uuid).expect("is one"),
        );
        check("{\"bytes\":\"00fF\"}", &[0_u8, 255][..]);
        check("{\"bytes\":\"\"}", &[0_u8; 0][..]);
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        for text in [
            "\"1",
            "[",
            "[1]",
            "[1,2,3,4,5,6,7]",
            "[1,1.5]",
            "[1,null]",
            "[1,18446744073709551616]",
            "{}",
            "{\"uuid\":\"1\"}",
            "{\"bytes\":\"0\"}",
            "{\"bytes\":\"ä\"}",
            "{\"bytes\":\"+1\"}",
            "{\"name\":\"1\"}",
            "{\"uuid\":1}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
