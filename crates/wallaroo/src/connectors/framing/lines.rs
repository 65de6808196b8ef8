//! Lines, and CSV records, which may hold line ends within quotes.
//!
//! **Invariants.** A line end is `\n`; one `\r` before it does not belong to the record. A record longer than the
//! limit is rejected once. The search goes on behind its first line end: for lines that is the next line, for
//! CSV it keeps one stray quote from hiding all that follows.

use super::{Cut, Fault, SHOWN_BYTES, find};

/// Where the search stands, as CSV readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a column: a quote opens.
    Start,
    /// In a column without quotes, or behind its closing quote.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes, unless another follows.
    Closing,
}

/// Cuts lines.
#[derive(Debug)]
pub(in crate::connectors) struct LineCutter {
    max_bytes: usize,
    /// The delimiter of columns, when quotes count.
    delimiter: Option<u8>,
    /// Bytes of the present record that have been looked at, and in which state the search stopped there.
    scanned: usize,
    state: State,
    /// Bytes from the start of the present record that are known to hold no quote.
    quote_free: usize,
    /// Whether the present line has been rejected already.
    skipping: bool,
}

impl LineCutter {
    pub(super) fn new(max_bytes: usize, delimiter: Option<u8>, skipping: bool) -> Self {
        LineCutter {
            max_bytes,
            delimiter,
            scanned: 0,
            state: State::Start,
            quote_free: 0,
            skipping,
        }
    }

    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    #[inline]
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Cut {
        if self.skipping {
            return self.skip(bytes);
        }
        let Some(line_end) = self.find_end(bytes) else {
            // One byte above the limit may still be a `\r`.
            return if bytes.len() > self.max_bytes.saturating_add(1) {
                self.reject(bytes, self.too_long())
            } else {
                Cut::Partial {
                    need: bytes.len() + 1,
                }
            };
        };
        let end = without_return(bytes, line_end);
        if end > self.max_bytes {
            return self.reject(bytes, self.too_long());
        }
        self.begin(line_end + 1);
        Cut::Frame {
            start: 0,
            end,
            next: line_end + 1,
        }
    }

    /// The last line may have no line end.
    pub(super) fn cut_last(&mut self, bytes: &[u8]) -> Cut {
        if bytes.is_empty() {
            return Cut::Partial { need: 1 };
        }
        match self.cut(bytes) {
            Cut::Partial { .. } => {}
            cut @ (Cut::Frame { .. }
            | Cut::Reject { .. }
            | Cut::Skip { .. }
            | Cut::Broken { .. }) => return cut,
        }
        let end = without_return(bytes, bytes.len());
        if end > self.max_bytes {
            return self.reject(bytes, self.too_long());
        }
        if self.state == State::Quoted {
            return self.reject(bytes, Fault::OpenQuote);
        }
        self.begin(bytes.len());
        Cut::Frame {
            start: 0,
            end,
            next: bytes.len(),
        }
    }

    /// Prepares for the record that begins `next` bytes later.
    #[inline]
    fn begin(&mut self, next: usize) {
        self.scanned = 0;
        self.state = State::Start;
        self.quote_free = self.quote_free.saturating_sub(next);
    }

    fn reject(&mut self, bytes: &[u8], fault: Fault) -> Cut {
        let line_end = find(b'\n', bytes);
        self.skipping = line_end.is_none();
        let next = line_end.map_or(bytes.len(), |end| end + 1);
        self.begin(next);
        Cut::Reject {
            shown: bytes.len().min(SHOWN_BYTES).min(self.max_bytes),
            next,
            fault,
        }
    }

    fn too_long(&self) -> Fault {
        Fault::LineTooLong {
            limit: self.max_bytes,
        }
    }

    fn skip(&mut self, bytes: &[u8]) -> Cut {
        if bytes.is_empty() {
            return Cut::Partial { need: 1 };
        }
        let line_end = find(b'\n', bytes);
        self.skipping = line_end.is_none();
        let next = line_end.map_or(bytes.len(), |end| end + 1);
        self.begin(next);
        Cut::Skip { next }
    }

    /// The place of the `\n` that ends the record.
    #[inline]
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let Some(delimiter) = self.delimiter else {
            let found = find(b'\n', &bytes[self.scanned..]).map(|distance| self.scanned + distance);
            self.scanned = bytes.len();
            return found;
        };
        if self.scanned == 0
            && let Some(line_end) = find(b'\n', bytes)
            && self.has_no_quote(bytes, line_end)
        {
            return Some(line_end);
        }
        self.find_end_behind_quotes(bytes, delimiter)
    }

    /// Whether no quote stands before `line_end`. One search serves all lines up to the next quote.
    #[inline]
    fn has_no_quote(&mut self, bytes: &[u8], line_end: usize) -> bool {
        if self.quote_free < line_end {
            let known = self.quote_free;
            self.quote_free =
                find(b'"', &bytes[known..]).map_or(bytes.len(), |distance| known + distance);
        }
        self.quote_free >= line_end
    }

    fn find_end_behind_quotes(&mut self, bytes: &[u8], delimiter: u8) -> Option<usize> {
        let mut at = self.scanned;
        while at < bytes.len() {
            if self.state == State::Quoted {
                let Some(distance) = find(b'"', &bytes[at..]) else {
                    break;
                };
                at += distance + 1;
                self.state = State::Closing;
                continue;
            }
            let byte = bytes[at];
            self.state = match (self.state, byte) {
                (_, b'\n') => {
                    self.scanned = at;
                    return Some(at);
                }
                (State::Start | State::Closing, b'"') => State::Quoted,
                (_, byte) if byte == delimiter => State::Start,
                (_, _) => State::Plain,
            };
            at += 1;
        }
        self.scanned = bytes.len();
        None
    }
}

/// The end of the record whose line ends at `line_end`.
#[inline]
fn without_return(bytes: &[u8], line_end: usize) -> usize {
    if line_end > 0 && bytes[line_end - 1] == b'\r' {
        line_end - 1
    } else {
        line_end
    }
}
