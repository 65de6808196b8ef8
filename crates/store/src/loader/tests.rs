//! What a loader says about segments.

use std::convert::Infallible;

use super::*;
use crate::Memory;
use crate::segment::{StateChanges, write_segment};
use crate::testing::{Faults, Faulty};

fn segment(storage: &Memory, epoch: u64, state: &str, keys: &[(u16, u8)]) -> SegmentMeta {
    let mut changes = StateChanges::new(state);
    for &(group, key) in keys {
        changes
            .object(group, &[key], |bytes| {
                bytes.push(epoch as u8);
                Ok::<(), Infallible>(())
            })
            .expect("cannot fail");
    }
    let name = format!("data/{epoch}.seg");
    write_segment(storage, &name, 1, epoch..=epoch, &[changes]).expect("is written")
}

#[test]
fn states_and_groups_are_those_of_all_segments() {
    let storage = Memory::new();
    let segments = [
        segment(&storage, 1, "users", &[(0, 1), (0, 2), (9, 3)]),
        segment(&storage, 2, "stocks", &[(4, 1)]),
        segment(&storage, 3, "users", &[(0, 2), (5, 8)]),
    ];
    let loader = Loader::open(Arc::new(storage), &segments).expect("is whole");
    assert_eq!(loader.states(), ["stocks", "users"]);
    let groups: Vec<(u16, u64)> = loader
        .groups("users")
        .iter()
        .map(|group| (group.group, group.objects))
        .collect();
    assert_eq!(groups, [(0, 3), (5, 1), (9, 1)]);
    assert_eq!(loader.groups("nothing"), []);
}

#[test]
fn an_object_that_is_refused_is_named() {
    let storage = Memory::new();
    let segments = [segment(&storage, 1, "users", &[(0, 0xab)])];
    let loader = Loader::open(Arc::new(storage), &segments).expect("is whole");
    let error = loader
        .load("users", 0, &mut |_, _| Err("no such field".to_owned()))
        .expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "cannot restore the object of key ab of state \"users\" from the store memory:: no such field"
    );
}

#[test]
fn several_threads_open_the_same_segments_and_find_the_same_error() {
    let storage = Memory::new();
    let segments: Vec<SegmentMeta> = (1..20)
        .map(|epoch| segment(&storage, epoch, "users", &[(epoch as u16, 1)]))
        .collect();
    let threads = NonZeroUsize::new(4).expect("is not 0");
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let loader = Loader::open_with(Arc::clone(&shared), &segments, threads).expect("is whole");
    assert_eq!(loader.groups("users").len(), 19);
    assert_eq!(
        loader.get("users", 7, &[1]).expect("is whole"),
        Some(vec![7])
    );
    storage.damage("data/3.seg", |bytes| bytes[0] = 0);
    storage.damage("data/15.seg", |bytes| bytes[0] = 0);
    let error = Loader::open_with(shared, &segments, threads).expect_err("two are damaged");
    assert!(error.to_string().starts_with("\"data/3.seg\""), "{error}");
}

/// Groups loaded one after another are read in large requests.
#[test]
fn loading_in_order_reads_ahead() {
    let storage = Memory::new();
    let keys: Vec<(u16, u8)> = (0..500).map(|group| (group, 1)).collect();
    let segments = [segment(&storage, 1, "users", &keys)];
    let faulty = Arc::new(Faulty::new(Arc::new(storage), Faults::default()));
    let shared: Arc<dyn Storage> = Arc::clone(&faulty) as Arc<dyn Storage>;
    let loader = Loader::open(shared, &segments).expect("is whole");
    let before = faulty.calls();
    for group in 0..500 {
        let mut objects = 0;
        loader
            .load("users", group, &mut |_, _| {
                objects += 1;
                Ok(())
            })
            .expect("is whole");
        assert_eq!(objects, 1);
    }
    assert_eq!(faulty.calls() - before, 2, "one block, and all the rest");
}
