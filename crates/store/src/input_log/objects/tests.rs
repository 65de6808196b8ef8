//! The log in objects: read back, trimmed, damaged; and several processes that take it from each other.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{BlockBuilder, Kind};
use super::*;
use crate::input_log::verify_objects;
use crate::storage::StorageError;
use crate::storage::faulty::{Faults, Faulty};
use crate::storage::memory::Memory;

fn section(partition: &str, texts: &[(u64, &str)]) -> Section {
    let mut blocks = Vec::new();
    for (number, text) in texts {
        let mut block = BlockBuilder::default();
        let write = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(text.as_bytes());
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = block.push(*number, Kind::Message, write);
        blocks.extend_from_slice(block.finish(0, 0));
    }
    Section {
        source: "source".to_owned(),
        partition: partition.to_owned(),
        first: texts.first().map_or(0, |(number, _)| *number),
        next: texts.last().map_or(0, |(number, _)| number + 1),
        blocks,
    }
}

fn opened(storage: &Arc<dyn Storage>, generation: u64) -> Arc<ObjectLog> {
    let log = ObjectLog::open(
        Arc::clone(storage),
        generation,
        u128::from(generation) << 64,
    );
    Arc::new(log.expect("nobody later is there"))
}

fn put(log: &ObjectLog, sections: &[Section], nonce: u128) -> Result<(), StoreError> {
    log.put(&log.prepare(sections, nonce))
}

fn found(
    log: &Arc<ObjectLog>,
    partition: &str,
    from: u64,
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut replay = log.replay("source", partition, from);
    let mut found = Vec::new();
    while replay.next(|entry| {
        found.push((
            entry.number,
            String::from_utf8_lossy(entry.bytes).into_owned(),
        ));
        Ok::<(), StoreError>(())
    })? {}
    Ok(found)
}

fn memory() -> (Arc<Memory>, Arc<dyn Storage>) {
    let memory = Arc::new(Memory::new());
    (Arc::clone(&memory), memory)
}

#[test]
fn the_next_process_finds_what_was_put_from_any_number_on() {
    let (_, storage) = memory();
    let log = opened(&storage, 1);
    put(
        &log,
        &[
            section("a", &[(1, "one"), (2, "two")]),
            section("b", &[(1, "other")]),
        ],
        1,
    )
    .expect("it is the owner");
    put(&log, &[section("a", &[(5, "five")])], 2).expect("it is the owner");
    let next = opened(&storage, 2);
    assert_eq!(next.partitions("source"), ["a", "b"]);
    assert_eq!(next.partitions("another"), [""; 0]);
    let text = |number: u64, text: &str| (number, text.to_owned());
    let all = [text(1, "one"), text(2, "two"), text(5, "five")];
    for (from, expected) in [(0, &all[..]), (2, &all[1..]), (3, &all[2..]), (6, &[])] {
        assert_eq!(
            found(&next, "a", from).expect("it is whole"),
            expected,
            "{from}"
        );
    }
    assert_eq!(
        found(&next, "b", 1).expect("it is whole"),
        [text(1, "other")]
    );
}

