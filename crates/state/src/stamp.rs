//! When a state object was last touched, in front of its snapshot.
//!
//! A snapshot of a state that expires begins with [`MARK`], a byte with which no value of msgpack begins, and the time. So
//! snapshots with and without it can be told apart, and a state can begin and cease to expire.
//!
//! **Invariants.** A stamp is 9 bytes: the mark, and milliseconds since the Unix epoch as a little-endian `u64`.

/// The first byte of a stamp. Msgpack never uses it.
pub const MARK: u8 = 0xc1;

const BYTES: usize = 9;

/// Appends a stamp.
pub fn write(touched_ms: u64, bytes: &mut Vec<u8>) {
    bytes.push(MARK);
    bytes.extend_from_slice(&touched_ms.to_le_bytes());
}

/// The time of a stamp, if there is one, and the snapshot behind it.
#[must_use]
pub fn split(value: &[u8]) -> (Option<u64>, &[u8]) {
    let Some((&[MARK, ref time @ ..], snapshot)) = value.split_first_chunk::<BYTES>() else {
        return (None, value);
    };
    let mut bytes = [0; 8];
    bytes.copy_from_slice(time);
    (Some(u64::from_le_bytes(bytes)), snapshot)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..20)) {
            let (time, snapshot) = split(&bytes);
            prop_assert_eq!(time.is_some(), bytes.len() >= BYTES && bytes[0] == MARK);
            prop_assert!(bytes.ends_with(snapshot));
        }

        #[test]
        fn what_is_written_is_read(touched: u64, snapshot in vec(any::<u8>(), 0..20)) {
            let mut value = Vec::new();
            write(touched, &mut value);
            value.extend_from_slice(&snapshot);
            prop_assert_eq!(split(&value), (Some(touched), snapshot.as_slice()));
        }
    }

    #[test]
    fn a_stamp_is_told_from_a_snapshot() {
        let mut value = Vec::new();
        write(1_767_225_600_000, &mut value);
        value.extend_from_slice(&[0x93, 1, 2, 3]);
        assert_eq!(value[..9], [0xc1, 0, 0xa8, 0xda, 0x76, 0x9b, 1, 0, 0]);
        assert_eq!(split(&value), (Some(1_767_225_600_000), &value[9..]));
        assert_eq!(split(&value[9..]), (None, &value[9..]));
        assert_eq!(split(&value[..8]), (None, &value[..8]));
    }
}
