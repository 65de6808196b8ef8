//! [`StoredKey`]: the owned, canonical form of a key.
//!
//! Up to 16 canonical bytes (strings of 15, all integers and booleans) live in place, longer keys on the heap.
//!
//! **Invariants**
//! - Holds well-formed canonical bytes, at most [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES): every constructor checks or
//!   builds them.
//! - Takes 24 bytes, so that a slot's header takes 32.

use std::fmt;

use smallvec::SmallVec;

use super::canonical::{self, CanonicalBuffer, Tag};
use super::view::KeyView;
use super::{ANY_KIND, Key, KeyError, KeyHash, hash};

/// A key in canonical bytes, version 1. Its order is the order of the bytes, which is not the order of the values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredKey(SmallVec<[u8; 16]>);

const _: () = assert!(size_of::<StoredKey>() == 24);

impl StoredKey {
    /// A stored key from canonical bytes, for example out of a checkpoint.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are too long or not what [`Key::write_canonical`] of some key writes.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, KeyError> {
        canonical::parse(bytes)?;
        Ok(Self(SmallVec::from_slice(bytes)))
    }

    /// A tuple key from keys whose types only a host knows.
    ///
    /// # Errors
    /// [`KeyError`] if there is none or are more than 255 elements, or if together they are too long or too deep.
    ///
    /// # Example
    /// ```
    /// use wallaroo_core::{Key, StoredKey};
    ///
    /// let elements = ["a".to_stored()?, 7i64.to_stored()?];
    /// assert_eq!(StoredKey::tuple(&elements)?, ("a".to_owned(), 7i64).to_stored()?);
    /// # Ok::<(), wallaroo_core::KeyError>(())
    /// ```
    pub fn tuple(elements: &[StoredKey]) -> Result<Self, KeyError> {
        let count = u8::try_from(elements.len()).map_err(|_| KeyError::Malformed {
            expected: "a tuple of at most 255 elements",
        })?;
        let mut buffer = CanonicalBuffer::default();
        buffer.push_tuple(count);
        for element in elements {
            buffer.push_element(|buffer| buffer.push_canonical(element.as_bytes()));
        }
        Self::from_canonical(buffer.as_bytes())
    }

    /// The canonical bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of the key.
    #[must_use]
    pub fn view(&self) -> KeyView<'_> {
        view_of_well_formed(&self.0)
    }

    /// Bytes this key takes on the heap, beside itself; 0 for short keys.
    #[inline]
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        if self.0.spilled() {
            self.0.capacity()
        } else {
            0
        }
    }
}

/// The view of bytes that were checked when they became a stored key.
pub(super) fn view_of_well_formed(canonical: &[u8]) -> KeyView<'_> {
    canonical::parse(canonical).expect("stored keys are checked when they are made")
}

impl Key for StoredKey {
    #[inline]
    fn hash(&self) -> KeyHash {
        hash::of_canonical(&self.0)
    }

    #[inline]
    fn matches_canonical(&self, canonical: &[u8]) -> bool {
        self.as_bytes() == canonical
    }

    #[inline]
    fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
        buffer.push_canonical(&self.0);
    }

    /// A stored key can be of any kind.
    fn kind() -> String {
        ANY_KIND.to_owned()
    }

    #[inline]
    fn is_told_by_hash(&self) -> bool {
        self.0.first() == Some(&(Tag::Int as u8))
    }

    #[inline]
    fn to_stored(&self) -> Result<StoredKey, KeyError> {
        Ok(self.clone())
    }
}

impl From<bool> for StoredKey {
    #[inline]
    fn from(value: bool) -> Self {
        Self(SmallVec::from_slice(&[Tag::Bool as u8, u8::from(value)]))
    }
}

impl From<i64> for StoredKey {
    #[inline]
    fn from(value: i64) -> Self {
        let mut bytes = SmallVec::new();
        bytes.push(Tag::Int as u8);
        bytes.extend_from_slice(&value.to_le_bytes());
        Self(bytes)
    }
}

impl fmt::Display for StoredKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(formatter)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoredKey({self})")
    }
}
