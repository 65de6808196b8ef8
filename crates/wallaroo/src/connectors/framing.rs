//! How a stream of bytes is cut into frames, one per record.
//!
//! [`Framing`] says how; a [`Cutter`] does it, for files and sockets alike. It is shown the bytes that
//! nobody has consumed yet, and says what stands at their start.
//!
//! **Invariants.** The frames of a stream do not depend on how it was split into reads. A cutter never looks
//! at a byte more than a bounded number of times, except where an over-long CSV record is given up. At most
//! the limit (and a header) of bytes must be kept for a frame that is not complete.

mod fault;
mod lengths;
mod lines;
#[cfg(test)]
mod tests;

pub(super) use fault::Fault;
pub use lengths::FrameHeader;
use lengths::LengthCutter;
use lines::LineCutter;

/// Longest line, in bytes, unless set otherwise.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;
/// Longest frame with a length in front, in bytes, unless set otherwise.
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// How much of a record that has no frame is shown to people.
pub(super) const SHOWN_BYTES: usize = 1024;

/// Where records begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Lines that end in `\n` or `\r\n`.
    Lines,
    /// Lines, but line ends within `"` belong to the record.
    Quoted {
        /// What separates the columns: a quote counts only at the start of one.
        delimiter: u8,
    },
    /// A length, then that many bytes.
    Lengths(FrameHeader),
}

/// Where records begin and end, and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) unit: Unit,
    pub(super) max_line_bytes: usize,
    pub(super) max_frame_bytes: usize,
}

impl Framing {
    /// A cutter for one stream; `skipping` when the stream starts in a line that is already rejected.
    pub(super) fn cutter(&self, skipping: bool) -> Cutter {
        match self.unit {
            Unit::Lines => Cutter::Lines(LineCutter::new(self.max_line_bytes, None, skipping)),
            Unit::Quoted { delimiter } => Cutter::Lines(LineCutter::new(
                self.max_line_bytes,
                Some(delimiter),
                skipping,
            )),
            Unit::Lengths(header) => {
                Cutter::Lengths(LengthCutter::new(header, self.max_frame_bytes))
            }
        }
    }
}

/// What stands at the start of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// A frame, `start..end`; the next record begins at `next`.
    Frame {
        start: usize,
        end: usize,
        next: usize,
    },
    /// Not enough to say; the whole record needs at least `need` bytes.
    Partial { need: usize },
    /// A record that is passed over. The first `shown` bytes are for people; go on at `next`.
    Reject {
        shown: usize,
        next: usize,
        fault: Fault,
    },
    /// The rest of a record that was rejected before; go on at `next`.
    Skip { next: usize },
    /// A record after which no other can be found.
    Broken { shown: usize, fault: Fault },
}

/// Cuts one stream.
#[derive(Debug)]
pub(super) enum Cutter {
    Lines(LineCutter),
    Lengths(LengthCutter),
}

impl Cutter {
    /// Says what stands at the start of `bytes`. After anything but `Partial`, the bytes of the next call
    /// must begin at `next`; after `Partial` they must be the same and more.
    #[inline]
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Cut {
        match self {
            Cutter::Lines(lines) => lines.cut(bytes),
            Cutter::Lengths(lengths) => lengths.cut(bytes),
        }
    }

    /// Says what stands at the start of `bytes` when nothing follows them. `Partial` means: nothing.
    pub(super) fn cut_last(&mut self, bytes: &[u8]) -> Cut {
        match self {
            Cutter::Lines(lines) => lines.cut_last(bytes),
            Cutter::Lengths(_) if bytes.is_empty() => Cut::Partial { need: 1 },
            Cutter::Lengths(_) => Cut::Reject {
                shown: bytes.len().min(SHOWN_BYTES),
                next: bytes.len(),
                fault: Fault::Truncated { bytes: bytes.len() },
            },
        }
    }

    /// Whether the bytes that follow belong to a record that is already rejected.
    pub(super) fn is_skipping(&self) -> bool {
        match self {
            Cutter::Lines(lines) => lines.is_skipping(),
            Cutter::Lengths(_) => false,
        }
    }
}

/// The place of `byte` in `bytes`.
// `skip_until` is the one way to the vectorised search of the standard library.
#[inline]
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let passed = std::io::BufRead::skip_until(&mut rest, byte).ok()?;
    (passed > 0 && bytes[passed - 1] == byte).then(|| passed - 1)
}
