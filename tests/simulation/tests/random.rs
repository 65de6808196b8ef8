//! Random applications against the model: sources with several partitions, merges, splits, shared states,
//! failures, slow sinks, little memory, other numbers of workers on the way.

use wallaroo::testing::seeds;
use wallaroo_simulation::case::Extras;
use wallaroo_simulation::{Case, Mode, check};

#[test]
fn random_applications_do_what_the_model_does_in_simulation() {
    for seed in seeds(250) {
        check(&Case::random(seed), Mode::Simulated);
    }
}

#[test]
fn random_applications_do_what_the_model_does_on_threads() {
    for seed in seeds(150) {
        check(&Case::random(seed), Mode::Threads);
    }
}

/// After each epoch the snapshots are what exactly the records before the reported positions make of them.
#[test]
fn an_epoch_holds_exactly_the_records_before_its_positions() {
    let extras = Extras {
        epochs: true,
        rescales: false,
    };
    for seed in seeds(100) {
        let mut case = Case::with(seed, extras);
        case.workers = case.workers.max(2);
        check(&case, Mode::Simulated);
    }
}

#[test]
fn nothing_is_lost_or_doubled_when_the_number_of_workers_changes() {
    let extras = Extras {
        epochs: true,
        rescales: true,
    };
    for seed in seeds(60) {
        let mode = if seed % 3 == 0 {
            Mode::Threads
        } else {
            Mode::Simulated
        };
        check(&Case::with(seed, extras), mode);
    }
}
