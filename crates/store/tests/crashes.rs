//! A process dies at each of its calls to the storage, before or after the call's effect; then it, or another, goes on.
//!
//! **Invariants.** What was acknowledged is there, each kept commit is whole, and what nobody needs goes in the end.
#![cfg(feature = "testing")]

use std::collections::BTreeSet;
use std::sync::Arc;

use wallaroo_store::Memory;
use wallaroo_store::checkpointer::{CommitError, StartFrom};
use wallaroo_store::inspect::Inspector;
use wallaroo_store::object_name::{ObjectKind, ObjectName};
use wallaroo_store::outbox::{SinkRows, write_outbox};
use wallaroo_store::segment::{StateChanges, write_segment};
use wallaroo_store::testing::{Faults, Faulty};
use wallaroo_store::{Commit, OpenOptions, Storage, Store, StoreError};

fn options(run: u128) -> OpenOptions {
    let mut drawn = 0;
    let nonces = Box::new(move || {
        drawn += 1;
        run << 64 | drawn
    });
    OpenOptions {
        process: format!("run {run}"),
        ..OpenOptions::new("highs", 8, Box::new(|| 1_000), nonces)
    }
}

/// What a process was told.
#[derive(Debug, Default)]
struct Told {
    /// The last epoch it recovered or committed.
    epoch: u64,
    savepoints: BTreeSet<String>,
}

fn write_epoch(
    storage: &dyn Storage,
    store: &mut Store,
    before: Option<&Commit>,
) -> Result<Commit, StoreError> {
    let epoch = before.map_or(0, |commit| commit.epoch) + 1;
    let generation = store.generation();
    let mut changes = StateChanges::new("stocks");
    let value = epoch.to_le_bytes();
    let written: Result<(), StoreError> = changes.object(1, b"IBM", |bytes| {
        bytes.extend_from_slice(&value);
        Ok(())
    });
    written?;
    let name = store.object_name(ObjectKind::Segment, epoch);
    let segment = write_segment(storage, &name, generation, epoch..=epoch, &[changes])?;
    let name = store.object_name(ObjectKind::Outbox, epoch);
    let mut rows = SinkRows::new("highs");
    rows.rows.push(b"IBM 5.00");
    let outbox = write_outbox(storage, &name, generation, epoch, &[rows])?;
    let mut segments = before.map_or_else(Vec::new, |commit| commit.segments.clone());
    segments.push(segment);
    if segments.len() > 2 {
        segments.remove(0); // as a merge would leave it
    }
    Ok(Commit {
        epoch,
        segments,
        outboxes: vec![outbox],
        ..Commit::default()
    })
}

/// A life: it opens, commits some epochs, keeps one, forgets another, and tidies up after each.
fn live(
    storage: Arc<dyn Storage>,
    run: u128,
    epochs: u64,
    told: &mut Told,
) -> Result<(), StoreError> {
    let (mut store, recovered) = Store::open(Arc::clone(&storage), options(run))?;
    let mut last = recovered.map(|recovered| recovered.commit);
    if let Some(last) = &last {
        assert!(
            last.epoch >= told.epoch,
            "epoch {} was lost, {} is there",
            told.epoch,
            last.epoch
        );
        told.epoch = last.epoch;
    }
    for count in 0..epochs {
        let commit = write_epoch(&*storage, &mut store, last.as_ref())?;
        match store.commit(commit.clone()) {
            Ok(_) => told.epoch = commit.epoch,
            Err(CommitError::Fenced(error) | CommitError::Store(error)) => return Err(error),
            Err(CommitError::Unsettled { cause, .. }) => {
                return Err(StoreError::Storage(cause.expect("a failed call")));
            }
        }
        last = Some(commit);
        if count == 1 {
            let name = format!("run-{run}");
            store.savepoint(&name)?;
            told.savepoints.insert(name);
        }
        if count == 3 {
            let name = format!("run-{run}");
            told.savepoints.remove(&name);
            store.delete_savepoint(&name)?;
            store.savepoint(&format!("late-{run}"))?;
            told.savepoints.insert(format!("late-{run}"));
        }
        store.collect_garbage(&BTreeSet::new())?;
        store.trim(2)?;
    }
    Ok(())
}

