//! Logs written, torn, damaged and read back.

use std::convert::Infallible;
use std::fs;

use proptest::prelude::*;

use super::*;

fn disk() -> Arc<dyn Disk> {
    Arc::new(SystemDisk)
}

type Record = (u64, Kind, Vec<u8>);

fn push(log: &mut InputLog, (number, kind, bytes): &Record) {
    let write = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = log.block().push(*number, *kind, write);
}

fn replay(directory: &Path, from: u64) -> Result<Vec<Record>, StoreError> {
    let mut replay = Replay::open(&disk(), directory, from)?;
    let mut found = Vec::new();
    while replay.next(|entry| {
        found.push((entry.number, entry.kind, entry.bytes.to_vec()));
        Ok::<(), StoreError>(())
    })? {}
    Ok(found)
}

/// The files, by their first record.
fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("it is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    paths
}

/// Appends the records in blocks of one, as a process of `generation` that goes on after what is there.
fn process(directory: &Path, generation: u64, numbers: std::ops::Range<u64>) -> InputLog {
    let mut replay = Replay::open(&disk(), directory, 1).expect("it is there");
    while replay
        .next(|_| Ok::<(), StoreError>(()))
        .expect("it is whole")
    {}
    let mut log = InputLog::open(&disk(), directory, generation).expect("it is there");
    log.go_on_after(&replay);
    for record in &records(numbers) {
        push(&mut log, record);
        log.append().expect("there is room");
    }
    log
}

/// The file named and what is said of it, by a replay and by a verification.
fn damage(directory: &Path) -> (String, String) {
    let error = replay(directory, 1).expect_err("it is damaged");
    let StoreError::DamagedInput { object, what, .. } = error else {
        panic!("not damage: {error}");
    };
    let above = directory
        .parent()
        .and_then(Path::parent)
        .expect("two above");
    let found = verify_files(&SystemDisk, above).expect("it can be listed");
    let damaged: Vec<_> = found
        .into_iter()
        .filter_map(|found| Some((found.name, found.result.err()?)))
        .collect();
    let [(name, StoreError::DamagedInput { what: verified, .. })] = &damaged[..] else {
        panic!("one is damaged: {damaged:?}");
    };
    assert!(name.ends_with(&format!("/{object}")), "{name}");
    assert_eq!(verified, &what);
    (object, what)
}

/// A directory of a partition, and the one of all logs.
fn partition() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().expect("a directory");
    let directory = above.path().join("orders/tcp");
    (above, directory)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().expect("a file");
    name.to_str().expect("text").to_owned()
}

/// It passed for the end of a write that was not completed: records that had been acknowledged were gone, and nobody was told.
#[test]
fn damage_of_the_last_block_of_a_file_that_another_follows_is_told() {
    let (_above, directory) = partition();
    process(&directory, 1, 1..4);
    process(&directory, 2, 4..6);
    let path = &paths(&directory)[0];
    let whole = fs::read(path).expect("it is there");
    for (what, bytes) in [
        ("cut off", whole[..whole.len() - 1].to_vec()),
        ("a bit", {
            let mut bytes = whole.clone();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        }),
    ] {
        fs::write(path, bytes).expect("it can be written");
        let (object, said) = damage(&directory);
        assert_eq!(object, name_of(path), "{what}");
        assert!(said.contains("had been on the disk when 0000"), "{said}");
    }
    fs::write(path, whole).expect("it can be written");
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(1..6));
    // To go on without it, as docs/operations.md says.
    fs::remove_file(path).expect("it is there");
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(4..6));
}

/// Nothing said that it had been there.
#[test]
fn a_file_in_the_middle_that_is_not_there_is_told() {
    let (_above, directory) = partition();
    for (generation, numbers) in [(1, 1..4), (2, 4..6), (3, 6..9)] {
        process(&directory, generation, numbers);
    }
    let path = paths(&directory).remove(1);
    fs::remove_file(&path).expect("it is there");
    let (object, said) = damage(&directory);
    assert_eq!(object, name_of(&path));
    assert!(said.starts_with("it is not there"), "{said}");
    // Behind it nothing is missed.
    assert_eq!(replay(&directory, 6).expect("it is whole"), records(6..9));
    // To go on without it, as docs/operations.md says.
    fs::remove_file(&paths(&directory)[0]).expect("it is there");
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(6..9));
}

/// A process that had been frozen while its store was taken over began a file, whose name hid what its successor had logged.
#[test]
fn a_file_that_a_process_begins_after_its_successor_did_hides_nothing() {
    let (above, directory) = partition();
    let mut frozen = InputLog::open(&disk(), &directory, 1).expect("it can be made");
    let successor = process(&directory, 2, 1..6);
    // It has the same number, and then one in the middle of what the successor has logged.
    for numbers in [1..4, 4..9] {
        records(numbers)
            .iter()
            .for_each(|(number, kind, _)| push(&mut frozen, &(*number, *kind, b"late".to_vec())));
        frozen.append().expect("there is room");
        frozen.end_file();
    }
    drop(successor);
    assert_eq!(paths(&directory).len(), 3);
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(1..6));
    process(&directory, 3, 6..8);
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(1..8));
    let found = verify_files(&SystemDisk, above.path()).expect("it can be listed");
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|found| found.result.is_ok()), "{found:?}");
    // It is trimmed by what counts.
    trim(&SystemDisk, &directory, 5).expect("it can be deleted");
    assert_eq!(replay(&directory, 5).expect("it is whole"), records(5..8));
    assert_eq!(paths(&directory).len(), 2);
}

