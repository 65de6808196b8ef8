//! Formats: text, JSON, CSV, and functions of your own.
//!
//! A format makes one decoder per stream of bytes: a file, or a connection.
//!
//! **Invariants.** A decoder allocates nothing per record beyond what the message itself owns. Its errors say
//! what was expected and where in the record; which record of which partition is added by the engine.

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::sync::Arc;

use wallaroo_core::{Code, ConnectorError, Decoder, Format};

mod csv;
mod json;
#[cfg(test)]
mod tests;
mod text;

pub use csv::Csv;
pub(crate) use csv::split_csv;
pub use json::Json;
pub use text::Text;

/// Any error of a decoding or encoding function of yours; `?` makes it from every error type.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Makes decoders by calling a function of the user.
pub(super) struct Decoders<T, F> {
    make: F,
    message: PhantomData<fn() -> T>,
}

impl<T, F> Decoders<T, F> {
    pub(super) fn new(make: F) -> Self {
        Decoders {
            make,
            message: PhantomData,
        }
    }
}

impl<T, D, F> Format<T> for Decoders<T, F>
where
    T: 'static,
    D: Decoder<T> + 'static,
    F: Fn() -> D + Send + Sync + 'static,
{
    fn decoder(&self) -> Box<dyn Decoder<T>> {
        Box::new((self.make)())
    }
}

/// A decoder from a function of the user that returns any error.
pub(super) struct ByFunction<F>(pub(super) Arc<F>);

impl<T, F> Decoder<T> for ByFunction<F>
where
    F: Fn(&[u8]) -> Result<Option<T>, BoxError> + Send + Sync,
{
    fn decode(&mut self, frame: &[u8]) -> Result<Option<T>, ConnectorError> {
        (self.0)(frame).map_err(|error| of_user(error, "cannot decode the record", Code::Decode))
    }
}

/// An error of a user's function, under a code of ours unless it has one.
pub(super) fn of_user(error: BoxError, what: &str, code: Code) -> ConnectorError {
    match error.downcast::<ConnectorError>() {
        Ok(error) if error.code().is_some() => *error,
        Ok(error) => error.with_code(code),
        Err(error) => ConnectorError::new(what).with_code(code).with_cause(error),
    }
}

/// Text that is not UTF-8.
fn not_utf8(error: std::str::Utf8Error) -> ConnectorError {
    ConnectorError::new(format!(
        "expected UTF-8 text, found another byte at byte {}",
        error.valid_up_to() + 1
    ))
    .with_help("convert the input to UTF-8, or read the bytes yourself with decode")
    .with_code(Code::Utf8)
}
