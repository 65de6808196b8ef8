//! A sink that forgets what it is given.
//!
//! **Invariants.** It is never full and never fails.

use wallaroo_core::{ConnectorError, Messages, Sink, Waker, Write, Writer};

/// Forgets every message: for measurements, and for pipelines whose effect is in their stages.
#[must_use]
pub fn discard() -> Discard {
    Discard
}

/// A sink that forgets; see [`discard`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl<M: Messages> Sink<M> for Discard {
    fn open(&mut self, _waker: &Waker) -> Result<Box<dyn Writer<M>>, ConnectorError> {
        Ok(Box::new(Discard))
    }
}

impl<M: Messages> Writer<M> for Discard {
    fn write(&mut self, messages: &mut M) -> Result<Write, ConnectorError> {
        messages.clear();
        Ok(Write::Done)
    }
}