/// What a write that failed has left behind is not missed.
#[test]
fn a_torn_end_of_a_file_that_another_follows_is_no_damage() {
    let (above, directory) = partition();
    let mut log = process(&directory, 1, 1..4);
    log.end_file();
    let path = paths(&directory).remove(0);
    let mut torn = fs::read(&path).expect("it is there");
    let whole = torn.len();
    torn.extend_from_slice(b"WALI torn");
    fs::write(&path, torn).expect("it can be written");
    push(&mut log, &records(4..5)[0]);
    log.append().expect("there is room");
    assert_eq!(paths(&directory).len(), 2);
    let found = verify_files(&SystemDisk, above.path()).expect("it can be listed");
    let torn: Vec<_> = found.iter().map(|found| found.torn).collect();
    assert_eq!(torn, [9, 0]);
    assert!(found.iter().all(|found| found.result.is_ok()), "{found:?}");
    assert_eq!(replay(&directory, 1).expect("it is whole"), records(1..5));
    assert_eq!(
        fs::metadata(&path).expect("it is there").len(),
        whole as u64
    );
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
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
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
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
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

/// The power failed when the log had gone on in a second file, and nothing of either was on the disk. The log began again, passed the
/// number of the second file, and what was behind that was never read back.
#[test]
fn a_file_that_is_empty_after_a_power_loss_hides_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for first in [1, 7] {
        let path = directory.path().join(file_name(first, 0));
        fs::write(path, []).expect("it can be written");
    }
    assert_eq!(replay(directory.path(), 1).expect("it is empty"), []);
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
    for portion in records(1..12).chunks(2) {
        portion.iter().for_each(|record| push(&mut log, record));
        log.append().expect("there is room");
    }
    for from in [1, 7, 10] {
        let found = replay(directory.path(), from).expect("it is whole");
        assert_eq!(found, records(from..12));
    }
}

/// A commit deleted a file whose records had been read again, while its torn end had not been looked at: the source failed.
#[test]
fn a_file_may_be_trimmed_while_the_log_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    for (first, end) in [(1, 4), (4, 5), (5, 7)] {
        let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
        records(first..end)
            .iter()
            .for_each(|record| push(&mut log, record));
        log.append().expect("there is room");
    }
    let path = paths(directory.path()).remove(0);
    let mut torn = fs::read(&path).expect("it is there");
    torn.extend_from_slice(b"torn");
    fs::write(&path, torn).expect("it can be written");
    let mut replay = Replay::open(&disk(), directory.path(), 1).expect("it is there");
    let mut found = Vec::new();
    let mut each = |entry: Entry<'_>| {
        found.push(entry.number);
        Ok::<(), StoreError>(())
    };
    assert!(replay.next(&mut each).expect("it is whole"));
    trim(&SystemDisk, directory.path(), 4).expect("it can be deleted");
    assert!(!path.exists());
    while replay.next(&mut each).expect("it is whole") {}
    assert_eq!(found, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_torn_end_is_cut_and_the_log_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
    for record in &records(1..4) {
        push(&mut log, record);
        log.append().expect("there is room");
    }
    let path = paths(directory.path()).remove(0);
    let whole = fs::read(&path).expect("it is there");
    fs::write(&path, &whole[..whole.len() - 3]).expect("it can be written");
    assert_eq!(
        replay(directory.path(), 1).expect("only its end is torn"),
        records(1..3)
    );
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it is there");
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
    let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
    let mut sync = None;
    for record in &records(1..4) {
        push(&mut log, record);
        sync = log.append().expect("there is room").or(sync);
        let sync = sync.as_ref().expect("the first append began a file");
        sync.sync().expect("it can be synced");
    }
    let path = paths(directory.path()).remove(0);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[FIRST_ENTRY + 2] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let error = replay(directory.path(), 1).expect_err("the first block is damaged");
    assert!(
        matches!(&error, StoreError::DamagedInput { object, .. } if object.ends_with(".log")),
        "{error}"
    );
}

/// Behind the headers of the file and of its first block.
const FIRST_ENTRY: usize = 48 + 40;

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
    let mut old = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
    log(&mut old, "old", 1..4);
    let mut new = InputLog::open(&disk(), directory.path(), 1).expect("it is there");
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
        let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
        records(start..start + 10)
            .iter()
            .for_each(|record| push(&mut log, record));
        log.append().expect("there is room");
    }
    trim(&SystemDisk, directory.path(), 15).expect("it can be deleted");
    assert_eq!(
        replay(directory.path(), 15).expect("it is whole"),
        records(15..31)
    );
    trim(&SystemDisk, directory.path(), 21).expect("it can be deleted");
    assert_eq!(paths(directory.path()).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>()) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = InputLog::open(&disk(), directory.path(), 1).expect("it can be made");
        push(&mut log, &(1, Kind::Message, bytes.clone()));
        push(&mut log, &(9, Kind::Rejected, bytes.clone()));
        log.append().expect("there is room");
        let path = paths(directory.path()).remove(0);
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
