//! Segments against a model, and against damage.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::format::{HEADER_BYTES, Index, TRAILER_BYTES, Trailer, frame_checksum};
use super::reader::Reader;
use super::*;
use crate::Memory;
use crate::compaction::merge;
use crate::error::StoreError;
use crate::loader::Loader;

/// One change: state, key group, key, and value or tombstone.
type Row = (u8, u16, Vec<u8>, Option<Vec<u8>>);
/// What must be read back: by state, key group and key.
type Model = BTreeMap<(String, u16, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    /// The changes of an epoch, from several workers.
    Epoch(Vec<Vec<Row>>),
    /// A merge of so many segments from this one.
    Merge(prop::sample::Index, usize),
}

fn name_of(state: u8) -> String {
    format!("state-{state}")
}

fn changes_of(rows: &[Row]) -> Vec<StateChanges> {
    let mut by_state: BTreeMap<u8, StateChanges> = BTreeMap::new();
    for (state, group, key, value) in rows {
        let changes = by_state
            .entry(*state)
            .or_insert_with(|| StateChanges::new(name_of(*state)));
        match value {
            Some(value) => changes
                .object(*group, key, |bytes| {
                    bytes.extend_from_slice(value);
                    Ok::<(), Infallible>(())
                })
                .expect("cannot fail"),
            None => changes.removed(*group, key),
        }
    }
    by_state.into_values().collect()
}

fn apply(model: &mut Model, rows: &[Row]) {
    for (state, group, key, value) in rows {
        let place = (name_of(*state), *group, key.clone());
        match value {
            Some(value) => model.insert(place, value.clone()),
            None => model.remove(&place),
        };
    }
}

fn read_back(storage: &Memory, segments: &[SegmentMeta]) -> Result<Model, StoreError> {
    let loader = Loader::open(Arc::new(storage.clone()), segments)?;
    let mut read = Model::new();
    for state in loader.states() {
        for group in loader.groups(state) {
            loader.load(state, group.group, &mut |key, value| {
                let place = (state.to_owned(), group.group, key.to_vec());
                assert_eq!(read.insert(place, value.to_vec()), None, "a key came twice");
                Ok(())
            })?;
        }
    }
    Ok(read)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = vec(0_u8..4, 0..4);
    let value = prop::option::weighted(0.7, vec(any::<u8>(), 0..40));
    vec((0_u8..3, 0_u16..4, key, value), 0..30)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let epoch = vec(rows(), 0..3).prop_map(Step::Epoch);
    let merge = (any::<prop::sample::Index>(), 1_usize..5)
        .prop_map(|(start, count)| Step::Merge(start, count));
    vec(prop_oneof![3 => epoch, 1 => merge], 1..25)
}

