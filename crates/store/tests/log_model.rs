//! A model check of the log's decisions: the real state machines, in every order of events that the bounds allow.
//!
//! `log_model/world.rs` has the storage, the processes and what may happen; `log_model/explore.rs` visits every world that can be
//! reached, once each. A process may sleep between any two operations, because the others go on meanwhile; one that never
//! wakes up has crashed. The controls at the end break one rule each, and the checker has to notice.

mod log_model {
    pub(crate) mod explore;
    pub(crate) mod world;
}

use log_model::explore::{explore, walk};
use log_model::world::{Bounds, Mutation, World};

/// Two processes, of which one can sleep while the other goes on.
const TWO: Bounds = Bounds {
    processes: 2,
    openings: 2,
    commits: 3,
    unclear: 1,
    trims: 1,
    records: 7,
    goes_back: false,
    mutation: Mutation::None,
};

/// Three processes, so that two can sleep while the third goes on.
const THREE: Bounds = Bounds {
    processes: 3,
    openings: 3,
    commits: 2,
    unclear: 0,
    records: 5,
    ..TWO
};

/// With WALLAROO_SLOW, which is meant for optimized builds, more of everything.
fn check(mut bounds: Bounds) -> usize {
    if std::env::var_os("WALLAROO_SLOW").is_some() {
        bounds.openings += u32::from(bounds.processes == 2);
        bounds.records += usize::from(bounds.processes == 3);
        bounds.commits += u32::from(bounds.processes == 3);
    }
    match explore(&World::new(bounds)) {
        Ok(worlds) => worlds,
        Err(found) => panic!("{found}"),
    }
}

fn violation(bounds: Bounds) -> String {
    match explore(&World::new(bounds)) {
        Ok(worlds) => panic!("no violation in {worlds} worlds with {:?}", bounds.mutation),
        Err(found) => found.what,
    }
}

#[test]
fn two_processes_keep_all_invariants() {
    let worlds = check(TWO);
    println!("{worlds} worlds");
    assert!(worlds > 10_000, "the bounds leave only {worlds} worlds");
}

#[test]
fn three_processes_keep_all_invariants() {
    let worlds = check(Bounds {
        commits: 1,
        ..THREE
    });
    println!("{worlds} worlds");
    assert!(worlds > 10_000, "the bounds leave only {worlds} worlds");
}

#[test]
fn going_back_to_an_earlier_commit_keeps_the_log_one_sequence() {
    let worlds = check(Bounds {
        goes_back: true,
        commits: 2,
        ..TWO
    });
    println!("{worlds} worlds");
}

#[test]
fn long_random_walks_keep_all_invariants() {
    let seed = std::env::var("WALLAROO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(20_261_122);
    println!("WALLAROO_SEED={seed}");
    let bounds = Bounds {
        processes: 4,
        openings: 60,
        commits: 120,
        unclear: 60,
        trims: 40,
        records: 500,
        ..TWO
    };
    for walked in 0..40 {
        if let Err(found) = walk(&World::new(bounds), seed + walked, 2_000) {
            panic!("seed {}: {found}", seed + walked);
        }
    }
}

#[test]
fn without_the_fence_check_the_checker_finds_an_owner_behind_a_later_fence() {
    let what = violation(Bounds {
        mutation: Mutation::PassesFences,
        ..TWO
    });
    assert!(what.contains("as its last record"), "{what}");
}

#[test]
fn without_nonces_of_its_own_the_checker_finds_two_owners() {
    let what = violation(Bounds {
        mutation: Mutation::SameNonce,
        ..TWO
    });
    assert!(what.contains("two processes own generation"), "{what}");
}

#[test]
fn without_a_look_at_what_is_above_the_checker_finds_a_lost_commit() {
    let what = violation(Bounds {
        mutation: Mutation::TrustsFreeNumbers,
        ..TWO
    });
    assert!(what.contains("another record has its number"), "{what}");
}

/// Two sleepers make each the record that the other looks for: why the rule is about what is above, not about the predecessor.
#[test]
fn with_a_look_at_the_predecessor_only_the_checker_finds_a_lost_commit() {
    let what = violation(Bounds {
        mutation: Mutation::LooksAtPredecessor,
        ..THREE
    });
    assert!(what.contains("another record has its number"), "{what}");
}

#[test]
fn without_settling_an_unclear_record_first_the_checker_finds_two_commits_of_one_epoch() {
    let what = violation(Bounds {
        mutation: Mutation::ForgetsUnclear,
        ..TWO
    });
    assert!(what.contains("another record has its number"), "{what}");
}
