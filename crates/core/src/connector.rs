//! What sources and sinks share: their error and the way they wake a worker.
//!
//! **Invariants.** A connector never blocks a worker without a bound: what may wait runs on a thread of the
//! connector and wakes the worker when there is news.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::code::Code;

/// A source or sink could not do its work.
///
/// The text says what happened and, where it is known, what to do.
///
/// # Example
/// ```
/// use wallaroo_core::ConnectorError;
///
/// let error = ConnectorError::new("cannot read the queue \"ticks\"").with_help("check that the broker runs");
/// assert_eq!(error.to_string(), "cannot read the queue \"ticks\"; check that the broker runs");
/// ```
#[derive(Debug)]
pub struct ConnectorError {
    code: Option<Code>,
    message: String,
    help: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    is_exit: bool,
}

impl ConnectorError {
    /// An error with a text: a fact, lower case, no full stop.
    pub fn new(message: impl Into<String>) -> Self {
        ConnectorError {
            code: None,
            message: message.into(),
            help: None,
            cause: None,
            is_exit: false,
        }
    }

    /// The run ends with this error: no error policy passes it over, and it is not tried again. For languages in which a
    /// program asks for its end by an exception.
    #[must_use]
    pub fn as_exit(mut self) -> Self {
        self.is_exit = true;
        self
    }

    /// Whether the run ends with this error, whatever else is said.
    #[must_use]
    pub fn is_exit(&self) -> bool {
        self.is_exit
    }

    /// Adds what the reader should do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the error that led to this one.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the stable code from the table of errors.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// All of it: what happened, the errors that led to it, and what to do.
    #[must_use]
    pub fn full_text(&self) -> String {
        // The causes are of other crates, or the user's: their Display may panic.
        let causes = catch_unwind(AssertUnwindSafe(|| {
            let mut text = String::new();
            let mut cause = self.source();
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            text
        }));
        let mut text = self.message.clone();
        text.push_str(&causes.unwrap_or_else(|_| ": (no text: its Display panicked)".to_owned()));
        if let Some(help) = &self.help {
            text.push_str("; ");
            text.push_str(help);
        }
        text
    }

    /// The stable code, where the connector gave one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.code
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

impl StdError for ConnectorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for ConnectorError {
    fn from(error: std::io::Error) -> Self {
        ConnectorError::new("input or output failed").with_cause(error)
    }
}

/// Wakes the worker that owns a source or sink partition, from any thread.
///
/// Waking is cheap and may be done too often; a wake-up before the worker sleeps is not lost.
#[derive(Clone)]
pub struct Waker {
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Waker {
            wake: Arc::new(wake),
        }
    }

    /// A waker that does nothing, for tests of a reader or writer alone.
    #[must_use]
    pub fn disconnected() -> Self {
        Waker::new(|| ())
    }

    /// Wakes the worker.
    pub fn wake(&self) {
        (self.wake)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
