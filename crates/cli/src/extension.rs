//! [`Extension`]: what msgpack lacks and Python has, in the extension types of docs/formats.md.
//!
//! **Invariants.** An extension that is not as its format says is none of these, and is shown as its bytes.

use rmpv::Value;

/// What an extension type holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Extension {
    /// A tuple, set, frozen set or deque.
    Items(Vec<Value>),
    /// A dict with a default, a counter, or an ordered dict.
    Entries(Vec<(Value, Value)>),
    /// An integer beyond 64 bits, a date, a time, a decimal number, a UUID, a member of an enum.
    Text(String),
    /// A duration: days, seconds and microseconds, of which the days may be negative.
    Duration([i64; 3]),
    /// The attributes of an object, behind the name of its class.
    Object(String, Vec<(Value, Value)>),
    /// Bytes that can be changed.
    Bytes,
}

impl Extension {
    /// Reads the content of an extension of this type; its values may nest `depth` deep.
    pub(crate) fn read(kind: i8, content: &[u8], depth: usize) -> Option<Self> {
        match kind {
            1..=3 => items(value(content, depth)?).map(Self::Items),
            12 => duration(value(content, depth)?).map(Self::Duration),
            4 | 9..=11 | 13 => text(content).map(Self::Text),
            5 => items(second(content, depth)?).map(Self::Items),
            6 => entries(second(content, depth)?).map(Self::Entries),
            7 | 8 => entries(value(content, depth)?).map(Self::Entries),
            14 => {
                let uuid = uuid::Uuid::from_slice(content).ok()?;
                Some(Self::Text(uuid.to_string()))
            }
            15 => {
                let (class, attributes) = named(content, depth)?;
                Some(Self::Object(class, entries(attributes)?))
            }
            16 => {
                let (class, member) = named(content, depth)?;
                Some(Self::Text(format!("{class}.{}", member.as_str()?)))
            }
            17 => Some(Self::Bytes),
            _ => None,
        }
    }
}

fn text(content: &[u8]) -> Option<String> {
    String::from_utf8(content.to_vec()).ok()
}

/// The one value that is all of the content.
fn value(mut content: &[u8], depth: usize) -> Option<Value> {
    let value = rmpv::decode::read_value_with_max_depth(&mut content, depth).ok()?;
    content.is_empty().then_some(value)
}

fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn entries(value: Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

/// The second value of a pair.
fn second(content: &[u8], depth: usize) -> Option<Value> {
    let mut pair = items(value(content, depth)?)?;
    (pair.len() == 2).then(|| pair.pop()).flatten()
}

/// A name, and what it is the name for.
fn named(content: &[u8], depth: usize) -> Option<(String, Value)> {
    let pair = items(value(content, depth)?)?;
    let [name, value] = <[Value; 2]>::try_from(pair).ok()?;
    Some((name.as_str()?.to_owned(), value))
}

fn duration(value: Value) -> Option<[i64; 3]> {
    let parts: Option<Vec<i64>> = items(value)?.iter().map(Value::as_i64).collect();
    parts?.try_into().ok()
}
