//! Frames handed to a decoder, and what it makes of them to an intake.
//!
//! **Invariants.** Each frame behind the header counts as one record: a message, a filtered one, or a rejected
//! one. A column that is missing is an error of the stream, not of a record.

use wallaroo_core::{Code, ConnectorError, Decoder, Format, Intake};

/// Decodes the frames of one stream.
pub(in crate::connectors) struct Records<T> {
    decoder: Box<dyn Decoder<T>>,
    awaits_header: bool,
}

impl<T: 'static> Records<T> {
    pub(in crate::connectors) fn new(format: &dyn Format<T>) -> Self {
        Records {
            decoder: format.decoder(),
            awaits_header: format.has_header(),
        }
    }

    /// Whether the next frame is the header.
    pub(in crate::connectors) fn awaits_header(&self) -> bool {
        self.awaits_header
    }

    /// Reads the header.
    pub(in crate::connectors) fn header(&mut self, frame: &[u8]) -> Result<(), ConnectorError> {
        self.decoder.header(frame)?;
        self.awaits_header = false;
        Ok(())
    }

    /// Decodes the next record.
    #[inline]
    pub(in crate::connectors) fn take(
        &mut self,
        frame: &[u8],
        intake: &mut Intake<T>,
    ) -> Result<(), ConnectorError> {
        match self.decoder.decode(frame) {
            // An empty record must not be free, or a batch of them has no end.
            Ok(Some(message)) => intake.push_sized(message, frame.len().max(1)),
            Ok(None) => intake.skip(),
            Err(error) => {
                if error.code() == Some(Code::Column) {
                    return Err(error);
                }
                intake.reject(frame, error);
            }
        }
        Ok(())
    }
}
