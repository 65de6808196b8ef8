//! A process that can die, and the moments at which it does.
//!
//! **Invariants.** What a dead process tries has no effect.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_engine::Random;

/// Where a process may die. The numbers are those of the table in docs/reliability.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// 1: frames of a sender are taken, and not in the input log.
    Taken,
    /// 2: they are in the input log, on the disk, and the sender is not told.
    Acknowledging,
    /// 3: a block of the input log is partly written.
    Logging,
    /// 3: with the power the end of an input log is lost.
    Torn,
    /// 4: messages are handled, the epoch is open.
    Reading,
    /// 5: a segment is partly written.
    WritingSegment,
    /// 6: a segment is written, nobody knows it.
    WroteSegment,
    /// 7: some workers have reported an epoch, others have not.
    Reporting,
    /// 8: before the commit is appended.
    WritingOutbox,
    /// 9: while the commit is appended; whether it is there is not known.
    Committing,
    /// 10: after the commit, before anything is published.
    Publishing,
    /// 11: an outbox is partly published.
    Published,
    /// 12: published, and not recorded.
    Recording,
    /// 14: while recovering, before the fence is made, with it, and behind it.
    Recovering,
    /// 15 and 17: it sleeps while another process takes over, and wakes.
    Sleeping,
    /// 18: while segments are merged.
    Merging,
    /// 19: while what nobody needs is deleted.
    Deleting,
    /// 20: with its death the power fails.
    PowerLoss,
    /// 21: the store cannot be reached for a while.
    Unreachable,
    /// 22: there is no space left for a while.
    Full,
    /// 23: an application that does not fit the store is started.
    Misfit,
    /// 24: a source fails, and the process goes on from its last commit.
    SourceFails,
    /// 25: a sink fails, likewise.
    SinkFails,
    /// 26: a worker panics, likewise.
    WorkerPanics,
    /// 27: an epoch ends while the store has not answered for an earlier one.
    Slow,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 25] = [
        Moment::Taken,
        Moment::Acknowledging,
        Moment::Logging,
        Moment::Torn,
        Moment::Reading,
        Moment::WritingSegment,
        Moment::WroteSegment,
        Moment::Reporting,
        Moment::WritingOutbox,
        Moment::Committing,
        Moment::Publishing,
        Moment::Published,
        Moment::Recording,
        Moment::Recovering,
        Moment::Sleeping,
        Moment::Merging,
        Moment::Deleting,
        Moment::PowerLoss,
        Moment::Unreachable,
        Moment::Full,
        Moment::Misfit,
        Moment::SourceFails,
        Moment::SinkFails,
        Moment::WorkerPanics,
        Moment::Slow,
    ];
    /// Where a process may be made to die; more often where few processes come to.
    pub const DEATHS: [Moment; 60] = [
        Moment::Reading,
        Moment::Reading,
        Moment::Reading,
        Moment::WritingSegment,
        Moment::WritingSegment,
        Moment::WritingSegment,
        Moment::WroteSegment,
        Moment::WroteSegment,
        Moment::WroteSegment,
        Moment::Reporting,
        Moment::Reporting,
        Moment::Reporting,
        Moment::WritingSegment,
        Moment::WroteSegment,
        Moment::WritingOutbox,
        Moment::WritingOutbox,
        Moment::WritingOutbox,
        Moment::WritingOutbox,
        Moment::WritingOutbox,
        Moment::Reporting,
        Moment::Reporting,
        Moment::Committing,
        Moment::Committing,
        Moment::Committing,
        Moment::Committing,
        Moment::Committing,
        Moment::Publishing,
        Moment::Publishing,
        Moment::Publishing,
        Moment::Published,
        Moment::Published,
        Moment::Published,
        Moment::Recording,
        Moment::Recording,
        Moment::Recording,
        Moment::Recording,
        Moment::Recovering,
        Moment::Recovering,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Merging,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
        Moment::Deleting,
    ];
    /// Where a process may die if it has input logs.
    pub const LOG_DEATHS: [Moment; 3] = [Moment::Taken, Moment::Logging, Moment::Acknowledging];
    /// Where a process may sleep.
    pub const SLEEPS: [Moment; 6] = [
        Moment::WritingSegment,
        Moment::WritingOutbox,
        Moment::Committing,
        Moment::Publishing,
        Moment::Recording,
        Moment::Deleting,
    ];
}

/// How often each moment was met.
pub type Moments = BTreeMap<Moment, u64>;

