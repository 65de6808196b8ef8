//! The bytes of a log record, as docs/formats.md has them.
//!
//! **Invariants.** What is decoded was encoded, bit for bit: every byte is under a checksum, and the length is exact. Decoding
//! allocates no more than the input is long, and never panics.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::log::entry::Kind;

/// The longest body of a record: 64 MiB, which is about 400,000 segments.
pub const MAX_BODY_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"WALOGREC";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 56;
const CHECKSUM_BYTES: usize = 8;

/// A log record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is for.
    pub kind: Kind,
    /// Its number, as in its name.
    pub number: u64,
    /// The generation that wrote it.
    pub generation: u64,
    /// By which its writer knows it again.
    pub nonce: u128,
    /// [`checksum`] of the record before it; 0 for number 1.
    pub previous: u64,
    /// JSON.
    pub body: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("number", &self.number)
            .field("generation", &self.generation)
            .field("nonce", &format_args!("{:032x}", self.nonce))
            .field("previous", &format_args!("{:016x}", self.previous))
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish()
    }
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// They are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// A later release wrote them.
    #[error("version {0} of log records")]
    TooNew(u16),
    /// The body is longer than a record can hold.
    #[error("a body of {0} bytes is more than the {MAX_BODY_BYTES} that a record can hold")]
    TooLong(usize),
}

/// The name of the record of a number.
#[must_use]
pub fn name(number: u64) -> String {
    format!("log/{number:020}")
}

/// The number of the record of a name; none for any other name.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log/")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&number| number > 0)
}

/// The checksum by which the next record names this one.
#[must_use]
pub fn checksum(encoded: &[u8]) -> u64 {
    xxh3_64(encoded)
}

/// The bytes of a record.
///
/// # Errors
/// [`RecordError::TooLong`] when the body is longer than [`MAX_BODY_BYTES`].
pub fn encode(record: &Record) -> Result<Vec<u8>, RecordError> {
    let length = record.body.len();
    if length > MAX_BODY_BYTES {
        return Err(RecordError::TooLong(length));
    }
    let kind: u16 = match record.kind {
        Kind::Fence => 1,
        Kind::Commit => 2,
    };
    let length = u32::try_from(length).map_err(|_| RecordError::TooLong(length))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + record.body.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&record.number.to_le_bytes());
    bytes.extend_from_slice(&record.generation.to_le_bytes());
    bytes.extend_from_slice(&record.nonce.to_le_bytes());
    bytes.extend_from_slice(&record.previous.to_le_bytes());
    bytes.extend_from_slice(&record.body);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// The record of `expected`, the number in its name, from its bytes.
///
/// # Errors
/// When the bytes are not exactly those of a record of that number, or of a version that this release does not know.
pub fn decode(expected: u64, bytes: &[u8]) -> Result<Record, RecordError> {
    let damaged = |what: String| Err(RecordError::Damaged(what));
    let Some((content, end)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return damaged(format!("it ends after {} bytes", bytes.len()));
    };
    let Some((header, body)) = content.split_at_checked(HEADER_BYTES) else {
        return damaged(format!("it ends after {} bytes", bytes.len()));
    };
    if &field::<8>(header, 0) != MAGIC {
        return damaged("it does not begin like a log record".to_owned());
    }
    // before the checksum: a later version may have another layout
    let version = u16::from_le_bytes(field(header, 8));
    if version > VERSION {
        return Err(RecordError::TooNew(version));
    }
    if xxh3_64(content) != u64::from_le_bytes(*end) {
        return damaged("its checksum differs".to_owned());
    }
    let length = u32::from_le_bytes(field(header, 12));
    if version == 0 || usize::try_from(length) != Ok(body.len()) || body.len() > MAX_BODY_BYTES {
        return damaged(format!(
            "it states a body of {length} bytes and has {}",
            body.len()
        ));
    }
    let number = u64::from_le_bytes(field(header, 16));
    if number != expected {
        return damaged(format!("it is the record of number {number}"));
    }
    let kind = match u16::from_le_bytes(field(header, 10)) {
        1 => Kind::Fence,
        2 => Kind::Commit,
        other => return damaged(format!("it is of kind {other}, and there are 1 and 2")),
    };
    Ok(Record {
        kind,
        number,
        generation: u64::from_le_bytes(field(header, 24)),
        nonce: u128::from_le_bytes(field(header, 32)),
        previous: u64::from_le_bytes(field(header, 48)),
        body: body.to_vec(),
    })
}

/// The bytes of a field of a header, which is long enough for all of them.
fn field<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests;
