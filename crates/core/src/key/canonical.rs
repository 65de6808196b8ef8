//! Canonical bytes, version 1: tags, the buffer keys are written to, and the check of bytes from outside.
//!
//! **Invariants**
//! - [`parse`] accepts exactly the bytes that some key writes: one byte sequence per key, none left over.
//! - Its recursion is bounded by [`MAX_TUPLE_DEPTH`].
//! - Deliberately absent: lengths of strings and bytes; a key ends where its container says so.

use smallvec::SmallVec;
use uuid::Uuid;

use super::view::{KeyView, TupleView};
use super::{KeyError, MAX_KEY_BYTES, MAX_TUPLE_DEPTH};

/// The first byte of canonical bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Str = 1,
    Bytes = 2,
    Int = 3,
    BigInt = 4,
    Bool = 5,
    Uuid = 6,
    Tuple = 7,
}

/// Length in bytes of the length before each element of a tuple.
pub(super) const ELEMENT_LENGTH_BYTES: usize = 4;

/// Where a [`Key`](super::Key) writes its canonical bytes; on the stack up to 128 bytes.
#[derive(Debug, Default)]
pub struct CanonicalBuffer(SmallVec<[u8; 128]>);

impl CanonicalBuffer {
    /// The bytes written so far.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends a key that is no tuple.
    #[inline]
    pub(super) fn push(&mut self, tag: Tag, value: &[u8]) {
        self.0.push(tag as u8);
        self.0.extend_from_slice(value);
    }

    /// Appends bytes that are canonical already.
    #[inline]
    pub(super) fn push_canonical(&mut self, canonical: &[u8]) {
        self.0.extend_from_slice(canonical);
    }

    /// Appends the start of a tuple; its elements follow by [`CanonicalBuffer::push_element`].
    #[inline]
    pub(super) fn push_tuple(&mut self, count: u8) {
        self.0.push(Tag::Tuple as u8);
        self.0.push(count);
    }

    /// Appends one element of a tuple, with its length before it.
    #[inline]
    pub(super) fn push_element(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; ELEMENT_LENGTH_BYTES]);
        write(self);
        // A longer element makes the whole key too long, whatever its length says.
        let len = u32::try_from(self.0.len() - start - ELEMENT_LENGTH_BYTES).unwrap_or(u32::MAX);
        self.0[start..start + ELEMENT_LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
    }
}

/// Reads canonical bytes from outside, checking everything.
///
/// # Errors
/// [`KeyError::TooLong`], [`KeyError::TooDeep`] or [`KeyError::Malformed`].
pub(super) fn parse(canonical: &[u8]) -> Result<KeyView<'_>, KeyError> {
    if canonical.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong {
            len: canonical.len(),
        });
    }
    parse_at_depth(canonical, 0)
}

/// Splits the first element off the elements of a tuple: its canonical bytes and the rest.
#[inline]
pub(super) fn split_element(elements: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = elements.split_first_chunk::<ELEMENT_LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
}

fn parse_at_depth(canonical: &[u8], depth: usize) -> Result<KeyView<'_>, KeyError> {
    let (tag, value) = canonical.split_first().ok_or(KeyError::Malformed {
        expected: "a tag, found no bytes",
    })?;
    match *tag {
        tag if tag == Tag::Str as u8 => {
            std::str::from_utf8(value)
                .map(KeyView::Str)
                .map_err(|_| KeyError::Malformed {
                    expected: "a string in UTF-8",
                })
        }
        tag if tag == Tag::Bytes as u8 => Ok(KeyView::Bytes(value)),
        tag if tag == Tag::Int as u8 => fixed(value, "an integer of 8 bytes")
            .map(|bytes| KeyView::Int(i64::from_le_bytes(bytes))),
        tag if tag == Tag::BigInt as u8 => {
            let expected = "an integer of 8 bytes above 2^63 - 1";
            let number = u64::from_le_bytes(fixed(value, expected)?);
            if i64::try_from(number).is_ok() {
                return Err(KeyError::Malformed { expected });
            }
            Ok(KeyView::BigInt(number))
        }
        tag if tag == Tag::Bool as u8 => match value {
            [0] => Ok(KeyView::Bool(false)),
            [1] => Ok(KeyView::Bool(true)),
            _ => Err(KeyError::Malformed {
                expected: "a boolean of one byte, 0 or 1",
            }),
        },
        tag if tag == Tag::Uuid as u8 => {
            fixed(value, "a UUID of 16 bytes").map(|bytes| KeyView::Uuid(Uuid::from_bytes(bytes)))
        }
        tag if tag == Tag::Tuple as u8 => parse_tuple(value, depth + 1),
        _ => Err(KeyError::Malformed {
            expected: "a tag from 1 to 7",
        }),
    }
}

fn parse_tuple(value: &[u8], depth: usize) -> Result<KeyView<'_>, KeyError> {
    if depth > MAX_TUPLE_DEPTH {
        return Err(KeyError::TooDeep);
    }
    let (count, elements) = match value {
        [0, ..] | [] => {
            return Err(KeyError::Malformed {
                expected: "a tuple of at least one element",
            });
        }
        [count, elements @ ..] => (*count, elements),
    };
    let mut rest = elements;
    for _ in 0..count {
        let element;
        (element, rest) = split_element(rest).ok_or(KeyError::Malformed {
            expected: "as many whole elements as the tuple's count",
        })?;
        parse_at_depth(element, depth)?;
    }
    if !rest.is_empty() {
        return Err(KeyError::Malformed {
            expected: "nothing after a tuple's last element",
        });
    }
    Ok(KeyView::Tuple(TupleView::new(count, elements)))
}

fn fixed<const LEN: usize>(value: &[u8], expected: &'static str) -> Result<[u8; LEN], KeyError> {
    value
        .try_into()
        .map_err(|_| KeyError::Malformed { expected })
}
