//! The time that handlers see: one for all messages of a batch, in all stages between two exchanges, whatever the clock does
//! meanwhile.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::testing::{START, program, seeds};
use wallaroo::{
    App, ConnectorError, Context, Intake, Position, Read, Reader, Source, State, Waker, memory,
    source,
};
use wallaroo_core::SimulatedClock;
use wallaroo_engine::{Options, Outcome, Run, Simulation};

const BATCHES: u64 = 3;
const BATCH: u64 = 4;

/// Gives the numbers of one batch in each call.
struct Batches(u64);

impl Source<u64> for Batches {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["batches".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        Ok(Box::new(Batches(0)))
    }
}

impl Reader<u64> for Batches {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        if self.0 == BATCHES {
            return Ok(Read::End);
        }
        intake.extend(self.0 * BATCH..(self.0 + 1) * BATCH);
        self.0 += 1;
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.0)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Nothing;

/// For each number the times that the first and the second stage saw. The first lets a second pass with every message.
fn times(seed: u64) -> Vec<(u64, u64, u64)> {
    let clock = SimulatedClock::starting_at(START);
    let moved = clock.clone();
    let seen = memory::<(u64, u64, u64)>();
    let pipeline = source("numbers", Batches(0))
        .collect()
        .to_state_with(
            &State::<Nothing>::new("first"),
            move |_: &mut Nothing, number: &u64, context: &mut Context<'_, (u64, u64)>| {
                moved.advance(Duration::from_secs(1));
                Some((*number, context.now().0))
            },
        )
        .to_state_with(
            &State::<Nothing>::new("second"),
            |_: &mut Nothing,
             (number, first): &(u64, u64),
             context: &mut Context<'_, (u64, u64, u64)>| {
                Some((*number, *first, context.now().0))
            },
        )
        .to_sink("seen", seen.clone());
    let options = Options {
        workers: NonZeroUsize::MIN,
        clock: Arc::new(clock),
        simulation: Some(Simulation {
            seed,
            epoch_every: None,
        }),
        ..Options::default()
    };
    let app = App::new("times").add(pipeline);
    let run = Run::start(program(&app), options).expect("nothing is wrong outside");
    assert!(matches!(run.wait(), Outcome::Completed));
    drop(run);
    seen.take()
}

#[test]
fn a_batch_has_one_time_in_all_its_stages() {
    let at = |seconds: u64| START.0 + seconds * 1_000_000_000;
    for seed in seeds(20) {
        let expected: Vec<_> = (0..BATCHES * BATCH)
            .map(|number| {
                (
                    number,
                    at(number / BATCH * BATCH),
                    at(number / BATCH * BATCH),
                )
            })
            .collect();
        assert_eq!(times(seed), expected, "WALLAROO_SEED={seed}");
    }
}
