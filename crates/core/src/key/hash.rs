//! The stable hash of a key, version 1: xxh3 of the value, mixed with the tag.
//!
//! **Invariants**
//! - Depends on tag and value only; the formula is fixed for ever (see the parent module).
//! - Pure and branch-free around xxh3, so that the integer path inlines to about a dozen instructions.

use xxhash_rust::xxh3::xxh3_64;

use super::KeyHash;
use super::canonical::Tag;

/// The odd number closest to 2^64 divided by the golden ratio; spreads the small tags over all bits.
const TAG_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of the key with this tag and these value bytes.
#[inline]
pub(super) fn of_value(tag: Tag, value: &[u8]) -> KeyHash {
    of_parts(tag as u8, value)
}

/// The hash of the key with these well-formed canonical bytes.
#[inline]
pub(super) fn of_canonical(canonical: &[u8]) -> KeyHash {
    match canonical {
        [tag, value @ ..] => of_parts(*tag, value),
        [] => of_parts(0, &[]), // cannot be: canonical bytes have a tag
    }
}

#[inline]
fn of_parts(tag: u8, value: &[u8]) -> KeyHash {
    KeyHash(xxh3_64(value) ^ u64::from(tag).wrapping_mul(TAG_FACTOR))
}
