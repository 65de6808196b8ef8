//! Rows of CSV.
//!
//! The names of the columns are known once the first message has been encoded, on whichever worker that is.
//! They are left in a [`Preamble`], which the sink writes in front of everything else.
//!
//! **Invariants.** The preamble is set before the first row leaves the encoder. Every row has the columns of
//! the header.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use wallaroo_core::{Code, ConnectorError, Encoder};

use super::encoders::{Separator, separated};

/// Bytes that a sink writes before the first row; empty until they are known.
pub(super) type Preamble = Arc<OnceLock<Vec<u8>>>;

/// Encodes messages as rows of CSV.
pub(super) struct CsvEncoder {
    pub(super) separator: Separator,
    pub(super) header: Preamble,
}

/// Initial memory of the `csv` crate's own buffer, per row.
const ROW_BYTES: usize = 256;

impl<T: Serialize> Encoder<T> for CsvEncoder {
    fn encode(&self, message: &T, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        if self.header.get().is_none() {
            let header = self.header_of(message)?;
            // Another worker may have been first, with the same names.
            self.header.get_or_init(|| header);
        }
        separated(self.separator, row, |row| write(message, false, row))
    }
}

impl CsvEncoder {
    /// The row with the names of the columns; empty for messages whose fields have none.
    fn header_of<T: Serialize>(&self, message: &T) -> Result<Vec<u8>, ConnectorError> {
        let (mut both, mut row, mut header) = (Vec::new(), Vec::new(), Vec::new());
        write(message, true, &mut both)?;
        write(message, false, &mut row)?;
        let names = both.len() - row.len();
        if names > 0 {
            // One line end of the two rows is between them.
            let names = &both[..names - 1];
            separated(self.separator, &mut header, |header| {
                header.extend_from_slice(names);
                Ok(())
            })?;
        }
        Ok(header)
    }
}

/// Appends `message` as a row without line end, behind one with its field names if `with_header`.
fn write<T: Serialize>(
    message: &T,
    with_header: bool,
    row: &mut Vec<u8>,
) -> Result<(), ConnectorError> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(with_header)
        .buffer_capacity(ROW_BYTES)
        .from_writer(&mut *row);
    let result = writer
        .serialize(message)
        .and_then(|()| writer.flush().map_err(csv::Error::from));
    drop(writer);
    if row.last() == Some(&b'\n') {
        row.pop();
    }
    result.map_err(|error| {
        ConnectorError::new(format!(
            "cannot encode the message as CSV: {}",
            reason_of(&error)
        ))
        .with_help("a row has plain values only; use json for messages with lists or maps")
        .with_code(Code::Encode)
    })
}

fn reason_of(error: &csv::Error) -> String {
    let text = error.to_string();
    // The rest asks the reader to turn to the authors of the `csv` crate.
    let text = text
        .split(", if you have a use case")
        .next()
        .unwrap_or(&text);
    text.strip_prefix("CSV write error: ")
        .unwrap_or(text)
        .to_owned()
}