fn check_whole(storage: &Arc<Memory>, told: &Told) {
    let inspector = match Inspector::open(Arc::clone(storage) as Arc<dyn Storage>) {
        Ok(inspector) => inspector,
        Err(StoreError::NotFound { .. }) => {
            assert_eq!(told.epoch, 0);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for verified in inspector.verify().expect("memory does not fail") {
        let is_missing = matches!(verified.result, Err(StoreError::Missing { .. }));
        if is_missing && verified.commits.is_empty() {
            continue; // trimmed here at two records, not at a hundred
        }
        verified
            .result
            .unwrap_or_else(|error| panic!("{}: {error}", verified.object));
    }
    let there: BTreeSet<String> = inspector
        .commits()
        .expect("read")
        .into_iter()
        .flat_map(|commit| commit.savepoints)
        .collect();
    assert!(
        there.is_superset(&told.savepoints),
        "{there:?} has not all of {told:?}"
    );
    if told.epoch > 0 {
        let value = inspector
            .get(None, "stocks", 1, b"IBM")
            .expect("read")
            .expect("there");
        let epoch = u64::from_le_bytes(value.try_into().expect("8 bytes"));
        assert!(epoch >= told.epoch, "{epoch} {told:?}");
    }
}

fn check_no_garbage(storage: &Arc<Memory>) {
    let inspector = Inspector::open(Arc::clone(storage) as Arc<dyn Storage>).expect("a store");
    let verified = inspector.verify().expect("memory does not fail");
    let needed: BTreeSet<String> = verified
        .into_iter()
        .map(|verified| verified.object)
        .collect();
    let there = storage.objects().into_keys();
    let garbage: Vec<String> = there
        .filter(|name| ObjectName::parse(name).is_some() && !needed.contains(name))
        .collect();
    assert_eq!(garbage, Vec::<String>::new());
    // kept: 3 commits, the newest 2 records of which one is a commit, savepoints of 3 lives
    let records = inspector.commits().expect("read").len();
    assert!(records <= 10, "{records} records are left");
}

/// The number of calls of a whole life.
fn calls_of_a_life() -> u64 {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new()), Faults::default()));
    live(
        Arc::clone(&faulty) as Arc<dyn Storage>,
        1,
        5,
        &mut Told::default(),
    )
    .expect("no faults");
    faulty.calls()
}

fn dying(storage: &Arc<Memory>, seed: u64, call: u64) -> Arc<dyn Storage> {
    let faults = Faults {
        seed,
        dies_at_call: Some(call),
        ..Faults::default()
    };
    Arc::new(Faulty::new(Arc::clone(storage) as Arc<dyn Storage>, faults))
}

#[test]
fn a_death_at_any_call_loses_nothing_and_leaves_nothing() {
    let calls = calls_of_a_life();
    println!("{calls} calls");
    let seeds = if std::env::var_os("WALLAROO_SLOW").is_some() {
        40
    } else {
        4
    };
    for seed in 1..=seeds {
        for call in 0..calls {
            let storage = Arc::new(Memory::new());
            let mut told = Told::default();
            let died = live(dying(&storage, seed, call), 1, 5, &mut told);
            assert!(died.is_err(), "call {call} of {calls} was not made");
            check_whole(&storage, &told);
            // a second one dies while it takes over or tidies up
            let second = (call * 7 + seed) % 60;
            let _ = live(dying(&storage, seed + 100, second), 2, 2, &mut told);
            check_whole(&storage, &told);
            live(Arc::clone(&storage) as Arc<dyn Storage>, 3, 2, &mut told)
                .unwrap_or_else(|error| panic!("seed {seed}, call {call}: {error}"));
            check_whole(&storage, &told);
            check_no_garbage(&storage);
        }
    }
}

/// Calls that fail now and then, with or without effect: the same process goes on.
#[test]
fn unclear_answers_are_settled_by_the_same_process() {
    for seed in 0..60 {
        let memory = Arc::new(Memory::new());
        let faults = Faults {
            seed,
            before_per_mille: 100,
            after_per_mille: 100,
            ..Faults::default()
        };
        let (mut store, _) =
            Store::open(Arc::clone(&memory) as Arc<dyn Storage>, options(1)).expect("opened");
        drop(store);
        let faulty: Arc<dyn Storage> =
            Arc::new(Faulty::new(Arc::clone(&memory) as Arc<dyn Storage>, faults));
        let opened = (2..40).find_map(|run| Store::open(Arc::clone(&faulty), options(run)).ok());
        (store, _) = opened.expect("one of many openings works");
        let mut last: Option<Commit> = None;
        let mut told = Told::default();
        for _ in 0..6 {
            let commit = (0..50)
                .find_map(|_| write_epoch(&*faulty, &mut store, last.as_ref()).ok())
                .expect("one of many writes works");
            (0..50)
                .find_map(|_| store.commit(commit.clone()).ok())
                .unwrap_or_else(|| panic!("seed {seed}: never settled"));
            told.epoch = commit.epoch;
            last = Some(commit);
            let _ = store.collect_garbage(&BTreeSet::new());
            let _ = store.trim(1);
            check_whole(&memory, &told);
        }
        let numbers: Vec<u64> = Inspector::open(Arc::clone(&memory) as Arc<dyn Storage>)
            .expect("a store")
            .commits()
            .expect("read")
            .iter()
            .map(|commit| commit.epoch)
            .collect();
        let mut once = numbers.clone();
        once.dedup();
        assert_eq!(numbers, once, "seed {seed}: an epoch is committed twice");
    }
}

