//! Stores in directories, through the public way to open one.

use std::fs;
use std::path::Path as FilePath;

use super::*;
use crate::error::StoreError;
use crate::lock::Lock;
use crate::storage::{open, open_in_spite_of_lock, open_to_read};

struct Opened {
    storage: Arc<dyn Storage>,
    _lock: Option<Lock>,
}

fn opened(path: &FilePath) -> Opened {
    let (storage, lock) = open(path.to_str().expect("is UTF-8")).expect("can be opened");
    Opened {
        storage,
        _lock: lock,
    }
}

fn names(storage: &dyn Storage, prefix: &str) -> Vec<(String, u64)> {
    let objects = storage.list(prefix).expect("can be listed");
    objects
        .into_iter()
        .map(|object| (object.name, object.bytes))
        .collect()
}

#[test]
fn objects_are_made_once_and_read_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    let storage = &*store.storage;
    assert_eq!(storage.create("log/2", b"two").expect("ok"), Created::New);
    assert_eq!(
        storage.create("log/2", b"other").expect("ok"),
        Created::Existed
    );
    assert_eq!(storage.create("log/1", b"").expect("ok"), Created::New);
    storage.replace("floor", b"1").expect("ok");
    storage.replace("floor", b"22").expect("ok");
    assert_eq!(storage.read("log/2").expect("ok"), Some(b"two".to_vec()));
    assert_eq!(storage.read("floor").expect("ok"), Some(b"22".to_vec()));
    assert_eq!(storage.read("log/3").expect("ok"), None);
    assert_eq!(storage.size("log/2").expect("ok"), Some(3));
    assert_eq!(storage.size("nothing/at/all").expect("ok"), None);
    assert_eq!(storage.read_range("log/2", 1..3).expect("ok"), b"wo");
    assert_eq!(
        names(storage, "log/"),
        [("log/1".to_owned(), 0), ("log/2".to_owned(), 3)]
    );
    assert_eq!(names(storage, "data/"), []);
    storage.delete("log/2").expect("ok");
    storage.delete("log/2").expect("is no error");
    storage.delete("nothing/at/all").expect("is no error");
    assert_eq!(
        names(storage, ""),
        [("floor".to_owned(), 2), ("log/1".to_owned(), 0)]
    );
}

#[test]
fn a_range_beyond_the_end_is_an_error_and_not_a_large_allocation() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    store.storage.create("data/1", b"short").expect("ok");
    for range in [0..6, 5..6, 4..u64::MAX, 1 << 60..1 << 61] {
        let error = store
            .storage
            .read_range("data/1", range)
            .expect_err("is too short");
        assert_eq!(error.kind, ErrorKind::Broken);
    }
}

#[test]
fn names_that_lead_out_of_the_store_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(&directory.path().join("store"));
    for name in ["../outside", "/etc/hostname", "a/../../b", "a#1"] {
        assert!(store.storage.create(name, b"").is_err(), "{name}");
        assert!(store.storage.read(name).is_err(), "{name}");
        assert!(store.storage.upload(name).is_err(), "{name}");
        assert!(store.storage.delete(name).is_err(), "{name}");
    }
}

#[test]
fn uploads_of_any_size_become_visible_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    for bytes in [0, 10, PART_BYTES, 2 * PART_BYTES + 10] {
        let name = format!("data/{bytes}.seg");
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut upload = store.storage.upload(&name).expect("ok");
        for piece in content.chunks(1_000_003) {
            upload.write(piece).expect("ok");
        }
        assert_eq!(store.storage.size(&name).expect("ok"), None);
        upload.finish().expect("ok");
        assert!(store.storage.read(&name).expect("ok") == Some(content));
    }
    assert_eq!(names(&*store.storage, "data/").len(), 4);
    assert_eq!(
        files(directory.path()).len(),
        5,
        "the lock, and nothing temporary"
    );
}

#[test]
fn uploads_never_replace_an_object() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    store.storage.create("data/1", b"first").expect("ok");
    for bytes in [10, PART_BYTES + 10] {
        let mut upload = store.storage.upload("data/1").expect("ok");
        upload.write(&vec![0; bytes]).expect("ok");
        upload.finish().expect_err("there is one");
    }
    assert_eq!(
        store.storage.read("data/1").expect("ok"),
        Some(b"first".to_vec())
    );
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    let mut upload = store.storage.upload("data/1").expect("ok");
    upload.write(&vec![0; PART_BYTES + 10]).expect("ok");
    drop(upload);
    assert_eq!(files(directory.path()), ["lock"]);
}

