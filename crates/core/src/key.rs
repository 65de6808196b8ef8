//! Keys of state objects: what may be a key, its canonical bytes, its stable hash and its key group.
//!
//! A message's key is hashed in place, without a copy and without knowing anything but its value. The top 32 bits of
//! the hash choose the key group (and with it the worker), the low 32 bits find the key inside its group. Only when a
//! key is seen for the first time is it copied, into a [`StoredKey`], the canonical bytes that also go into checkpoints
//! and over the wire.
//!
//! # Canonical bytes, version 1
//! One tag byte, then the value; integers little-endian.
//!
//! | tag    | key       | value                                                                                  |
//! |--------|-----------|----------------------------------------------------------------------------------------|
//! | `0x01` | string    | UTF-8, no length, no terminator                                                         |
//! | `0x02` | bytes     | the bytes                                                                               |
//! | `0x03` | integer   | 8 bytes, `i64`; every integer of any width that fits                                    |
//! | `0x04` | integer   | 8 bytes, `u64`; only integers above `i64::MAX`                                          |
//! | `0x05` | boolean   | 1 byte, 0 or 1                                                                          |
//! | `0x06` | UUID      | 16 bytes in the order of its text form                                                  |
//! | `0x07` | tuple     | 1 byte count (1 to 255), then each element: 4 bytes `u32` length, its canonical bytes   |
//!
//! Integers are encoded by value, not by width: `1u8` and `1i64` are one key; `1`, `"1"`, `b"1"` and `true` are four.
//! Floats are no keys: `0.0 == -0.0` and `NaN != NaN` have no answer that is right everywhere.
//!
//! # Hash, version 1
//! `xxh3_64(value) ^ (tag * 0x9E3779B97F4A7C15 mod 2^64)`, where *value* is everything after the tag and xxh3 has seed 0
//! and its default secret. The tag is mixed in by an exclusive or with a constant because that is a bijection: it costs
//! one instruction and leaves the top bits (key group) and the low bits (table) as well spread as xxh3 made them.
//!
//! # Key group
//! `((hash >> 32) * count) >> 32`, see [`KeyGroupCount`].
//!
//! All three are the same in every language; `testdata/key_vectors_v1.json` has vectors that all bindings check. The
//! vectors' hashes were computed by another implementation of xxh3.
//!
//! **Invariants**
//! - Two keys are equal exactly if their canonical bytes are equal; equal keys have equal hashes, whatever their Rust
//!   type: `hash`, `matches` and `to_stored` of one [`Key`] agree.
//! - A [`StoredKey`] always holds well-formed canonical bytes of at most [`MAX_KEY_BYTES`].
//! - Hashing and matching never allocate, except for tuples whose canonical bytes exceed 128 bytes.
//! - A change of bytes, hash or group is a new version, never an edit: checkpoints hold all three.

use std::fmt;
use std::num::NonZeroU16;

mod canonical;
mod hash;
mod scalars;
mod stored;
mod tuples;
mod view;

pub use canonical::CanonicalBuffer;
pub use stored::StoredKey;
pub use view::{Elements, KeyView, MAX_DISPLAY_CHARS, TupleView};

#[cfg(test)]
mod tests;

/// The longest key in canonical bytes: 64 KiB, tag included.
// 64 KiB: longer keys are documents, not names; their length would still fit any field of the formats that hold keys.
pub const MAX_KEY_BYTES: usize = 64 * 1024;

/// The kind of keys whose type does not tell it: they may be of any. Nothing is known of them before they come.
pub const ANY_KIND: &str = "any";

/// The deepest nesting of tuples in a key; a tuple of plain keys has depth 1.
// 16: bounds the recursion over bytes that come from outside; nobody writes such keys by hand.
pub const MAX_TUPLE_DEPTH: usize = 16;

/// A value that names a state object: strings, bytes, integers, booleans, UUIDs and tuples of 2 to 6 of these.
///
/// A type of your own becomes a key by delegating the four required functions to the key inside it.
///
/// ```
/// use wallaroo_core::key::{Key, KeyGroupCount};
///
/// let key = "AAPL";
/// let stored = key.to_stored().expect("short enough");
/// assert!(Key::matches(key, &stored)); // not `key.matches`, which `str` has already
/// assert_eq!(key.hash(), stored.hash());
/// assert_eq!(1_u8.to_stored(), 1_i64.to_stored());
/// assert!(!1.matches(&"1".to_stored().expect("short enough")));
/// assert_eq!(stored.to_string(), "\"AAPL\"");
/// assert!(KeyGroupCount::default().group_of(key.hash()).0 < 1024);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "keys are strings, bytes (`[u8]`, `Vec<u8>`), integers up to 64 bits, `bool`, `uuid::Uuid`, and tuples of 2 to 6 of these",
    note = "floats are refused, because equal numbers can have different bits; round to an integer first, for example to cents"
)]
pub trait Key {
    /// The stable hash of this key, version 1.
    fn hash(&self) -> KeyHash;

