//! A field of a JSON object that can be read without a parser: what most keys are.
//!
//! A key stands near the start of its record, as short text or a number. Finding it there takes a fifth of the instructions that a
//! parser needs, which also looks at the whole record whether it is UTF-8.
//!
//! **Invariants.** What is found is what a decoder finds: the last member of the outermost object with that name. Where that
//! takes more than looking at bytes (escapes, nested values in front of it, numbers that are no integers, the same name once more
//! behind it), nothing is found, and the parser is asked.

use memchr::memmem::Finder;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain<'a> {
    Text(&'a str),
    Int(i64),
}

/// Digits of which every number fits into an `i64`.
const MAX_DIGITS: usize = 18;

/// Where a name may stand in a record once more.
pub(crate) struct Again {
    quoted: Finder<'static>,
    /// A name can be spelled with this one.
    escape: Finder<'static>,
    /// Whether the name has characters that other escapes spell.
    is_special: bool,
}

impl Again {
    pub(crate) fn new(name: &str) -> Self {
        let is_special = |letter: char| matches!(letter, '"' | '\\' | '/') || letter.is_control();
        Again {
            quoted: Finder::new(format!("\"{name}\"").as_bytes()).into_owned(),
            escape: Finder::new(b"\\u").into_owned(),
            is_special: name.chars().any(is_special),
        }
    }

    /// Whether the name may stand in the rest of a record: in it, in an object of it, or in a text.
    #[inline]
    fn is_possible(&self, rest: &[u8]) -> bool {
        self.is_special || self.quoted.find(rest).is_some() || self.escape.find(rest).is_some()
    }
}

/// The field `name` of the outermost object, where it can be told without a parser.
#[inline]
pub(crate) fn field<'a>(record: &'a [u8], name: &str, again: &Again) -> Option<Plain<'a>> {
    let mut rest = space(record).strip_prefix(b"{")?;
    loop {
        let (key, behind) = text(space(rest))?;
        let value = space(space(behind).strip_prefix(b":")?);
        if key == name.as_bytes() {
            return plain(value).filter(|_| !again.is_possible(value));
        }
        rest = space(skip(value)?).strip_prefix(b",")?;
    }
}

fn plain(value: &[u8]) -> Option<Plain<'_>> {
    if let Some((text, _)) = text(value) {
        let is_valid = text.iter().all(|byte| *byte >= b' ');
        return std::str::from_utf8(text)
            .ok()
            .filter(|_| is_valid)
            .map(Plain::Text);
    }
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let len = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, behind) = digits.split_at(len);
    let is_whole = matches!(space(behind).first(), Some(b',' | b'}'));
    if !is_whole || len > MAX_DIGITS || *digits.first()? == b'0' {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some(Plain::Int(if is_negative { -number } else { number }))
}

/// The text at the start, without its quotes, and what is behind it; none if it has escapes.
#[inline]
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let end = inside
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))?;
    (inside[end] == b'"').then(|| (&inside[..end], &inside[end + 1..]))
}

/// What is behind the value at the start, if it is no object or array.
fn skip(value: &[u8]) -> Option<&[u8]> {
    match value.first()? {
        b'"' => text(value).map(|(_, behind)| behind),
        b'{' | b'[' => None,
        _ => {
            let end = value.iter().position(|byte| matches!(byte, b',' | b'}'))?;
            Some(&value[end..])
        }
    }
}

#[inline]
fn space(bytes: &[u8]) -> &[u8] {
    let len = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .count();
    &bytes[len..]
}
