//! Strings, bytes, integers, booleans and UUIDs as keys.
//!
//! **Invariants**
//! - All types of one kind write the same canonical bytes for the same value.
//! - Hashing and matching work on the value in place: no copy, no allocation.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use uuid::Uuid;

use super::canonical::{CanonicalBuffer, Tag};
use super::{Key, KeyHash, hash};

/// A type whose key is a tag and a value that lies in memory as it is hashed: strings, bytes, UUIDs.
macro_rules! borrowed_keys {
    ($($type:ty: $tag:ident, $kind:literal, $as_bytes:expr;)*) => {$(
        impl Key for $type {
            #[inline]
            fn hash(&self) -> KeyHash {
                let as_bytes: fn(&Self) -> &[u8] = $as_bytes;
                hash::of_value(Tag::$tag, as_bytes(self))
            }

            #[inline]
            fn matches_canonical(&self, canonical: &[u8]) -> bool {
                let as_bytes: fn(&Self) -> &[u8] = $as_bytes;
                matches!(canonical, [tag, value @ ..] if *tag == Tag::$tag as u8 && are_equal(value, as_bytes(self)))
            }

            #[inline]
            fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
                let as_bytes: fn(&Self) -> &[u8] = $as_bytes;
                buffer.push(Tag::$tag, as_bytes(self));
            }

            fn kind() -> String {
                $kind.to_owned()
            }
        }
    )*};
}

borrowed_keys! {
    str: Str, "text", |key| key.as_bytes();
    [u8]: Bytes, "bytes", |key| key;
    Uuid: Uuid, "uuid", |key| key.as_bytes();
}

/// A type that is the same key as what it derefs to.
macro_rules! delegating_keys {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $type:ty as $inner:ty;)*) => {$(
        impl<$($generics)*> Key for $type {
            #[inline]
            fn hash(&self) -> KeyHash {
                (**self).hash()
            }

            #[inline]
            fn matches_canonical(&self, canonical: &[u8]) -> bool {
                (**self).matches_canonical(canonical)
            }

            #[inline]
            fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
                (**self).write_canonical(buffer);
            }

            fn kind() -> String {
                <$inner as Key>::kind()
            }

            #[inline]
            fn is_told_by_hash(&self) -> bool {
                (**self).is_told_by_hash()
            }
        }
    )*};
}

delegating_keys! {
    [] String as str;
    [] Box<str> as str;
    [] Arc<str> as str;
    [] Rc<str> as str;
    [] Cow<'_, str> as str;
    [] Vec<u8> as [u8];
    [K: Key + ?Sized] &K as K;
}

/// Whether two byte strings are equal; 4 to 16 bytes, most keys that are text, without a call of `memcmp`.
#[inline]
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    /// First and last bytes as numbers; they overlap or meet, so that together they are the whole string.
    #[inline]
    fn ends<const LEN: usize>(bytes: &[u8]) -> Option<([u8; LEN], [u8; LEN])> {
        Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
    }
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        4..8 => ends::<4>(a) == ends::<4>(b),
        8..=16 => ends::<8>(a) == ends::<8>(b),
        0..4 | 17.. => a == b,
    }
}

/// The kind of integers, whatever their width.
const INTEGER: &str = "integer";

#[inline]
fn hash_int(value: i64) -> KeyHash {
    hash::of_value(Tag::Int, &value.to_le_bytes())
}

#[inline]
fn is_int(value: i64, canonical: &[u8]) -> bool {
    is_fixed(Tag::Int, value.to_le_bytes(), canonical)
}

#[inline]
fn is_fixed<const LEN: usize>(tag: Tag, value: [u8; LEN], canonical: &[u8]) -> bool {
    // Length first, so that the value is compared as one number.
    match canonical {
        [found, rest @ ..] => {
            <[u8; LEN]>::try_from(rest).is_ok_and(|rest| rest == value) && *found == tag as u8
        }
        [] => false,
    }
}

/// Integers that always fit an `i64`.
macro_rules! int_keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            #[inline]
            fn hash(&self) -> KeyHash {
                hash_int(i64::from(*self))
            }

            #[inline]
            fn matches_canonical(&self, canonical: &[u8]) -> bool {
                is_int(i64::from(*self), canonical)
            }

            #[inline]
            fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
                buffer.push(Tag::Int, &i64::from(*self).to_le_bytes());
            }

            fn kind() -> String {
                INTEGER.to_owned()
            }

            #[inline]
            fn is_told_by_hash(&self) -> bool {
                true
            }
        }
    )*};
}

int_keys!(u8, u16, u32, i8, i16, i32, i64);

impl Key for u64 {
    #[inline]
    fn hash(&self) -> KeyHash {
        match i64::try_from(*self) {
            Ok(value) => hash_int(value),
            Err(_) => hash::of_value(Tag::BigInt, &self.to_le_bytes()),
        }
    }

    #[inline]
    fn matches_canonical(&self, canonical: &[u8]) -> bool {
        match i64::try_from(*self) {
            Ok(value) => is_int(value, canonical),
            Err(_) => is_fixed(Tag::BigInt, self.to_le_bytes(), canonical),
        }
    }

    #[inline]
    fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
        let tag = if i64::try_from(*self).is_ok() {
            Tag::Int
        } else {
            Tag::BigInt
        };
        buffer.push(tag, &self.to_le_bytes());
    }

    fn kind() -> String {
        INTEGER.to_owned()
    }

    #[inline]
    fn is_told_by_hash(&self) -> bool {
        i64::try_from(*self).is_ok()
    }
}

/// Integers of a pointer's width, as the 64-bit integer of the same value.
macro_rules! pointer_width_keys {
    ($($type:ty as $wide:ty),*) => {$(
        const _: () = assert!(size_of::<$type>() <= size_of::<$wide>());

        impl Key for $type {
            #[inline]
            fn hash(&self) -> KeyHash {
                (*self as $wide).hash()
            }

            #[inline]
            fn matches_canonical(&self, canonical: &[u8]) -> bool {
                (*self as $wide).matches_canonical(canonical)
            }

            #[inline]
            fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
                (*self as $wide).write_canonical(buffer);
            }

            fn kind() -> String {
                <$wide as Key>::kind()
            }

            #[inline]
            fn is_told_by_hash(&self) -> bool {
                (*self as $wide).is_told_by_hash()
            }
        }
    )*};
}

pointer_width_keys!(usize as u64, isize as i64);

impl Key for bool {
    #[inline]
    fn hash(&self) -> KeyHash {
        hash::of_value(Tag::Bool, &[u8::from(*self)])
    }

    #[inline]
    fn matches_canonical(&self, canonical: &[u8]) -> bool {
        is_fixed(Tag::Bool, [u8::from(*self)], canonical)
    }

    #[inline]
    fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
        buffer.push(Tag::Bool, &[u8::from(*self)]);
    }

    fn kind() -> String {
        "boolean".to_owned()
    }
}