proptest! {
    #[test]
    fn segments_read_back_as_the_model_after_epochs_and_merges(steps in steps()) {
        let storage = Memory::new();
        let mut model = Model::new();
        let mut segments: Vec<SegmentMeta> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let name = format!("data/{number}.seg");
            match step {
                Step::Epoch(workers) => {
                    let changes: Vec<StateChanges> =
                        workers.iter().flat_map(|rows| changes_of(rows)).collect();
                    for rows in workers {
                        apply(&mut model, rows);
                    }
                    let epoch = number as u64;
                    segments.push(write_segment(&storage, &name, 1, epoch..=epoch, &changes)?);
                }
                Step::Merge(start, count) if !segments.is_empty() => {
                    let start = start.index(segments.len());
                    let range = start..(start + count).min(segments.len());
                    let merged = merge(&storage, &segments[range.clone()], start == 0, &name, 1)?;
                    if start == 0 {
                        prop_assert_eq!(merged.tombstones, 0);
                    }
                    segments.splice(range, [merged]);
                }
                Step::Merge(..) => {}
            }
        }
        prop_assert_eq!(&read_back(&storage, &segments)?, &model);
        let loader = Loader::open(Arc::new(storage), &segments)?;
        for ((state, group, key), value) in &model {
            prop_assert_eq!(loader.get(state, *group, key)?, Some(value.clone()));
            prop_assert_eq!(loader.get(state, *group, b"no such key")?, None);
        }
    }

    #[test]
    fn the_order_of_changes_does_not_show(rows in rows().prop_shuffle()) {
        let storage = Memory::new();
        // each key once: with a key twice the order decides what counts
        let once: Model = rows
            .iter()
            .map(|(state, group, key, _)| ((name_of(*state), *group, key.clone()), Vec::new()))
            .collect();
        let sorted: Vec<Row> = once
            .keys()
            .map(|(state, group, key)| {
                let state = state.as_bytes()[6] - b'0';
                (state, *group, key.clone(), Some(key.clone()))
            })
            .collect();
        let mut reversed = sorted.clone();
        reversed.reverse();
        write_segment(&storage, "one", 1, 1..=1, &changes_of(&sorted))?;
        write_segment(&storage, "other", 1, 1..=1, &changes_of(&reversed))?;
        let objects = storage.objects();
        prop_assert_eq!(&objects["one"], &objects["other"]);
    }

    /// Everything is sealed again after the change, so that the decoders see it and not the checksums.
    #[test]
    fn no_index_makes_the_reader_panic(
        at in any::<prop::sample::Index>(),
        with: [u8; 4],
        cut in 0_usize..3,
    ) {
        let (storage, meta) = small_segment();
        let bytes = &storage.objects()["data/1.seg"];
        let trailer = Trailer::decode(&bytes[bytes.len() - TRAILER_BYTES..], meta.bytes).expect("is whole");
        let mut index =
            bytes[trailer.index_offset as usize..bytes.len() - TRAILER_BYTES].to_vec();
        let at = at.index(index.len());
        for (byte, with) in index[at..].iter_mut().zip(with) {
            *byte = with;
        }
        index.truncate(index.len() - cut);
        let sealed = seal(&bytes[..trailer.index_offset as usize], &index);
        let meta = SegmentMeta { bytes: sealed.0.len() as u64, checksum: sealed.1, ..meta };
        storage.put("data/1.seg", sealed.0);
        let _ = read_back(&storage, &[meta]);
    }

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in vec(any::<u8>(), 0..300), end: u64) {
        let _ = Index::decode(&bytes, end);
        let _ = Trailer::decode(&bytes, end);
        let _ = format::Header::decode(&bytes);
        let meta = SegmentMeta {
            name: "data/1.seg".to_owned(),
            bytes: bytes.len() as u64,
            checksum: end,
            first_epoch: 1,
            last_epoch: 1,
            objects: 0,
            tombstones: 0,
        };
        let storage = Memory::new();
        storage.put("data/1.seg", bytes);
        prop_assert!(Reader::open(&storage, &meta).is_err());
    }

    #[test]
    fn no_block_makes_the_cursor_panic(content in vec(any::<u8>(), 2..200), objects in 0_u32..5, tombstones in 0_u32..5) {
        let block = format::BlockInfo {
            state: 0,
            group: 0,
            offset: 40,
            length: content.len() as u64,
            objects,
            tombstones,
            checksum: format::block_checksum(&content, 40),
        };
        let length = content.len();
        let mut cursor = block::Cursor::new(Arc::new(content), 0..length, &block)
            .map_err(TestCaseError::fail)?;
        while cursor.advance() == Ok(true) {
            prop_assert!(cursor.key().len() + cursor.value().map_or(0, <[u8]>::len) <= length);
        }
    }
}

fn seal(before: &[u8], index: &[u8]) -> (Vec<u8>, u64) {
    let checksum = frame_checksum(&before[..HEADER_BYTES], index);
    let trailer = Trailer {
        index_offset: before.len() as u64,
        index_length: index.len() as u64,
        checksum,
    };
    (
        [before, index, trailer.encode().as_slice()].concat(),
        checksum,
    )
}

fn small_segment() -> (Memory, SegmentMeta) {
    let storage = Memory::new();
    let rows: Vec<Row> = (0..20_u8)
        .map(|number| {
            let value = (number % 5 > 0).then(|| vec![number; usize::from(number)]);
            (number % 2, u16::from(number % 3), vec![number], value)
        })
        .collect();
    let meta =
        write_segment(&storage, "data/1.seg", 7, 1..=1, &changes_of(&rows)).expect("is written");
    (storage, meta)
}

fn damage_of(storage: &Memory, meta: &SegmentMeta) -> String {
    match read_back(storage, std::slice::from_ref(meta)) {
        Err(StoreError::Corrupt { object, what, .. }) => {
            assert_eq!(object, meta.name);
            what
        }
        other => panic!("{other:?} in place of a damaged object"),
    }
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let (storage, meta) = small_segment();
    let whole = storage.objects()["data/1.seg"].clone();
    let reader = Reader::open(&storage, &meta).expect("is whole");
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            storage.damage("data/1.seg", |bytes| bytes[at] ^= change);
            let what = damage_of(&storage, &meta);
            storage.put("data/1.seg", whole.clone());
            let index = reader.index();
            let block = index
                .blocks
                .iter()
                .find(|block| block.range().contains(&(at as u64)));
            let expected = match block {
                Some(block) => format!(
                    "its block of state {:?}, key group {}, at byte {}, has the checksum",
                    index.states[block.state as usize], block.group, block.offset
                ),
                None if at >= whole.len() - TRAILER_BYTES => "its trailer ".to_owned(),
                None => "its header and index have the checksum".to_owned(),
            };
            assert!(what.starts_with(&expected), "byte {at}: {what}");
        }
    }
}

