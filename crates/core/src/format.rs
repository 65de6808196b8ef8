//! From bytes to messages and back.
//!
//! A [`Format`] makes one [`Decoder`] per source partition; an [`Encoder`] turns messages into rows of a
//! sink. How bytes are cut into frames is the connector's business.
//!
//! **Invariants.** A decoder depends on the frames of its own partition only, and after
//! [`Decoder::header`] on no earlier frame: a partition can be continued in the middle.

use crate::connector::ConnectorError;

/// How the bytes of one record become a message.
pub trait Decoder<T>: Send {
    /// Reads the first record of a partition, where the format has a header. Also called when the partition
    /// is continued in the middle.
    ///
    /// # Errors
    /// When the header does not fit the message type.
    fn header(&mut self, frame: &[u8]) -> Result<(), ConnectorError> {
        let _ = frame;
        Ok(())
    }

    /// Decodes one record; `None` filters it out.
    ///
    /// # Errors
    /// When the bytes are not a message. The source's error policy decides what happens then.
    fn decode(&mut self, frame: &[u8]) -> Result<Option<T>, ConnectorError>;
}

/// A decoder from a function.
impl<T, F> Decoder<T> for F
where
    F: FnMut(&[u8]) -> Result<Option<T>, ConnectorError> + Send,
{
    fn decode(&mut self, frame: &[u8]) -> Result<Option<T>, ConnectorError> {
        self(frame)
    }
}

/// A way to write messages of type `T` as bytes.
pub trait Format<T>: Send + Sync + 'static {
    /// A decoder for one partition.
    fn decoder(&self) -> Box<dyn Decoder<T>>;

    /// Whether the first record of a partition is a header.
    fn has_header(&self) -> bool {
        false
    }

    /// The delimiter of columns, when line ends within `"` belong to the record, as in CSV.
    fn quoted_by(&self) -> Option<u8> {
        None
    }
}

/// How a message becomes the bytes of a row.
pub trait Encoder<T>: Send + Sync + 'static {
    /// Appends the row to `row`, including what separates it from the next (a line end, a length).
    ///
    /// # Errors
    /// When the message has no form in this format.
    fn encode(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError>;
}

/// An encoder from a function.
impl<T, F> Encoder<T> for F
where
    F: Fn(&T, &mut Vec<u8>) -> Result<(), ConnectorError> + Send + Sync + 'static,
{
    fn encode(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self(message, row)
    }
}