/// All files below a directory.
fn files(path: &FilePath) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("can be read") {
        let path = entry.expect("can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let name = path.file_name().expect("has a name");
            found.push(name.to_string_lossy().into_owned());
        }
    }
    found
}

#[cfg(unix)]
#[test]
fn the_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("deep/store");
    let _store = opened(&root);
    let mode = fs::metadata(&root).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_store_is_opened_by_one_process_unless_somebody_insists() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = format!("file://{}", directory.path().display());
    let first = open(&address).expect("is free");
    assert!(first.1.is_some());
    first.0.create("log/1", b"1").expect("ok");
    let error = open(&address).map(|_| ()).expect_err("is taken");
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    let (second, lock) = open_in_spite_of_lock(&address).expect("insists");
    assert_eq!(second.create("log/1", b"2").expect("ok"), Created::Existed);
    // A third does not get it, also when the first is gone: it would fence the second, and clean up what that writes.
    drop(first);
    let refused = open(&address).map(|_| ()).expect_err("is taken");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    drop(lock);
    assert!(open(&address).expect("is free").1.is_some());
}

/// A process that has died leaves its temporary files; they are no objects, and the next process removes them.
#[test]
fn what_a_dead_process_has_left_is_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(opened(directory.path()));
    let write = |name: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("ok");
        fs::write(path, b"x").expect("ok");
    };
    for name in [
        "log/1",
        "log/2#1",
        "data/3.seg#12",
        "uploads/data-4",
        "input/a/b/5#1",
    ] {
        write(name);
    }
    let store = opened(directory.path());
    let mut left = files(directory.path());
    left.sort();
    assert_eq!(
        left,
        ["1", "5#1", "lock"],
        "files of the input log are not ours"
    );
    assert_eq!(names(&*store.storage, ""), [("log/1".to_owned(), 1)]);
}

#[test]
fn addresses_that_are_not_known_are_refused() {
    for address in ["", "ftp://host/path"] {
        let error = open(address).map(|_| ()).expect_err("is refused");
        assert!(matches!(error, StoreError::Storage(_)), "{error}");
    }
}

/// A store whose files cannot be written says so.
#[cfg(target_os = "linux")]
#[test]
fn what_the_system_says_is_told() {
    let error = open("/proc/no-such-place")
        .map(|_| ())
        .expect_err("cannot be made");
    assert!(error.to_string().contains("(os error"), "{error}");
}

/// Also when it comes through `object_store`, which wraps it.
#[cfg(unix)]
#[test]
fn the_systems_reason_is_found_in_wrapped_errors() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = opened(directory.path());
    store.storage.create("a", b"").expect("ok");
    let error = store
        .storage
        .create("a/b", b"")
        .expect_err("a is no directory");
    assert!(
        error.cause.starts_with("Not a directory (os error"),
        "{error}"
    );
    assert_eq!(error.kind, ErrorKind::Broken);
}

#[test]
fn who_only_reads_needs_no_lock_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("is UTF-8");
    let store = opened(directory.path());
    store.storage.create("log/1", b"one").expect("ok");
    fs::write(directory.path().join("log/2#1"), b"being written").expect("ok");
    let before = files(directory.path());
    let reading = open_to_read(path).expect("no lock is needed");
    assert_eq!(reading.read("log/1").expect("ok"), Some(b"one".to_vec()));
    assert_eq!(reading.size("log/1").expect("ok"), Some(3));
    assert_eq!(reading.read_range("log/1", 1..2).expect("ok"), b"n");
    assert_eq!(names(&*reading, ""), [("log/1".to_owned(), 3)]);
    let refused = [
        reading.create("log/2", b"two").map(drop),
        reading.upload("log/2").map(drop),
        reading.replace("log/1", b"two"),
        reading.delete("log/1"),
    ];
    for refused in refused {
        let error = refused.expect_err("it changes something");
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
    assert_eq!(files(directory.path()), before);
}

#[test]
fn nothing_is_made_by_who_only_reads_where_there_is_no_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("stocks");
    let error = open_to_read(path.to_str().expect("is UTF-8")).err();
    assert!(matches!(error, Some(StoreError::NotFound { .. })));
    assert!(!path.exists());
}
