//! Random applications against the model.

use wallaroo::testing::seeds;
use wallaroo_simulation::{Case, Mode, check};

#[test]
fn random_applications_do_what_the_model_does_in_simulation() {
    for seed in seeds(400) {
        check(&Case::random(seed), Mode::Simulated);
    }
}

#[test]
fn random_applications_do_what_the_model_does_on_threads() {
    for seed in seeds(200) {
        check(&Case::random(seed), Mode::Threads);
    }
}
