//! Which epochs have ended: puts together what the operators of all workers say.
//!
//! **Invariants.** Every operator on every worker says when it has done with an epoch: a source when it reads
//! nothing more in it, a region when all of it has had its effect and has been reported, a sink when all of
//! it has been delivered. An epoch has ended when all have said so. Ended epochs are reported one by one, in
//! ascending order, without gaps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::control::Epoch;
use crate::generation::unpoisoned;
use crate::listener::{EpochListener, SourcePosition};

/// Follows the epochs of one generation.
pub(crate) struct Epochs {
    listener: Arc<dyn EpochListener>,
    progress: Mutex<Progress>,
}

struct Progress {
    /// By operator, over all workers: the first epoch with which it has not done; none when nothing will come.
    open: Vec<Option<Epoch>>,
    /// The first epoch that has not been reported.
    next: Epoch,
    /// By partition: where it stands at the end of an epoch, and of those after it up to the next entry.
    positions: Vec<BTreeMap<Epoch, SourcePosition>>,
}

impl Epochs {
    pub(crate) fn new(
        listener: Arc<dyn EpochListener>,
        operators: usize,
        partitions: usize,
        start: Epoch,
    ) -> Self {
        Epochs {
            listener,
            progress: Mutex::new(Progress {
                open: vec![Some(start); operators],
                next: start,
                positions: vec![BTreeMap::new(); partitions],
            }),
        }
    }

    /// Who is told.
    pub(crate) fn listener(&self) -> &dyn EpochListener {
        self.listener.as_ref()
    }

    /// A partition stands here at the end of `epoch`, and of later ones until it says otherwise.
    pub(crate) fn stands_at(&self, epoch: Epoch, partition: usize, position: SourcePosition) {
        unpoisoned(&self.progress).positions[partition].insert(epoch, position);
    }

    /// An operator has done with all epochs before `open`; with all there can be if there is none.
    pub(crate) fn done_before(&self, operator: usize, open: Option<Epoch>) {
        let mut progress = unpoisoned(&self.progress);
        progress.open[operator] = open;
        // Once all have finished, the end of the generation says which epoch was the last.
        if let Some(earliest) = progress.open.iter().flatten().min().copied() {
            self.report(&mut progress, earliest);
        }
    }

    /// All epochs up to `last` have ended, with the generation.
    pub(crate) fn end(&self, last: Epoch) {
        self.report(&mut unpoisoned(&self.progress), Epoch(last.0 + 1));
    }

    /// Reports the epochs before `until`. The lock is held meanwhile, so that they come in order.
    fn report(&self, progress: &mut Progress, until: Epoch) {
        while progress.next < until {
            let epoch = progress.next;
            let positions = progress.positions.iter_mut().filter_map(|known| {
                let (at, position) = known.range(..=epoch).next_back()?;
                let (at, position) = (*at, position.clone());
                // Earlier ones are not asked for again.
                *known = known.split_off(&at);
                Some(position)
            });
            let positions = positions.collect();
            self.listener.epoch_ended(epoch, positions);
            progress.next = Epoch(epoch.0 + 1);
        }
    }
}
