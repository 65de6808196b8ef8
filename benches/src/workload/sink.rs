//! The sink of Wallaroo's side: one accumulator per worker, as each thread of a hand-written program has.

use std::sync::{Arc, Mutex, PoisonError};

use wallaroo::{ConnectorError, Sink, Waker, Write, Writer};

use crate::workload::Update;

/// Makes an accumulator for each worker and collects them when the application has ended.
pub(crate) struct PerWorker<A> {
    make: Arc<dyn Fn() -> A + Send + Sync>,
    add: fn(&mut A, &[Update]),
    collected: Arc<Mutex<Vec<A>>>,
}

impl<A> PerWorker<A> {
    pub(crate) fn new(
        make: impl Fn() -> A + Send + Sync + 'static,
        add: fn(&mut A, &[Update]),
    ) -> Self {
        Self {
            make: Arc::new(make),
            add,
            collected: Arc::default(),
        }
    }

    /// Another handle of the same sink.
    pub(crate) fn handle(&self) -> Self {
        Self {
            make: Arc::clone(&self.make),
            add: self.add,
            collected: Arc::clone(&self.collected),
        }
    }

    /// The accumulators of all workers; complete once the application has ended.
    pub(crate) fn take(&self) -> Vec<A> {
        std::mem::take(
            &mut self
                .collected
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl<A: Send + 'static> Sink<Vec<Update>> for PerWorker<A> {
    fn open(&mut self, _waker: &Waker) -> Result<Box<dyn Writer<Vec<Update>>>, ConnectorError> {
        Ok(Box::new(One {
            accumulated: Some((self.make)()),
            add: self.add,
            collected: Arc::clone(&self.collected),
        }))
    }

    fn per_worker(&self) -> bool {
        true
    }
}

struct One<A> {
    accumulated: Option<A>,
    add: fn(&mut A, &[Update]),
    collected: Arc<Mutex<Vec<A>>>,
}

impl<A: Send> Writer<Vec<Update>> for One<A> {
    fn write(&mut self, messages: &mut Vec<Update>) -> Result<Write, ConnectorError> {
        if let Some(accumulated) = &mut self.accumulated {
            (self.add)(accumulated, messages);
        }
        messages.clear();
        Ok(Write::Done)
    }
}

impl<A> Drop for One<A> {
    fn drop(&mut self) {
        let mut collected = self
            .collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        collected.extend(self.accumulated.take());
    }
}
