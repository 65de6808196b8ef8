//! The 84 sequences of one to three stages, each with or without state and with or without a `key_by`.

use wallaroo::testing::seeds;
use wallaroo_engine::Random;
use wallaroo_simulation::case::Extras;
use wallaroo_simulation::topology::Topology;
use wallaroo_simulation::{Case, Mode, check};

/// The case of a seed: the seeds go round the sequences, and with each round there is another number of workers.
fn case(seed: u64) -> Case {
    let shapes = Topology::shapes();
    assert_eq!(shapes.len(), 84);
    let mut random = Random::new(seed);
    let shape = &shapes[(seed % 84) as usize];
    let topology = Topology::sequence(shape, &mut random);
    let mut case = Case::of(seed, topology, Extras::default(), &mut random);
    case.workers = 1 + (seed / 84 % 4) as usize;
    case
}

#[test]
fn all_84_sequences_do_what_the_model_does_in_simulation() {
    seeds(4 * 84).for_each(|seed| check(&case(seed), Mode::Simulated));
}

#[test]
fn all_84_sequences_do_what_the_model_does_on_threads() {
    seeds(4 * 84).for_each(|seed| check(&case(seed), Mode::Threads));
}
