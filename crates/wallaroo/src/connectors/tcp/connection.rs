//! The thread of one connection: reads, cuts into frames, hands over.
//!
//! **Invariants.** Bytes are read into the buffer in which the worker will decode them; only the start of an
//! incomplete record is copied, into the next buffer. A buffer grows by doubling as bytes come, not by what a
//! length says will come.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use tracing::debug;

use super::chunk::{Buffer, Chunk, LARGE_BYTES};
use super::lane::Lane;
use crate::connectors::framing::{Cut, Cutter, Fault, Framing, SHOWN_BYTES};

/// Reads one connection until it ends.
pub(super) struct Connection<'a> {
    number: u64,
    lane: &'a Lane,
    cutter: Cutter,
    buffer: Buffer,
    /// The first byte that no frame has taken.
    start: usize,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl<'a> Connection<'a> {
    pub(super) fn new(number: u64, lane: &'a Lane, framing: Framing) -> Self {
        Connection {
            number,
            lane,
            cutter: framing.cutter(false),
            buffer: lane.buffer(),
            start: 0,
        }
    }

    pub(super) fn run(mut self, mut stream: TcpStream) {
        while !self.lane.is_stopping() && self.fill(&mut stream) == Next::GoOn {
            if self.cut() == Next::End || self.hand_over_frames() == Next::End {
                return;
            }
        }
        if self.lane.is_stopping() {
            // Not the sender's fault that its record is incomplete.
            self.hand_over(None, true);
        } else {
            self.end();
        }
    }

    /// Reads what there is.
    fn fill(&mut self, stream: &mut TcpStream) -> Next {
        self.make_room();
        loop {
            match stream.read(&mut self.buffer.data[self.buffer.filled..]) {
                Ok(0) => return Next::End,
                Ok(count) => {
                    self.buffer.filled += count;
                    return Next::GoOn;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!(connection = self.number, %error, "connection lost");
                    return Next::End;
                }
            }
        }
    }

    fn make_room(&mut self) {
        let Buffer { data, filled, .. } = &mut self.buffer;
        if *filled < data.len() {
            return;
        }
        data.copy_within(self.start..*filled, 0);
        *filled -= self.start;
        self.start = 0;
        // Full of one incomplete record, or the sender is faster than the buffer is large.
        if *filled == data.len() || data.len() < LARGE_BYTES {
            let len = data.len();
            data.resize(len * 2, 0);
        }
    }

    /// Finds the frames among the bytes that have come.
    fn cut(&mut self) -> Next {
        loop {
            let start = self.start;
            match self
                .cutter
                .cut(&self.buffer.data[start..self.buffer.filled])
            {
                Cut::Partial { .. } => return Next::GoOn,
                Cut::Frame {
                    start: from,
                    end,
                    next,
                } => {
                    self.buffer.frames.push((start + from, start + end));
                    self.start += next;
                }
                Cut::Skip { next } => self.start += next,
                Cut::Reject { shown, next, fault } => {
                    let rejected = self.rejected(shown, fault);
                    self.start += next;
                    if self.hand_over(Some(rejected), false) == Next::End {
                        return Next::End;
                    }
                }
                Cut::Broken { shown, fault } => {
                    let rejected = self.rejected(shown, fault);
                    return self.hand_over(Some(rejected), true);
                }
            }
        }
    }

    /// The sender has ended the connection: what is left is no record.
    fn end(mut self) {
        let left = &self.buffer.data[self.start..self.buffer.filled];
        let rejected = (!left.is_empty() && !self.cutter.is_skipping()).then(|| {
            let fault = Fault::Truncated { bytes: left.len() };
            self.rejected(left.len(), fault)
        });
        self.hand_over(rejected, true);
    }

    fn rejected(&self, shown: usize, fault: Fault) -> (Vec<u8>, Fault) {
        let bytes = &self.buffer.data[self.start..self.start + shown];
        (bytes[..bytes.len().min(SHOWN_BYTES)].to_vec(), fault)
    }

    fn hand_over_frames(&mut self) -> Next {
        if self.buffer.frames.is_empty() {
            Next::GoOn
        } else {
            self.hand_over(None, false)
        }
    }

    /// Gives the buffer to the worker, and goes on in another with the bytes that no frame has taken.
    fn hand_over(&mut self, rejected: Option<(Vec<u8>, Fault)>, is_last: bool) -> Next {
        let mut buffer = self.lane.buffer();
        if !is_last {
            let left = &self.buffer.data[self.start..self.buffer.filled];
            if self.buffer.filled == self.buffer.data.len() {
                // The last read left nothing free: this connection sends faster than its buffer is large.
                let wanted = (self.buffer.data.len() * 2).min(LARGE_BYTES);
                if buffer.data.len() < wanted {
                    buffer.data.resize(wanted, 0);
                }
            }
            if buffer.data.len() < left.len() {
                buffer.data.resize(left.len(), 0);
            }
            buffer.data[..left.len()].copy_from_slice(left);
            buffer.filled = left.len();
        }
        self.start = 0;
        let buffer = std::mem::replace(&mut self.buffer, buffer);
        let handed = self.lane.put(Chunk {
            connection: self.number,
            buffer,
            rejected,
            is_last,
        });
        if handed && !is_last {
            Next::GoOn
        } else {
            Next::End
        }
    }
}