fn commit_next(
    storage: &Arc<Memory>,
    store: &mut Store,
    last: &mut Option<Commit>,
) -> Result<u64, CommitError> {
    let commit = write_epoch(&**storage, store, last.as_ref())?;
    let committed = store.commit(commit.clone())?;
    *last = Some(commit);
    Ok(committed.number)
}

#[test]
fn who_was_taken_over_commits_and_deletes_nothing() {
    let memory = Arc::new(Memory::new());
    let storage = || Arc::clone(&memory) as Arc<dyn Storage>;
    let (mut first, _) = Store::open(storage(), options(1)).expect("opened");
    let mut last = None;
    commit_next(&memory, &mut first, &mut last).expect("committed");
    let (mut second, recovered) = Store::open(storage(), options(2)).expect("opened");
    assert_eq!(recovered.map(|recovered| recovered.commit.epoch), Some(1));
    let lost = commit_next(&memory, &mut first, &mut last.clone());
    assert!(matches!(lost, Err(CommitError::Fenced(_))), "{lost:?}");
    let lost = first.collect_garbage(&BTreeSet::new());
    assert!(matches!(lost, Err(StoreError::Fenced { .. })), "{lost:?}");
    let lost = first.savepoint("late");
    assert!(matches!(lost, Err(StoreError::Fenced { .. })), "{lost:?}");
    commit_next(&memory, &mut second, &mut last).expect("committed");
}

/// The hole that a check of the predecessor would leave: both its number and the one before it are free again.
#[test]
fn a_sleeper_is_fenced_also_when_its_number_was_trimmed() {
    let memory = Arc::new(Memory::new());
    let storage = || Arc::clone(&memory) as Arc<dyn Storage>;
    let (mut first, _) = Store::open(storage(), options(1)).expect("opened");
    let mut last = None;
    let (mut second, _) = Store::open(storage(), options(2)).expect("opened");
    let (mut third, _) = Store::open(storage(), options(3)).expect("opened");
    for _ in 0..6 {
        commit_next(&memory, &mut third, &mut last).expect("committed");
    }
    third.trim(1).expect("trimmed");
    for sleeper in [&mut first, &mut second] {
        let lost = commit_next(&memory, sleeper, &mut None);
        assert!(matches!(lost, Err(CommitError::Fenced(_))), "{lost:?}");
    }
    commit_next(&memory, &mut third, &mut last).expect("committed");
}

#[test]
fn going_back_to_a_savepoint_opens_a_branch() {
    let memory = Arc::new(Memory::new());
    let storage = || Arc::clone(&memory) as Arc<dyn Storage>;
    let (mut store, _) = Store::open(storage(), options(1)).expect("opened");
    let mut last = None;
    commit_next(&memory, &mut store, &mut last).expect("committed");
    let savepoint = store.savepoint("monday").expect("made");
    assert_eq!(store.savepoint("monday").expect("the same"), savepoint);
    for _ in 0..8 {
        commit_next(&memory, &mut store, &mut last).expect("committed");
        store.collect_garbage(&BTreeSet::new()).expect("collected");
        store.trim(1).expect("trimmed");
    }
    let taken = store.savepoint("monday").expect_err("another commit");
    assert_eq!(
        taken.to_string(),
        format!(
            "cannot make savepoint \"monday\" in the store {}: there is one of that name; choose another",
            memory.place()
        )
    );
    let from = |base| OpenOptions {
        base: Some(base),
        ..options(2)
    };
    let gone = Store::open(storage(), from(StartFrom::Number(4))).expect_err("given up");
    assert_eq!(
        gone.to_string(),
        format!(
            "the store {} has no kept commit 4; choose one of its commits: 2, 8, 9, 10",
            memory.place()
        )
    );
    let (mut store, recovered) =
        Store::open(storage(), from(StartFrom::Savepoint("monday".to_owned()))).expect("opened");
    let recovered = recovered.expect("a commit");
    assert_eq!((recovered.number, recovered.commit.epoch), (2, 1));
    let mut last = Some(recovered.commit);
    for _ in 0..3 {
        commit_next(&memory, &mut store, &mut last).expect("committed");
        store.collect_garbage(&BTreeSet::new()).expect("collected");
    }
    check_whole(
        &memory,
        &Told {
            epoch: 4,
            savepoints: BTreeSet::from(["monday".to_owned()]),
        },
    );
    check_no_garbage(&memory);
}

