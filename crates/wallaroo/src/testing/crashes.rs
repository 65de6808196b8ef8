//! Crashes in a test: all workers are lost with what they hold, and the run goes on from its last checkpoint.
//!
//! It is what an application with a store does when workers are lost, with a store in memory: objects are read back from
//! their stored form, sources go back, sinks are cut to what the checkpoint says they had taken.
//!
//! **Invariants.** Where a checkpoint is taken is drawn from the seed of the test. Only crashes of the test are recovered from:
//! any other failure ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wallaroo_engine::{Failure, Program, Recovery, Resume, Unresumed};
use wallaroo_store::Memory;

use super::capture::Observer;
use super::input::Script;
use crate::app::Options;
use crate::durable::{GoBack, Inline, InputPlace, Patience, Place, StoreOptions, open_in};
use crate::error::Error;

/// How many portions are read between two checkpoints, on average.
pub(super) const PORTIONS_PER_EPOCH: usize = 4;

/// What a test with crashes needs beside others.
pub(super) struct Crashes {
    resume: Resume,
    pub(super) commits: Arc<Inline>,
    back: GoBack,
}

impl Crashes {
    /// Opens a store in memory for a program, whose sources and sinks are those of a test.
    ///
    /// # Errors
    /// As the start of an application with a store.
    pub(super) fn prepare(program: &Program) -> Result<Self, Error> {
        let storage = Arc::new(Memory::new());
        let mut drawn = 0;
        let place = Place {
            storage: Arc::clone(&storage) as _,
            lock: None,
            input: InputPlace::Nowhere,
            clock: Box::new(|| super::START.0 / 1_000_000),
            nonces: Box::new(move || {
                drawn += 1;
                drawn
            }),
        };
        let with = StoreOptions::new("memory:");
        let opened = open_in(place, program, &BTreeMap::new(), &Options::default(), &with)?;
        let commits = Arc::new(Inline::new(opened.committer, Box::new(Patient)));
        let back = GoBack::new(
            Arc::clone(&commits) as _,
            program.clone(),
            storage,
            u32::MAX,
        );
        Ok(Crashes {
            resume: opened.resume,
            commits,
            back,
        })
    }

    /// What the run begins with, and what brings it back after a crash.
    pub(super) fn into_recovery(
        self,
        script: &Arc<Script>,
        observer: &Arc<Observer>,
    ) -> (Resume, Arc<dyn Recovery>) {
        let recovery = AfterCrash {
            back: self.back,
            script: Arc::clone(script),
            observer: Arc::clone(observer),
        };
        (self.resume, Arc::new(recovery))
    }
}

/// The store never fails, and segments are not merged.
struct Patient;

impl Patience for Patient {
    fn committed(&mut self, _: u64) {}

    fn tries_again(&mut self, _: &str) -> bool {
        true
    }

    fn merge_steps(&mut self) -> usize {
        0
    }
}

struct AfterCrash {
    back: GoBack,
    script: Arc<Script>,
    observer: Arc<Observer>,
}

impl Recovery for AfterCrash {
    fn pause(&self, failure: &Failure) -> Option<Duration> {
        if !self.script.has_crashed() {
            return None;
        }
        self.back.pause(failure).map(|_| Duration::ZERO)
    }

    fn resume(&self) -> Result<Resume, Unresumed> {
        let resume = self.back.resume();
        self.observer.forget_open();
        resume
    }
}