    /// Whether `canonical`, the well-formed canonical bytes of some key, are the bytes of this key.
    fn matches_canonical(&self, canonical: &[u8]) -> bool;

    /// Appends the canonical bytes of this key to `buffer`.
    fn write_canonical(&self, buffer: &mut CanonicalBuffer);

    /// The kind of all keys of this type, in words: `text`, `bytes`, `integer`, `boolean`, `uuid`, or of a tuple
    /// `(text, integer)`. Types of one kind have equal keys for equal values: `String` and `&str`, integers of any width.
    /// Checkpoints hold it: an application whose keys have another kind would find none of its state objects again.
    /// [`ANY_KIND`] where the type does not tell.
    fn kind() -> String;

    /// Whether the hash alone tells this key from all others of which this is true: so it is for integers that fit an
    /// `i64`, because xxh3 maps 8 bytes one to one. Lets an index of such keys skip the comparison.
    #[inline]
    fn is_told_by_hash(&self) -> bool {
        false
    }

    /// Whether `stored` is this key.
    #[inline]
    fn matches(&self, stored: &StoredKey) -> bool {
        self.matches_canonical(stored.as_bytes())
    }

    /// The owned, canonical form of this key.
    ///
    /// # Errors
    /// [`KeyError::TooLong`] if the canonical bytes exceed [`MAX_KEY_BYTES`], [`KeyError::TooDeep`] if tuples nest
    /// deeper than [`MAX_TUPLE_DEPTH`].
    fn to_stored(&self) -> Result<StoredKey, KeyError> {
        let mut buffer = CanonicalBuffer::default();
        self.write_canonical(&mut buffer);
        StoredKey::from_canonical(buffer.as_bytes())
    }
}

/// Why a value or a sequence of bytes cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The canonical bytes are longer than [`MAX_KEY_BYTES`].
    #[error("key takes {len} bytes; keys must be at most {MAX_KEY_BYTES} bytes long")]
    TooLong {
        /// Length of the canonical bytes.
        len: usize,
    },
    /// Tuples nest deeper than [`MAX_TUPLE_DEPTH`].
    #[error("key is a tuple nested more than {MAX_TUPLE_DEPTH} deep; flatten it")]
    TooDeep,
    /// The bytes are not the canonical bytes of any key.
    #[error("bytes are not a canonical key: expected {expected}")]
    Malformed {
        /// What should have been there.
        expected: &'static str,
    },
}

/// The stable 64-bit hash of a key, version 1. `Display` is 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// The low 32 bits: what tells keys of one group apart.
    #[inline]
    #[must_use]
    pub const fn low(self) -> u32 {
        self.0 as u32 // the low half is what is asked for
    }

    /// The high 32 bits: what the key group is made from.
    #[inline]
    #[must_use]
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32 // lossless after the shift
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// A fixed bucket of keys, the unit that moves between workers; from 0 to the [`KeyGroupCount`], exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The group as an index of an array of groups.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for KeyGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Into how many key groups the keys of an application are divided: 1 to 32,768, default 1,024.
///
/// Fixed for the life of an application's checkpoints, and the upper bound of its useful workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroupCount(NonZeroU16);

impl KeyGroupCount {
    /// The largest count: 32,768.
    // 2^15: leaves `u16::MAX` free as "no group", and a group of 10M keys still has hundreds of keys.
    pub const MAX: Self = Self(NonZeroU16::new(1 << 15).expect("is not zero"));

    /// A count of key groups; `None` if it is 0 or above [`KeyGroupCount::MAX`].
    #[must_use]
    pub const fn new(count: u16) -> Option<Self> {
        match NonZeroU16::new(count) {
            Some(count) if count.get() <= Self::MAX.0.get() => Some(Self(count)),
            Some(_) | None => None,
        }
    }

    /// The count as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The group of a key: the top 32 bits of its hash, scaled to the count by multiply and shift.
    #[inline]
    #[must_use]
    pub const fn group_of(self, hash: KeyHash) -> KeyGroup {
        let scaled = ((hash.0 >> 32) * self.0.get() as u64) >> 32;
        KeyGroup(scaled as u16) // below the count, which is a u16
    }

    /// All groups in ascending order.
    pub fn groups(self) -> impl DoubleEndedIterator<Item = KeyGroup> + ExactSizeIterator {
        (0..self.get()).map(KeyGroup)
    }
}

impl Default for KeyGroupCount {
    fn default() -> Self {
        // 1,024: a hundred times the workers of most applications, and its tables fit the L1 cache.
        Self(NonZeroU16::new(1024).expect("is not zero"))
    }
}

impl fmt::Display for KeyGroupCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
