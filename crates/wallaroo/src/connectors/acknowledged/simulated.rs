//! An acknowledged source without sockets and threads: for simulations.
//!
//! It is the reader of production. Frames come from a function before each read, and what a thread of its own does there, syncing and
//! acknowledging, is done between two reads.
//!
//! There is no type of a source here: every compiler error about a missing one would name it.
//!
//! **Invariants.** What happens depends on the calls and on what [`Senders`] answer alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use wallaroo_core::source::AcknowledgingReader;
use wallaroo_core::{ConnectorError, Format, Intake, Position, Read, Reader, Stop, Waker};

use super::hub::{Chunk, Hub, Limits};
use super::{AckReader, IDLE_TIMEOUT, MAX_PRODUCERS};

/// What a sender has sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its name.
    pub sender: Vec<u8>,
    /// Frames, each with its number.
    pub frames: Vec<(u64, Vec<u8>)>,
}

/// The senders of one partition.
pub trait Senders: Send {
    /// What has come before a read; nothing when all senders are gone for good.
    ///
    /// # Errors
    /// When the source fails.
    fn send(&mut self) -> Result<Option<Sent>, ConnectorError>;

    /// Whether what is in the log is synced and acknowledged before the next read.
    fn syncs(&mut self) -> bool;

    /// Tells a sender that its frames up to this number are durable.
    fn durable(&mut self, sender: &[u8], number: u64);
}

/// A reader of an acknowledged source, of given senders.
#[must_use]
pub fn reader<T: Send + 'static>(
    format: Arc<dyn Format<T>>,
    senders: Box<dyn Senders>,
    waker: &Waker,
) -> Box<dyn Reader<T>> {
    let limits = Limits {
        producers: MAX_PRODUCERS,
        connections: 1,
        frame_bytes: usize::MAX,
        idle: IDLE_TIMEOUT,
    };
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let hub = Arc::new(Hub::new(nowhere, limits));
    hub.inbox.read_by(waker);
    Box::new(SimulatedReader {
        reader: AckReader::new(Arc::clone(&hub), format),
        hub,
        senders,
    })
}

struct SimulatedReader<T> {
    reader: AckReader<T>,
    hub: Arc<Hub>,
    senders: Box<dyn Senders>,
}

impl<T> SimulatedReader<T> {
    /// What the thread that acknowledges does.
    fn acknowledge(&mut self) {
        if self.senders.syncs() && self.hub.acks.run_once() {
            for (sender, number) in self.hub.durable() {
                self.senders.durable(&sender, number);
            }
        }
    }

    /// What the threads of connections do.
    fn receive(&mut self) -> Result<(), ConnectorError> {
        let Some(Sent { sender, frames }) = self.senders.send()? else {
            self.hub.stop();
            return Ok(());
        };
        let refused = |_| ConnectorError::new("the sender was refused");
        let chunk = Chunk {
            connection: 0,
            producer: self.hub.producer(sender).map_err(refused)?,
            frames,
            is_last: false,
        };
        if !chunk.frames.is_empty() {
            let put = self.hub.inbox.try_put(chunk, 1);
            put.map_err(|_| ConnectorError::new("more was sent than has room"))?;
        }
        Ok(())
    }
}

impl<T: Send + 'static> Reader<T> for SimulatedReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        self.acknowledge();
        if !self.hub.inbox.is_closed() {
            self.receive()?;
        }
        Ok(match self.reader.read(intake)? {
            // Nobody wakes it: what comes is asked for.
            Read::Idle => Read::More,
            other => other,
        })
    }

    fn position(&self) -> Position {
        self.reader.position()
    }

    fn stop(&mut self) -> Stop {
        self.reader.stop()
    }

    fn acknowledging(&mut self) -> Option<&mut dyn AcknowledgingReader> {
        self.reader.acknowledging()
    }
}
