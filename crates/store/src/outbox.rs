//! Outboxes: the rows that transactional sinks made in an epoch, kept until they are published.
//!
//! **Invariants.** Rows keep the order in which they were added. Nothing is given out of an outbox before its checksum
//! has been compared.

use serde::{Deserialize, Serialize};
use wallaroo_core::{Messages, Rows};
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::Input;
use crate::error::StoreError;
use crate::storage::{Created, ErrorKind, Storage, StorageError};

const MAGIC: &[u8; 8] = b"WALOUTBX";
/// The version that is written, and the last one that is read.
const VERSION: u16 = 1;
const CHECKSUM_BYTES: usize = 8;

/// An outbox, as a commit record names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutboxMeta {
    /// The object's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The checksum at its end.
    pub checksum: u64,
    /// The epoch whose output it holds.
    pub epoch: u64,
}

/// The rows of one sink in one epoch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkRows {
    /// The name of the sink.
    pub sink: String,
    /// Its rows.
    pub rows: Rows,
}

impl SinkRows {
    /// No rows of the sink of that name.
    #[must_use]
    pub fn new(sink: impl Into<String>) -> Self {
        SinkRows {
            sink: sink.into(),
            rows: Rows::default(),
        }
    }

    /// What the rows take in an outbox.
    fn bytes(&self) -> usize {
        self.rows.remaining().len() + self.rows.len() * size_of::<u32>()
    }
}

/// Writes the rows of an epoch.
///
/// # Errors
/// When the outbox may not have been made. The name must not be used again then.
///
/// # Panics
/// When there are 4 billion sinks.
pub fn write_outbox(
    storage: &dyn Storage,
    name: &str,
    generation: u64,
    epoch: u64,
    sinks: &[SinkRows],
) -> Result<OutboxMeta, StoreError> {
    let (bytes, checksum) = encode(generation, epoch, sinks);
    match storage.create(name, &bytes)? {
        Created::New => Ok(OutboxMeta {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            checksum,
            epoch,
        }),
        Created::Existed => Err(StoreError::Storage(StorageError {
            action: "create",
            name: name.to_owned(),
            place: storage.place().to_owned(),
            cause: "there is an object of that name".to_owned(),
            kind: ErrorKind::Broken,
        })),
    }
}

/// Reads the rows of an epoch back, by sink, as they were given to [`write_outbox`].
///
/// # Errors
/// When the outbox is not there, cannot be read, is damaged, or is of a later release.
pub fn read_outbox(storage: &dyn Storage, meta: &OutboxMeta) -> Result<Vec<SinkRows>, StoreError> {
    let place = || storage.place().to_owned();
    let damaged = |what: String| StoreError::Corrupt {
        object: meta.name.clone(),
        place: place(),
        what,
    };
    let Some(bytes) = storage.read(&meta.name)? else {
        return Err(StoreError::Missing {
            object: meta.name.clone(),
            named_by: format!("the checkpoint of epoch {}", meta.epoch),
            place: place(),
        });
    };
    if bytes.len() as u64 != meta.bytes {
        return Err(damaged(format!(
            "it has {} bytes, and its commit says {}",
            bytes.len(),
            meta.bytes
        )));
    }
    let checked = checked(&bytes, meta.checksum).map_err(damaged)?;
    // the version after the checksum, so that a damaged one is not taken for a later one
    let (version, decoded) = decode(checked).map_err(damaged)?;
    if version > VERSION {
        return Err(StoreError::TooNew {
            object: meta.name.clone(),
            place: place(),
            what: "version",
            found: version.to_string(),
            supported: VERSION.to_string(),
        });
    }
    if decoded.epoch != meta.epoch {
        return Err(damaged(format!(
            "it is of epoch {}, and its commit says {}",
            decoded.epoch, meta.epoch
        )));
    }
    Ok(decoded.sinks)
}

/// What is in an outbox.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    generation: u64,
    epoch: u64,
    sinks: Vec<SinkRows>,
}

/// The bytes of an outbox, and the checksum at their end.
fn encode(generation: u64, epoch: u64, sinks: &[SinkRows]) -> (Vec<u8>, u64) {
    let content_bytes = |sink: &SinkRows| sink.bytes();
    let size: usize = sinks
        .iter()
        .map(|sink| sink.sink.len() + 20 + content_bytes(sink))
        .sum();
    let mut bytes = Vec::with_capacity(32 + size + CHECKSUM_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    bytes.extend_from_slice(&count(sinks.len()).to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    for sink in sinks {
        bytes.extend_from_slice(&count(sink.sink.len()).to_le_bytes());
        bytes.extend_from_slice(sink.sink.as_bytes());
        bytes.extend_from_slice(&(sink.rows.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(content_bytes(sink) as u64).to_le_bytes());
        for row in sink.rows.iter() {
            bytes.extend_from_slice(&count(row.len()).to_le_bytes());
            bytes.extend_from_slice(row);
        }
    }
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    (bytes, checksum)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 4 billion sinks, and names below 4 GiB")
}

/// The bytes before the checksum, when it is right and the one expected.
fn checked(bytes: &[u8], expected: u64) -> Result<&[u8], String> {
    let (content, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or("it is too short for an outbox")?;
    let (written, found) = (u64::from_le_bytes(*checksum), xxh3_64(content));
    if written != expected || found != expected {
        return Err(format!(
            "it has the checksum {found:016x}, its end says {written:016x}, and its commit {expected:016x}"
        ));
    }
    Ok(content)
}

/// The version, and what is in an outbox if it is one that is known.
fn decode(bytes: &[u8]) -> Result<(u16, Content), String> {
    let mut input = Input::new(bytes, "content");
    if input.take(8)? != MAGIC {
        return Err("it does not begin with WALOUTBX".to_owned());
    }
    let version = input.u16()?;
    if version > VERSION {
        return Ok((version, Content::default()));
    }
    input.u16()?;
    let sink_count = input.u32()?;
    let mut content = Content {
        generation: input.u64()?,
        epoch: input.u64()?,
        sinks: Vec::new(),
    };
    for _ in 0..sink_count {
        content.sinks.push(decode_sink(&mut input)?);
    }
    input.end()?;
    Ok((version, content))
}

fn decode_sink(input: &mut Input<'_>) -> Result<SinkRows, String> {
    let name_bytes = input.u32()? as usize;
    let sink = std::str::from_utf8(input.take(name_bytes)?)
        .map_err(|_| "it names a sink that is not UTF-8".to_owned())?
        .to_owned();
    let row_count = input.u64()?;
    let too_short = || format!("its rows of sink {sink:?} end too early");
    let content_bytes = usize::try_from(input.u64()?).map_err(|_| too_short())?;
    let mut rows = Input::new(input.take(content_bytes)?, "rows");
    // a row is at the least its length
    let row_count = usize::try_from(row_count)
        .ok()
        .filter(|&count| count <= content_bytes / size_of::<u32>())
        .ok_or_else(too_short)?;
    let mut decoded = Rows::default();
    for _ in 0..row_count {
        let length = rows.u32()?;
        decoded.push(rows.take(length as usize)?);
    }
    rows.end()?;
    Ok(SinkRows {
        sink,
        rows: decoded,
    })
}

#[cfg(test)]
mod tests;
