//! What a store asks of a storage, asked of a server that speaks S3.

use std::sync::{Arc, Barrier};
use std::thread;

use wallaroo_s3::fresh_address;
use wallaroo_s3::server::BUCKET;
use wallaroo_store::Storage;
use wallaroo_store::storage::{Created, ErrorKind, open, open_to_read};

const PART_BYTES: usize = 8 << 20;

fn opened(address: &str) -> Arc<dyn Storage> {
    let (storage, lock) = open(address).expect("can be opened; run .ci/s3-test");
    assert!(lock.is_none(), "S3 has no lock");
    storage
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
    let storage = opened(&fresh_address());
    assert_eq!(storage.create("log/2", b"two").expect("ok"), Created::New);
    let again = storage.create("log/2", b"other").expect("ok");
    assert_eq!(again, Created::Existed);
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
        names(&*storage, "log/"),
        [("log/1".to_owned(), 0), ("log/2".to_owned(), 3)]
    );
    assert_eq!(names(&*storage, "data/"), []);
    storage.delete("log/2").expect("ok");
    storage.delete("log/2").expect("is no error");
    storage.delete("nothing/at/all").expect("is no error");
    assert_eq!(
        names(&*storage, ""),
        [("floor".to_owned(), 2), ("log/1".to_owned(), 0)]
    );
}

#[test]
fn of_many_who_make_an_object_at_once_one_has_made_it() {
    let address = fresh_address();
    for round in 0..10 {
        let barrier = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|writer: u8| {
                let (storage, barrier) = (opened(&address), Arc::clone(&barrier));
                let make = move || {
                    barrier.wait();
                    let name = format!("log/{round}");
                    // an answer that another request was under way is no answer: it is asked again, as the log does
                    loop {
                        match storage.create(&name, &[writer; 1000]) {
                            Ok(created) => return (writer, created),
                            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error}"),
                        }
                    }
                };
                let thread = thread::Builder::new();
                thread.spawn(make).expect("a thread")
            })
            .collect();
        let made: Vec<u8> = threads
            .into_iter()
            .map(|thread| thread.join().expect("does not panic"))
            .filter(|(_, created)| *created == Created::New)
            .map(|(writer, _)| writer)
            .collect();
        assert_eq!(made.len(), 1, "{made:?}");
        let found = opened(&address).read(&format!("log/{round}")).expect("ok");
        assert_eq!(found, Some(vec![made[0]; 1000]));
    }
}

#[test]
fn a_range_beyond_the_end_is_an_error_and_not_a_large_allocation() {
    let storage = opened(&fresh_address());
    storage.create("data/1", b"short").expect("ok");
    for range in [0..6, 5..6, 4..u64::MAX, 1 << 60..1 << 61] {
        storage
            .read_range("data/1", range)
            .expect_err("is too short");
    }
}

#[test]
fn uploads_of_any_size_become_visible_whole() {
    let storage = opened(&fresh_address());
    for bytes in [0, 10, PART_BYTES, 2 * PART_BYTES + 10] {
        let name = format!("data/{bytes}.seg");
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut upload = storage.upload(&name).expect("ok");
        for piece in content.chunks(1_000_003) {
            upload.write(piece).expect("ok");
        }
        assert_eq!(storage.size(&name).expect("ok"), None);
        upload.finish().expect("ok");
        assert!(storage.read(&name).expect("ok") == Some(content));
    }
    assert_eq!(names(&*storage, "").len(), 4);
}

#[test]
fn uploads_never_replace_an_object() {
    let storage = opened(&fresh_address());
    storage.create("data/1", b"first").expect("ok");
    for bytes in [10, PART_BYTES + 10] {
        let mut upload = storage.upload("data/1").expect("ok");
        upload.write(&vec![0; bytes]).expect("ok");
        upload.finish().expect_err("there is one");
    }
    assert_eq!(storage.read("data/1").expect("ok"), Some(b"first".to_vec()));
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing_to_see() {
    let storage = opened(&fresh_address());
    let mut upload = storage.upload("data/1").expect("ok");
    upload.write(&vec![0; PART_BYTES + 10]).expect("ok");
    drop(upload);
    assert_eq!(names(&*storage, ""), []);
}

/// A listing has pages of 1,000 names.
#[test]
fn listings_have_more_than_one_page() {
    let storage = opened(&fresh_address());
    for number in 0..1100 {
        let name = format!("log/{number:05}");
        assert_eq!(storage.create(&name, b"").expect("ok"), Created::New);
    }
    let expected: Vec<_> = (0..1100)
        .map(|number| (format!("log/{number:05}"), 0))
        .collect();
    assert_eq!(names(&*storage, "log/"), expected);
}

/// It was told as an object that is not there, and so as a new store.
#[test]
fn a_bucket_that_is_not_there_is_an_error() {
    let storage = opened("s3://no-such-bucket/store");
    let errors = [
        storage.read("floor").expect_err("no bucket"),
        storage
            .create("floor", b"")
            .map(drop)
            .expect_err("no bucket"),
        storage.list("log/").map(drop).expect_err("no bucket"),
    ];
    for error in errors {
        assert!(error.to_string().contains("bucket"), "{error}");
        assert_eq!(error.kind, ErrorKind::Broken);
    }
}

#[test]
fn stores_in_one_bucket_do_not_see_each_other() {
    let address = fresh_address();
    let (one, other) = (opened(&address), opened(&format!("{address}-2")));
    one.create("log/1", b"one").expect("ok");
    other.create("log/1", b"other").expect("ok");
    assert_eq!(one.read("log/1").expect("ok"), Some(b"one".to_vec()));
    assert_eq!(names(&*other, ""), [("log/1".to_owned(), 5)]);
}

#[test]
fn who_only_reads_changes_nothing() {
    let address = fresh_address();
    opened(&address).create("log/1", b"one").expect("ok");
    let reading = open_to_read(&address).expect("can be opened");
    assert_eq!(reading.read("log/1").expect("ok"), Some(b"one".to_vec()));
    let refused = reading.delete("log/1").expect_err("it changes something");
    assert_eq!(refused.kind, ErrorKind::Denied);
}

/// `block_on` within another runtime panics, and so does the drop of a runtime.
#[test]
fn it_can_be_used_within_a_runtime_of_the_program() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let storage = opened(&fresh_address());
        assert_eq!(storage.create("log/1", b"1").expect("ok"), Created::New);
        assert_eq!(storage.read("log/1").expect("ok"), Some(b"1".to_vec()));
    });
}

#[test]
fn addresses_without_a_bucket_are_refused() {
    for address in ["s3://", "s3:///prefix", &format!("s3://{BUCKET}/a//b")] {
        assert!(open(address).is_err(), "{address}");
    }
}