#[test]
fn every_torn_tail_is_found() {
    let (storage, meta) = small_segment();
    let whole = storage.objects()["data/1.seg"].clone();
    for length in 0..whole.len() {
        storage.put("data/1.seg", &whole[..length]);
        let expected = format!("it has {length} bytes, and its commit says {}", whole.len());
        assert_eq!(damage_of(&storage, &meta), expected);
    }
}

#[test]
fn a_missing_segment_is_named() {
    let (_, meta) = small_segment();
    let error = read_back(&Memory::new(), &[meta]).expect_err("nothing is there");
    assert_eq!(
        error.to_string(),
        "\"data/1.seg\", which the checkpoint of epoch 1 needs, is not in the store memory:; verify the store to see what else \
         is, and go back to a savepoint or an earlier commit"
    );
}

/// Two segments of the same size, each under the name of the other: every checksum within them is right.
#[test]
fn exchanged_segments_are_found() {
    let storage = Memory::new();
    let row = |value: u8| vec![(0_u8, 0_u16, vec![1], Some(vec![value]))];
    let one = write_segment(&storage, "data/1.seg", 1, 1..=1, &changes_of(&row(1))).expect("ok");
    let other = write_segment(&storage, "data/2.seg", 1, 2..=2, &changes_of(&row(2))).expect("ok");
    assert_eq!(one.bytes, other.bytes);
    let objects = storage.objects();
    storage.put("data/1.seg", objects["data/2.seg"].clone());
    storage.put("data/2.seg", objects["data/1.seg"].clone());
    for meta in [&one, &other] {
        assert!(damage_of(&storage, meta).starts_with("its trailer says the checksum"));
    }
}

/// Two blocks of one length change places within a segment.
#[test]
fn exchanged_blocks_are_found() {
    let storage = Memory::new();
    let rows: Vec<Row> = vec![
        (0, 0, vec![1], Some(vec![1])),
        (0, 1, vec![1], Some(vec![2])),
    ];
    let meta = write_segment(&storage, "data/1.seg", 1, 1..=1, &changes_of(&rows)).expect("ok");
    storage.damage("data/1.seg", |bytes| {
        let (one, other) = bytes[HEADER_BYTES..HEADER_BYTES + 8].split_at_mut(4);
        one.swap_with_slice(other);
    });
    assert!(damage_of(&storage, &meta).contains("key group 0, at byte 40, has the checksum"));
}

#[test]
fn an_index_that_speaks_of_more_than_there_is_is_refused() {
    for bytes in [
        [u32::MAX.to_le_bytes(), [0; 4]].concat(),
        [[0; 4], u32::MAX.to_le_bytes()].concat(),
        [1_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat(),
    ] {
        assert!(Index::decode(&bytes, 40).is_err());
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    let (storage, meta) = small_segment();
    let mut bytes = storage.objects()["data/1.seg"].clone();
    bytes[8] = 2;
    let trailer =
        Trailer::decode(&bytes[bytes.len() - TRAILER_BYTES..], meta.bytes).expect("is whole");
    let (before, index) = bytes.split_at(trailer.index_offset as usize);
    let (bytes, checksum) = seal(before, &index[..index.len() - TRAILER_BYTES]);
    storage.put("data/1.seg", bytes);
    let meta = SegmentMeta { checksum, ..meta };
    let error = read_back(&storage, &[meta]).expect_err("is of a later version");
    assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
}

/// More than one buffer, blocks that span buffers, and blocks larger than what is read ahead.
#[test]
fn large_blocks_are_read_back() {
    let storage = Memory::new();
    let rows: Vec<Row> = (0..60_u8)
        .map(|number| {
            (
                0,
                u16::from(number / 20),
                vec![number],
                Some(vec![number; 90_000]),
            )
        })
        .collect();
    let one = write_segment(&storage, "data/1.seg", 1, 1..=1, &changes_of(&rows)).expect("ok");
    let merged = merge(&storage, std::slice::from_ref(&one), true, "data/2.seg", 1).expect("ok");
    let objects = storage.objects();
    assert_eq!(objects["data/1.seg"], objects["data/2.seg"]);
    let mut model = Model::new();
    apply(&mut model, &rows);
    assert_eq!(read_back(&storage, &[merged]).expect("is whole"), model);
}