#[test]
fn a_store_is_not_taken_for_another() {
    let memory = Arc::new(Memory::new());
    let storage = || Arc::clone(&memory) as Arc<dyn Storage>;
    Store::open(storage(), options(1)).expect("opened");
    let other = OpenOptions {
        application: "lows".to_owned(),
        ..options(2)
    };
    let error = Store::open(storage(), other).expect_err("another application");
    assert!(
        matches!(error, StoreError::WrongApplication { .. }),
        "{error}"
    );
    let groups = OpenOptions {
        key_groups: 16,
        ..options(2)
    };
    let error = Store::open(storage(), groups).expect_err("other key groups");
    assert!(
        matches!(
            error,
            StoreError::KeyGroups {
                expected: 16,
                found: 8,
                ..
            }
        ),
        "{error}"
    );
    memory.damage("application.json", |bytes| {
        let text = String::from_utf8(bytes.clone()).expect("JSON");
        *bytes = text.replace("\"format\": 1", "\"format\": 2").into_bytes();
    });
    let error = Store::open(storage(), options(2)).expect_err("a later format");
    assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
    assert_eq!(format!("WAL-{:04}", error.number()), "WAL-0708");
    memory.delete("application.json").expect("deleted");
    let error = Store::open(storage(), options(2)).expect_err("a log without application");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn damage_of_every_kept_object_is_found_and_named() {
    let memory = Arc::new(Memory::new());
    live(
        Arc::clone(&memory) as Arc<dyn Storage>,
        1,
        5,
        &mut Told::default(),
    )
    .expect("no faults");
    for (name, bytes) in memory.objects() {
        if name == "application.json" || name.starts_with("savepoints/") {
            continue;
        }
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            memory.damage(&name, |bytes| bytes[at] ^= 1);
            let inspector =
                Inspector::open(Arc::clone(&memory) as Arc<dyn Storage>).expect("a store");
            match inspector.verify() {
                Ok(verified) => {
                    let bad = verified.iter().find(|verified| verified.object == name);
                    assert!(bad.is_some_and(|bad| bad.result.is_err()), "{name} at {at}");
                }
                // of the newest record: it says what is kept
                Err(error) => assert!(error.to_string().contains(&name), "{error}"),
            }
            memory.damage(&name, |bytes| bytes[at] ^= 1);
        }
    }
}

