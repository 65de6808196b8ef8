//! Computations, state computations, splits and encoders.
//!
//! **Invariants.** A stage returns when one of its outputs has reached the soft limit, after the message it
//! was working on.

use std::marker::PhantomData;
use std::sync::Arc;

use wallaroo_core::messages::downcast;
use wallaroo_core::{Encoder, Messages, Rows};
use wallaroo_engine::host::{
    Cause, Failed, Input, Outputs, Splitter, Stage, StateStage, StateView,
};

use super::as_json;
use crate::context::Context;
use crate::message::{Message, StateObject};
use crate::output::{Emit, Emitter};
use crate::state::Table;

/// A computation without state.
pub(crate) struct StageCode<T, O, R, F> {
    function: Arc<F>,
    types: PhantomData<fn(&T) -> (O, R)>,
}

impl<T, O, R, F> StageCode<T, O, R, F> {
    pub(crate) fn new(function: Arc<F>) -> Self {
        StageCode {
            function,
            types: PhantomData,
        }
    }
}

impl<T: Message, O: Message, R: Emit<O>, F: Fn(&T) -> R> Stage for StageCode<T, O, R, F> {
    fn data(&mut self, input: Input<'_>, outputs: &mut Outputs) -> Result<usize, Failed> {
        let soft_limit = outputs.soft_limit;
        let (messages, origin) = outputs.ports[0].typed::<Vec<O>>();
        let start = input.range.start;
        let end = input.range.end;
        for (index, message) in (start..end).zip(&downcast::<Vec<T>>(input.messages)[start..end]) {
            input.progress.set(index);
            let mut emitter = Emitter {
                messages,
                origin,
                index: index as u32,
            };
            (self.function)(message)
                .emit(&mut emitter)
                .map_err(|error| Failed {
                    index,
                    cause: Cause::Error(error),
                })?;
            if messages.len() >= soft_limit {
                return Ok(index + 1);
            }
        }
        Ok(end)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}

/// How many messages before its turn a state object is fetched.
const FETCH_AHEAD: usize = 8;

/// A state computation.
pub(crate) struct StateCode<T, O, S, R, F> {
    function: Arc<F>,
    types: PhantomData<fn(&T, &S) -> (O, R)>,
}

impl<T, O, S, R, F> StateCode<T, O, S, R, F> {
    pub(crate) fn new(function: Arc<F>) -> Self {
        StateCode {
            function,
            types: PhantomData,
        }
    }
}

impl<T: Message, O: Message, S: StateObject, R: Emit<O>, F: Fn(&mut S, &T) -> R> StateStage
    for StateCode<T, O, S, R, F>
{
    fn data(
        &mut self,
        input: Input<'_>,
        state: &mut StateView<'_>,
        outputs: &mut Outputs,
    ) -> Result<usize, Failed> {
        let soft_limit = outputs.soft_limit;
        let (messages, origin) = outputs.ports[0].typed::<Vec<O>>();
        messages.reserve(input.range.len());
        origin.reserve(input.range.len());
        let preserve = state.preserve;
        let StateView { objects, slots, .. } = state;
        let table = objects
            .as_any_mut()
            .downcast_mut::<Table<S>>()
            .expect("one state has objects of one type");
        let (start, end) = (input.range.start, input.range.end);
        let ahead = table.objects.worth_fetching(slots);
        let taken = downcast::<Vec<T>>(input.messages)[start..end]
            .iter()
            .zip(*slots);
        for (index, (message, slot)) in (start..end).zip(taken) {
            input.progress.set(index);
            if let Some(slot) = ahead.get(index - start + FETCH_AHEAD) {
                table.objects.prefetch(*slot);
            }
            if preserve {
                table.save(*slot).map_err(|error| Failed {
                    index,
                    cause: Cause::Error(error.into()),
                })?;
            }
            let mut emitter = Emitter {
                messages,
                origin,
                index: index as u32,
            };
            let returned = (self.function)(table.objects.get_mut(*slot), message);
            returned.emit(&mut emitter).map_err(|error| Failed {
                index,
                cause: Cause::Error(error),
            })?;
            if messages.len() >= soft_limit {
                return Ok(index + 1);
            }
        }
        Ok(end)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}

/// A state computation that takes a context.
pub(crate) struct ContextCode<T, O, S, R, F> {
    function: Arc<F>,
    types: PhantomData<fn(&T, &S) -> (O, R)>,
}

impl<T, O, S, R, F> ContextCode<T, O, S, R, F> {
    pub(crate) fn new(function: Arc<F>) -> Self {
        ContextCode {
            function,
            types: PhantomData,
        }
    }
}

impl<T, O, S, R, F> StateStage for ContextCode<T, O, S, R, F>
where
    T: Message,
    O: Message,
    S: StateObject,
    R: Emit<O>,
    F: Fn(&mut S, &T, &mut Context<'_, O>) -> R,
{
    fn data(
        &mut self,
        input: Input<'_>,
        state: &mut StateView<'_>,
        outputs: &mut Outputs,
    ) -> Result<usize, Failed> {
        let soft_limit = outputs.soft_limit;
        let (messages, origin) = outputs.ports[0].typed::<Vec<O>>();
        let preserve = state.preserve;
        let StateView {
            objects,
            slots,
            keys,
            forgotten,
            ..
        } = state;
        let table = objects
            .as_any_mut()
            .downcast_mut::<Table<S>>()
            .expect("one state has objects of one type");
        let (start, end) = (input.range.start, input.range.end);
        let ahead = table.objects.worth_fetching(slots);
        let taken = downcast::<Vec<T>>(input.messages)[start..end]
            .iter()
            .zip(*slots);
        for (index, (message, slot)) in (start..end).zip(taken) {
            input.progress.set(index);
            if let Some(slot) = ahead.get(index - start + FETCH_AHEAD) {
                table.objects.prefetch(*slot);
            }
            if preserve {
                table.save(*slot).map_err(|error| Failed {
                    index,
                    cause: Cause::Error(error.into()),
                })?;
            }
            let emitter = Emitter {
                messages,
                origin,
                index: index as u32,
            };
            let mut context = Context {
                keys,
                slot: *slot,
                now: input.now,
                emitter,
                forget: false,
            };
            let returned = (self.function)(table.objects.get_mut(*slot), message, &mut context);
            returned
                .emit(&mut context.emitter)
                .map_err(|error| Failed {
                    index,
                    cause: Cause::Error(error),
                })?;
            if context.forget {
                table.objects.reset(*slot);
                forgotten.push((*slot, index as u32));
            }
            if messages.len() >= soft_limit {
                return Ok(index + 1);
            }
        }
        Ok(end)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}

/// A `split`.
pub(crate) struct SplitCode<T, F> {
    predicate: Arc<F>,
    messages: PhantomData<fn(&T)>,
}

impl<T, F> SplitCode<T, F> {
    pub(crate) fn new(predicate: Arc<F>) -> Self {
        SplitCode {
            predicate,
            messages: PhantomData,
        }
    }
}

impl<T: Message, F: Fn(&T) -> bool> Splitter for SplitCode<T, F> {
    fn choose(&mut self, input: Input<'_>, choices: &mut Vec<u16>) -> Result<(), Failed> {
        let (start, end) = (input.range.start, input.range.end);
        for (index, message) in (start..end).zip(&downcast::<Vec<T>>(input.messages)[start..end]) {
            input.progress.set(index);
            choices.push(u16::from(!(self.predicate)(message)));
        }
        Ok(())
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}

/// An encoder in front of a sink of bytes.
pub(crate) struct EncodeCode<T> {
    pub(crate) encoder: Arc<dyn Encoder<T>>,
}

impl<T: serde::Serialize + Send + 'static> Stage for EncodeCode<T> {
    fn data(&mut self, input: Input<'_>, outputs: &mut Outputs) -> Result<usize, Failed> {
        let (rows, origin) = outputs.ports[0].typed::<Rows>();
        let (start, end) = (input.range.start, input.range.end);
        for (index, message) in (start..end).zip(&downcast::<Vec<T>>(input.messages)[start..end]) {
            input.progress.set(index);
            let encoded = rows.push_with(|bytes| self.encoder.encode(message, bytes));
            origin.push(index as u32);
            encoded.map_err(|error| Failed {
                index,
                cause: if error.is_exit() {
                    Cause::Exit(error.into())
                } else {
                    Cause::Error(error.into())
                },
            })?;
        }
        Ok(end)
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        as_json::<T>(messages, index)
    }
}
