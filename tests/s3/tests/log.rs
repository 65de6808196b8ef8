//! The log that decides, on a server that speaks S3: fences, commits, and answers that never come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wallaroo_s3::fresh_address;
use wallaroo_store::checkpointer::CommitError;
use wallaroo_store::storage::open;
use wallaroo_store::testing::{Faults, Faulty};
use wallaroo_store::{Commit, OpenOptions, Storage, Store, StoreError};

fn storage(address: &str) -> Arc<dyn Storage> {
    open(address).expect("can be opened; run .ci/s3-test").0
}

fn options(process: u128) -> OpenOptions {
    let time = AtomicU64::new(0);
    let mut nonce = process << 64;
    OpenOptions::new(
        "log",
        8,
        Box::new(move || time.fetch_add(1, Ordering::Relaxed)),
        Box::new(move || {
            nonce += 1;
            nonce
        }),
    )
}

fn commit(epoch: u64) -> Commit {
    Commit {
        epoch,
        ..Commit::default()
    }
}

#[test]
fn the_next_process_goes_on_from_the_last_commit_and_fences_the_one_before() {
    let address = fresh_address();
    let (mut first, found) = Store::open(storage(&address), options(1)).expect("is new");
    assert!(found.is_none());
    for epoch in 0..5 {
        first.commit(commit(epoch)).expect("nobody else is there");
    }
    let (mut second, found) = Store::open(storage(&address), options(2)).expect("takes over");
    assert_eq!(found.expect("there are commits").commit.epoch, 4);
    let refused = first.commit(commit(5)).expect_err("it is fenced");
    assert!(
        matches!(&refused, CommitError::Fenced(StoreError::Fenced { .. })),
        "{refused}"
    );
    second.commit(commit(5)).expect("it is the owner");
    drop(second);
    let (_, found) = Store::open(storage(&address), options(3)).expect("takes over");
    assert_eq!(found.expect("there are commits").commit.epoch, 5);
}

/// Requests that fail without effect, and such that have one: each commit is there once in the end, whoever asks.
#[test]
fn unclear_answers_are_settled() {
    let address = fresh_address();
    let mut unclear = 0;
    let mut epoch = 0;
    for process in 1..6 {
        let faults = Faults {
            seed: 7 + process as u64,
            before_per_mille: 150,
            after_per_mille: 150,
            ..Faults::default()
        };
        let faulty: Arc<dyn Storage> = Arc::new(Faulty::new(storage(&address), faults));
        let mut tries = 0;
        let (mut store, found) = loop {
            // another try is another process
            tries += 1;
            match Store::open(Arc::clone(&faulty), options(process << 16 | tries)) {
                Ok(opened) => break opened,
                Err(StoreError::Storage(_)) if tries < 100 => {}
                Err(error) => panic!("{error}"),
            }
        };
        let reached = found.map_or(0, |found| found.commit.epoch);
        assert_eq!(reached, epoch, "nothing that was acknowledged is lost");
        for _ in 0..10 {
            epoch += 1;
            while let Err(error) = store.commit(commit(epoch)) {
                let is_passing = match &error {
                    CommitError::Unsettled { .. } => true,
                    CommitError::Store(error) => error.is_passing(),
                    CommitError::Fenced(_) => false,
                };
                assert!(is_passing, "{error}");
                unclear += 1;
                assert!(unclear < 10_000);
            }
        }
    }
    assert!(unclear > 0, "there was something to settle");
}
