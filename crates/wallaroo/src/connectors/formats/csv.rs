//! Records that are rows of CSV (RFC 4180), as the `csv` crate reads them.
//!
//! The header names the columns; fields of the message are found by name. The row is split here, into a
//! record that is used again for every row, and given to the `csv` crate's deserializer.
//!
//! **Invariants.** A column that the message needs and the header lacks is found before the first row
//! where that is possible (see [`probe`]), and at the first row otherwise; it is never a matter of single
//! rows. A row has as many columns as the header.

use std::fmt;
use std::marker::PhantomData;

use csv::{DeserializeErrorKind, ErrorKind, StringRecord};
use serde::de::DeserializeOwned;
use wallaroo_core::{Code, ConnectorError, Decoder, Format};

use super::not_utf8;

mod probe;
pub(super) mod split;

use probe::Probed;

/// Each record is a row of CSV; the first names the columns.
///
/// Columns that the message does not have are passed over. Blank lines are no records.
///
/// # Example
/// ```
/// use serde::Deserialize;
/// use wallaroo::connectors::{Csv, file};
///
/// #[derive(Deserialize)]
/// struct Tick { symbol: String, close: f64 }
///
/// let ticks = file("ticks.csv").format(Csv::<Tick>::new().delimiter(b';'));
/// # drop(ticks);
/// ```
pub struct Csv<T> {
    delimiter: u8,
    has_header: bool,
    message: PhantomData<fn() -> T>,
}

impl<T> Csv<T> {
    /// The format: comma between columns, a header first.
    #[must_use]
    pub fn new() -> Self {
        Csv {
            delimiter: b',',
            has_header: true,
            message: PhantomData,
        }
    }

    /// What separates columns; a comma by default.
    ///
    /// # Panics
    /// When it is a quote, a line end, or no ASCII character.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        assert!(
            delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r'),
            "the delimiter of CSV columns must be an ASCII character other than a quote or a line end"
        );
        self.delimiter = delimiter;
        self
    }

    /// There is no header: the fields of the message are the columns in this order.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.has_header = false;
        self
    }
}

/// Splits the text of a row into its columns.
pub(crate) fn split_csv(text: &str, delimiter: u8, row: &mut StringRecord) {
    row.clear();
    split::split(text, delimiter, row, &mut String::new());
}

impl<T> Default for Csv<T> {
    fn default() -> Self {
        Csv::new()
    }
}

impl<T> fmt::Debug for Csv<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csv")
            .field("delimiter", &char::from(self.delimiter))
            .field("has_header", &self.has_header)
            .finish()
    }
}

impl<T: DeserializeOwned + 'static> Format<T> for Csv<T> {
    fn decoder(&self) -> Box<dyn Decoder<T>> {
        Box::new(RowDecoder::<T> {
            delimiter: self.delimiter,
            columns: None,
            row: StringRecord::new(),
            unquoted: String::new(),
            message: PhantomData,
        })
    }

    fn has_header(&self) -> bool {
        self.has_header
    }

    fn quoted_by(&self) -> Option<u8> {
        Some(self.delimiter)
    }
}

struct RowDecoder<T> {
    delimiter: u8,
    columns: Option<StringRecord>,
    /// The present row; kept for its memory.
    row: StringRecord,
    /// The present column without its quotes; kept for its memory.
    unquoted: String,
    message: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Decoder<T> for RowDecoder<T> {
    fn header(&mut self, frame: &[u8]) -> Result<(), ConnectorError> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        self.split(frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame))?;
        let columns = std::mem::take(&mut self.row);
        match probe::probe::<T>(&columns) {
            Probed::Missing(column) => return Err(missing(column, &columns)),
            Probed::Complete | Probed::Unknown => self.columns = Some(columns),
        }
        Ok(())
    }

    fn decode(&mut self, frame: &[u8]) -> Result<Option<T>, ConnectorError> {
        if frame.is_empty() {
            return Ok(None);
        }
        self.split(frame)?;
        let columns = self.columns.as_ref();
        if let Some(columns) = columns
            && columns.len() != self.row.len()
        {
            let (found, expected) = (self.row.len(), columns.len());
            return Err(ConnectorError::new(format!(
                "the row has {found} columns, the header has {expected}"
            ))
            .with_help("quote columns that contain the delimiter or a line end")
            .with_code(Code::Decode));
        }
        self.row
            .deserialize(columns)
            .map(Some)
            .map_err(|error| self.not_a_message(frame, error))
    }
}

impl<T> RowDecoder<T> {
    #[inline]
    fn split(&mut self, frame: &[u8]) -> Result<(), ConnectorError> {
        let text = std::str::from_utf8(frame).map_err(not_utf8)?;
        self.row.clear();
        split::split(text, self.delimiter, &mut self.row, &mut self.unquoted);
        Ok(())
    }

    /// What is wrong with the present row.
    #[cold]
    fn not_a_message(&self, frame: &[u8], error: csv::Error) -> ConnectorError {
        let ErrorKind::Deserialize { err, .. } = error.kind() else {
            return ConnectorError::new(format!("cannot decode the row: {error}"))
                .with_code(Code::Decode);
        };
        if let DeserializeErrorKind::Message(text) = err.kind()
            && let Some(columns) = &self.columns
            && let Some(column) = text
                .strip_prefix("missing field `")
                .and_then(|rest| rest.strip_suffix('`'))
        {
            return missing(column, columns);
        }
        let expected = expected(err.kind());
        let text = match err
            .field()
            .and_then(|field| usize::try_from(field).ok())
            .filter(|field| *field < self.row.len())
        {
            Some(field) => {
                let byte = split::start_of(frame, self.delimiter, field) + 1;
                let found = &self.row[field];
                let named = self.columns.as_ref().map_or_else(
                    || format!("column {}", field + 1),
                    |columns| format!("column {:?}", &columns[field]),
                );
                format!("cannot decode {named} at byte {byte}: {expected}, found {found:?}")
            }
            None => format!("cannot decode the row: {expected}"),
        };
        ConnectorError::new(text).with_code(Code::Decode)
    }
}

fn expected(kind: &DeserializeErrorKind) -> String {
    use std::num::IntErrorKind;
    match kind {
        DeserializeErrorKind::Message(text) | DeserializeErrorKind::Unsupported(text) => {
            text.clone()
        }
        DeserializeErrorKind::UnexpectedEndOfRow => "expected another column".into(),
        DeserializeErrorKind::InvalidUtf8(_) => "expected UTF-8 text".into(),
        DeserializeErrorKind::ParseBool(_) => "expected true or false".into(),
        DeserializeErrorKind::ParseInt(error) => match error.kind() {
            IntErrorKind::PosOverflow => "expected a smaller whole number".into(),
            IntErrorKind::NegOverflow => "expected a larger whole number".into(),
            _ => "expected a whole number".into(),
        },
        DeserializeErrorKind::ParseFloat(_) => "expected a number".into(),
    }
}

fn missing(column: &str, columns: &StringRecord) -> ConnectorError {
    let there = columns
        .iter()
        .map(|column| format!("{column:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    ConnectorError::new(format!(
        "the header has no column {column:?}, it has {there}"
    ))
    .with_help(
        "correct the header, rename the field with #[serde(rename)], or give it #[serde(default)]",
    )
    .with_code(Code::Column)
}
