//! What can go wrong with an application as a whole.
//!
//! **Invariants.** Every error has a kind that says what to do, a stable code, and a text that is complete by
//! itself.

use std::fmt;

use wallaroo_core::{Code, PlanError};
use wallaroo_engine::{Failure, StartError};

/// What the reader of an error must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Change the program or its options; nothing has run.
    Invalid,
    /// Look at the world outside (a file, a port, a connection), then start again.
    Unavailable,
    /// Look at the input: a record is not what it should be.
    Data,
    /// Your code failed; the text names stage, key, source position and message.
    User,
    /// The application has already stopped.
    Closed,
    /// Report it: Wallaroo is wrong.
    Bug,
}

/// An application could not start, or ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    code: Code,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: Code, text: impl Into<String>) -> Self {
        Error {
            kind,
            code,
            text: text.into(),
        }
    }

    /// The same error with something added to its text.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.text.push_str("; ");
        self.text.push_str(note);
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, as in the page of error codes.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Error {}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        Error::new(ErrorKind::Invalid, error.code(), error.to_string())
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Plan(_) | StartError::PanicAbort => ErrorKind::Invalid,
            StartError::Panic { .. } => ErrorKind::User,
            StartError::Source { .. } | StartError::Sink { .. } | StartError::Thread(_) => {
                ErrorKind::Unavailable
            }
        };
        Error::new(kind, error.code(), error.to_string())
    }
}

impl From<&Failure> for Error {
    fn from(failure: &Failure) -> Self {
        let kind = match failure {
            Failure::User { .. }
            | Failure::Encode { .. }
            | Failure::Panic { .. }
            | Failure::Value { .. }
            | Failure::State { .. } => ErrorKind::User,
            Failure::Load { code, .. } if *code == Code::StoreObject => ErrorKind::User,
            Failure::Load { code, .. } if *code == Code::StoreAccess => ErrorKind::Unavailable,
            Failure::Load { .. } | Failure::Decode { .. } => ErrorKind::Data,
            Failure::Source { .. }
            | Failure::Sink { .. }
            | Failure::Store { .. }
            | Failure::Undrained { .. }
            | Failure::Memory { .. }
            | Failure::Resources { .. } => ErrorKind::Unavailable,
            Failure::Bug { .. } => ErrorKind::Bug,
        };
        Error::new(kind, failure.code(), failure.to_string())
    }
}
