//! What computations return: nothing, one message, or many.
//!
//! **Invariants.** Messages are passed on in the order in which they are returned or emitted. An error leaves
//! none of the call's messages.

use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

use crate::message::Message;

/// The type of messages of a stage that makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nothing {}

/// Takes the messages that a call makes.
pub struct Emitter<'a, O> {
    pub(crate) messages: &'a mut Vec<O>,
    pub(crate) origin: &'a mut Vec<u32>,
    pub(crate) index: u32,
}

impl<O> Emitter<'_, O> {
    /// Passes a message on.
    #[inline]
    pub fn emit(&mut self, message: O) {
        self.messages.push(message);
        self.origin.push(self.index);
    }
}

impl<O> fmt::Debug for Emitter<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}

/// Why a computation failed, in any type of error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a computation that makes messages of type `O` can return.
#[diagnostic::on_unimplemented(
    message = "a computation cannot return `{Self}`",
    label = "its computation returns neither `Option`, `Vec` nor `()`",
    note = "return `Option<M>` for at most one message, `Vec<M>` for many, `()` for none, or a `Result` of these"
)]
pub trait Emit<O> {
    /// Passes the messages on.
    ///
    /// # Errors
    /// The computation's own error.
    fn emit(self, into: &mut Emitter<'_, O>) -> Result<(), BoxError>;
}

/// What a computation can return: `Option<M>`, `Vec<M>`, `()`, or a `Result` of these.
#[diagnostic::on_unimplemented(
    message = "a computation cannot return `{Self}`",
    label = "its computation returns neither `Option`, `Vec` nor `()`",
    note = "return `Option<M>` for at most one message, `Vec<M>` for many, `()` for none, or a `Result` of these"
)]
pub trait Output: Emit<Self::Message> {
    /// The type of its messages.
    type Message: Message;
}

impl<O> Emit<O> for () {
    #[inline]
    fn emit(self, _: &mut Emitter<'_, O>) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Output for () {
    type Message = Nothing;
}

impl<O> Emit<O> for Option<O> {
    #[inline]
    fn emit(self, into: &mut Emitter<'_, O>) -> Result<(), BoxError> {
        if let Some(message) = self {
            into.emit(message);
        }
        Ok(())
    }
}

impl<O: Message> Output for Option<O> {
    type Message = O;
}

impl<O> Emit<O> for Vec<O> {
    #[inline]
    fn emit(self, into: &mut Emitter<'_, O>) -> Result<(), BoxError> {
        self.into_iter().for_each(|message| into.emit(message));
        Ok(())
    }
}

impl<O: Message> Output for Vec<O> {
    type Message = O;
}

impl<O, R: Emit<O>, E: Into<BoxError>> Emit<O> for Result<R, E> {
    #[inline]
    fn emit(self, into: &mut Emitter<'_, O>) -> Result<(), BoxError> {
        self.map_err(Into::into)?.emit(into)
    }
}

impl<R: Output, E: Into<BoxError>> Output for Result<R, E> {
    type Message = R::Message;
}