/// A record of the log that is not there is told, whoever needs it: by the check of a store, and by a start that would go on from
/// it. Another start goes on, from what it would have gone on from.
#[test]
fn a_deleted_record_is_found_and_named_and_never_used() {
    let full = Arc::new(Memory::new());
    let storage = |memory: &Arc<Memory>| Arc::clone(memory) as Arc<dyn Storage>;
    let mut last = None;
    for run in 1..=2 {
        let (mut store, _) = Store::open(storage(&full), options(run)).expect("opened");
        for _ in 0..4 {
            commit_next(&full, &mut store, &mut last).expect("committed");
        }
        store.savepoint(&format!("run-{run}")).expect("made");
        commit_next(&full, &mut store, &mut last).expect("committed");
    }
    let (store, _) = Store::open(storage(&full), options(3)).expect("opened");
    // Three fences, and ten commits; the last three are kept, and savepoints of two, one of which is one of them.
    let (newest, first, second, head) = (13, 5, 11, 12);
    drop(store);
    let named = |name: &str| Some(StartFrom::Savepoint(name.to_owned()));
    let bases = || {
        [
            (None, head),
            (Some(StartFrom::Number(second)), second),
            (named("run-2"), second),
            (named("run-1"), first),
        ]
    };
    for (number, (base, of)) in (1..newest).flat_map(|number| bases().map(|base| (number, base))) {
        let memory = Arc::new(Memory::new());
        for (name, bytes) in full.objects() {
            memory.create(&name, &bytes).expect("it is new");
        }
        let record = format!("log/{number:020}");
        memory.delete(&record).expect("deleted");
        let is_told = |error: &StoreError| matches!(error, StoreError::Missing { object, .. } if *object == record);
        let check = || {
            let inspector = Inspector::open(storage(&memory)).expect("a store");
            let verified = inspector.verify().expect("memory does not fail");
            let bad = verified.iter().filter(|verified| verified.result.is_err());
            let bad: Vec<_> = bad.map(|bad| (&bad.object, &bad.result)).collect();
            let is_it =
                matches!(&bad[..], [(object, Err(error))] if **object == record && is_told(error));
            assert!(is_it, "{number}: {bad:?}");
        };
        check();
        let from = OpenOptions { base, ..options(4) };
        match Store::open(storage(&memory), from) {
            Ok((_, recovered)) => {
                let found = recovered.expect("a commit").number;
                assert!(found == of && of != number, "{found} for {of}");
            }
            Err(error) => assert!(of == number && is_told(&error), "{number}: {error}"),
        }
        // Nobody has made it again.
        check();
    }
}

/// It refused to open, with whatever it was told to go on from: the newest record was read to stand behind it.
#[test]
fn a_damaged_newest_record_can_be_passed_by_going_back() {
    for (damaged, at) in [(1, 3), (1, 30), (1, usize::MAX), (3, 60)] {
        let memory = Arc::new(Memory::new());
        let storage = || Arc::clone(&memory) as Arc<dyn Storage>;
        let (mut store, _) = Store::open(storage(), options(1)).expect("new");
        let mut last = None;
        for _ in 0..6 {
            let commit = write_epoch(&*storage(), &mut store, last.as_ref()).expect("no faults");
            store.commit(commit.clone()).expect("no faults");
            last = Some(commit);
        }
        let first_generation = store.generation();
        let newest = store.newest().expect("it has committed");
        drop(store);
        for number in (newest + 1 - damaged)..=newest {
            memory.damage(&format!("log/{number:020}"), |bytes| {
                if at == usize::MAX {
                    bytes.clear();
                } else {
                    bytes[at] ^= 1;
                }
            });
        }
        let objects = memory.objects();
        let error = Store::open(storage(), options(2)).expect_err("the newest is damaged");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let back_to = |number: u64, run: u128| OpenOptions {
            base: Some(StartFrom::Number(number)),
            ..options(run)
        };
        // neither the damaged one, nor one that the newest that can be read has given up
        for number in [newest, 1] {
            let error = Store::open(storage(), back_to(number, 3)).expect_err("not kept");
            assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        }
        assert_eq!(memory.objects(), objects, "nothing was changed");

        let base = newest - damaged;
        let (mut store, found) = Store::open(storage(), back_to(base, 4)).expect("it is kept");
        let found = found.expect("there is a base");
        assert_eq!(found.number, base);
        assert!(store.generation() > first_generation);
        let mut last = found.commit;
        assert_eq!(last.epoch, 6 - damaged);
        for _ in 0..4 {
            last = write_epoch(&*storage(), &mut store, Some(&last)).expect("no faults");
            store.commit(last.clone()).expect("it is the owner");
            store.collect_garbage(&BTreeSet::new()).expect("no faults");
        }
        let (mut next, found) = Store::open(storage(), options(5)).expect("nothing is damaged");
        assert_eq!(found.expect("there are commits").commit.epoch, last.epoch);
        let late = write_epoch(&*storage(), &mut store, Some(&last)).expect("no faults");
        let refused = store.commit(late).expect_err("it was followed");
        assert!(matches!(refused, CommitError::Fenced(_)), "{refused}");
        let inspector = Inspector::open(storage()).expect("a store");
        let listed = inspector.commits().expect("what was passed is passed");
        assert_eq!(listed.first().map(|commit| commit.epoch), Some(last.epoch));
        last = write_epoch(&*storage(), &mut next, Some(&last)).expect("no faults");
        next.commit(last).expect("it is the owner");
        next.trim(1).expect("no faults");
        Inspector::open(storage())
            .and_then(|inspector| inspector.verify())
            .expect("it can be verified");
    }
}
