//! [`Input`]: reads fields out of bytes that may be anything; and numbers of variable size (LEB128).
//!
//! **Invariants.** Nothing here panics, whatever the bytes are, and no length is believed before the bytes behind it have
//! been seen.

/// Bytes that are read from front to back.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    /// What the bytes are, for messages.
    part: &'static str,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Input { rest: bytes, part }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(format!("its {} ends too early", self.part));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], String> {
        let mut array = [0; LENGTH];
        array.copy_from_slice(self.take(LENGTH)?);
        Ok(array)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things that follow, each of at least `least_bytes`: refused when there is no room for them.
    pub(crate) fn count(&mut self, least_bytes: usize) -> Result<usize, String> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least_bytes {
            return Err(format!(
                "its {} has no room for the {count} entries it speaks of",
                self.part
            ));
        }
        Ok(count)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "its {} is {} bytes too long",
                self.part,
                self.rest.len()
            ))
        }
    }
}

/// Appends a number as LEB128: seven bits a byte, lowest first.
pub(crate) fn push_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number at `at`, and where it ends. None if there is none, or one beyond 64 bits.
pub(crate) fn read_leb128(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte < 0x80 {
            return Some((number, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn leb128_gives_back_what_was_written(number: u64, before in 0_usize..3) {
            let mut bytes = vec![0xff; before];
            push_leb128(&mut bytes, number);
            prop_assert_eq!(read_leb128(&bytes, before), Some((number, bytes.len())));
            bytes.pop();
            prop_assert_eq!(read_leb128(&bytes, before), None);
        }

        #[test]
        fn leb128_reads_any_bytes(bytes: Vec<u8>, at in 0_usize..20) {
            if let Some((_, end)) = read_leb128(&bytes, at) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
