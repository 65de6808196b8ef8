//! Outboxes, whole and damaged.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Memory;

fn rows_of(sink: &str, rows: &[Vec<u8>]) -> SinkRows {
    let mut sink = SinkRows::new(sink);
    for row in rows {
        sink.rows.push(row);
    }
    sink
}

fn small_outbox() -> (Memory, OutboxMeta, Vec<SinkRows>) {
    let storage = Memory::new();
    let sinks = vec![
        rows_of(
            "alerts",
            &[b"one\n".to_vec(), Vec::new(), b"three\n".to_vec()],
        ),
        rows_of("audit", &[]),
    ];
    let meta = write_outbox(&storage, "outbox/1.out", 7, 3, &sinks).expect("is written");
    (storage, meta, sinks)
}

proptest! {
    #[test]
    fn rows_are_read_back(sinks in vec(("[a-zä]{0,5}", vec(vec(any::<u8>(), 0..20), 0..20)), 0..4), generation: u64, epoch: u64) {
        let storage = Memory::new();
        let sinks: Vec<SinkRows> = sinks.iter().map(|(name, rows)| rows_of(name, rows)).collect();
        let meta = write_outbox(&storage, "outbox/1.out", generation, epoch, &sinks)?;
        prop_assert_eq!(read_outbox(&storage, &meta)?, sinks);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_change_makes_the_decoder_panic(at in any::<prop::sample::Index>(), with: [u8; 8], cut in 0_usize..9) {
        let (mut bytes, _) = encode(7, 3, &small_outbox().2);
        let at = at.index(bytes.len());
        for (byte, with) in bytes[at..].iter_mut().zip(with) {
            *byte = with;
        }
        bytes.truncate(bytes.len() - cut);
        let _ = decode(&bytes);
    }
}

#[test]
fn every_changed_byte_and_every_torn_tail_is_found() {
    let (storage, meta, _) = small_outbox();
    let whole = storage.objects()["outbox/1.out"].clone();
    let check = |expected: &str| match read_outbox(&storage, &meta) {
        Err(StoreError::Corrupt { object, what, .. }) => {
            assert_eq!(object, "outbox/1.out");
            assert!(what.starts_with(expected), "{what}");
        }
        other => panic!("{other:?} in place of a damaged object"),
    };
    for at in 0..whole.len() {
        storage.damage("outbox/1.out", |bytes| bytes[at] ^= 0x10);
        check("it has the checksum ");
        storage.put("outbox/1.out", &whole[..at]);
        check(&format!("it has {at} bytes"));
        storage.put("outbox/1.out", whole.clone());
    }
}

#[test]
fn an_exchanged_or_missing_outbox_is_found() {
    let (storage, meta, sinks) = small_outbox();
    let other = write_outbox(&storage, "outbox/2.out", 7, 4, &sinks).expect("is written");
    let renamed = OutboxMeta {
        name: other.name,
        ..meta
    };
    let error = read_outbox(&storage, &renamed).expect_err("is another");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let error = read_outbox(&Memory::new(), &renamed).expect_err("is not there");
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[test]
fn an_outbox_is_not_written_over_another_object() {
    let (storage, meta, sinks) = small_outbox();
    assert!(write_outbox(&storage, &meta.name, 7, 3, &[]).is_err());
    assert_eq!(read_outbox(&storage, &meta).expect("is unchanged"), sinks);
}

#[test]
fn an_outbox_that_speaks_of_more_than_there_is_is_refused() {
    let (bytes, _) = encode(7, 3, &[SinkRows::new("a")]);
    let content = &bytes[..bytes.len() - CHECKSUM_BYTES];
    // number of sinks, length of the name, number of rows, length of the content
    for (at, width) in [(12, 4), (32, 4), (37, 8), (45, 8)] {
        let mut changed = content.to_vec();
        changed[at..at + width].fill(0xff);
        assert!(decode(&changed).is_err(), "at {at}");
    }
}
