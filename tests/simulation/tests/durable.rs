//! Random applications with a store, whose processes die: state and published output are there exactly once.

use wallaroo::testing::seeds;
use wallaroo_engine::Random;
use wallaroo_simulation::case::Extras;
use wallaroo_simulation::durable::process::Moment;
use wallaroo_simulation::durable::{Life, Moments};
use wallaroo_simulation::topology::Topology;
use wallaroo_simulation::{Case};

/// So many lives in the normal tests.
const LIVES: u64 = 500;

/// A small case.
fn small(mut case: Case) -> Case {
    for records in case.records.values_mut().flatten() {
        records.truncate(25);
    }
    case
}

fn random_case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let extras = Extras { rescales: random.one_in(4), epochs: random.one_in(3) };
    let topology = Topology::random(&mut random);
    small(Case::of(seed, topology, extras, &mut random))
}

fn live(case: Case) -> Moments {
    let seed = case.seed;
    let topology = case.topology.clone();
    let life = std::panic::catch_unwind(|| Life::new(case).live());
    life.unwrap_or_else(|_| panic!("in a life with WALLAROO_SEED={seed}\n{topology:?}"))
}

#[test]
fn everything_has_its_effect_once_whenever_processes_die() {
    let mut met = Moments::new();
    let mut lives = 0;
    for seed in seeds(LIVES) {
        lives += 1;
        for (moment, times) in live(random_case(seed)) {
            *met.entry(moment).or_default() += times;
        }
    }
    println!("{lives} lives: {met:?}");
    if lives < LIVES {
        return;
    }
    for moment in Moment::ALL {
        let times = met.get(&moment).copied().unwrap_or(0);
        assert!(times >= 50, "{moment:?} was met {times} times in {lives} lives: {met:?}");
    }
}
