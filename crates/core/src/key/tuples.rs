//! Tuples of 2 to 6 keys as keys.
//!
//! A tuple is hashed by writing its canonical bytes to a buffer on the stack; it is matched in place.
//!
//! **Invariants**
//! - A tuple equals another exactly if they have as many elements and these are equal, each as a key.
//! - Element borders are part of the bytes: `("ab", "c")` and `("a", "bc")` differ.

use super::canonical::{self, CanonicalBuffer, Tag};
use super::{Key, KeyHash, hash};

macro_rules! tuple_keys {
    ($($count:literal: $($element:ident $position:tt),*;)*) => {$(
        impl<$($element: Key),*> Key for ($($element,)*) {
            #[inline]
            fn hash(&self) -> KeyHash {
                let mut buffer = CanonicalBuffer::default();
                self.write_canonical(&mut buffer);
                hash::of_canonical(buffer.as_bytes())
            }

            #[inline]
            fn matches_canonical(&self, canonical: &[u8]) -> bool {
                let [tag, $count, rest @ ..] = canonical else { return false };
                if *tag != Tag::Tuple as u8 {
                    return false;
                }
                $(
                    let Some((element, rest)) = canonical::split_element(rest) else { return false };
                    if !self.$position.matches_canonical(element) {
                        return false;
                    }
                )*
                rest.is_empty()
            }

            #[inline]
            fn write_canonical(&self, buffer: &mut CanonicalBuffer) {
                buffer.push_tuple($count);
                $(buffer.push_element(|buffer| self.$position.write_canonical(buffer));)*
            }

            fn kind() -> String {
                format!("({})", [$($element::kind()),*].join(", "))
            }
        }
    )*};
}

tuple_keys! {
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
}