#[test]
fn a_process_that_was_followed_learns_it_with_its_next_object() {
    let (_, storage) = memory();
    let first = opened(&storage, 1);
    put(&first, &[section("a", &[(1, "one")])], 1).expect("it is the owner");
    let second = opened(&storage, 2);
    let error = put(&first, &[section("a", &[(2, "late")])], 2).expect_err("it was followed");
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    put(&second, &[section("a", &[(2, "two")])], 3).expect("it is the owner");
    let error = ObjectLog::open(Arc::clone(&storage), 1, 7).expect_err("a later one has sealed");
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

/// It would find its number free if seals were deleted with what is before them, and tell its senders that it has kept
/// what nobody will read.
#[test]
fn a_process_that_slept_through_many_trims_is_refused() {
    let (_, storage) = memory();
    let sleeper = opened(&storage, 1);
    let late = sleeper.prepare(&[section("a", &[(1, "late")])], 1);
    for generation in 2..6 {
        let log = opened(&storage, generation);
        let number = generation * 10;
        let nonce = u128::from(number);
        put(&log, &[section("a", &[(number, "text")])], nonce).expect("it is the owner");
        log.trim("source", "a", number + 1)
            .expect("it can be deleted");
    }
    let error = sleeper.put(&late).expect_err("it was followed");
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

#[test]
fn trimming_deletes_objects_of_which_nothing_is_needed() {
    let (memory, storage) = memory();
    let log = opened(&storage, 1);
    put(
        &log,
        &[section("a", &[(1, "one")]), section("b", &[(1, "one")])],
        1,
    )
    .expect("ok");
    put(&log, &[section("a", &[(2, "two")])], 2).expect("ok");
    log.trim("source", "a", 2).expect("ok");
    assert_eq!(memory.objects().len(), 3, "b needs the first");
    log.trim("source", "b", 2).expect("ok");
    assert_eq!(memory.objects().len(), 2, "the seal and the second");
    assert_eq!(found(&log, "a", 2).expect("it is whole").len(), 1);
    log.trim("source", "a", 3).expect("ok");
    assert_eq!(memory.objects().len(), 2, "the newest stays");
}

#[test]
fn damage_is_an_error_and_never_the_end() {
    let (memory, storage) = memory();
    let log = opened(&storage, 1);
    put(&log, &[section("a", &[(1, "one"), (2, "two")])], 1).expect("ok");
    let name = name_of(2);
    let bytes = memory.objects().get(&name).expect("is there").len();
    let damaged = || {
        let looked_at = verify_objects(&*storage).expect("it can be listed");
        assert!(looked_at.iter().any(|found| found.name == name));
        let damaged = looked_at.into_iter().filter(|found| found.result.is_err());
        damaged.map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(damaged(), [""; 0]);
    for at in 0..bytes {
        memory.damage(&name, |bytes| bytes[at] ^= 0x10);
        let read = ObjectLog::open(Arc::clone(&storage), 1, 9)
            .map(Arc::new)
            .and_then(|log| found(&log, "a", 1));
        assert!(read.is_err(), "byte {at}: {read:?}");
        assert_eq!(damaged(), std::slice::from_ref(&name), "byte {at}");
        memory.damage(&name, |bytes| bytes[at] ^= 0x10);
    }
    for length in 0..bytes {
        let (fresh, again) = self::memory();
        let log = opened(&again, 1);
        put(&log, &[section("a", &[(1, "one"), (2, "two")])], 1).expect("ok");
        fresh.damage(&name, |bytes| bytes.truncate(length));
        let read = ObjectLog::open(again, 1, 9).map(drop);
        assert!(read.is_err(), "{length} bytes");
    }
}

/// Processes that write, sleep, wake, trim and follow each other by a seed, on a storage whose answers get lost. What a process was
/// told is kept is found by every later one until it is trimmed, and nothing else is found twice or out of order.
#[test]
fn whatever_happens_what_was_put_is_found() {
    for seed in 0..400_u64 {
        let (_, inner) = memory();
        let faults = Faults {
            seed,
            before_per_mille: 100,
            after_per_mille: 150,
            ..Faults::default()
        };
        let storage: Arc<dyn Storage> = Arc::new(Faulty::new(Arc::clone(&inner), faults));
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        // whether a process that failed to open may have sealed
        let mut is_sealed_by_none = false;
        let mut kept: Vec<(u64, String)> = Vec::new();
        let (mut trimmed, mut generation, mut nonce) = (1, 0, 0_u128);
        // The owner comes last; the others were followed.
        let mut processes: Vec<(Arc<ObjectLog>, u64, Option<(Prepared, (u64, String))>)> =
            Vec::new();
        for _ in 0..60 {
            match draw(10) {
                0 | 1 => {
                    generation += 1;
                    nonce += 1;
                    let opened = ObjectLog::open(Arc::clone(&storage), generation, nonce << 64);
                    is_sealed_by_none = opened.is_err();
                    let Ok(log) = opened.map(Arc::new) else {
                        continue;
                    };
                    // read on the storage without faults
                    let reading = ObjectLog {
                        storage: Arc::clone(&inner),
                        generation,
                        state: Mutex::new(State {
                            next: 0,
                            objects: log.state().objects.clone(),
                        }),
                    };
                    let there = found(&Arc::new(reading), "a", trimmed).expect("it is whole");
                    let numbers: Vec<u64> = there.iter().map(|(number, _)| *number).collect();
                    assert!(
                        numbers.is_sorted_by(|a, b| a < b),
                        "seed {seed}: {numbers:?}"
                    );
                    let missing = kept
                        .iter()
                        .find(|one| one.0 >= trimmed && !there.contains(one));
                    assert_eq!(missing, None, "seed {seed}");
                    let next = numbers.last().map_or(trimmed, |last| last + 1);
                    kept = there;
                    processes.push((log, next.max(trimmed), None));
                }
                2 => {
                    if let Some((log, next, None)) = processes.last() {
                        trimmed = *next;
                        let _ = log.trim("source", "a", trimmed);
                    }
                }
                _ => {
                    if processes.is_empty() {
                        continue;
                    }
                    let last = processes.len() - 1;
                    let index = if draw(3) == 0 {
                        draw(processes.len() as u64) as usize
                    } else {
                        last
                    };
                    let (log, next, pending) = &mut processes[index];
                    let (prepared, record) = pending.take().unwrap_or_else(|| {
                        nonce += 1;
                        let text = format!("{generation}-{nonce}");
                        let section = section("a", &[(*next, text.as_str())]);
                        (log.prepare(&[section], nonce), (*next, text))
                    });
                    match log.put(&prepared) {
                        Ok(()) => {
                            *next += 1;
                            // a process that was followed may be told so only of what its follower has found
                            if index == last {
                                kept.push(record);
                            } else if record.0 >= trimmed {
                                assert!(kept.contains(&record), "seed {seed}: {record:?} is lost");
                            }
                        }
                        Err(StoreError::Storage(StorageError { .. })) => {
                            *pending = Some((prepared, record));
                        }
                        Err(StoreError::Fenced { .. }) => {
                            let may_be = index != last || is_sealed_by_none;
                            assert!(may_be, "seed {seed}: the owner is not fenced");
                        }
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
            }
        }
    }
}

proptest! {
    /// Behind a right header, and with a right checksum: what only a damaged program writes is refused too.
    #[test]
    fn no_table_makes_the_decoder_panic_or_reserve(count: u32, table in vec(any::<u8>(), 0..120), blocks in vec(any::<u8>(), 0..60)) {
        let (memory, storage) = memory();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for value in [2_u64, 1, 0, 0] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in [count, table.len() as u32] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&table);
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&blocks);
        memory.put(name_of(2), bytes.as_slice());
        let _ = verify(&*storage, 2, bytes.len() as u64);
        let _ = ObjectLog::open(storage, 1, 9);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let (memory, storage) = memory();
        memory.put(name_of(2), bytes.as_slice());
        prop_assert!(verify(&*storage, 2, bytes.len() as u64).is_err());
    }
}
