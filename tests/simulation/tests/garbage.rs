//! What a run still has to read is not deleted.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wallaroo::testing::durable::{self, Place, Ready};
use wallaroo::{App, State, StoreOptions, generator, source, testing};
use wallaroo_core::{KeyGroup, SimulatedClock};
use wallaroo_engine::{
    EachObject, LoadError, Options, Outcome, Resume, Run, Simulation, StoredStates,
};
use wallaroo_store::Memory;

#[derive(Default, Serialize, Deserialize)]
struct Count {
    count: u64,
    /// Together more than what is read of a segment when it is opened.
    text: String,
}

fn ready(memory: &Memory, process: u64, numbers: u64) -> Ready {
    let counts = State::<Count>::new("counts");
    // Of another name in each process: one that has ended gives nothing more.
    let counted = source(
        format!("numbers {process}"),
        generator(1, move |last| (*last < numbers).then_some(last + 1)),
    )
    .key_by_value(|number: &u64| number % 50)
    .to_state(&counts, |count: &mut Count, _: &u64| {
        count.count += 1;
        count.text = "x".repeat(8_000);
    });
    let mut nonce = u128::from(process) << 64;
    let place = Place {
        storage: Arc::new(memory.clone()),
        input: None,
        clock: Box::new(|| 0),
        nonces: Box::new(move || {
            nonce += 1;
            nonce
        }),
        committed: Box::new(|_| {}),
        tries_again: Box::new(|_| true),
        merge_steps: Box::new(|| 1),
    };
    let options = wallaroo::Options::default();
    let store = StoreOptions::new("memory")
        .retain(1)
        .drop_source("numbers 1");
    let app = App::new("counts").add(counted.end());
    durable::open(&app, &options, &store, place).expect("it fits")
}

fn run(ready: Ready, resume: Resume, seed: u64) {
    let options = Options {
        workers: NonZeroUsize::MIN,
        clock: Arc::new(SimulatedClock::starting_at(testing::START)),
        listener: Some(ready.commits.listener()),
        resume: Some(resume),
        simulation: Some(Simulation {
            seed,
            epoch_every: Some(2),
        }),
        ..Options::default()
    };
    let run = Run::start(ready.program, options).expect("nothing is wrong outside");
    assert!(matches!(run.wait(), Outcome::Completed));
    assert_eq!(ready.commits.failure(), None);
}

/// Has nothing to load.
struct Nothing;

impl StoredStates for Nothing {
    fn groups(&self, _: &str) -> Vec<KeyGroup> {
        Vec::new()
    }

    fn load(&self, _: &str, _: KeyGroup, _: &mut EachObject<'_>) -> Result<(), LoadError> {
        Ok(())
    }
}

/// Key groups are loaded one after another, while new commits merge segments and delete what they do not name. What was to be
/// read from such a segment was gone.
#[test]
fn segments_are_kept_until_all_their_key_groups_are_loaded() {
    let memory = Memory::new();
    let first = ready(&memory, 1, 300);
    let resume = first.resume.clone();
    run(first, resume, 1);
    let second = ready(&memory, 2, 1_500);
    let states = Arc::clone(&second.resume.states);
    // A run that has not come to load anything yet, for as long as this takes.
    let resume = Resume {
        states: Arc::new(Nothing),
        ..second.resume.clone()
    };
    run(second, resume, 2);
    let mut found = 0;
    for group in states.groups("counts") {
        let loaded = states.load("counts", group, &mut |_, _| {
            found += 1;
            Ok(())
        });
        assert_eq!(loaded, Ok(()));
    }
    assert_eq!(found, 50);
}
