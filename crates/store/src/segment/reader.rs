//! [`Reader`]: a segment whose frame has been read and checked, for reading its blocks.
//!
//! **Invariants.** The index is the one the [`SegmentMeta`] was written with, and every block is compared with the index
//! each time it is read. Errors name the object, and the block by state and key group.

use std::sync::{Arc, Mutex, PoisonError};

use super::SegmentMeta;
use super::block::Cursor;
use super::format::{
    BlockInfo, HEADER_BYTES, Header, Index, TRAILER_BYTES, Trailer, VERSION, frame_checksum,
};
use crate::error::StoreError;
use crate::storage::Storage;

/// 64 KiB: the index of 1,600 blocks comes with the first read.
const TAIL_BYTES: u64 = 64 << 10;
/// 1 MiB: blocks that are read one after another come in requests of this size, so that a load in
/// order costs an object store a request per MiB and not one per block.
const AHEAD_BYTES: u64 = 1 << 20;

/// A segment that can be read.
pub(crate) struct Reader {
    meta: SegmentMeta,
    index: Index,
    /// Where the blocks end.
    blocks_end: u64,
    ahead: Mutex<Ahead>,
}

/// What was read beyond the last block that was asked for.
#[derive(Default)]
struct Ahead {
    offset: u64,
    bytes: Arc<Vec<u8>>,
    /// Where the last block ended. The one that begins there makes it a sequence.
    next: u64,
}

impl Reader {
    /// The name of the segment.
    pub(crate) fn name(&self) -> &str {
        &self.meta.name
    }

    /// Reads and checks header, index and trailer.
    pub(crate) fn open(storage: &dyn Storage, meta: &SegmentMeta) -> Result<Self, StoreError> {
        let damaged = |what: String| corrupt(storage, meta, what);
        let Some(bytes) = storage.size(&meta.name)? else {
            return Err(StoreError::Missing {
                object: meta.name.clone(),
                named_by: format!("the checkpoint of epoch {}", meta.last_epoch),
                place: storage.place().to_owned(),
            });
        };
        if bytes != meta.bytes {
            return Err(damaged(format!(
                "it has {bytes} bytes, and its commit says {}",
                meta.bytes
            )));
        }
        if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(damaged("it is too short for a segment".to_owned()));
        }
        let tail_offset = bytes.saturating_sub(TAIL_BYTES);
        let tail = storage.read_range(&meta.name, tail_offset..bytes)?;
        let (before_trailer, trailer) = tail
            .split_at_checked(tail.len().saturating_sub(TRAILER_BYTES))
            .ok_or_else(|| damaged("it is too short for a segment".to_owned()))?;
        let trailer = Trailer::decode(trailer, bytes).map_err(damaged)?;
        if trailer.checksum != meta.checksum {
            return Err(damaged(format!(
                "its trailer says the checksum {:016x}, and its commit {:016x}",
                trailer.checksum, meta.checksum
            )));
        }
        let index = match usize::try_from(trailer.index_length)
            .ok()
            .and_then(|length| before_trailer.len().checked_sub(length))
        {
            Some(start) => before_trailer[start..].to_vec(),
            None => storage.read_range(
                &meta.name,
                trailer.index_offset..bytes - TRAILER_BYTES as u64,
            )?,
        };
        let header = match tail_offset {
            0 => tail[..HEADER_BYTES].to_vec(),
            _ => storage.read_range(&meta.name, 0..HEADER_BYTES as u64)?,
        };
        let checksum = frame_checksum(&header, &index);
        if checksum != meta.checksum {
            return Err(damaged(format!(
                "its header and index have the checksum {checksum:016x}, and its commit says {:016x}",
                meta.checksum
            )));
        }
        // the version after the checksum, so that a damaged one is not taken for a later one
        let (version, header) = Header::decode(&header).map_err(damaged)?;
        if version > VERSION {
            return Err(StoreError::TooNew {
                object: meta.name.clone(),
                place: storage.place().to_owned(),
                what: "version",
                found: version.to_string(),
                supported: VERSION.to_string(),
            });
        }
        if (header.first_epoch, header.last_epoch) != (meta.first_epoch, meta.last_epoch) {
            return Err(damaged(format!(
                "it is of epochs {} to {}, and its commit says {} to {}",
                header.first_epoch, header.last_epoch, meta.first_epoch, meta.last_epoch
            )));
        }
        let index = Index::decode(&index, trailer.index_offset).map_err(damaged)?;
        Ok(Reader {
            meta: meta.clone(),
            index,
            blocks_end: trailer.index_offset,
            ahead: Mutex::default(),
        })
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Reads and checks a block of the index.
    pub(crate) fn block(
        &self,
        storage: &dyn Storage,
        block: &BlockInfo,
    ) -> Result<Cursor, StoreError> {
        let (offset, bytes) = self.bytes_of(storage, block)?;
        let start = (block.offset - offset) as usize;
        let end = start.saturating_add(block.length as usize);
        Cursor::new(bytes, start..end, block)
            .map_err(|what| self.block_damaged(storage, block, &what))
    }

    /// Bytes that hold the block, and where they begin in the segment.
    fn bytes_of(
        &self,
        storage: &dyn Storage,
        block: &BlockInfo,
    ) -> Result<(u64, Arc<Vec<u8>>), StoreError> {
        let range = block.range();
        let is_next = {
            let mut ahead = self.ahead();
            let is_next = ahead.next == range.start;
            ahead.next = range.end;
            if ahead.offset <= range.start && range.end <= ahead.offset + ahead.bytes.len() as u64 {
                return Ok((ahead.offset, Arc::clone(&ahead.bytes)));
            }
            is_next
        };
        let end = if is_next {
            range
                .end
                .max(self.blocks_end.min(range.start + AHEAD_BYTES))
        } else {
            range.end
        };
        let bytes = Arc::new(storage.read_range(&self.meta.name, range.start..end)?);
        if end > range.end {
            let mut ahead = self.ahead();
            ahead.offset = range.start;
            ahead.bytes = Arc::clone(&bytes);
        }
        Ok((range.start, bytes))
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error for a block that is not as it was written.
    pub(crate) fn block_damaged(
        &self,
        storage: &dyn Storage,
        block: &BlockInfo,
        what: &str,
    ) -> StoreError {
        let state = &self.index.states[block.state as usize];
        corrupt(
            storage,
            &self.meta,
            format!(
                "its block of state {state:?}, key group {}, at byte {}, {what}",
                block.group, block.offset
            ),
        )
    }
}

fn corrupt(storage: &dyn Storage, meta: &SegmentMeta, what: String) -> StoreError {
    StoreError::Corrupt {
        object: meta.name.clone(),
        place: storage.place().to_owned(),
        what,
    }
}
