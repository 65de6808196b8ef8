//! The record codec: fixtures that load for ever, and bytes that are no record.
//!
//! **Invariants.** No input makes decoding panic, and no changed byte goes unnoticed.

use proptest::prelude::*;

use super::*;

fn sample() -> Record {
    Record {
        kind: Kind::Commit,
        number: 7,
        generation: 3,
        nonce: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        previous: 0xfeed_beef_dead_cafe,
        body: br#"{"epoch":4}"#.to_vec(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record as version 1 wrote it: it must be read, and written, like this for ever.
#[test]
fn version_1_stays_as_it_is() {
    let fixture = include_str!("../../../tests/fixtures/log-record-1.hex").trim();
    assert_eq!(hex(&encode(&sample()).expect("short")), fixture);
    let bytes: Vec<u8> = (0..fixture.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&fixture[at..at + 2], 16).expect("hexadecimal digits"))
        .collect();
    assert_eq!(decode(7, &bytes), Ok(sample()));
}

#[test]
fn a_record_is_not_taken_for_that_of_another_number() {
    let bytes = encode(&sample()).expect("short");
    let error = decode(8, &bytes).expect_err("it is number 7");
    assert_eq!(error.to_string(), "it is the record of number 7");
}

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let mut bytes = encode(&sample()).expect("short");
    bytes[8] = 2;
    assert_eq!(decode(7, &bytes), Err(RecordError::TooNew(2)));
}

#[test]
fn every_shorter_form_of_a_record_is_damaged() {
    let bytes = encode(&sample()).expect("short");
    for length in 0..bytes.len() {
        let result = decode(7, &bytes[..length]);
        assert!(
            matches!(result, Err(RecordError::Damaged(_))),
            "{length}: {result:?}"
        );
    }
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let record = Record {
        body: vec![b' '; MAX_BODY_BYTES + 1],
        ..sample()
    };
    assert_eq!(
        encode(&record),
        Err(RecordError::TooLong(MAX_BODY_BYTES + 1))
    );
}

#[test]
fn names_lead_to_numbers_and_back() {
    assert_eq!(name(41), "log/00000000000000000041");
    assert_eq!(number("log/00000000000000000041"), Some(41));
    let others = [
        "log/41",
        "log/00000000000000000000",
        "log/+0000000000000000041",
        "data/00000000000000000041",
        "log/99999999999999999999",
    ];
    for other in others {
        assert_eq!(number(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        is_fence: bool, number: u64, generation: u64, nonce: u128, previous: u64, body: Vec<u8>,
    ) {
        let kind = if is_fence { Kind::Fence } else { Kind::Commit };
        let record = Record { kind, number, generation, nonce, previous, body };
        let bytes = encode(&record).expect("short");
        prop_assert_eq!(decode(number, &bytes), Ok(record));
    }

    #[test]
    fn random_bytes_are_no_record(bytes: Vec<u8>) {
        prop_assert!(decode(7, &bytes).is_err());
    }

    /// Also when the checksum is right, as a careless or hostile writer could make it.
    #[test]
    fn sealed_random_bytes_do_no_harm(header in prop::array::uniform32(any::<u8>()), rest: Vec<u8>) {
        let mut bytes = [b"WALOGREC".as_slice(), &1u16.to_le_bytes(), &header, &rest].concat();
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        if let Ok(record) = decode(7, &bytes) {
            prop_assert_eq!(encode(&record).expect("short"), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_found(at: prop::sample::Index, change in 1u8..) {
        let mut bytes = encode(&sample()).expect("short");
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(decode(7, &bytes).is_err());
    }
}
