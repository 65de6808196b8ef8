//! [`Assignment`]: which worker owns which key group.
//!
//! A new application gets contiguous ranges. A rescale moves as few groups as an even load allows; the ranges then
//! break into pieces, because keeping them whole would move most groups (from 3 to 4 workers: half of them instead of
//! a quarter). What reads a worker's groups from a store reads a few ranges more.
//!
//! **Invariants**
//! - Every group has exactly one owner, below the number of workers.
//! - Loads (groups per worker) differ by at most 1; with more workers than groups, some own none.
//! - A function of its inputs alone: every process computes the same assignment.

use std::fmt;
use std::num::NonZeroUsize;

use wallaroo_core::key::{KeyGroup, KeyGroupCount};

/// One worker of the application, counted through all processes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerIndex(pub usize);

impl fmt::Display for WorkerIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which worker owns which key group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    workers: NonZeroUsize,
    /// By key group. 16 bits, because no more workers than groups own any: 2 KiB for 1,024 groups.
    owners: Box<[u16]>,
}

/// A key group that changes its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// The group.
    pub group: KeyGroup,
    /// Its owner before.
    pub from: WorkerIndex,
    /// Its owner after.
    pub to: WorkerIndex,
}

impl Assignment {
    /// Contiguous ranges of groups, in the order of the workers.
    #[must_use]
    pub fn even(groups: KeyGroupCount, workers: NonZeroUsize) -> Self {
        let count = usize::from(groups.get());
        let owning = workers.get().min(count);
        let owners = groups
            .groups()
            .map(|group| number(group.index() * owning / count))
            .collect();
        Self { workers, owners }
    }

    /// The worker that owns a group.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline]
    #[must_use]
    pub fn owner(&self, group: KeyGroup) -> WorkerIndex {
        WorkerIndex(usize::from(self.owners[group.index()]))
    }

    /// The number of workers, including those that own no group.
    #[must_use]
    pub fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    /// The groups a worker owns, in ascending order.
    #[must_use]
    pub fn groups_of(&self, worker: WorkerIndex) -> Vec<KeyGroup> {
        self.iter()
            .filter(|(_, owner)| *owner == worker)
            .map(|(group, _)| group)
            .collect()
    }

    /// All groups in ascending order, with their owners.
    pub fn iter(&self) -> impl Iterator<Item = (KeyGroup, WorkerIndex)> {
        (0..).map(KeyGroup).zip(
            self.owners
                .iter()
                .map(|owner| WorkerIndex(usize::from(*owner))),
        )
    }

    /// The assignment to another number of workers: even, and with as few moves as that takes.
    ///
    /// Workers keep their index; with fewer workers, the highest indices go.
    #[must_use]
    pub fn rescale(&self, workers: NonZeroUsize) -> Self {
        let targets = self.targets(workers);
        let mut loads = vec![0; workers.get()];
        let mut owners = self.owners.clone();
        let mut homeless = Vec::new();
        for (group, owner) in self.iter() {
            match targets.get(owner.0) {
                Some(target) if loads[owner.0] < *target => loads[owner.0] += 1,
                Some(_) | None => homeless.push(group),
            }
        }
        let mut homeless = homeless.into_iter();
        for (worker, (load, target)) in loads.into_iter().zip(targets).enumerate() {
            for group in homeless.by_ref().take(target - load) {
                owners[group.index()] = number(worker);
            }
        }
        debug_assert!(
            homeless.next().is_none(),
            "the targets sum up to all groups"
        );
        Self { workers, owners }
    }

    /// The groups whose owner differs in `other`, in ascending order.
    ///
    /// # Panics
    /// If `other` has another number of groups.
    #[must_use]
    pub fn moves(&self, other: &Self) -> Vec<Move> {
        assert_eq!(
            self.owners.len(),
            other.owners.len(),
            "the number of groups never changes"
        );
        self.iter()
            .zip(other.iter())
            .filter(|((_, from), (_, to))| from != to)
            .map(|((group, from), (_, to))| Move { group, from, to })
            .collect()
    }

    /// How many groups each of `workers` workers shall own. Who owns most gets the larger shares, which saves moves.
    fn targets(&self, workers: NonZeroUsize) -> Vec<usize> {
        let mut loads = vec![0_usize; workers.get()];
        for (_, owner) in self.iter() {
            if let Some(load) = loads.get_mut(owner.0) {
                *load += 1;
            }
        }
        let mut by_load: Vec<usize> = (0..workers.get()).collect();
        by_load.sort_by_key(|worker| (std::cmp::Reverse(loads[*worker]), *worker));
        let (share, larger) = (self.owners.len() / workers, self.owners.len() % workers);
        let mut targets = vec![share; workers.get()];
        for worker in by_load.into_iter().take(larger) {
            targets[worker] += 1;
        }
        targets
    }
}

fn number(worker: usize) -> u16 {
    u16::try_from(worker).expect("only as many workers as groups own any")
}

#[cfg(test)]
mod tests;
