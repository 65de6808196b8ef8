//! Records that are JSON values.
//!
//! **Invariants.** A record of blanks only is no message and no error: files of JSON lines often end in an
//! empty line.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use wallaroo_core::{Code, ConnectorError, Decoder, Format};

/// Each record is one JSON value.
pub struct Json<T> {
    message: PhantomData<fn() -> T>,
}

impl<T> Json<T> {
    /// The format.
    #[must_use]
    pub fn new() -> Self {
        Json {
            message: PhantomData,
        }
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Json::new()
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<T: DeserializeOwned + 'static> Format<T> for Json<T> {
    fn decoder(&self) -> Box<dyn Decoder<T>> {
        Box::new(Json::new())
    }
}

impl<T: DeserializeOwned> Decoder<T> for Json<T> {
    fn decode(&mut self, frame: &[u8]) -> Result<Option<T>, ConnectorError> {
        match serde_json::from_slice(frame) {
            Ok(message) => Ok(Some(message)),
            Err(_) if frame.trim_ascii().is_empty() => Ok(None),
            Err(error) => Err(not_json(frame, error)),
        }
    }
}

fn not_json(frame: &[u8], error: serde_json::Error) -> ConnectorError {
    let text = error.to_string();
    let what = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(what, _)| what);
    ConnectorError::new(format!(
        "cannot decode JSON at byte {}: {what}",
        byte_of(frame, &error)
    ))
    .with_code(Code::Decode)
}

/// The place of the error, counted from one. A frame may hold line ends when it has its length in front.
fn byte_of(frame: &[u8], error: &serde_json::Error) -> usize {
    let lines_before = error.line().saturating_sub(1);
    let before: usize = frame
        .split_inclusive(|byte| *byte == b'\n')
        .take(lines_before)
        .map(<[u8]>::len)
        .sum();
    before + error.column()
}
