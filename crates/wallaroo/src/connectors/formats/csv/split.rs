//! A row of CSV, split into its columns.
//!
//! **Invariants.** A quote counts at the start of a column only; within quotes two stand for one. Text
//! behind a closing quote belongs to the column as it is. This is how the `csv` crate reads (a test
//! compares the two).

use csv::StringRecord;

use crate::connectors::framing::find;

/// Appends the columns of `text` to `row`. `unquoted` is memory for columns in quotes.
#[inline]
pub(in crate::connectors::formats) fn split(
    text: &str,
    delimiter: u8,
    row: &mut StringRecord,
    unquoted: &mut String,
) {
    let bytes = text.as_bytes();
    let mut start = 0;
    loop {
        let end = if bytes.get(start) == Some(&b'"') {
            unquoted.clear();
            let end = unquote(text, start, delimiter, unquoted);
            row.push_field(unquoted);
            end
        } else {
            let end = end_of(bytes, start, delimiter);
            row.push_field(&text[start..end]);
            end
        };
        if end == bytes.len() {
            return;
        }
        start = end + 1;
    }
}

/// Where column `index` starts in `frame`.
pub(super) fn start_of(frame: &[u8], delimiter: u8, index: usize) -> usize {
    let text = String::from_utf8_lossy(frame);
    let mut start = 0;
    for _ in 0..index {
        let quoted = frame.get(start) == Some(&b'"') && text.len() == frame.len();
        let end = if quoted {
            unquote(&text, start, delimiter, &mut String::new())
        } else {
            end_of(frame, start, delimiter)
        };
        start = (end + 1).min(frame.len());
    }
    start
}

/// The end of the column that starts at `start`, without regard to quotes.
#[inline]
fn end_of(bytes: &[u8], start: usize, delimiter: u8) -> usize {
    bytes[start..]
        .iter()
        .position(|byte| *byte == delimiter)
        .map_or(bytes.len(), |distance| start + distance)
}

/// Appends the column in quotes that starts at `start`; returns its end.
fn unquote(text: &str, start: usize, delimiter: u8, column: &mut String) -> usize {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    loop {
        let Some(distance) = find(b'"', &bytes[at..]) else {
            column.push_str(&text[at..]);
            return bytes.len();
        };
        column.push_str(&text[at..at + distance]);
        at += distance + 1;
        if bytes.get(at) != Some(&b'"') {
            break;
        }
        column.push('"');
        at += 1;
    }
    let end = end_of(bytes, at, delimiter);
    column.push_str(&text[at..end]);
    end
}
