//! The reader of one partition: decodes what the connections' threads have cut.
//!
//! **Invariants.** Each connection has its own decoder, since each stream has its own header. A connection
//! whose header does not fit is rejected as one record and ended; what it had sent behind it is passed over.

use std::collections::HashMap;
use std::sync::Arc;

use wallaroo_core::{ConnectorError, Format, Intake, Position, Read, Reader, Stop};

use super::Connections;
use super::chunk::Chunk;
use crate::connectors::inbox::Found;
use crate::connectors::source::{Place, Records};

/// Chunks that one call looks at before it lets the worker do something else.
const CHUNKS_PER_CALL: usize = 32;

/// Reads one partition.
pub(in crate::connectors) struct TcpReader<T> {
    connections: Connections,
    format: Arc<dyn Format<T>>,
    /// The decoder of each connection; `None` for one that is being ended.
    decoders: HashMap<u64, Option<Records<T>>>,
    chunk: Option<Chunk>,
    /// The next frame of the chunk.
    frame: usize,
    records: u64,
}

impl<T: 'static> TcpReader<T> {
    pub(in crate::connectors) fn new(
        connections: Connections,
        format: Arc<dyn Format<T>>,
        from: Option<Place>,
    ) -> Self {
        TcpReader {
            connections,
            format,
            decoders: HashMap::new(),
            chunk: None,
            frame: 0,
            records: from.map_or(0, |place| place.record),
        }
    }

    /// Decodes the frames of the present chunk while there is room.
    fn decode(&mut self, chunk: Chunk, intake: &mut Intake<T>) {
        let format = self.format.as_ref();
        let decoder = self
            .decoders
            .entry(chunk.connection)
            .or_insert_with(|| Some(Records::new(format)));
        let before = intake.next_number();
        let frames = &chunk.buffer.frames;
        while self.frame < frames.len() && intake.has_room() {
            let Some(records) = decoder else {
                self.frame = frames.len();
                break;
            };
            let (start, end) = frames[self.frame];
            let frame = &chunk.buffer.data[start..end];
            self.frame += 1;
            let result = if records.awaits_header() {
                records.header(frame)
            } else {
                records.take(frame, intake)
            };
            if let Err(error) = result {
                intake.reject(frame, error);
                self.connections.lane.expel(chunk.connection);
                *decoder = None;
            }
        }
        if self.frame < frames.len() {
            self.records += intake.next_number() - before;
            self.chunk = Some(chunk);
            return;
        }
        if let Some((bytes, fault)) = chunk.rejected
            && decoder.is_some()
        {
            intake.reject(&bytes, fault.error());
        }
        self.records += intake.next_number() - before;
        if chunk.is_last {
            self.decoders.remove(&chunk.connection);
        }
        self.frame = 0;
        self.connections.lane.recycle(chunk.buffer);
    }
}

impl<T: Send + 'static> Reader<T> for TcpReader<T> {
    fn read(&mut self, intake: &mut Intake<T>) -> Result<Read, ConnectorError> {
        for _ in 0..CHUNKS_PER_CALL {
            if !intake.has_room() {
                break;
            }
            if self.chunk.is_none() {
                let chunk = &mut self.chunk;
                match self.connections.lane.take(|taken| *chunk = Some(taken)) {
                    Found::Items { .. } => {}
                    Found::Empty => return Ok(Read::Idle),
                    Found::Closed => return Ok(Read::End),
                }
            }
            if let Some(chunk) = self.chunk.take() {
                self.decode(chunk, intake);
            }
        }
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(Place {
            offset: 0,
            record: self.records,
            skip: false,
        })
    }

    fn stop(&mut self) -> Stop {
        self.connections.stop();
        Stop::AfterEnd
    }
}
