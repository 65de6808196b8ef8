//! Logs written, torn, damaged and read back.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

type Record = (u64, Kind, Vec<u8>);

fn push(log: &mut InputLog, (number, kind, bytes): &Record) {
    let write = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = log.block().push(*number, *kind, write);
}

fn replay(directory: &Path, from: u64) -> Result<Vec<Record>, StoreError> {
    let mut replay = Replay::open(directory, from)?;
    let mut found = Vec::new();
    while replay.next(|entry| {
        found.push((entry.number, entry.kind, entry.bytes.to_vec()));
        Ok::<(), StoreError>(())
    })? {}
    Ok(found)
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers
        .map(|number| {
            (
                number,
                Kind::Message,
                format!("record {number}").into_bytes(),
            )
        })
        .collect()
}

#[test]
fn what_was_appended_comes_back_from_any_number_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = InputLog::open(directory.path()).expect("it can be made");
    let all = records(1..100);
    for portion in all.chunks(7) {
        portion.iter().for_each(|record| push(&mut log, record));
        log.append().expect("there is room");
    }
    for from in [1, 2, 50, 99, 100] {
        let expected = &all[usize::try_from(from).expect("small") - 1..];
        assert_eq!(
            replay(directory.path(), from).expect("it is whole"),
            expected
        );
    }
}

#[test]
fn an_entry_that_cannot_be_written_leaves_no_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = InputLog::open(directory.path()).expect("it can be made");
    let refused = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(b"half");
        Err("no")
    };
    assert_eq!(log.block().push(1, Kind::Message, refused), Err("no"));
    assert!(log.append().expect("nothing to write").is_none());
    push(&mut log, &records(2..3)[0]);
    assert_eq!(log.block().push(3, Kind::Message, refused), Err("no"));
    log.append().expect("there is room");
    assert_eq!(
        replay(directory.path(), 1).expect("it is whole"),
        records(2..3)
    );
}

#[test]
fn a_torn_end_is_cut_and_the_log_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = InputLog::open(directory.path()).expect("it can be made");
    for record in &records(1..4) {
        push(&mut log, record);
        log.append().expect("there is room");
    }
    let (_, path) = files(directory.path()).expect("it is there").remove(0);
    let whole = fs::read(&path).expect("it is there");
    fs::write(&path, &whole[..whole.len() - 3]).expect("it can be written");
    assert_eq!(
        replay(directory.path(), 1).expect("only its end is torn"),
        records(1..3)
    );
    let mut log = InputLog::open(directory.path()).expect("it is there");
    for record in &records(3..6) {
        push(&mut log, record);
    }
    log.append().expect("there is room");
    assert_eq!(
        replay(directory.path(), 1).expect("it is whole"),
        records(1..6)
    );
}

#[test]
fn damage_in_what_had_been_synced_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = InputLog::open(directory.path()).expect("it can be made");
    let mut sync = None;
    for record in &records(1..4) {
        push(&mut log, record);
        sync = log.append().expect("there is room").or(sync);
        let sync = sync.as_ref().expect("the first append began a file");
        sync.sync().expect("it can be synced");
    }
    let (_, path) = files(directory.path()).expect("it is there").remove(0);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[HEADER_BYTES_OF_TESTS + 2] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let error = replay(directory.path(), 1).expect_err("the first block is damaged");
    assert!(
        matches!(&error, StoreError::Corrupt { object, .. } if object.ends_with(".log")),
        "{error}"
    );
}

const HEADER_BYTES_OF_TESTS: usize = 40;

/// A process whose store was taken over went on appending to its file. Its records came back in place of those that its successor
/// had logged under the same numbers.
#[test]
fn what_a_process_appends_after_its_successor_began_does_not_count() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = |log: &mut InputLog, text: &str, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let record = (
                number,
                Kind::Message,
                format!("{text} {number}").into_bytes(),
            );
            push(log, &record);
            log.append().expect("there is room");
        }
    };
    let mut old = InputLog::open(directory.path()).expect("it can be made");
    log(&mut old, "old", 1..4);
    let mut new = InputLog::open(directory.path()).expect("it is there");
    log(&mut new, "new", 4..6);
    log(&mut old, "old", 4..10);
    let found = replay(directory.path(), 2).expect("nothing is damaged");
    let texts: Vec<String> = found
        .into_iter()
        .map(|(_, _, bytes)| String::from_utf8(bytes).expect("it is text"))
        .collect();
    assert_eq!(texts, ["old 2", "old 3", "new 4", "new 5"]);
}

#[test]
fn trimming_keeps_what_is_still_needed() {
    let directory = tempfile::tempdir().expect("a directory");
    for start in [1, 11, 21] {
        // Each opening begins a new file.
        let mut log = InputLog::open(directory.path()).expect("it can be made");
        records(start..start + 10)
            .iter()
            .for_each(|record| push(&mut log, record));
        log.append().expect("there is room");
    }
    trim(directory.path(), 15).expect("it can be deleted");
    assert_eq!(
        replay(directory.path(), 15).expect("it is whole"),
        records(15..31)
    );
    trim(directory.path(), 21).expect("it can be deleted");
    assert_eq!(files(directory.path()).expect("it is there").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>()) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = InputLog::open(directory.path()).expect("it can be made");
        push(&mut log, &(1, Kind::Message, bytes.clone()));
        push(&mut log, &(9, Kind::Rejected, bytes.clone()));
        log.append().expect("there is room");
        let (_, path) = files(directory.path()).expect("it is there").remove(0);
        let mut damaged = fs::read(&path).expect("it is there");
        let at = flip.index(damaged.len());
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("it can be written");
        // Never synced, so it counts as torn: nothing wrong ever comes out.
        prop_assert_eq!(replay(directory.path(), 1).expect("it was never synced"), Vec::new());
        fs::write(&path, &bytes).expect("it can be written");
        let _ = replay(directory.path(), 1);
    }
}
