//! The reader of an acknowledged source: drops what has been seen, decodes the rest, keeps notes of whose it was.
//!
//! **Invariants.** Of each sender frames are taken in ascending order of their numbers, each number once. The position has what is
//! in the input log, and nothing beyond.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wallaroo_core::source::{AcknowledgingReader, LogSync};
use wallaroo_core::{Code, ConnectorError, Format, Intake, Position, Read, Reader, Stop};

use super::hub::{Chunk, Hub, Producer};
use crate::connectors::inbox::Found;
use crate::connectors::source::Records;

/// Chunks that one call looks at before it lets the worker do something else.
const CHUNKS_PER_CALL: usize = 32;

/// Reads an acknowledged source.
pub(in crate::connectors) struct AckReader<T> {
    hub: Arc<Hub>,
    format: Arc<dyn Format<T>>,
    /// The decoder of each connection.
    decoders: HashMap<u64, Records<T>>,
    chunk: Option<(Chunk, VecDeque<(u64, Vec<u8>)>)>,
    /// Senders of what has been taken since the last note, by name, with the last number.
    taken: BTreeMap<Vec<u8>, (Arc<Producer>, u64)>,
    /// As they are in the note that is on its way to the log.
    noted: Vec<(Arc<Producer>, u64)>,
    has_log: bool,
}

impl<T: 'static> AckReader<T> {
    pub(super) fn new(hub: Arc<Hub>, format: Arc<dyn Format<T>>) -> Self {
        AckReader {
            hub,
            format,
            decoders: HashMap::new(),
            chunk: None,
            taken: BTreeMap::new(),
            noted: Vec::new(),
            has_log: false,
        }
    }

    /// Takes the frames of the present chunk while there is room.
    fn take(&mut self, intake: &mut Intake<T>) {
        let Some((chunk, frames)) = &mut self.chunk else {
            return;
        };
        let producer = &chunk.producer;
        let format = self.format.as_ref();
        let records = self
            .decoders
            .entry(chunk.connection)
            .or_insert_with(|| Records::new(format));
        let mut is_repeated = false;
        while intake.has_room() {
            let Some((number, bytes)) = frames.pop_front() else {
                break;
            };
            if number <= producer.seen.load(Ordering::SeqCst) {
                is_repeated = true;
                continue;
            }
            producer.seen.store(number, Ordering::SeqCst);
            let of_sender = self.taken.entry(producer.name.clone());
            of_sender.or_insert_with(|| (Arc::clone(producer), 0)).1 = number;
            if let Err(error) = records.take(&bytes, intake) {
                intake.reject(&bytes, error);
            }
        }
        if is_repeated {
            self.hub.acks.put(None, vec![(Arc::clone(producer), 0)]);
        }
        if frames.is_empty() {
            if chunk.is_last {
                self.decoders.remove(&chunk.connection);
            }
            self.chunk = None;
        }
    }
}

impl<T: Send + 'static> Reader<T> for AckReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        if !self.has_log {
            return Err(ConnectorError::new(
                "an acknowledged source has to keep what it acknowledges, and the application has no store",
            )
            .with_help("start it with Options { store: Some(\"./data\".into()), .. }")
            .with_code(Code::StoreNotFound));
        }
        if let Some(error) = self.hub.acks.failure() {
            return Err(error);
        }
        for _ in 0..CHUNKS_PER_CALL {
            if !intake.has_room() {
                break;
            }
            if self.chunk.is_none() {
                let chunk = &mut self.chunk;
                let found = self.hub.inbox.take(1, |mut taken: Chunk| {
                    let frames = std::mem::take(&mut taken.frames);
                    *chunk = Some((taken, frames.into()));
                });
                match found {
                    Found::Items { .. } => {}
                    Found::Empty => return Ok(Read::Idle),
                    Found::Closed => return Ok(Read::End),
                }
            }
            self.take(intake);
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        let logged = self.hub.logged().into_iter();
        let by_name: BTreeMap<String, u64> = logged
            .map(|(name, number)| (to_hex(&name), number))
            .collect();
        Position::of(by_name)
    }

    fn stop(&mut self) -> Stop {
        self.hub.stop();
        Stop::AfterEnd
    }

    fn acknowledging(&mut self) -> Option<&mut dyn AcknowledgingReader> {
        Some(self)
    }
}

impl<T> AcknowledgingReader for AckReader<T> {
    fn recall_position(&mut self, position: &Position) -> Result<(), ConnectorError> {
        for (name, number) in position.get::<BTreeMap<String, u64>>()? {
            let name = from_hex(&name).ok_or_else(|| unknown("a position"))?;
            self.hub.recall(name, number);
        }
        Ok(())
    }

    fn recall(&mut self, note: &[u8]) -> Result<(), ConnectorError> {
        let numbers: Vec<(Vec<u8>, u64)> =
            rmp_serde::from_slice(note).map_err(|error| unknown("a note").with_cause(error))?;
        for (name, number) in numbers {
            self.hub.recall(name, number);
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.has_log = true;
        self.hub.begin();
    }

    fn note(&mut self) -> Option<Vec<u8>> {
        if self.taken.is_empty() {
            return None;
        }
        self.noted = std::mem::take(&mut self.taken).into_values().collect();
        let numbers = self.noted.iter();
        let numbers: Vec<_> = numbers
            .map(|(producer, number)| (&producer.name, number))
            .collect();
        Some(rmp_serde::to_vec(&numbers).expect("names and numbers can be written"))
    }

    fn logged(&mut self, sync: LogSync) {
        for (producer, number) in &self.noted {
            producer.logged.store(*number, Ordering::SeqCst);
        }
        let numbers = std::mem::take(&mut self.noted);
        self.hub.acks.put(Some(sync), numbers);
    }
}

impl<T> Drop for AckReader<T> {
    fn drop(&mut self) {
        self.hub.stop();
        self.hub.inbox.abandon();
        self.hub.acks.close();
    }
}

fn unknown(what: &str) -> ConnectorError {
    ConnectorError::new(format!("cannot use {what} of the input log"))
        .with_help("it belongs to another kind of source; start under another source name")
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