/// What is to happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// At which moment,
    pub moment: Moment,
    /// how often met before,
    pub after: usize,
    /// and whether it sleeps instead of dying.
    pub sleeps: bool,
}

impl Fate {
    /// Any fate of a process that may sleep, or has input logs.
    #[must_use]
    pub fn random(random: &mut Random, may_sleep: bool, has_logs: bool) -> Self {
        let sleeps = may_sleep && random.one_in(6);
        let of_logs = has_logs && random.one_in(2);
        let moments: &[Moment] = match (sleeps, of_logs) {
            (true, _) => &Moment::SLEEPS,
            (false, true) => &Moment::LOG_DEATHS,
            (false, false) => &Moment::DEATHS,
        };
        let moment = moments[random.below(moments.len())];
        // Often met in every process, or rarely.
        let most = match moment {
            Moment::Reading | Moment::Recovering | Moment::Taken | Moment::Logging => 6,
            Moment::Reporting => 8,
            Moment::WroteSegment | Moment::Merging | Moment::Deleting => 1,
            _ => 2,
        };
        Fate {
            moment,
            after: random.below(most),
            sleeps,
        }
    }
}

/// What happens while a process sleeps: true when another has taken over.
pub type Sleep = Box<dyn Fn() -> bool + Send + Sync>;

/// A process.
pub struct Process {
    /// Number of the process, from 0.
    pub number: u64,
    dead: AtomicBool,
    /// Whether it has slept while another took over.
    slept: AtomicBool,
    /// Whether another has tried to take over in vain, as far as it knew: what it had asked of a slow store may still happen.
    has_rival: AtomicBool,
    fate: Mutex<(Option<Fate>, Random)>,
    /// Whether parts of it fail.
    is_weak: bool,
    sleep: Option<Sleep>,
    met: Arc<Mutex<Moments>>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("number", &self.number)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// One to whom nothing happens.
    #[must_use]
    pub fn nobody() -> Self {
        Process::new(0, None, Random::new(0), false, None, Arc::default())
    }

    /// A process with a fate.
    #[must_use]
    pub fn new(
        number: u64,
        fate: Option<Fate>,
        random: Random,
        is_weak: bool,
        sleep: Option<Sleep>,
        met: Arc<Mutex<Moments>>,
    ) -> Self {
        Process {
            number,
            dead: AtomicBool::new(false),
            slept: AtomicBool::new(false),
            has_rival: AtomicBool::new(false),
            fate: Mutex::new((fate, random)),
            is_weak,
            sleep,
            met,
        }
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether another has taken over.
    #[must_use]
    pub fn has_slept(&self) -> bool {
        self.slept.load(Ordering::SeqCst)
    }

    /// Whether another may still take over, which has given up.
    #[must_use]
    pub fn has_rival(&self) -> bool {
        self.has_rival.load(Ordering::SeqCst)
    }

    /// Kills it.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// A moment is there: true when the process is to die with it. It may sleep meanwhile.
    #[must_use]
    pub fn meets(&self, moment: Moment) -> bool {
        if self.is_dead() {
            return false;
        }
        let mut fate = self.fate();
        let Some(due) = fate.0.as_mut().filter(|fate| fate.moment == moment) else {
            return false;
        };
        if due.after > 0 {
            due.after -= 1;
            return false;
        }
        let sleeps = due.sleeps;
        fate.0 = None;
        drop(fate);
        match &self.sleep {
            Some(sleep) if sleeps => {
                if sleep() {
                    self.note(Moment::Sleeping);
                    self.slept.store(true, Ordering::SeqCst);
                } else {
                    self.has_rival.store(true, Ordering::SeqCst);
                }
                false
            }
            _ => {
                self.note(moment);
                true
            }
        }
    }

    /// Whether a part of it fails now, and all workers are lost.
    #[must_use]
    pub fn loses(&self, moment: Moment) -> bool {
        let loses = self.is_weak && !self.is_dead() && self.one_in(30);
        if loses {
            self.note(moment);
        }
        loses
    }

    /// Counts a moment.
    pub fn note(&self, moment: Moment) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(moment).or_default() += 1;
    }

    /// True once in so many times.
    #[must_use]
    pub fn one_in(&self, times: usize) -> bool {
        self.fate().1.one_in(times)
    }

    /// A number below `bound`.
    #[must_use]
    pub fn below(&self, bound: usize) -> usize {
        self.fate().1.below(bound)
    }

    fn fate(&self) -> MutexGuard<'_, (Option<Fate>, Random)> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
