//! [`KeyView`]: the value inside a stored key, for people and for bindings.
//!
//! **Invariants**
//! - A view borrows; it never copies the key.
//! - `Display` is at most [`MAX_DISPLAY_CHARS`] characters and shows the type: strings are quoted, bytes are `0x…`.
//! - Deliberately absent: the way back from text to a key; text is for people only.

use std::fmt::{self, Write as _};

use uuid::Uuid;

use super::canonical;
use super::stored::view_of_well_formed;

/// The longest text of a key in logs and errors, in characters.
// 120: one line of a terminal.
pub const MAX_DISPLAY_CHARS: usize = 120;

/// The value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyView<'a> {
    /// A string.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An integer that fits an `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    BigInt(u64),
    /// A boolean.
    Bool(bool),
    /// A UUID.
    Uuid(Uuid),
    /// A tuple of keys.
    Tuple(TupleView<'a>),
}

impl<'a> KeyView<'a> {
    /// The string, if this key is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::Str(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    /// The bytes, if this key is bytes; a string is not.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    /// The integer, if this key is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    /// The integer, if this key is one and is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Int(value) => u64::try_from(value).ok(),
            Self::BigInt(value) => Some(value),
            Self::Str(_) | Self::Bytes(_) | Self::Bool(_) | Self::Uuid(_) | Self::Tuple(_) => None,
        }
    }

    /// The boolean, if this key is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    /// The UUID, if this key is one.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    /// The elements, if this key is a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<TupleView<'a>> {
        if let Self::Tuple(value) = *self {
            Some(value)
        } else {
            None
        }
    }

    fn write(&self, text: &mut BoundedText) -> fmt::Result {
        match *self {
            Self::Str(value) => write!(text, "{value:?}"),
            Self::Bytes(value) => {
                text.write_str("0x")?;
                value.iter().try_for_each(|byte| write!(text, "{byte:02x}"))
            }
            Self::Int(value) => write!(text, "{value}"),
            Self::BigInt(value) => write!(text, "{value}"),
            Self::Bool(value) => write!(text, "{value}"),
            Self::Uuid(value) => write!(text, "{value}"),
            Self::Tuple(elements) => {
                text.write_str("(")?;
                for (position, element) in elements.iter().enumerate() {
                    if position > 0 {
                        text.write_str(", ")?;
                    }
                    element.write(text)?;
                }
                text.write_str(if elements.len() == 1 { ",)" } else { ")" })
            }
        }
    }
}

impl fmt::Display for KeyView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BoundedText::default();
        // An error says that the text is full; `finish` shows that.
        let _ = self.write(&mut text);
        formatter.pad(&text.finish())
    }
}

/// The elements of a tuple key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TupleView<'a> {
    count: u8,
    /// Well-formed elements, each with its length before it.
    elements: &'a [u8],
}

impl<'a> TupleView<'a> {
    pub(super) fn new(count: u8, elements: &'a [u8]) -> Self {
        Self { count, elements }
    }

    /// How many elements there are, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a tuple key is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// The elements in order.
    #[must_use]
    pub fn iter(&self) -> Elements<'a> {
        Elements(self.elements)
    }
}

impl<'a> IntoIterator for TupleView<'a> {
    type Item = KeyView<'a>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

impl fmt::Debug for TupleView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// The elements of a tuple key, one after another.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = KeyView<'a>;

    fn next(&mut self) -> Option<KeyView<'a>> {
        let (element, rest) = canonical::split_element(self.0)?;
        self.0 = rest;
        Some(view_of_well_formed(element))
    }
}

/// Text that stops growing one character after [`MAX_DISPLAY_CHARS`], and says so to its writer.
#[derive(Debug, Default)]
struct BoundedText {
    text: String,
    chars: usize,
}

impl BoundedText {
    fn finish(mut self) -> String {
        if self.chars > MAX_DISPLAY_CHARS {
            self.text.pop();
            self.text.pop();
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            if self.chars > MAX_DISPLAY_CHARS {
                return Err(fmt::Error);
            }
            self.text.push(char);
            self.chars += 1;
        }
        Ok(())
    }
}
