//! Frames with their length in front.
//!
//! **Invariants.** A length is compared with the limit before anything is reserved for it. After a length
//! above the limit the stream cannot be cut any further: the number may be no length at all.

use super::{Cut, Fault, SHOWN_BYTES};

/// The length in front of a frame: how many bytes it has, and their order.
///
/// The default is four bytes, most significant first. The length does not count itself; zero is an empty
/// record.
///
/// # Example
/// ```
/// use wallaroo::connectors::{FrameHeader, tcp_listener};
///
/// let words = tcp_listener("127.0.0.1:0").framed(FrameHeader::u16().little_endian()).lines();
/// # drop(words);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    width: usize,
    little_endian: bool,
}

impl Default for FrameHeader {
    fn default() -> Self {
        FrameHeader::u32()
    }
}

impl FrameHeader {
    const fn of_width(width: usize) -> Self {
        FrameHeader {
            width,
            little_endian: false,
        }
    }

    /// One byte.
    #[must_use]
    pub const fn u8() -> Self {
        FrameHeader::of_width(1)
    }

    /// Two bytes, most significant first.
    #[must_use]
    pub const fn u16() -> Self {
        FrameHeader::of_width(2)
    }

    /// Four bytes, most significant first.
    #[must_use]
    pub const fn u32() -> Self {
        FrameHeader::of_width(4)
    }

    /// Eight bytes, most significant first.
    #[must_use]
    pub const fn u64() -> Self {
        FrameHeader::of_width(8)
    }

    /// The same, least significant byte first.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self
    }

    /// Number of bytes in front of a frame.
    pub(in crate::connectors) fn width(self) -> usize {
        self.width
    }

    /// Reads the length from exactly [`FrameHeader::width`] bytes.
    fn read(self, bytes: &[u8]) -> u64 {
        let shift = |length: u64, byte: &u8| (length << 8) | u64::from(*byte);
        if self.little_endian {
            bytes.iter().rev().fold(0, shift)
        } else {
            bytes.iter().fold(0, shift)
        }
    }

    /// Writes `length` into exactly [`FrameHeader::width`] bytes; false when it does not fit.
    pub(in crate::connectors) fn write(self, length: usize, bytes: &mut [u8]) -> bool {
        let big = (length as u64).to_be_bytes();
        let (above, within) = big.split_at(8 - self.width);
        bytes.copy_from_slice(within);
        if self.little_endian {
            bytes.reverse();
        }
        above.iter().all(|byte| *byte == 0)
    }
}

/// Cuts frames with their length in front.
#[derive(Debug)]
pub(in crate::connectors) struct LengthCutter {
    header: FrameHeader,
    max_bytes: usize,
}

impl LengthCutter {
    pub(super) fn new(header: FrameHeader, max_bytes: usize) -> Self {
        LengthCutter { header, max_bytes }
    }

    #[inline]
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Cut {
        let start = self.header.width;
        let Some(header) = bytes.get(..start) else {
            return Cut::Partial { need: start };
        };
        let length = self.header.read(header);
        if length > self.max_bytes as u64 {
            return Cut::Broken {
                shown: bytes.len().min(SHOWN_BYTES),
                fault: Fault::FrameTooLong {
                    length,
                    limit: self.max_bytes,
                },
            };
        }
        let end = start + usize::try_from(length).expect("the limit is a usize");
        if bytes.len() < end {
            Cut::Partial { need: end }
        } else {
            Cut::Frame {
                start,
                end,
                next: end,
            }
        }
    }
}
