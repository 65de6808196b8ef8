//! Why a record has no frame.
//!
//! **Invariants.** A fault is small and costs nothing until its text is asked for, since it stands beside
//! every frame in the hot loop.

use wallaroo_core::{Code, ConnectorError};

/// Why a record has no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connectors) enum Fault {
    /// A line is longer than the limit.
    LineTooLong { limit: usize },
    /// The stream ended within quotes.
    OpenQuote,
    /// The stream ended within a record, of which this many bytes came.
    Truncated { bytes: usize },
    /// A length is above the limit.
    FrameTooLong { length: u64, limit: usize },
}

impl Fault {
    /// The fault for people.
    pub(in crate::connectors) fn error(self) -> ConnectorError {
        let (code, text, help) = match self {
            Fault::LineTooLong { limit } => (
                Code::LineTooLong,
                format!("a line is longer than the limit of {limit} bytes"),
                "check that the input is made of lines and that its quotes are closed, or raise max_line_bytes",
            ),
            Fault::OpenQuote => (
                Code::Truncated,
                "the input ends within a quoted column".to_owned(),
                "close the quote, or double it where it belongs to the text",
            ),
            Fault::Truncated { bytes } => (
                Code::Truncated,
                format!("the input ends within a record, after {bytes} of its bytes"),
                "check that the sender completes its last record before it closes",
            ),
            Fault::FrameTooLong { length, limit } => (
                Code::FrameTooLong,
                format!("a frame says it has {length} bytes, the limit is {limit}"),
                "check that the sender writes the length as this source reads it, or raise max_frame_bytes",
            ),
        };
        ConnectorError::new(text).with_help(help).with_code(code)
    }
}
