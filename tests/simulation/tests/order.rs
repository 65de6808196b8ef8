//! One seed, one run; and one thread at a time for one key.

use wallaroo::testing::seeds;
use wallaroo_engine::Random;
use wallaroo_simulation::case::Extras;
use wallaroo_simulation::input::{Item, Record};
use wallaroo_simulation::topology::{Failing, KeyKind, Makes, Node, Topology};
use wallaroo_simulation::{Case, Mode, Observed, check, run};

fn observed(case: &Case) -> Observed {
    run(case, Mode::Simulated).unwrap_or_else(|failure| panic!("seed {}: {failure}", case.seed))
}

#[test]
fn one_seed_gives_one_run() {
    for seed in seeds(40) {
        let case = Case::random(seed);
        let (first, second) = (observed(&case), observed(&case));
        assert!(
            first == second,
            "two runs differ; repeat it with WALLAROO_SEED={seed}"
        );
    }
}

#[test]
fn other_seeds_give_other_orders() {
    let mut differing = 0;
    for seed in 1..=30 {
        let mut case = Case::with(seed, Extras::default());
        case.workers = 3;
        let first = observed(&case);
        // The same application and records, in another order of steps.
        case.seed += 1_000_000;
        differing += usize::from(observed(&case).calls != first.calls);
    }
    assert!(differing >= 10, "only {differing} of 30 differ");
}

/// Two states, one of them shared by two stages, few keys, and many records from several sources.
fn contended(records: u64) -> Case {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Node::Source {
            partitions: 3,
            failing: Failing::Never,
        });
    }
    let key_by = |input| Node::KeyBy {
        input,
        kind: KeyKind::Integer,
        keys: 5,
        failing: false,
    };
    let state = |input, state| Node::State {
        input,
        state,
        makes: Makes::One,
        failing: Failing::Skip,
        forgets: true,
        kind: Some(KeyKind::Integer),
    };
    nodes.extend([
        key_by(0),
        key_by(1),
        state(2, 0),
        state(3, 0),
        key_by(4),
        state(6, 1),
    ]);
    for input in [5, 7] {
        nodes.push(Node::Sink {
            input,
            encoded: false,
            slow: false,
        });
    }
    let topology = Topology { nodes };
    let mut case = Case::of(1, topology, Extras::default(), &mut Random::new(1));
    for (source, partitions) in &mut case.records {
        for (partition, kept) in partitions.iter_mut().enumerate() {
            let record = |number| Record {
                item: Item::record(*source, partition, number, 1),
                rejected: false,
                before: None,
                idle: false,
            };
            *kept = (1..=records).map(record).collect();
        }
    }
    (case.workers, case.limit_bytes, case.key_groups) = (4, 1 << 20, 64);
    case
}

/// Every call notes that it is in its object, and fails when another one is.
#[test]
fn two_threads_are_never_in_one_state_object() {
    check(&contended(1500), Mode::Threads);
}

/// The object has been changed and an output emitted when a call fails.
#[test]
fn a_failing_call_leaves_the_object_as_it_was() {
    for by_clone in [false, true] {
        let mut case = contended(60);
        case.seed = if by_clone { 2 } else { 1 };
        check(&case, Mode::Simulated);
    }
}

/// A keyed stream whose parts meet again in one state, in a merge, or in both.
fn meeting(seed: u64) -> Topology {
    let mut nodes = vec![Node::Source {
        partitions: 2,
        failing: Failing::Never,
    }];
    let mut add = |node| {
        nodes.push(node);
        nodes.len() - 1
    };
    let key_by = |input| Node::KeyBy {
        input,
        kind: KeyKind::Integer,
        keys: 3,
        failing: false,
    };
    let stage = |input, makes| Node::Stage {
        input,
        makes,
        failing: Failing::Skip,
    };
    let state = |input, state, makes| Node::State {
        input,
        state,
        makes,
        failing: Failing::Skip,
        forgets: false,
        kind: Some(KeyKind::Integer),
    };
    let keyed = add(key_by(0));
    let half = |input, yes| Node::Half { input, yes };
    let (one, other) = match seed % 3 {
        // A split, one half of which is split again.
        0 => {
            let (yes, no) = (add(half(keyed, true)), add(half(keyed, false)));
            let (first, second) = (add(half(no, true)), add(half(no, false)));
            let first = add(stage(first, Makes::Two));
            let inputs = [second, first];
            (yes, add(Node::Merge { inputs }))
        }
        // A stream that is used twice.
        1 => (keyed, keyed),
        // The same, where one use takes the messages away.
        _ => {
            let (yes, no) = (add(half(keyed, true)), add(half(keyed, false)));
            let no = add(stage(no, Makes::Two));
            let inputs = [yes, no];
            (keyed, add(Node::Merge { inputs }))
        }
    };
    let one = add(state(one, 0, Makes::Two));
    let other = add(state(other, 0, Makes::One));
    let other = add(stage(other, Makes::Filtered));
    let inputs = [one, other];
    let merged = add(Node::Merge { inputs });
    add(Node::Sink {
        input: merged,
        encoded: seed.is_multiple_of(2),
        slow: seed.is_multiple_of(5),
    });
    Topology { nodes }
}

/// What a loop over the records would do, wherever the boundaries of batches are.
#[test]
fn parts_that_meet_again_keep_their_order() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let case = Case::of(seed, meeting(seed), Extras::default(), &mut random);
        check(&case, Mode::Simulated);
    }
}
