//! Waiting until what was sent to a source is committed.
//!
//! Messages of a channel are numbered as they are put in; its position is the number of the last one read. A message is
//! committed when a commit of this run has a position of its source that is not before its number.
//!
//! **Invariants.** Positions of an earlier run are not looked at: they count from its start. Who waits asks for nothing; the epoch
//! is asked for when the message is read ([`Committed::asking`]), so that it is in the epoch that ends.

use std::sync::Arc;
use std::task::{Context, Poll};

use wallaroo_core::Position;
use wallaroo_store::commit::SourcePosition;

use super::checkpoints::{REST, Shared, State};
use crate::connectors::Ask;

/// What is committed, for those who wait for it.
#[derive(Clone)]
pub(crate) struct Committed(Arc<Shared>);

impl Committed {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Committed(shared)
    }

    /// Lets an epoch begin when it is called.
    pub(crate) fn asking(&self) -> Ask {
        let shared = Arc::clone(&self.0);
        Arc::new(move || shared.ask())
    }

    /// Waits until a message of a channel is committed. False when the run ends before.
    pub(crate) fn wait_for(&self, source: &str, number: u64) -> bool {
        let mut state = self.0.state();
        loop {
            if let Some(answer) = answer(&state, source, number) {
                return answer;
            }
            state.waiting += 1;
            state = self.0.wait(state, REST);
            state.waiting -= 1;
        }
    }

    /// As [`Committed::wait_for`], for a task. `place` is its own.
    pub(crate) fn poll_for(
        &self,
        source: &str,
        number: u64,
        place: &mut Option<u64>,
        context: &Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.0.state();
        if let Some(answer) = answer(&state, source, number) {
            return Poll::Ready(answer);
        }
        let place = *place.get_or_insert_with(|| {
            state.next_task += 1;
            state.next_task
        });
        let before = state.tasks.insert(place, context.waker().clone());
        drop(state);
        // Of another program's executor: its drop is not ours to call under the lock.
        drop(before);
        Poll::Pending
    }

    /// A task waits no longer.
    pub(crate) fn leave(&self, place: u64) {
        let waker = self.0.state().tasks.remove(&place);
        drop(waker);
    }
}

/// Whether the message is committed; none while that is open.
fn answer(state: &State, source: &str, number: u64) -> Option<bool> {
    let of_source = state.positions.iter().filter(|of| of.source == source);
    let mut numbers = of_source.filter_map(last_number);
    if numbers.any(|last| last >= number) {
        return Some(true);
    }
    (state.ended || state.failed).then_some(false)
}

/// The number of the last message that a position of a channel covers, through its input log or without one.
fn last_number(stood: &SourcePosition) -> Option<u64> {
    let position = Position::of(&stood.position);
    super::within(&position).or_else(|| position.get().ok())
}
