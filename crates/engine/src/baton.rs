//! Makes a run of several workers a function of a seed.
//!
//! Worker threads exist, but only the one that holds the baton runs; after each step it hands the baton to a
//! worker drawn from a seeded generator. Nothing else decides in what order things happen.
//!
//! **Invariants.** Exactly one worker runs between two calls of [`Baton::pass`]. The same seed draws the same
//! order. A worker that has left is never drawn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A small seeded generator of random numbers: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).expect("below a usize")
    }

    /// True once in `times` on average.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Debug)]
struct Turn {
    holder: usize,
    random: Random,
    present: Vec<bool>,
    arrived: usize,
}

/// Decides which of several workers runs.
#[derive(Debug)]
pub(crate) struct Baton {
    turn: Mutex<Turn>,
    changed: Condvar,
}

impl Baton {
    pub(crate) fn new(workers: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let holder = random.below(workers);
        Baton {
            turn: Mutex::new(Turn {
                holder,
                random,
                present: vec![true; workers],
                arrived: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until all workers have come and it is this one's turn.
    pub(crate) fn arrive(&self, me: usize) {
        let mut turn = self.lock();
        turn.arrived += 1;
        self.changed.notify_all();
        let everybody = |turn: &Turn| turn.arrived == turn.present.len();
        while !everybody(&turn) {
            turn = self
                .changed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(self.wait_for(turn, me));
    }

    /// Hands the baton on and waits until it comes back.
    pub(crate) fn pass(&self, me: usize) {
        let mut turn = self.lock();
        draw(&mut turn);
        self.changed.notify_all();
        drop(self.wait_for(turn, me));
    }

    /// Hands the baton on for good.
    pub(crate) fn leave(&self, me: usize) {
        let mut turn = self.lock();
        turn.present[me] = false;
        if turn.present.contains(&true) {
            draw(&mut turn);
        }
        self.changed.notify_all();
    }

    fn wait_for<'a>(&'a self, mut turn: MutexGuard<'a, Turn>, me: usize) -> MutexGuard<'a, Turn> {
        while turn.holder != me {
            turn = self
                .changed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        turn
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn draw(turn: &mut Turn) {
    loop {
        let drawn = turn.random.below(turn.present.len());
        if turn.present[drawn] {
            turn.holder = drawn;
            return;
        }
    }
}
