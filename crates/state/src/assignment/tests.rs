//! Facts about assignments, for random numbers of groups and workers.
//!
//! **Invariants**
//! - The least number of moves is computed here by counting alone, independent of the assignment's own way.

use proptest::prelude::*;

use super::*;

fn groups(count: u16) -> KeyGroupCount {
    KeyGroupCount::new(count).unwrap()
}

fn workers(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn loads(assignment: &Assignment) -> Vec<usize> {
    let all = 0..assignment.workers().get();
    all.map(|worker| assignment.groups_of(WorkerIndex(worker)).len())
        .collect()
}

fn assert_even(assignment: &Assignment, groups: u16) {
    let loads = loads(assignment);
    assert_eq!(loads.iter().sum::<usize>(), usize::from(groups));
    assert!(
        loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1,
        "{loads:?}"
    );
}

/// The least number of moves to any even assignment: a worker keeps at most its share, and the larger shares go where
/// they keep something.
fn least_moves(old: &Assignment, groups: u16, new_workers: usize) -> usize {
    let mut kept = loads(old);
    kept.resize(new_workers, 0);
    let (share, larger) = (
        usize::from(groups) / new_workers,
        usize::from(groups) % new_workers,
    );
    let above = kept.iter().filter(|load| **load > share).count();
    usize::from(groups)
        - kept.iter().map(|load| share.min(*load)).sum::<usize>()
        - above.min(larger)
}

proptest! {
    #[test]
    fn an_even_assignment_is_even_and_contiguous(count in 1..3000_u16, number in 1..200_usize) {
        let assignment = Assignment::even(groups(count), workers(number));
        assert_even(&assignment, count);
        let owners: Vec<WorkerIndex> = assignment.iter().map(|(_, owner)| owner).collect();
        prop_assert!(owners.is_sorted());
        for (group, owner) in assignment.iter() {
            prop_assert_eq!(assignment.owner(group), owner);
        }
    }

    #[test]
    fn rescaling_stays_even_with_the_fewest_moves(
        count in 1..2000_u16,
        start in 1..50_usize,
        steps in prop::collection::vec(1..50_usize, 1..6),
    ) {
        let mut assignment = Assignment::even(groups(count), workers(start));
        for step in steps {
            let next = assignment.rescale(workers(step));
            assert_even(&next, count);
            let moves = assignment.moves(&next);
            prop_assert_eq!(moves.len(), least_moves(&assignment, count, step));
            for Move { group, from, to } in moves {
                prop_assert_eq!((assignment.owner(group), next.owner(group)), (from, to));
            }
            prop_assert_eq!(next.rescale(workers(step)), next.clone());
            assignment = next;
        }
    }
}

#[test]
fn one_more_worker_takes_only_its_share() {
    let old = Assignment::even(KeyGroupCount::default(), workers(3));
    let new = old.rescale(workers(4));
    let moves = old.moves(&new);
    assert_eq!(moves.len(), 256);
    assert!(moves.iter().all(|one| one.to == WorkerIndex(3)));
}

#[test]
fn more_workers_than_groups_leaves_some_idle() {
    let assignment = Assignment::even(groups(2), workers(100_000));
    assert_eq!(assignment.groups_of(WorkerIndex(99_999)), []);
    assert_eq!(assignment.rescale(workers(200_000)).moves(&assignment), []);
    assert_even(&assignment.rescale(workers(1)), 2);
}
