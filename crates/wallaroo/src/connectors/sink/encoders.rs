//! Encoders: JSON, text, functions of yours; with a line end or a length.
//!
//! **Invariants.** A row that fails leaves nothing behind in the buffer.

use std::fmt::Display;
use std::io::Write as _;

use serde::Serialize;
use wallaroo_core::{Code, ConnectorError, Encoder};

use crate::connectors::formats::{BoxError, of_user};
use crate::connectors::framing::FrameHeader;

/// What separates a row from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// A `\n` behind it.
    LineEnd,
    /// Its length in front.
    Length(FrameHeader),
    /// Nothing: the encoder itself does it.
    Own,
}

/// A way to write the content of a row.
pub(super) trait Content<T>: Send + Sync + 'static {
    fn write(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError>;
}

/// Content and what separates it.
pub(super) struct Separated<C> {
    pub(super) content: C,
    pub(super) separator: Separator,
}

impl<T, C: Content<T>> Encoder<T> for Separated<C> {
    fn encode(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        separated(self.separator, row, |row| self.content.write(message, row))
    }
}

/// Appends what `write` appends, and what separates it from the next row; nothing when it fails.
pub(super) fn separated(
    separator: Separator,
    row: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    let start = row.len();
    let result = match separator {
        Separator::Own => write(row),
        Separator::LineEnd => write(row).map(|()| row.push(b'\n')),
        Separator::Length(header) => {
            row.resize(start + header.width(), 0);
            write(row).and_then(|()| put_length(header, &mut row[start..]))
        }
    };
    if result.is_err() {
        row.truncate(start);
    }
    result
}

fn put_length(header: FrameHeader, frame: &mut [u8]) -> Result<(), ConnectorError> {
    let width = header.width();
    let length = frame.len() - width;
    if header.write(length, &mut frame[..width]) {
        return Ok(());
    }
    Err(ConnectorError::new(format!(
        "cannot write a record of {length} bytes behind a length of {width} bytes"
    ))
    .with_help("choose a longer header in framed")
    .with_code(Code::Encode))
}

/// JSON on one line.
pub(super) struct JsonContent;

impl<T: Serialize> Content<T> for JsonContent {
    fn write(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        serde_json::to_writer(row, message).map_err(|error| {
            ConnectorError::new(format!("cannot encode the message as JSON: {error}"))
                .with_code(Code::Encode)
        })
    }
}

/// What `Display` prints.
pub(super) struct TextContent;

impl<T: Display> Content<T> for TextContent {
    fn write(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        write!(row, "{message}").map_err(|_| {
            ConnectorError::new("cannot encode the message as text: its Display failed")
                .with_code(Code::Encode)
        })
    }
}

/// A function of the user.
pub(super) struct FunctionContent<F>(pub(super) F);

impl<T, F> Content<T> for FunctionContent<F>
where
    F: Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn write(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        (self.0)(message, row)
            .map_err(|error| of_user(error, "cannot encode the message", Code::Encode))
    }
}

/// An encoder of the user.
pub(super) struct EncoderContent<E>(pub(super) E);

impl<T, E: Encoder<T>> Content<T> for EncoderContent<E> {
    fn write(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.0.encode(message, row)
    }
}
